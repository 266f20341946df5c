"""Interfaces of models.

A `VQAModel` sees what a person sees, and returns probabilities of answers, which is enough for methods that
remove parts of the input. Inside of lookwhy it is asked as a `TokenModel`, by pixels and word ids. A model
made of a tower (pixels to features) and a `VQAHead` (features to answers) also has gradients, and it
processes an image once for many questions.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor, nn

from lookwhy.errors import LookwhyError
from lookwhy.types import Features, Images, Lengths, Scores, Tokens


@runtime_checkable
class VQAModel(Protocol):
    """A black box that sees what a person sees: an RGB picture and the text of a question.

    Attributes:
        answers: the answers that the model can give, always the same and in the same order.
        scores_add_up: an attribute that is False if each score is a probability by itself, as a sigmoid is;
            without it, the scores of a question add up to 1 at most.

    Example:
        >>> import numpy as np
        >>> class Red:
        ...     answers = ["yes", "no"]
        ...     def answer_scores(self, images, questions):
        ...         red = images[..., 0].mean((1, 2)) / 255
        ...         return np.stack([red, 1 - red], axis=1)
        >>> isinstance(Red(), VQAModel)
        True
    """

    answers: Sequence[str]

    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> Any:
        """Probability of each answer, (B, A), for each image and the question in the same place."""
        ...


@runtime_checkable
class TokenModel(Protocol):
    """A black box that answers questions in word ids about images in pixels."""

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
