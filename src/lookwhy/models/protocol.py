"""Interfaces of models.

A `VQAModel` returns probabilities of answers, which is enough for methods that remove parts of the input. A
model made of a tower (pixels to features) and a `VQAHead` (features to answers) also has gradients, and it
processes an image once for many questions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.errors import LookwhyError
from lookwhy.types import Features, Images, Lengths, Scores, Tokens


@runtime_checkable
class VQAModel(Protocol):
    """A black box that answers questions about images."""

    def answer_scores(self, image: Images, tokens: Tokens, lengths: Lengths) -> Scores:
        """Probability of each answer. Images are in the input range of the model's `ImageRecipe`."""
        ...


class VQAHead(nn.Module, ABC):
    """The trained part of a VQA model, in four steps whose results can be reused.

    `look` encodes an image once for all its questions. `read` encodes a question once for all its images
    (for example 256 occluded copies). `answer` runs for each pair of these two codes.

    Attributes:
        settings: the constructor's arguments, in plain types, from which a checkpoint rebuilds the head.
    """

    settings: dict[str, Any]

    def check_features(self, shape: tuple[int, ...]) -> None:
        """Raise a LookwhyError if this head would misread an image's features of this shape."""

    @abstractmethod
    def embed(self, tokens: Tokens) -> Float[Tensor, "B T E"]:
        """Word embeddings; the gradient of a word is computed here. Padding (0) may get any vector."""

    @abstractmethod
    def read(self, embedded: Float[Tensor, "B T E"], lengths: Lengths) -> Float[Tensor, "B *code"]:
        """Code of a question, from its word embeddings."""

    @abstractmethod
    def look(self, features: Features) -> Float[Tensor, "B *view"]:
        """Code of an image, from its features."""

    @abstractmethod
    def answer(self, view: Float[Tensor, "B *view"], code: Float[Tensor, "B *code"]) -> Scores:
        """Logits of the answers for each (view, code) pair."""

    def forward(self, image_features: Features, tokens: Tokens, lengths: Lengths) -> Scores:
        """Logits of the answers. `tokens` are left-aligned 1-based word ids, `lengths` at least 1."""
        return self.answer(self.look(image_features), self.read(self.embed(tokens), lengths))


def arguments_of(scope: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor by name, from `locals()` called in its first line."""
    return {name: value for name, value in scope.items() if name not in ("self", "__class__")}


Range = tuple[str, Callable[[float], bool]]
"""A range in words, and whether a number lies in it; NaN lies in none."""
ABOVE_0: Range = ("above 0", lambda value: 0 < value < math.inf)
AT_LEAST_1: Range = ("of at least 1", lambda value: value >= 1)
BELOW_1: Range = ("from 0 to below 1", lambda value: 0 <= value < 1)


HEAD = "model.head.init_args"
"""Place of a head's settings in a config."""


def check_numbers(values: Mapping[str, Any], place: str, **ranges: Range) -> None:
    """Refuse settings out of their ranges; PyTorch would raise an error without the setting's name, or none.

    Raises:
        LookwhyError: a setting lies outside; it is named by its place in a config, "model.learning_rate".

    Example:
        >>> check_numbers({"dropout": 0.5}, "model.head.init_args", dropout=BELOW_1)
    """
    for name, (text, is_inside) in ranges.items():
        if not is_inside(values[name]):
            raise LookwhyError(
                f"expected {place}.{name} {text}, found {values[name]}; correct it, or leave it out"
            )
