"""The explanation of one question about one image, in plain values."""

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
    """One row of `ImportanceMaps`: values over (G, G) cells, or one value per word; NaN if undefined."""

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
        words: the words that the model read.
        known: whether each word is in the model's vocabulary; the model reads all other words as UNK.
        answers: at most five, most probable first; the first answer is explained.
        maps: one map for each method of the plan, image methods first.
        notes: remarks for the reader, for example about unknown words.
    """

    question: str
    words: tuple[str, ...]
    known: tuple[bool, ...]
    answers: tuple[Answer, ...]
    maps: tuple[Importance, ...]
    notes: tuple[str, ...]

    def of(self, domain: Domain) -> list[Importance]:
        """The maps of one domain: of the image methods, or of the question methods."""
        return [one for one in self.maps if one.domain == domain]


@dataclass(frozen=True)
class Change:
    """Result of `Explainer.change`: answers, most probable first, and the probabilities for `asked`."""

    answers: tuple[Answer, ...]
    probabilities: tuple[float, ...]
