"""A VQA model in the parts that attribution methods use: pixels -> features -> scores of the answers.

A model is a `Pipeline` of differentiable parts or a `BlackBox`; `parts_of` decides. Both classes have the
same methods, so an attribution method that needs only scores runs on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast, overload

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lookwhy.errors import LookwhyError
from lookwhy.models.protocol import TokenModel, VQAHead
from lookwhy.towers.incremental import occluded_images
from lookwhy.towers.masks import CellOrders, Coalitions, Fill, MaskFamily, fill_of, masked_images, pixels_of
from lookwhy.towers.recipe import ImageRecipe, rgb_of
from lookwhy.towers.tower import CleanAndOccluded, as_tower
from lookwhy.types import Explains, Features, Images, Lengths, Scores, Target, Tokens

AskedQuestions = tuple[Tensor, ...]
"""Questions in the form that a model reads once: their codes, or tokens and lengths; one row a question."""
MASKS_AT_ONCE = 256
"""Number of masked images in one call of the head; bounds the memory for scores."""


def probabilities(logits: Float[Tensor, "*B A"]) -> Float[Tensor, "*B A"]:
    """Softmax in double precision.

    The derivative of p with respect to its logit is p (1 - p). For a confident answer, single precision
    rounds 1 - p to 0, and the importance map would become zero.
    """
    return logits.double().softmax(-1)


def as_explained(logits: Float[Tensor, "*B A"], explains: Explains) -> Float[Tensor, "*B A"]:
    """Probability or logit of each answer, in double precision."""
    return probabilities(logits) if explains == "probability" else logits.double()


def score_of(scores: Float[Tensor, "B *M A"], target: Target) -> Float[Tensor, "B *M"]:
    """Score of each question's explained answer; with a contrast, minus that of the other answer.

    Example:
        >>> import torch
        >>> score_of(torch.tensor([[0.25, 0.75]]), torch.tensor([[1, 0]]))
        tensor([0.5000])
    """
    ids = target.view(len(target), *[1] * (scores.ndim - 2), -1).expand(*scores.shape[:-1], -1)
    chosen = scores.gather(-1, ids)
    return chosen[..., 0] - chosen[..., 1] if target.ndim == 2 else chosen[..., 0]


def first_answer(target: Target) -> Int64[Tensor, " B"]:
    """The explained answers, without those they are contrasted with."""
    return target[:, 0] if target.ndim == 2 else target


class Pipeline(nn.Module):
    """A VQA model on pixels: a frozen tower (pixels -> features) and a head (features -> logits).

    A pipeline is a `TokenModel` whose parts can be called one by one. So the tower processes an image once
    for all its questions, and the head encodes a question once for all occluded images. With `answers` and
    `encode` it is a `VQAModel`, too.

    Args:
        tower: a `Tower`, or any module from images (B, 3, H, W) to features (B, *D).
        head: a `VQAHead`, or any module from (features, tokens, lengths) to logits.
        answers: text of each answer.
        encode: function from the text of a question to the ids of its words. Only with it can the pipeline be
            asked by RGB pictures and text.

    Attributes:
        questions_at_once: number of questions that are answered in one call.
        explained_at_once: number of questions that a method explains in one call of an analysis.

    Example:
        >>> import torch
        >>> from lookwhy.models import DeeperLSTM
        >>> pixels, words = torch.rand(1, 3, 4, 4), torch.tensor([[1, 2]])
        >>> model = Pipeline(nn.Flatten(), DeeperLSTM(vocab_size=9, num_answers=5, image_dim=48))
        >>> model.answer_scores(pixels, words, torch.tensor([2])).shape
        torch.Size([1, 5])
    """

    questions_at_once = explained_at_once = 512
    pairs_at_once = 1 << 14  # of a code of an image and one of a question; bounds the memory

    def __init__(
        self,
        tower: nn.Module,
        head: nn.Module,
        answers: Sequence[str] = (),
        encode: Callable[[str], list[int]] | None = None,
    ) -> None:
        super().__init__()
        self.tower = as_tower(tower)
        self.head = head
        self.answers, self._encode = answers, encode

    @property
    def recipe(self) -> ImageRecipe | None:
        """Preprocessing of the tower's images; None if unknown."""
        return self.tower.recipe

    def features(self, images: Images) -> Features:
        """Image features of the tower, not normalised."""
        return self.tower(images)

    def occluded(
        self, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"]
    ) -> CleanAndOccluded:
        """See `Tower.occluded`."""
        return self.tower.occluded(image, grid, fill)

    def read_ahead(self, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"]) -> None:
        """See `Tower.read_ahead`."""
        self.tower.read_ahead(image, grid, fill)

    def under_masks(
        self, image: Float[Tensor, "3 H W"], family: MaskFamily, fill: Fill = "patch"
    ) -> Iterator[Float[Tensor, "M *D"]]:
        """Features of an image, and then of the image under each mask, a part at a time.

        See `Tower.under_masks`.
        """
        clean, masked = self.tower.under_masks(image, family, fill)
        yield torch.cat([clean[None], masked[:MASKS_AT_ONCE]])
        for start in range(MASKS_AT_ONCE, len(masked), MASKS_AT_ONCE):  # `split` would yield an empty part
            yield masked[start : start + MASKS_AT_ONCE]

    def mask_shares(
        self, image: Float[Tensor, "3 H W"], family: MaskFamily, grid: int
    ) -> Float[Tensor, "M G G"]:
        """See `Tower.mask_shares`."""
        return self.tower.mask_shares(image, family, grid)

    def showing(
        self, image: Float[Tensor, "3 H W"], shown: Bool[Tensor, "M p p"], fill: Fill = "patch"
    ) -> Float[Tensor, "M *D"]:
        """Features of an image of which only some cells are shown; nothing is stored."""
        instead = fill_of(image, self.recipe, fill)
        return self.tower.masked(image, pixels_of(shown, image), instead)

    def partial_views(
        self, image: Float[Tensor, "3 H W"], family: Coalitions | CellOrders, fill: Fill
    ) -> Callable[[Int64[Tensor, " P"]], Float[Tensor, "P *view"]]:
        """Function from numbers of masks to codes of the image under them; the last is the whole image."""
        clean, masked = self.tower.under_masks(image, family, fill)
        views = self.look(torch.cat([masked, clean[None]]))
        return lambda numbers: views[numbers]

    @property
    def has_codes(self) -> bool:
        """Whether the head can read a question apart from its image, and one without words."""
        return isinstance(self.head, VQAHead)

    def codes(self, questions: Sequence[Int64[Tensor, " _"]]) -> Float[Tensor, "Q *code"]:
        """Code of each question from a `VQAHead`; a question without words is one embedding of zero."""
        head = cast(VQAHead, self.head)
        lengths = torch.tensor([max(1, len(one)) for one in questions], device=questions[0].device)
        tokens = [one if len(one) else one.new_ones(1) for one in questions]
        embedded = head.embed(pad_sequence(tokens, batch_first=True))
        is_empty = torch.tensor([not len(one) for one in questions], device=embedded.device)
        return head.read(embedded.masked_fill(is_empty[:, None, None], 0.0), lengths)

    def scores_of_codes(
        self, views: Features, codes: Float[Tensor, "B *code"], explains: Explains = "probability"
    ) -> Scores:
        """Scores from codes of images and codes of questions, pair by pair."""
        return as_explained(self._logits(views, codes), explains)

    def look(self, features: Features) -> Float[Tensor, "B *view"]:
        """Code of each image from the head, for all questions about it."""
        return self.head.look(features) if isinstance(self.head, VQAHead) else features

    def scores(
        self, views: Features, tokens: Tokens, lengths: Lengths, explains: Explains = "probability"
    ) -> Scores:
        """Probability or logit of each answer, in double precision, from image codes that `look` returned."""
        return as_explained(self._logits(views, *self.read(tokens, lengths)), explains)

    def scores_of_pairs(
        self,
        features: Float[Tensor, "M *D"],
        tokens: Int64[Tensor, "Q T"],
        lengths: Int64[Tensor, " Q"],
        explains: Explains = "probability",
    ) -> Float[Tensor, "Q M A"]:
        """Scores of each of Q questions about each of M images, given their features."""
        return next(self.scores_of_parts(iter([features]), self.read(tokens, lengths), explains))

    def scores_of_parts(
        self,
        parts: Iterator[Float[Tensor, "M *D"]],
        read: AskedQuestions,
        explains: Explains = "probability",
    ) -> Iterator[Float[Tensor, "Q M A"]]:
        """`scores_of_pairs` for many images that come part by part, and questions that `read` returned."""
        for features in parts:
            views = self.look(features)
            yield self._scores_of_views(views.expand(len(read[0]), *views.shape), read, explains)

    def scores_of_images(
        self,
        features: Float[Tensor, "I M *D"],
        owner: Int64[Tensor, " Q"],
        read: AskedQuestions,
        explains: Explains = "probability",
    ) -> Float[Tensor, "Q M A"]:
        """Scores of each question about the M versions of its own image, in one call of the head.

        Args:
            features: features of M versions of each of I images.
            owner: number of each question's image.
            read: the questions, as `read` returned them.
            explains: quantity of the answers.
        """
        views = self.look(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return self._scores_of_views(views[owner], read, explains)

    def _scores_of_views(
        self, views: Float[Tensor, "Q M *view"], read: AskedQuestions, explains: Explains
    ) -> Float[Tensor, "Q M A"]:
        pairs = views.shape[:2]
        codes = (code[:, None].expand(*pairs, *code.shape[1:]).flatten(0, 1) for code in read)
        return as_explained(self._logits(views.flatten(0, 1), *codes), explains).unflatten(0, pairs)

    def read(self, tokens: Tokens, lengths: Lengths) -> AskedQuestions:
        """Code of each question from the head; tokens and lengths if the head is not made of parts."""
        if isinstance(self.head, VQAHead):
            return (self.head.read(self.head.embed(tokens), lengths),)
        return tokens, lengths

    def _logits(self, views: Features, *questions: Tensor) -> Scores:
        answer = self.head.answer if isinstance(self.head, VQAHead) else self.head
        return answer(views, *questions)

    def forward(self, images: Images, tokens: Tokens, lengths: Lengths) -> Scores:
        """Logits of the answers."""
        return self.head(self.features(images), tokens, lengths)

    @overload
    def answer_scores(self, images: Images, questions: Tokens, lengths: Lengths) -> Scores: ...

    @overload
    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> Scores: ...

    def answer_scores(
        self,
        images: Images | UInt8[ndarray, "B H W 3"],
        questions: Tokens | list[str],
        lengths: Lengths | None = None,
    ) -> Scores:
        """Probability of each answer.

        Args:
            images: pixels in the recipe's input range, which have gradients; or RGB pictures of any size.
            questions: ids of words; for pictures, texts. A text without words is one embedding of zero.
            lengths: number of words of each question in ids.

        Raises:
            LookwhyError: texts are asked of a pipeline that was made without `encode`.
        """
        if lengths is not None:
            return probabilities(self(cast(Images, images), cast(Tokens, questions), lengths))
        return self._answer_texts(cast(ndarray, images), cast("list[str]", questions))

    @torch.no_grad()
    def _answer_texts(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> Scores:
        if self._encode is None or self.recipe is None:
            raise LookwhyError(
                "expected a Pipeline that can read text and pictures, found one without encode, or a tower "
                "without a recipe; take that of a checkpoint: load_checkpoint(path).pipeline()"
            )
        like = next(self.parameters())
        pixels = torch.stack([self.recipe.pixels(rgb_of(one)) for one in images])
        ids = [torch.tensor(self._encode(text), dtype=torch.int64, device=like.device) for text in questions]
        features = self.features(pixels.to(like))
        if self.has_codes:
            return self.scores_of_codes(self.look(features), self.codes(ids))
        lengths = torch.tensor([len(one) for one in ids], device=like.device)
        return probabilities(self.head(features, pad_sequence(ids, batch_first=True), lengths))


class BlackBox:
    """Any `TokenModel`, with the same methods as a `Pipeline`; its features are the pixels themselves.

    One call of the model gets `batch_size` images and returns only probabilities of answers.
    """

    questions_at_once = 16
    explained_at_once = 1  # a slow model shows its progress question by question

    def __init__(self, model: TokenModel, batch_size: int = questions_at_once) -> None:
        self.model, self.batch_size = model, batch_size
        self.pairs_at_once = batch_size
        self.recipe: ImageRecipe | None = getattr(model, "recipe", None)

    def features(self, images: Images) -> Images:
        """The images themselves."""
        return images

    look = features

    def occluded(
        self, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"]
    ) -> tuple[Float[Tensor, "3 H W"], Float[Tensor, "cells 3 H W"]]:
        """The image, and for each cell of the grid a copy with that cell painted over."""
        return image, occluded_images(image, grid, fill, slice(0, grid**2))

    def read_ahead(self, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"]) -> None:
        """Nothing: no result of a black box is stored."""

    def under_masks(
        self, image: Float[Tensor, "3 H W"], family: MaskFamily, fill: Fill = "patch"
    ) -> Iterator[Float[Tensor, "M 3 H W"]]:
        """The image, and then the image under each mask, a part at a time."""
        yield image[None]
        instead = fill_of(image, self.recipe, fill)
        for some in family.masks(image).split(self.batch_size):
            yield masked_images(image, some, instead)

    def showing(
        self, image: Float[Tensor, "3 H W"], shown: Bool[Tensor, "M p p"], fill: Fill = "patch"
    ) -> Float[Tensor, "M 3 H W"]:
        """Copies of an image of which only some cells are shown."""
        return masked_images(image, pixels_of(shown, image), fill_of(image, self.recipe, fill))

    def partial_views(
        self, image: Float[Tensor, "3 H W"], family: Coalitions | CellOrders, fill: Fill
    ) -> Callable[[Int64[Tensor, " P"]], Float[Tensor, "P 3 H W"]]:
        """Function from numbers of masks to the image under them; the last is the whole image."""
        shown = family.shown(image)
        shown = torch.cat([shown, torch.ones_like(shown[:1])])
        return lambda numbers: self.showing(image, shown[numbers], fill)

    @property
    def has_codes(self) -> bool:
        """Whether the model can be asked a question without words."""
        return bool(getattr(self.model, "asks_without_words", False))

    def codes(self, questions: Sequence[Int64[Tensor, " _"]]) -> Int64[Tensor, "Q T"]:
        """The words of each question, and in the last column how many they are."""
        lengths = torch.tensor([max(1, len(one)) for one in questions], device=questions[0].device)
        tokens = [one if len(one) else one.new_zeros(1) for one in questions]
        return torch.cat([pad_sequence(tokens, batch_first=True), lengths[:, None]], dim=1)

    def scores_of_codes(
        self, views: Images, codes: Int64[Tensor, "B T"], explains: Explains = "probability"
    ) -> Scores:
        """Probabilities from images and questions of `codes`, pair by pair."""
        return self.scores(views, codes[:, :-1], codes[:, -1], explains)

    def mask_shares(
        self, image: Float[Tensor, "3 H W"], family: MaskFamily, grid: int
    ) -> Float[Tensor, "M G G"]:
        """See `MaskFamily.shares`."""
        return family.shares(image, grid)

    def scores(
        self, images: Images, tokens: Tokens, lengths: Lengths, explains: Explains = "probability"
    ) -> Scores:
        """Probability of each answer.

        Raises:
            LookwhyError: `explains` asks for logits.
        """
        if explains != "probability":
            raise LookwhyError(
                f"expected a Pipeline(tower, head) to explain logits, found {type(self.model).__name__}, "
                "which gives only probabilities; leave `explains` at probability"
            )
        parts = zip(*(x.split(self.batch_size) for x in (images, tokens, lengths)), strict=True)
        # Clone: the model may normalise its images in place, and they are needed again.
        return torch.cat([self.model.answer_scores(some.clone(), *question) for some, *question in parts])

    def scores_of_pairs(
        self,
        images: Float[Tensor, "M 3 H W"],
        tokens: Int64[Tensor, "Q T"],
        lengths: Int64[Tensor, " Q"],
        explains: Explains = "probability",
    ) -> Float[Tensor, "Q M A"]:
        """Probabilities of each of Q questions about each of M images."""
        count, questions = len(images), zip(tokens, lengths, strict=True)
        expanded = ((words.expand(count, -1), length.expand(count)) for words, length in questions)
        return torch.stack([self.scores(images, *question, explains) for question in expanded])

    def read(self, tokens: Tokens, lengths: Lengths) -> AskedQuestions:
        """The questions themselves."""
        return tokens, lengths

    def scores_of_parts(
        self,
        parts: Iterator[Float[Tensor, "M 3 H W"]],
        read: AskedQuestions,
        explains: Explains = "probability",
    ) -> Iterator[Float[Tensor, "Q M A"]]:
        """`scores_of_pairs` for many images that come part by part."""
        tokens, lengths = read
        for images in parts:
            yield self.scores_of_pairs(images, tokens, lengths, explains)


ModelParts = Pipeline | BlackBox
"""A model with the methods that attribution methods call."""


def parts_of(model: TokenModel, batch_size: int = BlackBox.questions_at_once) -> ModelParts:
    """The model itself if it is a `Pipeline`; any other as a `BlackBox` of `batch_size` images a call."""
    return model if isinstance(model, Pipeline) else BlackBox(model, batch_size)


def pipeline_of(model: TokenModel, method: str) -> Pipeline:
    """The model as a `Pipeline`, for a method that needs gradients.

    Raises:
        LookwhyError: the model is a black box.
    """
    parts = parts_of(model)
    if isinstance(parts, BlackBox):
        raise LookwhyError(
            f"expected a Pipeline(tower, head) for {method}, which needs gradients, found "
            f"{type(model).__name__}; explain a black box with Occlusion, RISE, LIME, KernelSHAP or WordDrop"
        )
    return parts
