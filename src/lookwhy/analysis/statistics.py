"""Means of defined values, with clustered bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64


def mean_of_defined(x: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """Mean over an axis, ignoring NaN; NaN, without a warning, if all values are NaN."""
    defined = ~np.isnan(x)
    count = defined.sum(axis)
    total = np.where(defined, x, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


MOST_DRAWN = 1 << 20
"""Largest number of clusters drawn at once; bounds the memory."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval, the number of its values, and the number of undefined values left out."""

    mean: float
    ci_low: float
    ci_high: float
    n: int
    n_undefined: int


def clustered_mean(
    values: Float[np.ndarray, " N"], clusters: Int64[np.ndarray, " N"], samples: int = 1000, seed: int = 0
) -> Estimate:
    """Mean of the defined values, with a percentile bootstrap over whole clusters.

    Questions about one image are not independent, so the bootstrap draws images, not questions. The interval
    is NaN for fewer than two clusters.

    Example:
        >>> clustered_mean(np.array([0.0, 1.0, np.nan]), np.array([7, 7, 8])).n_undefined
        1
    """
    defined = ~np.isnan(values)
    undefined = int((~defined).sum())
    values = values[defined]
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan, 0, undefined)
    _, membership = np.unique(clusters[defined], return_inverse=True)
    count = np.bincount(membership).astype(np.float64)
    total = np.bincount(membership, weights=values)
    if len(count) < 2:
        return Estimate(float(values.mean()), np.nan, np.nan, len(values), undefined)
    random = np.random.default_rng(seed)
    means = np.empty(samples)
    at_once = max(1, MOST_DRAWN // len(count))
    for start in range(0, samples, at_once):
        drawn = random.integers(len(count), size=(min(at_once, samples - start), len(count)))
        means[start : start + len(drawn)] = total[drawn].sum(1) / count[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high), len(values), undefined)


def in_summary(estimate: Estimate, key: str) -> dict[str, float]:
    """Flat scalars of an estimate; an undefined value has no key.

    Example:
        >>> in_summary(Estimate(0.5, 0.25, 0.75, 8, 1), "accuracy")["accuracy/ci_low"]
        0.25
    """
    fields = {"ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
    counts = {"n": float(estimate.n), "n_undefined": float(estimate.n_undefined)}
    found = {key: estimate.mean} | {f"{key}/{name}": value for name, value in (fields | counts).items()}
    return {name: value for name, value in found.items() if not np.isnan(value)}


def mean_over_runs(values: Float[np.ndarray, " R"]) -> tuple[float, float, float]:
    """Mean of at least two runs, with the lower and upper end of its spread over runs.

    Three or more runs: the 95% t interval of the mean, `mean ± t(0.975, R - 1) s / sqrt(R)`, where `s` is the
    sample's standard deviation. Two runs: the smaller and the larger value, because a t interval of two
    values is too wide to be useful (t = 12.7). `values` holds one finite value for each run.

    Example:
        >>> mean_over_runs(np.array([0.25, 0.75]))
        (0.5, 0.25, 0.75)
    """
    # SciPy's statistics take half a second to import.
    from scipy.stats import t

    mean = float(values.mean())
    if len(values) == 2:
        return mean, float(values.min()), float(values.max())
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half
