"""Many seeds, read together: mean and spread of values over seeds, and differences, paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lookwhy import keys
from lookwhy.analysis.statistics import clustered_mean, holm, mean_over_runs, p_value

Scalars = Mapping[str, float]
"""Scalars of one analysis by key, as in `AnalysisResult.summary`; an undefined value has no key."""

SAME = 1e-12
"""Largest standard deviation, as a share of the largest value, that is nothing but rounding."""


class SeedSpread(NamedTuple):
    """Mean and spread of a value over seeds.

    Attributes:
        n: number of seeds with a value.
        mean: mean of their values.
        sd: standard deviation of the sample (n - 1); NaN for one seed.
        low: lower end of the 95% t interval of the mean; the smaller value of two; NaN for one seed.
        high: upper end, the same way.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


def spread_over_seeds(values: Float[np.ndarray, " S"]) -> SeedSpread:
    """Mean, standard deviation and interval (see `mean_over_runs`) of at least one finite value.

    Example:
        >>> spread_over_seeds(np.array([0.25, 0.75]))
        SeedSpread(n=2, mean=0.5, sd=0.3535533905932738, low=0.25, high=0.75)
    """
    if len(values) == 1:
        nan = float("nan")
        return SeedSpread(1, float(values[0]), nan, nan, nan)
    mean, low, high = mean_over_runs(values)
    return SeedSpread(len(values), mean, float(values.std(ddof=1)), low, high)


def spreads_over_seeds(seeds: Sequence[Scalars]) -> dict[str, SeedSpread]:
    """Spread of every scalar, from the seeds that have it; the keys are sorted.

    Example:
        >>> spreads_over_seeds([{"accuracy/overall": 0.75}, {"accuracy/overall": 0.25}])["accuracy/overall"].n
        2
    """
    found: dict[str, list[float]] = {}
    for scalars in seeds:
        for key, value in scalars.items():
            found.setdefault(key, []).append(value)
    return {key: spread_over_seeds(np.array(found[key])) for key in sorted(found)}


@dataclass(frozen=True)
class SeedDifference:
    """Mean over shared seeds of a value of the second group minus that of the first.

    Attributes:
        spread: mean, standard deviation and 95% t interval of the differences. Also two seeds have a t
            interval here, so that interval and test agree.
        p_value: two-sided p-value of the t test that the mean difference is 0. NaN for one seed, and where
            all seeds differ by the same number: then nothing is known about the spread.
        p_holm: the same, corrected by Holm (1979) for the `family` of its measure.
        family: number of tested differences of the same measure.
    """

    spread: SeedSpread
    p_value: float
    p_holm: float = float("nan")
    family: int = 0


def paired_over_seeds(
    first: Mapping[int, Scalars], others: Mapping[str, Mapping[int, Scalars]]
) -> dict[str, dict[str, SeedDifference]]:
    """Differences of groups of runs from the first group, paired by seed.

    Seeds share what is drawn before the training (first weights, order of the questions), so a paired
    difference has less noise than two means apart. All differences of one measure (methods, types of
    questions, groups of runs) are one family of tests.

    Args:
        first: scalars of the first group by seed.
        others: scalars of each other group by seed, by name of the group.

    Returns:
        For each other group, the difference of each measured value (no counts, no ends of intervals) that
        both groups have with a common seed; empty without common seeds.

    Example:
        >>> first = {1: {"accuracy/overall": 0.5}, 2: {"accuracy/overall": 0.75}}
        >>> second = {1: {"accuracy/overall": 0.625}, 2: {"accuracy/overall": 1.0}}
        >>> paired_over_seeds(first, {"san": second})["san"]["accuracy/overall"].spread.mean
        0.1875
    """
    found = {name: _differences(first, second) for name, second in others.items()}
    tests = [(name, key, one.p_value) for name, of in found.items() for key, one in of.items()]
    families: dict[tuple[str, ...], list[tuple[str, str, float]]] = {}
    for test in tests:
        families.setdefault(_family(test[1]), []).append(test)
    for family in families.values():
        p_values = np.array([p for *_, p in family])
        size = int((~np.isnan(p_values)).sum())
        for (name, key, _), corrected in zip(family, holm(p_values), strict=True):
            found[name][key] = replace(found[name][key], p_holm=float(corrected), family=size)
    return found


def shared_seeds(first: Iterable[int], second: Iterable[int]) -> list[int]:
    """Seeds that both groups have, in order.

    Example:
        >>> shared_seeds([3, 1, 2], [2, 3, 4])
        [2, 3]
    """
    return sorted({*first} & {*second})


def _differences(first: Mapping[int, Scalars], second: Mapping[int, Scalars]) -> dict[str, SeedDifference]:
    values: dict[str, list[float]] = {}
    for seed in shared_seeds(first, second):
        for key in first[seed].keys() & second[seed].keys():
            if keys.parse(key)[1] == "value":
                values.setdefault(key, []).append(second[seed][key] - first[seed][key])
    return {key: _difference(np.array(values[key])) for key in sorted(values)}


def _difference(values: Float[np.ndarray, " S"]) -> SeedDifference:
    spread = spread_over_seeds(values)
    # Every seed is a cluster of its own, so that this is the usual t interval.
    estimate = clustered_mean(values, np.arange(len(values)))
    is_constant = not spread.sd > SAME * float(np.abs(values).max())
    p = float("nan") if is_constant else p_value(estimate)
    return SeedDifference(spread._replace(low=estimate.ci_low, high=estimate.ci_high), p)


def _family(key: str) -> tuple[str, ...]:
    """Domain, measure and kind of slice of a key: what all tests of one family share."""
    row, _ = keys.parse(key)
    return row.domain, row.measure, row.slice[0] if row.slice else ""
