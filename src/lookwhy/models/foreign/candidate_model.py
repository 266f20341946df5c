"""The base of models that write their answers: candidates are scored in the place of answers of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor


class CandidateModel(ABC):
    """A model that gives each candidate a log likelihood; a `WritingModel`.

    Attributes:
        answers: the candidates, each once.
    """

    answers: Sequence[str] = ()

    def add_candidates(self, answers: Sequence[str]) -> None:
        """Score these answers, too."""
        self.answers = [*dict.fromkeys([*self.answers, *answers])]
        self._read_candidates()

    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> Float[Tensor, "B A"]:
        """Probability of each candidate, (B, A)."""
        return self.log_likelihoods(images, questions).double().softmax(-1)

    @abstractmethod
    def log_likelihoods(
        self, images: UInt8[ndarray, "B H W 3"], questions: list[str]
    ) -> Float[Tensor, "B A"]:
        """Sum of the log probabilities of each candidate's tokens."""

    @abstractmethod
    def _read_candidates(self) -> None:
        """Make tokens of the candidates."""
