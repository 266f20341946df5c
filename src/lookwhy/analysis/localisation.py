"""Agreement of maps with the truth: where a question's answer lies in the image (CLEVR-XAI, Arras 2022).

A truth is the share of each cell that the mask of the needed things covers, 0..1. Maps are made non-negative
first: their magnitude, or their positive part. Figures of different choices do not compare. A cell is inside
the mask if at least half of it is covered; a mask that covers half of no cell has the cell that it covers
most.

A map without information scores the area of the mask in all three measures. So the area, the chance, stands
beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

INSIDE = 0.5
"""Share of a cell that a mask covers, from which on the cell is inside."""
Sign = Literal["magnitude", "positive"]
Maps = Float[np.ndarray, "N C"]


def mass_accuracy(maps: ArrayLike, truth: ArrayLike, sign: Sign = "magnitude") -> Float[np.ndarray, " N"]:
    """Share of each map's importance that lies inside the mask.

    Args:
        maps: (N, G, G) importance.
        truth: (N, G, G) share of each cell that the mask covers; NaN where a question has no mask.
        sign: how a signed map becomes non-negative.

    Returns:
        (N,), NaN where undefined: for a map without importance, an empty mask, or a NaN.

    Raises:
        ValueError: the shapes do not match, or a share lies outside 0..1.

    Example:
        >>> mass_accuracy([[[3.0, 1.0], [0.0, 0.0]]], [[[1.0, 0.0], [0.0, 0.0]]])
        array([0.75])
    """
    values, inside, defined = _prepared(maps, truth, sign)
    total = values.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(defined & (total > 0), (values * inside).sum(1) / total, np.nan)


def rank_accuracy(maps: ArrayLike, truth: ArrayLike, sign: Sign = "magnitude") -> Float[np.ndarray, " N"]:
    """Share of the K most important cells that lie inside the mask of K cells.

    Among cells of equal importance the choice is random, and the mean over all choices is returned.

    Args:
        maps: (N, G, G) importance.
        truth: (N, G, G) share of each cell that the mask covers; NaN where a question has no mask.
        sign: how a signed map becomes non-negative.

    Returns:
        (N,), NaN where undefined: for an empty mask, or a NaN.

    Raises:
        ValueError: the shapes do not match, or a share lies outside 0..1.

    Example:
        >>> rank_accuracy([[[3.0, 1.0], [2.0, 0.0]]], [[[1.0, 1.0], [0.0, 0.0]]])
        array([0.5])
    """
    values, inside, defined = _prepared(maps, truth, sign)
    count = inside.sum(1)
    # The value of the K-th largest cell; some cells of this value may be left out.
    last = -np.sort(-values, axis=1)[np.arange(len(values)), np.maximum(count - 1, 0)][:, None]
    above, equal = values > last, values == last
    left = count - above.sum(1)
    hits = (above & inside).sum(1) + left * (equal & inside).sum(1) / equal.sum(1)
    return np.where(defined, hits / np.maximum(count, 1), np.nan)


def pointing_game(maps: ArrayLike, truth: ArrayLike, sign: Sign = "magnitude") -> Float[np.ndarray, " N"]:
    """Whether the most important cell lies inside the mask (Zhang et al. 2018, "Top-down neural attention").

    If several cells are equally important, the share of them inside counts: a constant map scores the area.

    Args:
        maps: (N, G, G) importance.
        truth: (N, G, G) share of each cell that the mask covers; NaN where a question has no mask.
        sign: how a signed map becomes non-negative.

    Returns:
        (N,), NaN where undefined: for an empty mask, or a NaN.

    Raises:
        ValueError: the shapes do not match, or a share lies outside 0..1.

    Example:
        >>> pointing_game([[[3.0, 1.0], [3.0, 0.0]]], [[[1.0, 1.0], [0.0, 0.0]]])
        array([0.5])
    """
    values, inside, defined = _prepared(maps, truth, sign)
    largest = values == values.max(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(defined, (largest & inside).sum(1) / largest.sum(1), np.nan)


def localisation(
    maps: Mapping[str, ArrayLike], truth: ArrayLike, sign: Sign = "magnitude"
) -> dict[str, Float[np.ndarray, " N"]]:
    """The three measures of each method's maps, by the key of their mean in a summary.

    Example:
        >>> found = localisation({"occlusion": [[[3.0, 1.0]]]}, [[[1.0, 0.0]]])
        >>> found["image/occlusion/localisation/mass_accuracy"]
        array([0.75])
    """
    return {
        f"image/{method}/localisation/{measure.__name__}": measure(values, truth, sign)
        for method, values in maps.items()
        for measure in (mass_accuracy, rank_accuracy, pointing_game)
    }


def area(truth: ArrayLike) -> Float[np.ndarray, " N"]:
    """Share of the cells inside each mask: what a map without information scores; NaN for an empty mask.

    Example:
        >>> area([[[1.0, 0.0], [0.2, 0.0]]])
        array([0.25])
    """
    shares = np.asarray(truth, np.float64)
    _, inside, defined = _prepared(np.zeros_like(shares), shares, "magnitude")
    return np.where(defined, inside.mean(1), np.nan)


def _prepared(
    maps: ArrayLike, truth: ArrayLike, sign: Sign
) -> tuple[Maps, Bool[np.ndarray, "N C"], Bool[np.ndarray, " N"]]:
    """Non-negative maps, the cells inside each mask, and whether a measure is defined."""
    values, shares = np.asarray(maps, np.float64), np.asarray(truth, np.float64)
    if values.shape != shares.shape or values.ndim != 3:
        raise ValueError(
            f"expected maps and masks of one shape (N, G, G), found {values.shape} and {shares.shape}; "
            "scale both to one grid first"
        )
    values, shares = (x.reshape(len(x), x.shape[1] * x.shape[2]) for x in (values, shares))
    missing = np.asarray(np.isnan(values + shares).any(1))
    shares = np.where(missing[:, None], 0.0, shares)
    if shares.size and (shares.min() < 0 or shares.max() > 1):
        raise ValueError(
            f"expected the share of each cell that a mask covers, 0 to 1, found {shares.min():g} to "
            f"{shares.max():g}; divide a mask of 0 and 255 by 255"
        )
    inside = shares >= INSIDE
    most = (shares == shares.max(1, keepdims=True)) & (shares > 0)
    first = most & (most.cumsum(1) == 1)  # of equal cells, one: a mask smaller than a cell has one cell
    inside = np.where(inside.any(1, keepdims=True), inside, first)
    values = np.abs(values) if sign == "magnitude" else np.maximum(values, 0)
    return np.where(missing[:, None], 0.0, values), inside, np.logical_not(missing) & inside.any(1)
