"""Mean and spread over runs; SciPy and a table of the t distribution are the judges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lookwhy.analysis.statistics import mean_over_runs


@pytest.mark.parametrize("runs", [3, 4, 10])
def test_of_three_runs_or_more_it_is_scipys_t_interval(runs):
    values = np.random.default_rng(runs).normal(0.3, 0.05, runs)
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_over_runs(values) == pytest.approx((np.mean(values), interval.low, interval.high))


def test_by_hand_with_the_t_of_a_printed_table():
    # s = 1, t(0.975, 2) = 4.303
    half = 4.303 / 3**0.5
    assert mean_over_runs(np.array([1.0, 2.0, 3.0])) == pytest.approx((2, 2 - half, 2 + half), abs=1e-3)


def test_of_two_runs_it_is_the_smaller_and_the_larger_value():
    assert mean_over_runs(np.array([0.75, 0.25])) == (0.5, 0.25, 0.75)


def test_of_equal_runs_the_spread_is_zero():
    assert mean_over_runs(np.full(3, 0.5)) == (0.5, 0.5, 0.5)
