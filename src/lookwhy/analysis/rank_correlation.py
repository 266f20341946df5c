"""Spearman's rank correlation of importance maps with annotator maps (section 4.1 of the paper).

Cells are ranked within each map (equal cells get their mean rank), and the Pearson correlation of the ranks
is computed. The correlation of a constant map is undefined (NaN). Such maps are counted and left out of the
mean, because a value of 0 would bias it. Some implementations use 0; `Ranking` has a setting for that.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from lookwhy.analysis.statistics import mean_of_defined

Ties = Literal["average", "min", "max", "dense", "ordinal"]
Constant = Literal["undefined", "zero"]


class Ranking(NamedTuple):
    """Ranking of the cells of a map.

    Attributes:
        ties: rank of equal cells, a method of `scipy.stats.rankdata`; `average` is Spearman's.
        constant: correlation of a constant map: undefined (NaN), or zero.
    """

    ties: Ties = "average"
    constant: Constant = "undefined"


SPEARMAN = Ranking()


def standardised_ranks(
    maps: Float[np.ndarray, "*N C"], ranking: Ranking = SPEARMAN
) -> Float[np.ndarray, "*N C"]:
    """Ranks along the last axis, centred and of unit length: their dot product is the rank correlation.

    A row with a NaN becomes all NaN. A constant row becomes all NaN or all zeros, as `ranking.constant` says.
    """
    from scipy.stats import rankdata  # a second to import, which a single question can spare

    maps = np.asarray(maps, np.float64)
    missing, constant = np.isnan(maps).any(-1), maps.max(-1) == maps.min(-1)
    unusable = missing | constant if ranking.constant == "undefined" else missing
    ranks = rankdata(np.where(unusable[..., None], 0.0, maps), ranking.ties, axis=-1).astype(np.float64)
    if ranking.constant == "zero":
        ranks[constant] = 0.0  # ordinal ranks of equal cells differ
    ranks -= ranks.mean(-1, keepdims=True)
    length = np.linalg.norm(ranks, axis=-1, keepdims=True)
    return np.where(unusable[..., None], np.nan, ranks / np.where(length > 0, length, 1.0))


def rank_correlation(maps: ArrayLike, human: ArrayLike) -> Float[np.ndarray, " N"]:
    """Spearman correlation of each map with its question's annotator map or maps.

    Args:
        maps: (N, G, G) or (N, C); signed or absolute values, as the caller defines importance.
        human: annotator maps of the same shape as `maps`, or (N, K, G, G) for K annotators, whose
            correlations are averaged; a missing annotator is NaN.

    Returns:
        (N,), NaN where undefined: for a constant map or without annotators.

    Raises:
        ValueError: the shapes do not match.

    Example:
        >>> maps = np.array([[[0.9, 0.1], [0.3, 0.2]], [[1.0, 1.0], [1.0, 1.0]]])
        >>> rank_correlation(maps, 2 * maps)
        array([ 1., nan])
    """
    first, second = np.asarray(maps, np.float64), np.asarray(human, np.float64)
    several = second.ndim == first.ndim + 1
    cells = first.shape[1:]
    if second.shape[:1] != first.shape[:1] or second.shape[1 + several :] != cells:
        raise ValueError(
            f"expected annotator maps of shape {first.shape} or {(len(first), 'K', *cells)}, "
            f"found {second.shape}; scale both to one grid first"
        )
    ranks = standardised_ranks(first.reshape(len(first), -1))
    others = standardised_ranks(second.reshape(len(first), second.shape[1] if several else 1, ranks.shape[1]))
    return mean_of_defined(np.einsum("nc,nkc->nk", ranks, others), axis=1)
