"""Examples that the live page offers: questions of the run's own validation data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lookwhy.analysis import select_questions
from lookwhy.analysis.explain import Explainer
from lookwhy.data.prepro import read_prepro
from lookwhy.errors import LookwhyError
from lookwhy.live.uploads import MAX_BYTES

COUNT = 6
MEDIA_TYPES = {f".{kind}": f"image/{kind}" for kind in ("png", "jpeg", "webp", "bmp")}
MEDIA_TYPES[".jpg"] = "image/jpeg"
"""Media types of the image files that can be examples."""


class Example(NamedTuple):
    """A question and the path of its image."""

    question: str
    image: Path


def find_examples(explainer: Explainer) -> list[Example]:
    """Choose at most `COUNT` validation questions about different images; none if the data is missing."""
    data = explainer.run.data
    folder = Path(data["folder"])
    try:
        prepro = read_prepro(folder)
        split, questions = prepro.test, prepro.test.questions
    except LookwhyError:
        return []
    image_root = data.get("image_root") or prepro.image_root
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
