"""Do agreement with annotators, faithfulness and localisation go together, from question to question?

A map may look where people look and still say nothing about the model, or the reverse. Spearman's rank
correlation over the questions, within one method, tells whether the maps that agree more with the annotators
are also those that are more faithful, or lie more inside the masks. Methods differ in all of these at once,
so the questions of several methods are never ranked together: the mean over methods of their correlations
stands for all.

The intervals are percentile bootstraps over whole images, with all methods on the same images. The questions
of each sample are ranked anew: ranks of the whole set would make the intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int64

from lookwhy.analysis.statistics import MOST_DRAWN, Estimate, in_summary, mean_of_defined

ENDING = "_with_agreement"
"""Ending of the measure whose correlation with agreement a key holds."""
TOGETHER = "agreement_with"
"""First part of the keys of the means over methods."""
MEASURES = ("faithfulness/correlation", "localisation/mass_accuracy")
FEWEST = 3
"""Smallest number of questions that are correlated."""

Values = Mapping[str, Mapping[int, float]]
"""A value by question id, NaN where undefined, by the key of its mean."""


def with_agreement(
    agreement: Mapping[str, Float[np.ndarray, " N"]],
    values: Values,
    question_ids: Int64[np.ndarray, " N"],
    image_ids: Int64[np.ndarray, " N"],
    samples: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Flat scalars: over questions, Spearman's correlation of each measure with the rank correlation.

    Args:
        agreement: rank correlation with the annotators by image method, NaN where undefined.
        values: values of the measures by key and question id.
        question_ids: id of each question.
        image_ids: its image.
        samples: number of bootstrap samples.
        seed: seed of the bootstrap.

    Returns:
        `image/<method>/<measure>_with_agreement`, and `agreement_with/<measure>`: the mean over methods.

    Example:
        >>> agreement = {"occlusion": np.array([0.1, 0.2, 0.4])}
        >>> values = {"image/occlusion/faithfulness/correlation": {7: 0.3, 8: 0.5, 9: 0.9}}
        >>> found = with_agreement(agreement, values, np.array([7, 8, 9]), np.array([1, 1, 2]))
        >>> found["image/occlusion/faithfulness/correlation_with_agreement"]
        1.0
    """
    summary: dict[str, float] = {}
    for measure in MEASURES:
        found, draws = [], []
        for method, rho in agreement.items():
            of_question = values.get(f"image/{method}/{measure}", {})
            other = np.array([of_question.get(one, np.nan) for one in question_ids.tolist()], np.float64)
            estimate, drawn = correlation(rho, other, image_ids, samples, seed)
            if estimate.n:
                summary |= in_summary(estimate, f"image/{method}/{measure}{ENDING}")
                found.append(estimate)
                draws.append(drawn)
        if found:
            mean = float(np.mean([one.mean for one in found]))
            low, high = interval(mean_of_defined(np.stack(draws), axis=0))
            count = max(one.n for one in found)
            images = max(one.clusters for one in found)
            summary |= in_summary(Estimate(mean, low, high, count, 0, images), f"{TOGETHER}/{measure}")
    return summary


def correlation(
    first: Float[np.ndarray, " N"],
    second: Float[np.ndarray, " N"],
    clusters: Int64[np.ndarray, " N"],
    samples: int = 1000,
    seed: int = 0,
) -> tuple[Estimate, Float[np.ndarray, " samples"]]:
    """Spearman's correlation of the questions with both values, and its bootstrap over whole clusters.

    Undefined (`n` 0) for fewer than three such questions, or where one of the values does not vary.

    Example:
        >>> estimate, _ = correlation(np.array([1.0, 2, 3]), np.array([3.0, 2, 2]), np.array([1, 2, 3]))
        >>> round(estimate.mean, 4), estimate.n
        (-0.866, 3)
    """
    defined = ~np.isnan(first) & ~np.isnan(second)
    nothing = np.full(samples, np.nan)
    images, member = np.unique(clusters, return_inverse=True)
    x, y, member = first[defined], second[defined], member[defined]
    whole = float(_spearman(x, y, np.ones((1, len(x))))[0]) if len(x) >= FEWEST else np.nan
    if np.isnan(whole):
        return Estimate(np.nan, np.nan, np.nan, 0, len(first)), nothing
    drawn = np.concatenate(
        [_spearman(x, y, times[:, member]) for times in _draws(len(images), len(x), samples, seed)]
    )
    low, high = interval(drawn) if len(np.unique(member)) > 1 else (np.nan, np.nan)
    return Estimate(whole, low, high, len(x), len(first) - len(x), len(np.unique(member))), drawn


def interval(drawn: Float[np.ndarray, " samples"]) -> tuple[float, float]:
    """The middle 95% of the defined samples; NaN without any."""
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def _draws(images: int, questions: int, samples: int, seed: int) -> Iterator[Float[np.ndarray, "S images"]]:
    """How often each image is drawn in each sample, a bounded number of samples at a time."""
    random = np.random.default_rng(seed)
    at_once = max(1, MOST_DRAWN // max(images, questions))
    for start in range(0, samples, at_once):
        count = min(at_once, samples - start)
        yield random.multinomial(images, np.full(images, 1 / images), size=count).astype(np.float64)


def _spearman(
    x: Float[np.ndarray, " N"], y: Float[np.ndarray, " N"], times: Float[np.ndarray, "S N"]
) -> Float[np.ndarray, " S"]:
    """Spearman's correlation in each sample, which holds each question a number of times."""
    total = np.maximum(times.sum(1, keepdims=True), 1)
    centred = []
    for values in (x, y):
        ranks = _ranks(values, times)
        centred.append(ranks - (times * ranks).sum(1, keepdims=True) / total)
    one, other = centred
    scale = np.sqrt((times * one**2).sum(1) * (times * other**2).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 1e-9, np.clip((times * one * other).sum(1) / scale, -1, 1), np.nan)


def _ranks(values: Float[np.ndarray, " N"], times: Float[np.ndarray, "S N"]) -> Float[np.ndarray, "S N"]:
    """Rank of each question in each sample; equal values have their mean rank."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    of_group = np.add.reduceat(times[:, order], starts, axis=1)
    below = np.cumsum(of_group, axis=1) - of_group
    return np.asarray((below + (of_group + 1) / 2)[:, group])
