"""Whether a map is faithful to the model: measures from scores of changed images, for each question.

With phi the map, f the probability of the explained answer, and I what a mask removes of each cell (0..1)::

    faithfulness correlation   Pearson's r of I phi and f(x) - f(x without I)        (Bhatt et al. 2020)
    infidelity                 mean of (I phi - (f(x) - f(x without I)))^2           (Yeh et al. 2019)
    deletion, insertion        area under f while cells are removed, or shown, in decreasing importance
                               (Petsiuk et al. 2018)
    max-sensitivity            max over |y - x| <= r of |phi(y) - phi(x)| / |phi(x)| (Yeh et al. 2019)

Infidelity changes if a map is multiplied by a number. So beside it stands the infidelity of beta phi, with
the beta that makes it smallest (Yeh et al. rescale so), and beta itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from lookwhy.errors import LookwhyError
from lookwhy.towers.masks import Coalitions, Fill, Squares

JUDGES = 1 << 20
"""Distance of the seed of the masks that judge from the seed of the masks that methods are fitted to.

With the same masks, the correlation would be that of LIME's own training data.
"""


@dataclass
class Faithfulness:
    """Settings of the measures of faithfulness.

    Attributes:
        masks: number of masks of each of two families in the bank: subsets of coarse cells for the
            correlation, squares for infidelity; 0: neither measure.
        cells: coarse cells along each side.
        fill: what takes the place of pixels that those masks remove.
        curves: number of questions with deletion and insertion, which run the image network again; they are
            about as many images as possible; 0: none, null: all.
        epochs: epochs with deletion and insertion, -1 for the untrained model; null: all that are analysed.
        steps: steps of these curves. Areas of different numbers of steps do not compare.
        fills: what takes the place of removed cells in these curves.
        sensitivity: number of noisy copies of an image for max-sensitivity, which repeats every method as
            often for the same questions; 0: not measured.
        radius: largest change of a pixel in these copies, as a share of the range of pixels.
        seed: seed of ties, of the random order and of the noise.
    """

    masks: int = 300
    cells: int = 7
    fill: Fill = "patch"
    curves: int | None = 50
    epochs: list[int] | None = None
    steps: int = 16
    fills: list[Fill] = field(default_factory=lambda: ["patch", "blur"])
    sensitivity: int = 0
    radius: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"masks": 0, "cells": 2, "curves": 0, "steps": 2, "sensitivity": 0, "seed": 0}
        for name, smallest in least.items():
            if (value := getattr(self, name)) is not None and value < smallest:
                raise LookwhyError(f"expected faithfulness.{name} of at least {smallest}, found {value}")
        if len({*self.fills}) < len(self.fills):
            raise LookwhyError(f"expected faithfulness.fills, each once, found {self.fills}")
        if not 0 < self.radius <= 1:
            raise LookwhyError(f"expected faithfulness.radius above 0 and up to 1, found {self.radius}")

    @property
    def coalitions(self) -> Coalitions:
        """Masks of the faithfulness correlation."""
        return Coalitions(self.masks, self.seed + JUDGES, self.cells)

    @property
    def squares(self) -> Squares:
        """Masks of infidelity."""
        return Squares(self.masks, self.seed + JUDGES)

    @property
    def families(self) -> tuple[Coalitions, Squares]:
        """Masks in the bank."""
        return self.coalitions, self.squares

    def has_curves(self, epoch: int | None) -> bool:
        """Whether deletion, insertion and max-sensitivity are measured at an epoch."""
        return self.curves != 0 and (self.epochs is None or epoch is None or epoch in self.epochs)


def faithfulness_correlation(
    removed: Float[np.ndarray, "M cells"], maps: Float[np.ndarray, "N cells"], falls: Float[np.ndarray, "N M"]
) -> Float[np.ndarray, " N"]:
    """Pearson's r, over masks, of the importance that a mask removes and the fall of the score.

    Args:
        removed: share of each cell that each mask removes, 0..1.
        maps: importance of the cells, for each question.
        falls: f(x) - f(x under a mask), for each question.

    Returns:
        (N,), NaN where undefined: for a map or falls without differences.

    Example:
        >>> masks = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> faithfulness_correlation(masks, np.array([[2.0, 1.0]]), np.array([[0.4, 0.2, 0.6]])).round(6)
        array([1.])
    """
    x, y = (_standardised(values) for values in (maps @ removed.T, falls))
    return np.clip(np.einsum("nm,nm->n", x, y), -1, 1)


def correlation_table(
    removed: Float[np.ndarray, "M cells"], maps: Float[np.ndarray, "N cells"], falls: Float[np.ndarray, "Q M"]
) -> Float[np.ndarray, "N Q"]:
    """`faithfulness_correlation` of each map with the falls of each question.

    Example:
        >>> masks, falls = np.eye(3), np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
        >>> correlation_table(masks, np.array([[1.0, 2.0, 3.0]]), falls).round(6)
        array([[ 1., -1.]])
    """
    table: Float[np.ndarray, "N Q"] = _standardised(maps @ removed.T) @ _standardised(falls).T
    return np.clip(table, -1, 1)


def _standardised(values: Float[np.ndarray, "N M"]) -> Float[np.ndarray, "N M"]:
    """Rows centred and of unit length; NaN for a row without differences."""
    centred = values - values.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1))
    # Rounding errors of constant values are no differences.
    varied = _varies(values) & (length > 0)
    return np.where(varied[:, None], centred / np.where(varied, length, 1.0)[:, None], np.nan)


def infidelity(
    removed: Float[np.ndarray, "M cells"], maps: Float[np.ndarray, "N cells"], falls: Float[np.ndarray, "N M"]
) -> dict[str, Float[np.ndarray, " N"]]:
    """Infidelity of the maps, of the maps scaled by the best factor, and that factor.

    Args:
        removed: share of each cell that each mask removes, 0..1.
        maps: importance of the cells, for each question.
        falls: f(x) - f(x under a mask), for each question.

    Returns:
        `infidelity`, `infidelity_scaled` and `infidelity_beta`; beta is NaN for a map of zeros, whose scaled
        infidelity is its infidelity.

    Example:
        >>> found = infidelity(np.eye(2), np.array([[2.0, 4.0]]), np.array([[0.1, 0.2]]))
        >>> float(found["infidelity_beta"][0]), float(found["infidelity_scaled"][0])
        (0.05, 0.0)
    """
    expected = maps @ removed.T
    size = (expected**2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        beta = np.where(size > 0, (expected * falls).sum(1) / size, np.nan)
    scaled = np.nan_to_num(beta)[:, None] * expected
    return {
        "infidelity": ((expected - falls) ** 2).mean(1),
        "infidelity_scaled": ((scaled - falls) ** 2).mean(1),
        "infidelity_beta": beta,
    }


def area_under_steps(scores: ArrayLike) -> Float[np.ndarray, " N"]:
    """Area under each curve of scores at equal steps, both ends included, on [0, 1] (trapezoid).

    Args:
        scores: (N, n + 1) scores after 0, 1, ... n steps.

    Returns:
        (N,), NaN where a score is NaN.

    Raises:
        ValueError: there are no two scores.

    Example:
        >>> area_under_steps([[1.0, 0.5, 0.0]])
        array([0.5])
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"expected scores (N, n + 1) of at least one step, found the shape {values.shape}")
    steps = values.shape[1] - 1
    areas: Float[np.ndarray, " N"] = (values.sum(1) - (values[:, 0] + values[:, -1]) / 2) / steps
    return areas


