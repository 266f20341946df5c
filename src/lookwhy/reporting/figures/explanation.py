"""Writes one explanation to a file: as a picture or as numbers (JSON)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookwhy.analysis.explanation import Explanation, Importance
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path, writing
from lookwhy.reporting import stored_card
from lookwhy.reporting.figures.chart import save_figure
from lookwhy.reporting.figures.strips import explanation_figure
from lookwhy.reporting.sanity import Light
from lookwhy.types import AnalysisResult

Json = dict[str, Any]
PICTURES, NUMBERS = (".png", ".svg", ".pdf"), ".json"
SCHEMA_VERSION = 1


def check_ending(path: Path) -> None:
    """Refuse a file name with an unknown ending.

    Raises:
        LookwhyError: the ending is neither in `PICTURES` nor `NUMBERS`.
    """
    if path.suffix.lower() not in (*PICTURES, NUMBERS):
        raise LookwhyError(
            f"expected a file that ends with {', '.join(PICTURES)} (a picture) or {NUMBERS} (the numbers), "
            f"found {path}; name another"
        )


def write_explanation(
    path: Path, explanation: Explanation, image: Image.Image, origin: Json, card: AnalysisResult | None = None
) -> Path:
    """Write an explanation atomically, in the format of the file's ending.

    Args:
        path: file with an ending of `PICTURES` or `NUMBERS`.
        explanation: explanation to write.
        image: the picture asked about, of any size.
        origin: origin of the explanation in plain types. Its keys come first in a JSON file; a picture shows
            only its "note".
        card: the model's sanity card, whose lights stand beside the maps; None without one.

    Raises:
        LookwhyError: the ending is unknown, or the file cannot be written.
    """
    check_ending(path)
    with writing("a file that can be written", path, "name another file"):
        if path.suffix.lower() in PICTURES:
            notes = [str(origin["note"])] if origin.get("note") else []
            return save_figure(explanation_figure(explanation, np.asarray(image), notes, card), path)
        text = json.dumps(as_json(explanation, origin, card), ensure_ascii=False, allow_nan=False, indent=1)
        with atomic_path(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
    return path


def as_json(explanation: Explanation, origin: Json, card: AnalysisResult | None = None) -> Json:
    """Turn an explanation into JSON types; undefined values become null.

    A map is a list of the rows of the grid, from the top. The importance of a word is stored with the word.
    A method with a light on the sanity `card` has its words as "sanity".
    """
    lights = stored_card.lights(card) if card else {}
    return {
        "schema_version": SCHEMA_VERSION,
        **origin,
        "question": explanation.question,
        "words": _by_word(explanation, "known", explanation.known),
        "target": explanation.answers[0].text,
        "answers": [
            {"answer": one.text, "probability": number(one.probability)} for one in explanation.answers
        ],
        "image_maps": [
            _about(one, lights) | {"values": nested(one.values)} for one in explanation.of("image")
        ],
        "word_importances": [
            _about(one, lights) | {"words": _by_word(explanation, "importance", nested(one.values))}
            for one in explanation.of("question")
        ],
        "notes": list(explanation.notes),
    }


def nested(values: np.ndarray) -> list[Any]:
    """Turn an array into nested lists; undefined and infinite values become None."""
    return [nested(row) for row in values] if values.ndim > 1 else [number(float(one)) for one in values]


def number(value: float) -> float | None:
    """A number for strict JSON: None if it is undefined or infinite."""
    return value if math.isfinite(value) else None


def _by_word(explanation: Explanation, name: str, values: Sequence[Any]) -> list[Json]:
    return [{"word": word, name: value} for word, value in zip(explanation.words, values, strict=True)]


def _about(one: Importance, lights: Mapping[str, Light]) -> Json:
    light = lights.get(f"{one.domain}/{one.method}")
    about = {"method": one.method, "signed": one.signed, "target": one.target, "flips": one.flips}
    return about | ({"sanity": light.words} if light else {})
