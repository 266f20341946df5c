"""The calls of the live page: take in an image, answer and explain, answer again without some parts.

Each call carries everything that its answer depends on, so browser tabs are independent. The server keeps
only the most recent images, by a digest of their bytes. A page sends an image again if the server no longer
has it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any

from PIL import Image

from lookwhy.analysis.explain import Explainer, ImageView
from lookwhy.errors import LookwhyError
from lookwhy.live.replies import change_reply, explanation_reply, image_reply
from lookwhy.live.uploads import read_upload
from lookwhy.reporting.figures.explanation import Json

MAX_IMAGES, MAX_LETTERS = 16, 10_000


class ForgottenError(LookwhyError):
    """The server no longer holds the image of a call."""


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
        return image_reply(key, rgb)

    def ask(self, body: Any) -> Json:
        """Answer a question about an image, and explain the answer.

        Args:
            body: {"image": key, "question": text}.

        Raises:
            LookwhyError: a field is missing or wrong.
            ForgottenError: the image must be sent again.
        """
        key, question = _field(body, "image", str), _question(body)
        return explanation_reply(self._explainer.explain(self._image(key), question))

    def change(self, body: Any) -> Json:
        """Answer again with cells painted over and words dropped.

        Args:
            body: {"image": key, "question": text, "cells": numbers, "words": numbers, "answers": ids}.

        Raises:
            LookwhyError: a field is missing or wrong, or no word is left.
            ForgottenError: the image must be sent again.
        """
        key, question = _field(body, "image", str), _question(body)
        cells, words, answers = (_numbers(body, name) for name in ("cells", "words", "answers"))
        return change_reply(self._explainer.change(self._image(key), question, cells, words, answers))

    def _image(self, key: str) -> ImageView:
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
