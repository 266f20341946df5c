"""Means and shares of defined values, with intervals for questions that cluster by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64

FEWEST_IMAGES = 10
"""Smallest number of images whose values are compared with chance.

With fewer, a 95% interval holds the truth less often than 95% of the time, so nothing is marked."""
ROUNDING = 1e-6
"""Distance from 0 and 1 that a share may have by rounding errors."""
MOST_DRAWN = 1 << 20
"""Largest number of values, or of clusters, that are held at once; bounds the memory."""
Numbers = Float[np.ndarray, " K"]
Counts = Int64[np.ndarray, " K"]


def mean_of_defined(x: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """Mean over an axis, ignoring NaN; NaN, without a warning, if all values are NaN."""
    defined = ~np.isnan(x)
    count = defined.sum(axis)
    total = np.where(defined, x, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval.

    Attributes:
        mean: mean of the defined values; NaN without any.
        ci_low: lower end of the interval; NaN for fewer than two clusters.
        ci_high: upper end of the interval.
        n: number of defined values.
        n_undefined: number of undefined values, which are left out.
        clusters: number of clusters (images) with a defined value; 0 if unknown.
    """

    mean: float
    ci_low: float
    ci_high: float
    n: int
    n_undefined: int
    clusters: int = 0

    def excludes(self, level: float) -> bool:
        """Whether the interval excludes a level, and rests on at least `FEWEST_IMAGES` clusters.

        Example:
            >>> Estimate(0.5, 0.25, 0.75, 8, 0, clusters=8).excludes(0.0)
            False
        """
        return self.clusters >= FEWEST_IMAGES and (self.ci_low > level or self.ci_high < level)


def clustered_mean(values: Float[np.ndarray, " N"], clusters: Int64[np.ndarray, " N"]) -> Estimate:
    """Mean of the defined values, with a t interval for values that are correlated within clusters.

    Questions about one image are not independent. The variance of the mean is
    `G / (G - 1) sum_g S_g^2 / n^2`, where `S_g` is the sum over cluster `g` of the differences from the mean
    (Liang & Zeger 1986), and the interval takes the t distribution with `G - 1` degrees of freedom. It is NaN
    for fewer than two clusters.

    Example:
        >>> found = clustered_mean(np.array([0.0, 1.0, np.nan, 0.5]), np.array([7, 7, 8, 9]))
        >>> found.mean, found.n, found.n_undefined, found.clusters
        (0.5, 3, 1, 2)
    """
    (found,) = clustered_means(values[None], clusters)
    return found


def clustered_means(values: Float[np.ndarray, "K N"], clusters: Int64[np.ndarray, " N"]) -> list[Estimate]:
    """`clustered_mean` of each row, with the same clusters for all.

    Example:
        >>> [one.mean for one in clustered_means(np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([7, 9]))]
        [0.5, 1.5]
    """
    found = _clustered(values, clusters)
    half = found.t * np.sqrt(found.variance)
    return found.estimates(found.mean - half, found.mean + half)


def clustered_share(values: Float[np.ndarray, " N"], clusters: Int64[np.ndarray, " N"]) -> Estimate:
    """Mean of values within [0, 1], such as hits (0 or 1), with an interval that stays within [0, 1].

    Wilson's score interval for a proportion `p` (Wilson 1927), with the quantile of the t distribution and
    the effective sample size `p (1 - p) / v` (Kish 1965), where `v` is the variance of `clustered_mean`. If
    all values are 0, or all are 1, no variance can be measured: then each cluster counts as one value
    (of clusters with unequal sizes, `n^2 / sum_g n_g^2`).

    Raises:
        ValueError: a value lies outside [0, 1].

    Example:
        >>> found = clustered_share(np.zeros(20), np.arange(20))
        >>> found.ci_low, round(found.ci_high, 3)
        (0.0, 0.18)
    """
    (found,) = clustered_shares(values[None], clusters)
    return found


