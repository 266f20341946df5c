"""The JSON that a program or a server exchanges: pictures as PNG in base64, one for each question."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lookwhy.errors import LookwhyError


def request_of(images: UInt8[np.ndarray, "B H W 3"], questions: list[str]) -> dict[str, Any]:
    """`{"images": [PNG in base64, ...], "questions": [text, ...]}`, as many of each."""
    return {"images": [_png(image) for image in images], "questions": questions}


def answers_of(reply: Any, source: str) -> list[str]:
    """The answers of `{"answers": [text, ...]}`.

    Raises:
        LookwhyError: the reply has another form.
    """
    answers = reply.get("answers") if isinstance(reply, dict) else None
    if not isinstance(answers, list) or not answers or not all(isinstance(one, str) for one in answers):
        raise LookwhyError(
            f'expected {{"answers": [texts]}} from {source}, found {str(reply):.80}; docs/foreign.md has an '
            "example"
        )
    return answers


def scores_of(reply: Any, source: str) -> list[list[float]]:
    """The scores of `{"scores": [[number, ...], ...]}`.

    Raises:
        LookwhyError: the reply has another form; an `"error"` in it is quoted.
    """
    scores = reply.get("scores") if isinstance(reply, dict) else None
    if not isinstance(scores, list):
        said = reply.get("error") if isinstance(reply, dict) and "error" in reply else reply
        raise LookwhyError(
            f'expected {{"scores": [[numbers]]}} from {source}, found {str(said):.200}; docs/foreign.md has '
            "an example"
        )
    return scores


def _png(image: UInt8[np.ndarray, "H W 3"]) -> str:
    content = io.BytesIO()
    # Little compression: most of these pictures are sent once, to the same machine.
    Image.fromarray(image).save(content, "PNG", compress_level=1)
    return base64.b64encode(content.getvalue()).decode()
