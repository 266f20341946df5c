"""What the project asks of a model.

Two levels. Any model that returns answer probabilities can be explained by taking things away
(`VQAModel`). A model built of the project's own parts can also be differentiated, and looks at an
image once for many questions: a tower that turns pixels into features and a `VQAHead` that answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int64
from torch import Tensor, nn


@runtime_checkable
class VQAModel(Protocol):
    """A black box that answers questions about images."""

    def answer_scores(
        self,
        image: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B A"]:
        """Probability of each answer; images in the recipe's own input range."""
        ...


class VQAHead(nn.Module, ABC):
    """The trained part of a VQA model, in four steps that can each be done once and reused.

    `look` at an image once for all its questions, `read` a question once for all images it is asked
    about (256 occluded ones, say), then `answer` for each pair.

    Attributes:
        settings: the constructor's arguments, of plain types, to build the same head again.
    """

    settings: dict[str, Any]

    def check_features(self, shape: tuple[int, ...]) -> None:
        """Refuse, with a LookwhyError, one image's features of a shape that this head would misread."""

    @abstractmethod
    def embed(self, tokens: Int64[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """Word embeddings: where the gradient of a word is taken. 0 pads get some vector, never read."""

    @abstractmethod
    def read(
        self, embedded: Float[Tensor, "B T E"], lengths: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B *code"]:
        """Code of a question, from its word embeddings."""

    @abstractmethod
    def look(self, features: Float[Tensor, "B *D"]) -> Float[Tensor, "B *view"]:
        """Code of an image, from its features."""

    @abstractmethod
    def answer(self, view: Float[Tensor, "B *view"], code: Float[Tensor, "B *code"]) -> Float[Tensor, "B A"]:
        """Logits of the answers, one row a (view, code) pair."""

    def forward(
        self,
        image_features: Float[Tensor, "B *D"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B A"]:
        """Logits of the answers. `tokens` are left-aligned 1-based word ids, `lengths` at least 1."""
        return self.answer(self.look(image_features), self.read(self.embed(tokens), lengths))
