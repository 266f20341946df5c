"""A model that can be explained names its answers, and scores them for images and questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import UInt8
from numpy import ndarray


@runtime_checkable
class ForeignModel(Protocol):
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
        >>> isinstance(Red(), ForeignModel)
        True
    """

    answers: Sequence[str]

    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> Any:
        """Probability of each answer, (B, A), for each image and the question in the same place."""
        ...
