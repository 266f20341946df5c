"""What the live page asks of the server: look at an image, answer and explain, answer again without a part.

Every call carries all that its answer depends on, so tabs know nothing of each other. Kept are the last
images that were sent, under a digest of their bytes; a page whose image is gone sends it again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from lookwhy.analysis import select_questions
from lookwhy.analysis.explain import Explainer, ImageView
from lookwhy.data.prepro import read_prepro
from lookwhy.data.uploads import MAX_BYTES, read_upload
from lookwhy.errors import LookwhyError
from lookwhy.reporting.figures.explanation import Json
from lookwhy.reporting.live import Example, changed, explained, looked_at

IMAGES, EXAMPLES, LONGEST_QUESTION = 16, 6, 10_000
MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
}
"""Of the images that examples are offered of."""


class ForgottenError(LookwhyError):
    """The server no longer holds the image that a call is about."""


class Live:
    """An explainer and the last images; its calls may come from several threads."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer
        self._seen: OrderedDict[str, ImageView] = OrderedDict()
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Explain something, so that the first question takes no longer than the others.

        Raises:
            LookwhyError: a method of the plan cannot explain this model.
        """
        recipe = self._explainer.recipe
        gray = Image.new("RGB", (recipe.width, recipe.height), (124, 117, 104))
        self._explainer.explain(self._explainer.look(gray), "what is this ?")

    def look(self, content: bytes) -> Json:
        """Take in the bytes of an image file.

        Raises:
            LookwhyError: it is none, or too large.
        """
        rgb = read_upload(content)
        key, seen = hashlib.sha256(content).hexdigest()[:32], self._explainer.look(rgb)
        with self._lock:
            self._seen[key] = seen
            self._seen.move_to_end(key)
            while len(self._seen) > IMAGES:
                self._seen.popitem(last=False)
        return looked_at(key, rgb)

    def ask(self, body: Any) -> Json:
        """Answer {"image", "question"}, and explain the answer.

        Raises:
            LookwhyError: the call or the question is not as it should be.
            ForgottenError: the image has to be sent again.
        """
        image, question = _text(body, "image"), _question(body)
        return explained(self._explainer.explain(self._image(image), question))

    def change(self, body: Any) -> Json:
        """Answer {"image", "question", "cells", "words", "answers"}, the latter lists of numbers, once more.

        Raises:
            LookwhyError: the call is not as it should be, or no word is left.
            ForgottenError: the image has to be sent again.
        """
        image, question = _text(body, "image"), _question(body)
        cells, words, answers = (_numbers(body, name) for name in ("cells", "words", "answers"))
        return changed(self._explainer.change(self._image(image), question, cells, words, answers))

    def _image(self, key: str) -> ImageView:
        with self._lock:
            if key not in self._seen:
                raise ForgottenError(
                    f"expected one of the last {IMAGES} images sent, found another; send it again"
                )
            self._seen.move_to_end(key)
            return self._seen[key]


def find_examples(explainer: Explainer, count: int = EXAMPLES) -> list[Example]:
    """Some of the run's own validation questions, each about another image; none where its data is gone."""
    data = explainer.run.data
    folder = Path(data["folder"])
    try:
        prepro = read_prepro(folder)
        split, questions = prepro.test, prepro.test.questions
    except LookwhyError:
        return []
    stated = data.get("image_root") or prepro.image_root
    if not stated or not questions:
        return []
    plan = replace(explainer.plan, num_questions=None, num_images=4 * count)
    of_image: dict[str, list[str]] = {}
    for row in select_questions(plan, split.question_ids, split.image_ids).tolist():
        of_image.setdefault(split.image_files[split.image_pos[row]], []).append(questions[row])
    found: list[Example] = []
    for name, asked in of_image.items():
        path = folder / stated / name
        if path.suffix.lower() in MEDIA_TYPES and path.is_file() and path.stat().st_size <= MAX_BYTES:
            # Not always the first question: in the official files those are alike.
            found.append(Example(asked[len(found) % len(asked)], path))
    return found[:count]


def _field(body: Any, name: str) -> Any:
    if not isinstance(body, dict) or name not in body:
        raise LookwhyError(f"expected the field {name!r}, found none in the call; send it")
    return body[name]


def _text(body: Any, name: str) -> str:
    value = _field(body, name)
    if not isinstance(value, str):
        raise LookwhyError(f"expected text as {name!r}, found {type(value).__name__}; send text")
    return value


def _question(body: Any) -> str:
    # Half a character ("\ud83d" in JSON) can be neither tokenised nor sent back.
    question = _text(body, "question").encode("utf-8", "replace").decode("utf-8")
    if len(question) > LONGEST_QUESTION:
        raise LookwhyError(
            f"expected a question of at most {LONGEST_QUESTION:,} letters, found {len(question):,}; "
            "shorten it"
        )
    return " ".join(question.split())


def _numbers(body: Any, name: str) -> list[int]:
    values = _field(body, name)
    if not isinstance(values, list) or any(type(value) is not int for value in values):
        raise LookwhyError(f"expected a list of whole numbers as {name!r}, found something else; send one")
    return values
