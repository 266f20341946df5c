"""The calls of the live page: take in an image, answer and explain, answer again without some parts.

Each call carries everything that its answer depends on, so browser tabs are independent. The server keeps
only the most recent images, by a digest of their bytes. A page sends an image again if the server no longer
has it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections import OrderedDict
from typing import Any

from PIL import Image

from lookwhy.analysis.explain import Explainer, ImageView
from lookwhy.analysis.explanation import Answer
from lookwhy.errors import LookwhyError
from lookwhy.live.uploads import read_upload
from lookwhy.reporting.figures.explanation import Json, as_json, number
from lookwhy.reporting.page.pictures import LONGEST_SIDE, small_jpeg

MAX_IMAGES, MAX_LETTERS = 16, 10_000


class ForgottenError(LookwhyError):
    """The server no longer holds the image of a call."""

    status = 410


class Calls:
    """The calls that a page makes, answered by one explainer; safe to use from several threads."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer
        self._images: OrderedDict[str, ImageView] = OrderedDict()
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Explain a gray image, so that the first question takes no longer than the others.

        Raises:
            LookwhyError: a method of the plan cannot explain this model.
        """
        recipe = self._explainer.recipe
        gray = Image.new("RGB", (recipe.width, recipe.height), (124, 117, 104))
        self._explainer.explain(self._explainer.look(gray), "what is this ?")

    def look(self, content: bytes) -> Json:
        """Decode an image file and keep the image for later calls.

        Raises:
            LookwhyError: the bytes are not an image, or it has too many pixels.
        """
        rgb = read_upload(content)
        key, image = hashlib.sha256(content).hexdigest()[:32], self._explainer.look(rgb)
        with self._lock:
            self._images[key] = image
            self._images.move_to_end(key)
            while len(self._images) > MAX_IMAGES:
                self._images.popitem(last=False)
        return _image_reply(key, rgb)

    def ask(self, body: Any) -> Json:
        """Answer a question, and explain the answer; `body` is {"image": key, "question": text}.

        Raises:
            LookwhyError: a field is missing or wrong.
            ForgottenError: the image must be sent again.
        """
        found = self._explainer.explain(self._image(body), _question(body))
        return as_json(found, {}) | {"answers": _answers(found.answers)}

    def change(self, body: Any) -> Json:
        """Answer again with cells painted over and words dropped.

        `body` is {"image": key, "question": text, "cells": numbers, "words": numbers, "answers": ids}.

        Raises:
            LookwhyError: a field is missing or wrong, or no word is left.
            ForgottenError: the image must be sent again.
        """
        numbers = (_numbers(body, name) for name in ("cells", "words", "answers"))
        found = self._explainer.change(self._image(body), _question(body), *numbers)
        return {"answers": _answers(found.answers), "probabilities": [number(p) for p in found.probabilities]}

    def _image(self, body: Any) -> ImageView:
        key = _field(body, "image", str)
        with self._lock:
            if key not in self._images:
                raise ForgottenError(
                    f"expected one of the last {MAX_IMAGES} images sent, found another; send it again"
                )
            self._images.move_to_end(key)
            return self._images[key]


def _field(body: Any, name: str, kind: type) -> Any:
    if not isinstance(body, dict) or name not in body:
        raise LookwhyError(f"expected the field {name!r}, found none in the call; send it")
    value = body[name]
    if not isinstance(value, kind):
        wanted = "text" if kind is str else "a list of whole numbers"
        raise LookwhyError(f"expected {wanted} as {name!r}, found {type(value).__name__}; send {wanted}")
    return value


def _question(body: Any) -> str:
    # A lone surrogate ("\ud83d" in JSON) can be neither tokenised nor sent back.
    question = _field(body, "question", str).encode("utf-8", "replace").decode("utf-8")
    if len(question) > MAX_LETTERS:
        raise LookwhyError(
            f"expected a question of at most {MAX_LETTERS:,} letters, found {len(question):,}; shorten it"
        )
    return " ".join(question.split())


def _numbers(body: Any, name: str) -> list[int]:
    values: list[int] = _field(body, name, list)
    if any(type(value) is not int for value in values):
        raise LookwhyError(f"expected a list of whole numbers as {name!r}, found other values; send numbers")
    return values


def _image_reply(key: str, rgb: Image.Image) -> Json:
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


def _answers(answers: tuple[Answer, ...]) -> list[Json]:
    return [{"text": a.text, "probability": number(a.probability), "id": a.answer_id} for a in answers]
