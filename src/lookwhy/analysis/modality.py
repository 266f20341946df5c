"""How much of an answer comes from the question, and how much from the image (T-SHAP).

MM-SHAP (Parcalabescu & Frank 2023, "MM-SHAP: A performance-agnostic metric for measuring multimodal
contributions") takes the Shapley values phi of the words of the question and of the cells of the image, for
the probability of the model's own answer::

    T-SHAP = sum over words |phi| / (sum over words |phi| + sum over cells |phi|)

There are ceil(sqrt(words))^2 cells, so both sides have about as many players. A token without a letter or
digit is no player and always stays. A word that is absent is taken out of the question; a question without
words is one embedding of zero. Absent cells are filled; as the fill moves the share, two are reported.

With all coalitions enumerated the values are exact, and a model that ignores the image gives exactly 1. Else
they come from random orders of all players: each order of the cells belongs to the image and is in the mask
bank, and is mixed with random orders of the words. Noise draws a sampled share towards the share of the words
among the players.

Beside it stands the game of two players, question and image, which is exact with four evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from math import ceil, lgamma, sqrt

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lookwhy.analysis.questions import FirstQuestions, QuestionRecord
from lookwhy.attribution.masked import ON_BLACK_BOX
from lookwhy.data.tokens import is_word
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import ModelParts, Pipeline, parts_of
from lookwhy.models.protocol import TokenModel
from lookwhy.towers.masks import MOST_ENUMERATED, CellOrders, Coalitions, Fill
from lookwhy.types import VQABatch

MODALITY = "modality"
"""First part of the keys."""
ORDERS_AT_ONCE = 512
ROUNDING = 1e-6
"""Contributions below this share of all are rounding errors of single precision, and count as 0."""


@dataclass
class Modality:
    """Settings of the share of the question in an answer.

    Attributes:
        questions: number of questions; null: all that are analysed.
        cells: cells along each side of the image; null: about as many players as words.
        fills: what takes the place of absent cells; the first one gives `modality/text_share`.
        evaluations: largest number of evaluations of the head for a question and a fill. If it suffices for
            all coalitions of words and cells, the values are exact.
        orders: number of random orders of the cells in the mask bank, where not all coalitions are taken.
        seed: seed of the orders.
    """

    questions: int | None = 100
    cells: int | None = None
    fills: list[Fill] = field(default_factory=lambda: ["patch", "blur"])
    evaluations: int = 1 << 16
    orders: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"questions": 1, "cells": 1, "evaluations": 64, "orders": 2, "seed": 0}
        for name, smallest in least.items():
            if (value := getattr(self, name)) is not None and value < smallest:
                raise LookwhyError(f"expected modality.{name} of at least {smallest}, found {value}")
        if not self.fills or len({*self.fills}) < len(self.fills):
            raise LookwhyError(f"expected modality.fills, each once, found {self.fills}")

    def cells_for(self, words: int) -> int:
        """Cells along each side of the image for a question with as many words."""
        return self.cells or max(1, ceil(sqrt(words)))

    def is_exact(self, words: int) -> bool:
        """Whether all coalitions of a question with as many words are taken."""
        players = self.cells_for(words) ** 2
        return players <= min(MOST_ENUMERATED, 9) and 2 ** (players + words) <= self.evaluations

    def family(self, words: int) -> Coalitions | CellOrders:
        """Masks in the bank for a question with as many words."""
        cells = self.cells_for(words)
        if self.is_exact(words):
            return Coalitions(2 ** (cells**2), self.seed, cells)
        return CellOrders(self.orders, self.seed, cells)


@dataclass(frozen=True)
class TextShare:
    """The share of the question in one answer.

    Attributes:
        text_share: T-SHAP, 0..1; NaN if nothing contributes.
        two_players: share of the question in the game of question and image.
        is_exact: whether T-SHAP has no sampling error.
    """

    text_share: float
    two_players: float
    is_exact: bool


class ModalityMeter:
    """The shares of the questions of an analysis.

    The model has a `VQAHead`, or is a black box that can be asked without words (`asks_without_words`).

    Args:
        model: the model.
        settings: players, fills and number of questions.
        chosen: ids of the questions that are measured; by default the first ones that come.

    Attributes:
        values: values by key and question id.

    Raises:
        LookwhyError: the model cannot read a question without words.
    """

    def __init__(self, model: TokenModel, settings: Modality, chosen: Set[int] | None = None) -> None:
        self.values: dict[str, dict[int, float]] = {}
        self._parts: ModelParts = parts_of(model, ON_BLACK_BOX)
        if not self._parts.has_codes:
            found = model.head if isinstance(model, Pipeline) else model
            raise LookwhyError(
                "expected a model that reads questions without words, which the modality share asks, found "
                f"{type(found).__name__}; leave modality out of the plan"
            )
        self._settings, self._chosen = settings, FirstQuestions(settings.questions, chosen)

    def measure(self, batch: VQABatch, words: Sequence[Sequence[str]]) -> None:
        """Measure the chosen questions of a batch with pixels; `words` are those that the model read."""
        assert batch.images is not None
        for row in self._chosen.rows(batch.question_ids.tolist()):
            asked = batch.tokens[row, : int(batch.lengths[row])]
            # A batch without texts has empty words: all its tokens count as words.
            counts = [not word or is_word(word) for word in words[row]]
            for fill in self._settings.fills:
                found = self.share(batch.images[row], asked, counts, fill)
                ending = "" if fill == self._settings.fills[0] else f"_{fill}"
                measured = {
                    f"text_share{ending}": found.text_share,
                    f"two_player_text_share{ending}": found.two_players,
                    "exact": float(found.is_exact),
                }
                for name, value in measured.items():
                    self.values.setdefault(f"{MODALITY}/{name}", {})[int(batch.question_ids[row])] = value

    @torch.no_grad()
    def share(
        self, image: Float[Tensor, "3 H W"], words: Int64[Tensor, " T"], is_word: Sequence[bool], fill: Fill
    ) -> TextShare:
        """The share of one question.

        Args:
            image: pixels in the model's input range.
            words: ids of the words, without padding.
            is_word: whether each token has a letter or digit.
            fill: what takes the place of absent cells.
        """
        players = [place for place, one in enumerate(is_word) if one]
        family = self._settings.family(len(players))
        cells, seed = family.cells, self._settings.seed
        views = self._parts.partial_views(image, family, fill)
        game = _Game(self._parts, words, players, views, family.size)
        if isinstance(family, Coalitions):
            phi = shapley_values(game.all_values())
        else:
            count = max(family.count, self._settings.evaluations // (len(players) + cells**2))
            random = np.random.default_rng([seed, *words.tolist()])
            phi = game.sampled_values(family.orders(image), count, random)
        two_players = share_of(shapley_values(game.corners()), 1)
        return TextShare(share_of(phi, cells**2), two_players, isinstance(family, Coalitions))


class _Game:
    """Probabilities of one answer for partial questions and partial images.

    `views` gives the codes of partial images by number, from the empty one, 0, to the whole one, `images`.
    """

    def __init__(
        self,
        parts: ModelParts,
        words: Int64[Tensor, " T"],
        players: list[int],
        views: Callable[[Int64[Tensor, " P"]], Float[Tensor, "P *view"]],
        images: int,
    ) -> None:
        self._parts, self._words, self._players = parts, words, players
        self._views, self._images = views, images
        self._everything = 2 ** len(players) - 1
        whole = parts.scores_of_codes(views(torch.tensor([images])), parts.codes([words]))
        self._answer = int(whole.argmax())

    def all_values(self) -> Float[np.ndarray, " coalitions"]:
        """The value of each coalition; the first bits of its number are the cells, then come the words."""
        subsets, images = np.arange(self._everything + 1), np.arange(self._images)
        return self._values(subsets.repeat(len(images)), np.tile(images, len(subsets)))

    def corners(self) -> Float[np.ndarray, "4"]:
        """Values of nothing, of the image, of the question, and of both."""
        nothing, everything, last = 0, self._everything, self._images
        return self._values(
            np.array([nothing, nothing, everything, everything]), np.array([0, last, 0, last])
        )

    def sampled_values(
        self, orders: Int64[np.ndarray, "R cells"], count: int, random: np.random.Generator
    ) -> Float[np.ndarray, " players"]:
        """Shapley values, cells first, from random orders of all players.

        Each joint order mixes an order of the cells, whose partial images are known, with one of the words.
        """
        cells, words = orders.shape[1], len(self._players)
        phi = np.zeros(cells + words)
        for start in range(0, count, ORDERS_AT_ONCE):
            number = np.arange(start, min(start + ORDERS_AT_ONCE, count)) % len(orders)
            # Where the cells stand in each joint order, and where each word does.
            is_cell = random.random((len(number), cells + words)).argsort(1) < cells
            of_words = random.random((len(number), words)).argsort(1)
            joint = np.empty(is_cell.shape, np.int64)
            joint[is_cell] = orders[number].flatten()
            joint[~is_cell] = (cells + of_words).flatten()
            shown = np.cumsum(is_cell, axis=1)
            asked = np.cumsum(np.where(is_cell, 0, 1 << (joint - cells).clip(min=0)), axis=1)
            shown, asked = (np.pad(one, ((0, 0), (1, 0))) for one in (shown, asked))
            partial = 1 + number[:, None] * (cells - 1) + shown - 1
            images = np.select([shown == 0, shown == cells], [0, self._images], partial)
            values = self._values(asked.flatten(), images.flatten()).reshape(asked.shape)
            np.add.at(phi, joint.flatten(), np.diff(values, axis=1).flatten())
        return phi / count

    def _values(
        self, subsets: Int64[np.ndarray, " P"], images: Int64[np.ndarray, " P"]
    ) -> Float[np.ndarray, " P"]:
        """Value of each pair of a subset of the words and a partial image."""
        different, place = np.unique(subsets, return_inverse=True)
        codes = self._parts.codes([self._asked(int(one)) for one in different])
        found = []
        for start in range(0, len(subsets), self._parts.pairs_at_once):
            some = slice(start, start + self._parts.pairs_at_once)
            views = self._views(torch.from_numpy(images[some]))
            scores = self._parts.scores_of_codes(views, codes[torch.from_numpy(place[some])])
            found.append(scores[:, self._answer].cpu().numpy())
        return np.concatenate(found)

    def _asked(self, subset: int) -> Int64[Tensor, " _"]:
        """The question with only some of its players; other tokens stay."""
        absent = {place for bit, place in enumerate(self._players) if not subset >> bit & 1}
        return self._words[[place for place in range(len(self._words)) if place not in absent]]


def by_type(
    values: dict[str, dict[int, float]], questions: Sequence[QuestionRecord]
) -> dict[str, dict[int, float]]:
    """The share of the question by type of question and of answer, in keys of slices."""
    share = values.get(f"{MODALITY}/text_share", {})
    found: dict[str, dict[int, float]] = {}
    for question in questions:
        if question.question_id in share:
            for kind in ("question_type", "answer_type"):
                if name := getattr(question, kind):
                    of_type = found.setdefault(f"slice/{kind}/{name}/{MODALITY}/text_share", {})
                    of_type[question.question_id] = share[question.question_id]
    return found


def shapley_values(values: Float[np.ndarray, " coalitions"]) -> Float[np.ndarray, " players"]:
    """Exact Shapley values from the value of each coalition; bit i of its number is the i-th player.

    Example:
        >>> shapley_values(np.array([0.0, 1.0, 0.0, 3.0]))  # nobody, the first, the second, both
        array([2., 1.])
    """
    players = len(values).bit_length() - 1
    sizes = np.array([number.bit_count() for number in range(len(values))])
    weights = np.array(
        [np.exp(lgamma(size + 1) + lgamma(players - size) - lgamma(players + 1)) for size in range(players)]
    )
    found = np.empty(players)
    for player in range(players):
        without, with_player = values.reshape(-1, 2, 1 << player).transpose(1, 0, 2)
        size = sizes.reshape(-1, 2, 1 << player)[:, 0]
        found[player] = (weights[size] * (with_player - without)).sum()
    return found


def share_of(phi: Float[np.ndarray, " players"], cells: int) -> float:
    """Share of the words in the contributions; the first players are cells. NaN without contribution or word.

    Example:
        >>> share_of(np.array([0.25, -0.25, 1.5]), cells=2)
        0.75
    """
    if len(phi) == cells:
        return float("nan")  # a question without words
    sizes = np.abs(phi)
    sizes = np.where(sizes > ROUNDING * sizes.sum(), sizes, 0.0)
    return float(sizes[cells:].sum() / sizes.sum()) if sizes.sum() > 0 else float("nan")
