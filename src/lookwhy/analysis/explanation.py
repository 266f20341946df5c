"""What is found of one question about one image, in plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lookwhy.types import Domain


class Answer(NamedTuple):
    """An answer, its 0-based id and its probability (0..1)."""

    text: str
    probability: float
    answer_id: int


@dataclass(frozen=True)
class Importance:
    """What one method says of one question.

    Attributes:
        method: as in keys ("guided_backprop").
        domain: "image" or "question".
        values: (G, G) over cells, or one a word; NaN where undefined.
        signed: whether a negative value means evidence against the answer.
        target: what it is about, in words.
        flips: how many cells or words change the answer when taken away; None for methods that take none.
    """

    method: str
    domain: Domain
    values: Float[np.ndarray, "*cells"]
    signed: bool
    target: str
    flips: int | None


@dataclass(frozen=True)
class Explanation:
    """One question about one image, answered and explained.

    Attributes:
        question: as asked.
        words: as the model read them.
        known: which of them are in its vocabulary; it reads all others as one unknown word.
        answers: the likeliest first, five at most; the first is the one explained.
        maps: one a method of the plan, image methods first.
        notes: what a reader must know beside it, in sentences.
    """

    question: str
    words: tuple[str, ...]
    known: tuple[bool, ...]
    answers: tuple[Answer, ...]
    maps: tuple[Importance, ...]
    notes: tuple[str, ...]

    def of(self, domain: Domain) -> list[Importance]:
        """What the methods for the image, or for the question, say."""
        return [one for one in self.maps if one.domain == domain]


@dataclass(frozen=True)
class Change:
    """The answer once cells are painted over and words are dropped.

    Attributes:
        answers: now the likeliest, five at most.
        probabilities: now, of the answers that were asked for.
    """

    answers: tuple[Answer, ...]
    probabilities: tuple[float, ...]
