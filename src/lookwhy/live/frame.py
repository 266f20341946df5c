"""The HTML of the live page, and the facts about the run that its scripts need."""

from __future__ import annotations

from pathlib import Path

from lookwhy.analysis.explain import Explainer
from lookwhy.live.examples import Example
from lookwhy.live.uploads import MAX_BYTES
from lookwhy.reporting import style
from lookwhy.reporting.page.numbers import named
from lookwhy.reporting.page.parts import FOLDER as SHARED
from lookwhy.reporting.page.parts import document

OWN = Path(__file__).parent / "page"
FILES = (
    OWN / "live.html",
    *(SHARED / name for name in ("page.css", "base.js", "heat.js")),
    *(OWN / name for name in ("live.css", "view.js", "server.js", "live.js")),
)


def live_page(explainer: Explainer, examples: list[Example]) -> str:
    """Return the page as one HTML document that loads nothing but the examples' images."""
    run, plan = explainer.run, explainer.plan
    image_methods = [method.name for method in plan.image_methods]
    word_methods = [method.name for method in plan.question_methods]
    content = {
        "runs": [],
        "names": {
            "imageMethods": named(image_methods, style.method_colours(image_methods)),
            "wordMethods": named(word_methods, style.method_colours(word_methods)),
        },
        "grid": plan.grid,
        "patch": [round(value) for value in explainer.patch_rgb],
        "maxBytes": MAX_BYTES,
        "examples": [example.question for example in examples],
    }
    about = (
        f"{type(run.head).__name__} of {_run_name(run.path)}, {style.epoch_name(run.epoch)}; "
        f"{len(run.vocabulary)} words, {len(run.answers)} answers"
    )
    return document(
        FILES,
        content,
        title="Ask your own question",
        about=about,
        notes=[str(run.data.get("note") or "")],
        allowed="img-src 'self' data:; connect-src 'self'",
    )


def _run_name(checkpoint: Path) -> str:
    """Return the name of the run folder, or of the file if the checkpoint is not in a run folder."""
    path = checkpoint.resolve()
    return path.parent.parent.name if path.parent.name == "checkpoints" else checkpoint.stem
