"""Means with intervals; SciPy and a table of the t distribution are the judges."""

import numpy as np
import pytest
from scipy import stats

from lookwhy.analysis.statistics import clustered_mean, mean_over_runs


@pytest.mark.parametrize("runs", [3, 4, 10])
def test_the_spread_of_three_or_more_runs_is_scipys_t_interval(runs):
    values = np.random.default_rng(runs).normal(0.3, 0.05, runs)
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_over_runs(values) == pytest.approx((np.mean(values), interval.low, interval.high))


def test_the_spread_by_hand_with_the_t_of_a_printed_table_and_for_two_or_equal_runs():
    half = 4.303 / 3**0.5  # s = 1, t(0.975, 2) = 4.303
    assert mean_over_runs(np.array([1.0, 2.0, 3.0])) == pytest.approx((2, 2 - half, 2 + half), abs=1e-3)
    assert mean_over_runs(np.array([0.75, 0.25])) == (0.5, 0.25, 0.75)
    assert mean_over_runs(np.full(3, 0.5)) == (0.5, 0.5, 0.5)


def test_the_interval_is_the_normal_one_for_independent_values_and_wider_for_questions_of_one_image():
    values = np.random.default_rng(0).normal(2.0, 1.0, size=400)
    found, half = clustered_mean(values, np.arange(400), samples=4000), 1.96 * values.std(ddof=1) / 20
    assert (found.ci_low, found.ci_high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.02
    )
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    both = [clustered_mean(values, images) for images in (np.repeat(np.arange(40), 10), np.arange(400))]
    together, alone = (one.ci_high - one.ci_low for one in both)
    assert together / alone == pytest.approx(np.sqrt(10), rel=0.2)


def test_undefined_values_are_left_out_and_counted():
    found = clustered_mean(np.array([1.0, np.nan, 3.0]), np.array([1, 2, 3]))
    assert (found.mean, found.n, found.n_undefined) == (2.0, 2, 1)
    assert np.isnan(clustered_mean(np.array([np.nan]), np.array([1])).mean)