def clustered_shares(values: Float[np.ndarray, "K N"], clusters: Int64[np.ndarray, " N"]) -> list[Estimate]:
    """`clustered_share` of each row, with the same clusters for all.

    Raises:
        ValueError: a value lies outside [0, 1].

    Example:
        >>> [one.mean for one in clustered_shares(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([7, 9]))]
        [0.5, 1.0]
    """
    if ((values < -ROUNDING) | (values > 1 + ROUNDING)).any():
        raise ValueError(
            f"expected values from 0 to 1, found {np.nanmin(values):g} to {np.nanmax(values):g}; "
            "use clustered_mean"
        )
    found = _clustered(values, clusters)
    spread = np.maximum(found.mean * (1 - found.mean), 0.0)
    varies = spread > 0
    inverse_size = np.where(varies, found.variance / np.where(varies, spread, 1.0), found.inverse_clusters)
    k = found.t**2 * inverse_size
    middle = (found.mean + k / 2) / (1 + k)
    half = np.sqrt(k * spread + k**2 / 4) / (1 + k)
    return found.estimates(np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0))


def clustered_auroc(
    score: Float[np.ndarray, " N"], correct: Bool[np.ndarray, " N"], clusters: Int64[np.ndarray, " N"]
) -> Estimate:
    """Probability that a right answer scores higher than a wrong one, with its interval; ties count half.

    The variance sums the influence of whole clusters (Obuchowski 1997): that of a right answer is the share
    of wrong ones below it, that of a wrong answer the share of right ones above it. The interval takes the t
    distribution and ends at 0 and 1. NaN without right or wrong answers.

    Example:
        >>> found = clustered_auroc(np.array([0.9, 0.4, 0.6]), np.array([True, True, False]), np.arange(3))
        >>> found.mean, found.n
        (0.5, 3)
    """
    right, wrong, n = score[correct], score[~correct], len(score)
    count = len(np.unique(clusters))
    if not len(right) or not len(wrong):
        return Estimate(float("nan"), float("nan"), float("nan"), n, 0, count)
    influence = np.empty(n)
    for one, own, other, sign in ((correct, right, wrong, 1), (~correct, wrong, right, -1)):
        ordered = np.sort(other)
        below = (np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")) / 2
        share = below / len(other)
        area = float(share.mean()) if sign > 0 else 1 - float(share.mean())
        influence[one] = sign * (share - share.mean()) / len(own)
    if count < 2:
        return Estimate(area, float("nan"), float("nan"), n, 0, count)
    from scipy.special import stdtrit

    _, member = np.unique(clusters, return_inverse=True)
    variance = count / (count - 1) * float((np.bincount(member, weights=influence) ** 2).sum())
    half = float(stdtrit(count - 1, 0.975)) * variance**0.5
    return Estimate(area, max(area - half, 0.0), min(area + half, 1.0), n, 0, count)


class _Statistics(NamedTuple):
    """Statistics of the defined values of each row.

    `variance`, `t` and `inverse_clusters` are NaN below two clusters.
    """

    mean: Numbers
    variance: Numbers
    t: Numbers
    inverse_clusters: Numbers
    n: Counts
    n_undefined: Counts
    clusters: Counts

    def estimates(self, low: Numbers, high: Numbers) -> list[Estimate]:
        own = (self.mean, low, high, self.n, self.n_undefined, self.clusters)
        return [Estimate(*one) for one in zip(*(column.tolist() for column in own), strict=True)]


def _clustered(values: Float[np.ndarray, "K N"], clusters: Int64[np.ndarray, " N"]) -> _Statistics:
    names, membership = np.unique(clusters, return_inverse=True)
    at_once = max(MOST_DRAWN // max(len(clusters), 1), 1)
    parts = [
        _of_members(values[start : start + at_once], membership, len(names))
        for start in range(0, max(len(values), 1), at_once)
    ]
    return _Statistics(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _of_members(
    values: Float[np.ndarray, "K N"], membership: Int64[np.ndarray, " N"], clusters: int
) -> _Statistics:
    # SciPy's statistics take half a second to import.
    from scipy.special import stdtrit

    rows = len(values)
    defined = ~np.isnan(values)
    n = defined.sum(1)
    mean = np.where(n > 0, np.where(defined, values, 0.0).sum(1) / np.maximum(n, 1), np.nan)
    # One bin for each cluster of each row.
    bins = (np.arange(rows)[:, None] * clusters + membership)[defined]
    sizes, sums = (
        np.bincount(bins, weights, minlength=rows * clusters).reshape(rows, clusters)
        for weights in (None, (values - mean[:, None])[defined])
    )
    count = (sizes > 0).sum(1)
    known, others = count > 1, np.maximum(count - 1, 1)
    variance, t, inverse = (
        np.where(known, one, np.nan)
        for one in (
            count / others * (sums**2).sum(1) / np.maximum(n, 1) ** 2,
            stdtrit(others, 0.975),
            (sizes**2).sum(1) / np.maximum(n, 1) ** 2,
        )
    )
    return _Statistics(mean, variance, t, inverse, n, values.shape[1] - n, count)


def mean_of_clusters(values: Float[np.ndarray, " N"], clusters: Int64[np.ndarray, " N"]) -> Estimate:
    """Macro mean: mean of the means of the clusters, with its t interval; `n` is the number of clusters.

    An image with many questions counts as much as one with a single question.

    Example:
        >>> mean_of_clusters(np.array([0.0, 0.0, 0.0, 1.0]), np.array([7, 7, 7, 8])).mean
        0.5
    """
    defined = ~np.isnan(values)
    names, membership = np.unique(clusters[defined], return_inverse=True)
    means = np.bincount(membership, weights=values[defined]) / np.bincount(membership)
    return clustered_mean(means, names)


def standard_error(estimate: Estimate) -> float:
    """Standard error of a mean, from the t interval of `clustered_mean`; NaN without an interval.

    Example:
        >>> round(standard_error(clustered_mean(np.array([0.0, 1.0, 2.0]), np.arange(3))), 3)
        0.577
    """
    if estimate.clusters < 2:
        return float("nan")
    from scipy.special import stdtrit

    return (estimate.ci_high - estimate.ci_low) / (2 * float(stdtrit(estimate.clusters - 1, 0.975)))


def p_value(estimate: Estimate) -> float:
    """Two-sided p-value of the t test that the mean is 0; NaN without an interval.

    If all values are equal, it is 1 for a mean of 0, else 0.

    Example:
        >>> round(p_value(clustered_mean(np.array([0.0, 1.0, 2.0]), np.arange(3))), 3)
        0.225
    """
    error = standard_error(estimate)
    if np.isnan(error):
        return float("nan")
    from scipy.special import stdtr

    size = abs(estimate.mean)
    # An error that is nothing but rounding errors of the values is 0.
    if error <= 1e-14 * size or size == 0.0:
        return 0.0 if size else 1.0
    return float(2 * stdtr(estimate.clusters - 1, -size / error))


def holm(p_values: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """P-values of a family of tests, corrected by Holm (1979); NaN stays NaN and is no member of the family.

    Example:
        >>> holm(np.array([0.01, 0.04, np.nan])).tolist()
        [0.02, 0.04, nan]
    """
    corrected = np.full(len(p_values), np.nan)
    order = np.argsort(p_values, kind="stable")[: int((~np.isnan(p_values)).sum())]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return corrected


def detectable(estimate: Estimate, power: float = 0.8, level: float = 0.05) -> float:
    """Smallest mean that a t test of as many values with the same errors would find, with this power.

    `(t(1 - level / 2) + t(power)) standard error`, with one degree of freedom less than clusters.
    """
    if estimate.clusters < 2:
        return float("nan")
    from scipy.special import stdtrit

    quantiles = stdtrit(estimate.clusters - 1, np.array([1 - level / 2, power]))
    return float(quantiles.sum()) * standard_error(estimate)


DIFFERENCE = 0.01
"""Difference for which the number of questions is given."""


def questions_for(estimate: Estimate, difference: float = DIFFERENCE) -> float:
    """Number of values, in clusters of the same sizes, with which a difference would be `detectable`."""
    return float(np.ceil(estimate.n * (detectable(estimate) / difference) ** 2))


def in_summary(estimate: Estimate, key: str) -> dict[str, float]:
    """Flat scalars of an estimate; an undefined value has no key.

    Example:
        >>> in_summary(Estimate(0.5, 0.25, 0.75, 8, 1), "accuracy")["accuracy/ci_low"]
        0.25
    """
    found = {key: estimate.mean, f"{key}/ci_low": estimate.ci_low, f"{key}/ci_high": estimate.ci_high}
    found |= {f"{key}/n": float(estimate.n), f"{key}/n_undefined": float(estimate.n_undefined)}
    if estimate.clusters:
        found[f"{key}/images"] = float(estimate.clusters)
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
