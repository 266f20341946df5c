"""Pixels -> features -> answers: a model in the parts that attribution methods use.

`opened` is the one place that tells a `Pipeline` of the project's own parts from a black box. Both offer the
same calls, so that a method which only needs scores does not care which of them it explains.
"""

from __future__ import annotations

from jaxtyping import Float, Int64
from torch import Tensor, cat, nn, stack

from lookwhy.errors import LookwhyError
from lookwhy.models.protocol import VQAHead, VQAModel
from lookwhy.towers.incremental import occluded_images
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.towers.tower import CleanAndOccluded, as_tower
from lookwhy.types import Explains


def probabilities(logits: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
    """Softmax in double precision.

    The gradient of a confident answer is p (1 - p). In single precision 1 - p is rounded to 0 long before the
    model is certain, and the importance map with it.
    """
    return logits.double().softmax(-1)


class Pipeline(nn.Module):
    """A VQA model on pixels, made of a frozen tower (pixels -> features) and a head (features -> logits).

    It satisfies `VQAModel`. Its parts can be called one by one: an image goes through the tower once for all
    its questions, and a question is read once for all its occluded images.

    Args:
        tower: a `Tower`, or any module from images (B, 3, H, W) to features (B, *D).
        head: a `VQAHead`, or any module from (features, tokens, lengths) to logits.

    Attributes:
        questions_at_once: number of questions that are best answered together.

    Example:
        >>> import torch
        >>> from lookwhy.models import DeeperLSTM
        >>> pixels, words = torch.rand(1, 3, 4, 4), torch.tensor([[1, 2]])
        >>> model = Pipeline(nn.Flatten(), DeeperLSTM(vocab_size=9, num_answers=5, image_dim=48))
        >>> model.answer_scores(pixels, words, torch.tensor([2])).shape
        torch.Size([1, 5])
    """

    questions_at_once = 512

    def __init__(self, tower: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.tower = as_tower(tower)
        self.head = head

    @property
    def recipe(self) -> ImageRecipe | None:
        """How pixels are fed to the tower, where that is known."""
        return self.tower.recipe

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B *D"]:
        """Image features of the tower, not normalised."""
        return self.tower(images)

    def occluded(
        self, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"]
    ) -> CleanAndOccluded:
        """Features of an image, and of it with each cell of a grid painted over."""
        return self.tower.occluded(image, grid, fill)

    def look(self, features: Float[Tensor, "B *D"]) -> Float[Tensor, "B *view"]:
        """The head's code of each image, to be used for all its questions."""
        return self.head.look(features) if isinstance(self.head, VQAHead) else features

    def scores(
        self,
        views: Float[Tensor, "B *view"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
        explains: Explains = "probability",
    ) -> Float[Tensor, "B A"]:
        """Probability or logit of each answer, in double precision, from what `look` gave."""
        return as_explained(self._logits(views, tokens, lengths), explains)

    def scores_of_pairs(
        self,
        features: Float[Tensor, "M *D"],
        tokens: Int64[Tensor, "Q T"],
        lengths: Int64[Tensor, " Q"],
        explains: Explains = "probability",
    ) -> Float[Tensor, "Q M A"]:
        """Scores for each of Q questions about each of M sets of features."""
        pairs = (len(tokens), len(features))
        views = _columns(self.look(features), pairs)
        if isinstance(self.head, VQAHead):
            codes = self.head.read(self.head.embed(tokens), lengths)
            logits = self.head.answer(views, _rows(codes, pairs))
        else:
            logits = self.head(views, _rows(tokens, pairs), _rows(lengths, pairs))
        return as_explained(logits, explains).unflatten(0, pairs)

    def forward(
        self,
        images: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B A"]:
        """Logits of the answers."""
        return self.head(self.features(images), tokens, lengths)

    def answer_scores(
        self,
        image: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B A"]:
        """Probability of each answer."""
        return probabilities(self(image, tokens, lengths))

    def _logits(self, views: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        if isinstance(self.head, VQAHead):
            return self.head.answer(views, self.head.read(self.head.embed(tokens), lengths))
        return self.head(views, tokens, lengths)


class BlackBox:
    """Any `VQAModel` through the calls of a `Pipeline`; the pixels stand in for features.

    Args:
        model: gives probabilities of answers and nothing else.
        batch_size: number of images that it gets together.
    """

    questions_at_once = 16

    def __init__(self, model: VQAModel, batch_size: int = questions_at_once) -> None:
        self.model, self.batch_size = model, batch_size
        self.recipe: ImageRecipe | None = getattr(model, "recipe", None)

    def features(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """The images themselves."""
        return images

    look = features

    def answer_scores(
        self,
        image: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B A"]:
        """Probability of each answer, as the model gives it."""
        return self.model.answer_scores(image, tokens, lengths)

    def occluded(
        self, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"]
    ) -> tuple[Float[Tensor, "3 H W"], Float[Tensor, "cells 3 H W"]]:
        """The image, and copies with each cell of a grid painted over."""
        return image, occluded_images(image, grid, fill, slice(0, grid**2))

    def scores(
        self,
        images: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
        explains: Explains = "probability",
    ) -> Float[Tensor, "B A"]:
        """Probability of each answer.

        Raises:
            LookwhyError: logits are asked for.
        """
        if explains != "probability":
            raise LookwhyError(
                f"expected a Pipeline(tower, head) to explain logits, found {type(self.model).__name__}, "
                "which tells probabilities alone; leave `explains` at probability"
            )
        parts = zip(*(x.split(self.batch_size) for x in (images, tokens, lengths)), strict=True)
        return cat([self.model.answer_scores(*some) for some in parts])

    def scores_of_pairs(
        self,
        images: Float[Tensor, "M 3 H W"],
        tokens: Int64[Tensor, "Q T"],
        lengths: Int64[Tensor, " Q"],
        explains: Explains = "probability",
    ) -> Float[Tensor, "Q M A"]:
        """Probabilities for each of Q questions about each of M images."""
        count = len(images)
        return stack(
            [
                self.scores(images, question.expand(count, -1), length.expand(count), explains)
                for question, length in zip(tokens, lengths, strict=True)
            ]
        )


Opened = Pipeline | BlackBox
"""A model in parts."""


def opened(model: VQAModel, batch_size: int = BlackBox.questions_at_once) -> Opened:
    """The model in parts; anything but a `Pipeline` is a black box.

    Args:
        model: to be explained.
        batch_size: number of images that a black box gets together.
    """
    if isinstance(model, (Pipeline, BlackBox)):
        return model
    return BlackBox(model, batch_size)


def as_explained(logits: Float[Tensor, "*B A"], explains: Explains) -> Float[Tensor, "*B A"]:
    """The quantity that is explained of each answer, in double precision."""
    return probabilities(logits) if explains == "probability" else logits.double()


def _rows(x: Tensor, pairs: tuple[int, int]) -> Tensor:
    """x[q] for each pair (q, m), pairs in one dimension."""
    return x[:, None].expand(*pairs, *x.shape[1:]).flatten(0, 1)


def _columns(x: Tensor, pairs: tuple[int, int]) -> Tensor:
    """x[m] for each pair (q, m), pairs in one dimension."""
    return x[None].expand(*pairs, *x.shape[1:]).flatten(0, 1)