def normalised_area(
    areas: Float[np.ndarray, " N"], clean: Float[np.ndarray, " N"], blind: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """Area under the curve of (p - p_blind) / (p_clean - p_blind), from the area under that of p.

    NaN where the answer is at least as probable without any cell (blind) as with the image (clean): there
    deletion and insertion say nothing.

    Example:
        >>> normalised_area(np.array([0.5]), clean=np.array([0.8]), blind=np.array([0.4])).round(6)
        array([0.25])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(clean > blind, (areas - blind) / (clean - blind), np.nan)


def max_sensitivity(
    maps: Float[np.ndarray, "N cells"], near: Float[np.ndarray, "S N cells"]
) -> Float[np.ndarray, " N"]:
    """Largest relative change of each map among the maps of S images near the image; NaN for a map of zeros.

    Example:
        >>> max_sensitivity(np.array([[3.0, 4.0]]), np.array([[[3.0, 4.0]], [[3.0, 9.0]]]))
        array([1.])
    """
    size = np.linalg.norm(maps, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 0, np.linalg.norm(near - maps, axis=2).max(0) / size, np.nan)


def _varies(values: Float[np.ndarray, "N M"]) -> Bool[np.ndarray, " N"]:
    spread = np.ptp(values, axis=1)
    return np.asarray(spread > 1e-12 * np.abs(values).max(1))
