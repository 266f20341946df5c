"""The HTML of the live page, with examples from the run's own validation data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lookwhy.analysis import select_questions
from lookwhy.analysis.explain import Explainer
from lookwhy.analysis.foreign import ForeignExplainer
from lookwhy.data.prepro import read_prepro
from lookwhy.errors import LookwhyError
from lookwhy.live.uploads import MAX_BYTES
from lookwhy.reporting import sanity, style
from lookwhy.reporting.page.numbers import light_of, named
from lookwhy.reporting.page.parts import FOLDER as SHARED
from lookwhy.reporting.page.parts import document
from lookwhy.reporting.stored_card import lights, stored_card
from lookwhy.types import AnalysisResult

OWN = Path(__file__).parent / "page"
FILES = (
    OWN / "live.html",
    *(SHARED / name for name in ("page.css", "base.js", "glyphs.js", "heat.js")),
    *(OWN / name for name in ("live.css", "view.js", "server.js", "live.js")),
)
COUNT = 6
MEDIA_TYPES = {f".{kind}": f"image/{kind}" for kind in ("png", "jpeg", "webp", "bmp")}
MEDIA_TYPES[".jpg"] = "image/jpeg"
"""Media types of the image files that can be examples."""


class Example(NamedTuple):
    """A question and the path of its image."""

    question: str
    image: Path


def find_examples(explainer: Explainer) -> list[Example]:
    """Choose at most `COUNT` validation questions about different images; none if the data is missing.

    A foreign model has none.
    """
    if isinstance(explainer, ForeignExplainer):
        return []
    data = explainer.run.data
    folder = explainer.run.places.find(data["folder"])
    try:
        prepro = read_prepro(folder)
    except LookwhyError:
        return []
    split, questions = prepro.test, prepro.test.questions
    stated = data.get("image_root")
    image_root = explainer.run.places.find(stated) if stated else prepro.image_root
    if not image_root or not questions:
        return []
    plan = replace(explainer.plan, num_questions=None, num_images=4 * COUNT)
    questions_of: dict[str, list[str]] = {}
    for row in select_questions(plan, split.question_ids, split.image_ids).tolist():
        questions_of.setdefault(split.image_files[split.image_pos[row]], []).append(questions[row])
    examples: list[Example] = []
    for name, choices in questions_of.items():
        path = folder / image_root / name
        if path.suffix.lower() in MEDIA_TYPES and path.is_file() and path.stat().st_size <= MAX_BYTES:
            # Not always the first question of an image: in the official files these are alike.
            examples.append(Example(choices[len(examples) % len(choices)], path))
    return examples[:COUNT]


def live_page(explainer: Explainer, examples: list[Example]) -> str:
    """Return the page as one HTML document that loads nothing but the examples' images."""
    run, plan = explainer.run, explainer.plan
    is_foreign = isinstance(explainer, ForeignExplainer)
    card = AnalysisResult({}) if is_foreign else stored_card(run, plan)
    content = {
        "runs": [],
        "names": {
            "imageMethods": named([method.name for method in plan.image_methods]),
            "wordMethods": named([method.name for method in plan.question_methods]),
        },
        "lights": {name: light_of(light) for name, light in lights(card).items()},
        "grid": plan.grid,
        "patch": [round(value) for value in explainer.patch_rgb],
        "maxBytes": MAX_BYTES,
        "examples": [example.question for example in examples],
    }
    return document(
        FILES,
        content,
        title="Ask your own question",
        about=_about(explainer),
        notes=[str(run.data.get("note") or ""), *sanity.lines(card)],
        allowed="img-src 'self' data:; connect-src 'self'",
    )


def _about(explainer: Explainer) -> str:
    """The model in one line."""
    run = explainer.run
    if isinstance(explainer, ForeignExplainer):
        return f"{explainer.name}; {len(run.answers)} answers"
    path = run.path.resolve()
    # A checkpoint outside a run folder gives its own name.
    name = path.parent.parent.name if path.parent.name == "checkpoints" else path.stem
    return (
        f"{type(run.head).__name__} of {name}, {style.epoch_name(run.epoch)}; "
        f"{len(run.vocabulary)} words, {len(run.answers)} answers"
    )
