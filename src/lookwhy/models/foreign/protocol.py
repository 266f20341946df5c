"""Abilities of some models beyond a `VQAModel`: they show their attention, or write answers of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from lookwhy.types import Explains, Target


@dataclass(frozen=True)
class TokenAttention:
    """Attention between the tokens of one picture and one question; padding is left out.

    Attributes:
        weights: attention of each layer and head, from each token (row) to each token (column). The first
            token is the one whose last state is classified; then come the other tokens of the text, and those
            of the picture.
        gradients: gradient of the answer's score at the weights; None if it was not asked for.
        spans: places of each token of the text in the question, (start, end) in characters; (0, 0) for tokens
            that are no part of it.
        patches: number of each picture token, counted along the rows of the grid of patches; -1 for a token
            that is no patch.
        grid: rows and columns of the grid of patches.
        extent: shares of the picture's height and width that the grid covers, from its upper left corner.
    """

    weights: Float[Tensor, "L H S S"]
    gradients: Float[Tensor, "L H S S"] | None
    spans: list[tuple[int, int]]
    patches: Int64[Tensor, " P"]
    grid: tuple[int, int]
    extent: tuple[float, float] = (1.0, 1.0)


@runtime_checkable
class AttendingModel(Protocol):
    """A `VQAModel` whose layers attend to the tokens of picture and question together."""

    def attention(
        self,
        images: Sequence[UInt8[ndarray, "_ _ 3"]],
        questions: list[str],
        target: Target | None = None,
        explains: Explains = "logit",
    ) -> list[TokenAttention]:
        """Attention of each picture and question, with gradients of the score of `target` if it is given."""
        ...


@runtime_checkable
class WritingModel(Protocol):
    """A `VQAModel` that writes its answers, and scores a list of candidates in their place."""

    answers: Sequence[str]

    def written_answers(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> list[str]:
        """The answer that the model writes by itself to each question."""
        ...

    def add_candidates(self, answers: Sequence[str]) -> None:
        """Score these answers, too; called before the first analysis."""
        ...
