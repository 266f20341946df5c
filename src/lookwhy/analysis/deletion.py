"""Deletion and insertion: scores while cells or words are removed, or shown, in decreasing importance.

Cells are removed whole, not pixels: a map of 16 x 16 cells has no order within a cell (Petsiuk et al. 2018
remove pixels of a smooth map). Cells of equal importance come in random order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lookwhy.models.pipeline import ModelParts, Pipeline, score_of
from lookwhy.towers.masks import Fill
from lookwhy.types import Target

EQUAL = 1e-5
"""Difference of cells, as a share of the largest importance of their map, below which they count as equal."""
MASKED_AT_ONCE = 64
"""Number of masked images that go through the image network together."""


def decreasing(
    values: Float[np.ndarray, "N C"], question_ids: Int64[np.ndarray, " N"], seed: int
) -> Int64[np.ndarray, "N C"]:
    """Cells of each map by decreasing importance; among equal ones, an order fixed by seed and question.

    Cells that differ by rounding errors of single precision count as equal: their order would depend on which
    questions are explained together, and so on the number of processes.

    Example:
        >>> decreasing(np.array([[0.1, 0.3, 0.2]]), np.array([7]), seed=0)
        array([[1, 2, 0]])
    """
    largest = np.abs(values).max(1, keepdims=True)
    rounded = np.round(values / np.where(largest > 0, largest, 1) / EQUAL)
    random = (np.random.default_rng([seed, int(one)]).random(values.shape[1]) for one in question_ids)
    return np.stack([np.lexsort((ties, -one)) for one, ties in zip(rounded, random, strict=True)])


def shown_after(order: Int64[np.ndarray, "N C"], steps: int) -> Bool[np.ndarray, "N S C"]:
    """Whether each cell is shown after 0, 1, ... steps of insertion; deletion shows the others.

    After step k, round(k C / steps) cells are shown, the most important first.
    """
    ranks = order.argsort(1)
    counts = np.round(np.arange(steps + 1) * order.shape[1] / steps)
    return np.asarray(ranks[:, None] < counts[:, None])


@torch.no_grad()
def cell_curves(
    parts: ModelParts,
    image: Float[Tensor, "3 H W"],
    shown: Bool[np.ndarray, "K S C"],
    fill: Fill,
    asked: Int64[Tensor, " K"],
    tokens: Int64[Tensor, "Q T"],
    lengths: Int64[Tensor, " Q"],
    target: Target,
) -> Float[np.ndarray, "K S"]:
    """Probability of a question's answer while only some cells of its image are shown.

    Curves share versions of the image: all have the whole image at one end and nothing of it at the other. So
    each version goes through the image network once, and each question is asked about it once.

    Args:
        parts: the model.
        image: the image of all questions.
        shown: whether each of S versions of the image shows each cell of a square grid, for each of K curves.
        fill: what takes the place of the other cells.
        asked: row of the question of each curve.
        tokens: words of the questions.
        lengths: numbers of words.
        target: explained answers.
    """
    count, grid = shown.shape[1], round(shown.shape[2] ** 0.5)
    versions, version = np.unique(shown.reshape(-1, grid**2), axis=0, return_inverse=True)
    rows = asked.cpu().numpy().repeat(count)
    pairs, pair = np.unique(np.stack([version.reshape(-1), rows], axis=1), axis=0, return_inverse=True)
    found = np.empty(len(pairs))
    for start in range(0, len(versions), MASKED_AT_ONCE):
        cells = torch.from_numpy(versions[start : start + MASKED_AT_ONCE])
        views = parts.look(parts.showing(image, cells.view(-1, grid, grid).to(image.device), fill))
        first, end = np.searchsorted(pairs[:, 0], [start, start + len(cells)])
        for some in range(first, end, MASKED_AT_ONCE):
            scored = slice(some, min(some + MASKED_AT_ONCE, end))
            place, row = torch.from_numpy(pairs[scored]).to(tokens.device).T
            scores = parts.scores(views[place.to(views.device) - start], tokens[row], lengths[row])
            found[scored] = score_of(scores, target[row]).double().cpu().numpy()
    return found[pair.reshape(-1)].reshape(-1, count)


@torch.no_grad()
def word_curves(
    parts: ModelParts,
    view: Float[Tensor, " *view"],
    words: Int64[Tensor, " T"],
    shown: Bool[np.ndarray, "S T"],
    target: Target,
) -> Float[np.ndarray, " S"]:
    """Probability of one question's answer while only some of its words are asked.

    A version without any word is NaN for models that cannot read it.
    """
    kept = [words[torch.from_numpy(one).to(words.device)] for one in shown]
    if not isinstance(parts, Pipeline) or not parts.has_codes:
        some = [place for place, one in enumerate(kept) if len(one)]
        lengths = torch.tensor([len(kept[place]) for place in some], device=words.device)
        tokens = pad_sequence([kept[place] for place in some], batch_first=True)
        scores = parts.scores(view.expand(len(some), *view.shape), tokens, lengths)
    else:
        some = [*range(len(kept))]
        scores = parts.scores_of_codes(view.expand(len(kept), *view.shape), parts.codes(kept))
    values = np.full(len(kept), np.nan)
    values[some] = score_of(scores, target.expand(len(some), *target.shape[1:])).double().cpu().numpy()
    return values


def on_shares(curves: Sequence[Float[np.ndarray, " S"]], points: int = 11) -> Float[np.ndarray, "N points"]:
    """Curves of different numbers of steps at common shares of the way, interpolated linearly."""
    shares = np.linspace(0, 1, points)
    return np.stack([np.interp(shares, np.linspace(0, 1, len(one)), one) for one in curves])
