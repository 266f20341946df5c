"""One explanation as a file: a picture, or its numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookwhy.analysis.explanation import Explanation, Importance
from lookwhy.data.files import atomic_path
from lookwhy.reporting.figures.chart import save_figure
from lookwhy.reporting.figures.strips import explanation_figure
from lookwhy.types import LookwhyError

Json = dict[str, Any]
PICTURES, NUMBERS = (".png", ".svg", ".pdf"), ".json"
SCHEMA_VERSION = 1


def check_ending(path: Path) -> None:
    """Refuse a file name that does not say what to write.

    Raises:
        LookwhyError: it ends otherwise than those known.
    """
    if path.suffix.lower() not in (*PICTURES, NUMBERS):
        raise LookwhyError(
            f"expected a file that ends with {', '.join(PICTURES)} (a picture) or {NUMBERS} (the numbers), "
            f"found {path}; name another"
        )


def write_explanation(path: Path, explanation: Explanation, image: Image.Image, origin: Json) -> Path:
    """Write an explanation as the file's ending says; a reader never meets half of one.

    Args:
        path: ends with one of `PICTURES` or `NUMBERS`.
        explanation: what to write.
        image: the picture asked about, of any size.
        origin: where it comes from, in plain types: its keys head the numbers, its "note" is in a picture.

    Raises:
        LookwhyError: the name ends otherwise, or cannot be written.
    """
    check_ending(path)
    try:
        if path.suffix.lower() == NUMBERS:
            text = json.dumps(as_json(explanation, origin), ensure_ascii=False, allow_nan=False, indent=1)
            with atomic_path(path) as partial:
                partial.write_text(text + "\n", encoding="utf-8")
        else:
            save_figure(_figure(explanation, image, origin), path)
    except OSError as error:
        raise LookwhyError(
            f"expected a place for {path}, found none ({error.strerror or error}); name another --out"
        ) from error
    return path


def as_json(explanation: Explanation, origin: Json) -> Json:
    """An explanation in JSON's types; what is undefined is null.

    Maps are lists of rows of the grid from the top; importances of words stand with their words.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        **origin,
        "question": explanation.question,
        "words": [
            {"word": word, "known": known}
            for word, known in zip(explanation.words, explanation.known, strict=True)
        ],
        "target": explanation.answers[0].text,
        "answers": [
            {"answer": one.text, "probability": number(one.probability)} for one in explanation.answers
        ],
        "image_maps": [_about(one) | {"values": nested(one.values)} for one in explanation.of("image")],
        "word_importances": [
            _about(one)
            | {
                "words": [
                    {"word": word, "importance": value}
                    for word, value in zip(explanation.words, nested(one.values), strict=True)
                ]
            }
            for one in explanation.of("question")
        ],
        "notes": list(explanation.notes),
    }


def nested(values: np.ndarray) -> list[Any]:
    """An array as nested lists; what is undefined, or infinite, is None."""
    return [nested(row) for row in values] if values.ndim > 1 else [number(float(one)) for one in values]


def number(value: float) -> float | None:
    """A number as strict JSON takes it."""
    return value if math.isfinite(value) else None


def _about(one: Importance) -> Json:
    return {"method": one.method, "signed": one.signed, "target": one.target, "flips": one.flips}


def _figure(explanation: Explanation, image: Image.Image, origin: Json) -> Any:
    return explanation_figure(
        np.asarray(image),
        explanation.words,
        {one.method: one.values for one in explanation.of("question")},
        {one.method: one.values for one in explanation.of("image")},
        [(one.text, one.probability) for one in explanation.answers],
        explanation.question,
        signed={one.method for one in explanation.maps if one.signed},
        notes=[*explanation.notes, *filter(None, [origin.get("note")])],
    )
