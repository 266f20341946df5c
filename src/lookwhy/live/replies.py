"""Replies to the calls of the live page, in JSON's types."""

from __future__ import annotations

import base64
import io

from PIL import Image

from lookwhy.analysis.explanation import Answer, Change, Explanation
from lookwhy.reporting.figures.explanation import Json, nested, number
from lookwhy.reporting.page.pictures import LONGEST_SIDE, small_jpeg


def image_reply(key: str, rgb: Image.Image) -> Json:
    """Describe an image: its name in later calls, its size in pixels, and a picture as a data URL."""
    shown = _shortened(rgb)
    if max(shown.size) > LONGEST_SIDE:
        kind, content = "jpeg", small_jpeg(shown)
    else:
        # PNG, because the page enlarges small images, which would make JPEG artefacts visible.
        kind, buffer = "png", io.BytesIO()
        shown.save(buffer, "PNG")
        content = buffer.getvalue()
    picture = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return {"image": key, "width": rgb.width, "height": rgb.height, "picture": picture}


def _shortened(rgb: Image.Image) -> Image.Image:
    """Squeeze an image that is longer than 2:1 to 2:1; the network's input is squeezed, too."""
    longer = max(rgb.size)
    if 2 * min(rgb.size) >= longer:
        return rgb
    width, height = (max(side, longer // 2) for side in rgb.size)
    most = max(width, height) / (2 * LONGEST_SIDE)
    size = (round(width / most), round(height / most)) if most > 1 else (width, height)
    return rgb.resize(size, Image.Resampling.BILINEAR)


def explanation_reply(explanation: Explanation) -> Json:
    """Convert an explanation; undefined numbers are null, and maps are flat lists, row by row."""
    return {
        "question": explanation.question,
        "words": list(explanation.words),
        "known": list(explanation.known),
        "answers": _answers(explanation.answers),
        "maps": [
            {
                "domain": one.domain,
                "method": one.method,
                "signed": one.signed,
                "flips": one.flips,
                "values": nested(one.values.reshape(-1)),
            }
            for one in explanation.maps
        ],
        "notes": list(explanation.notes),
    }


def change_reply(change: Change) -> Json:
    """Convert the answers after a change."""
    probabilities = [number(one) for one in change.probabilities]
    return {"answers": _answers(change.answers), "probabilities": probabilities}


def _answers(answers: tuple[Answer, ...]) -> list[Json]:
    return [
        {"text": one.text, "probability": number(one.probability), "id": one.answer_id} for one in answers
    ]
