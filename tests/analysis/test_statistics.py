"""Means with intervals and paired differences; SciPy and a table of the t distribution are the judges."""

import numpy as np
import pytest
from scipy import stats

from lookwhy.analysis.paired import ACCURACY, CONFIDENCE, RHO, between_analyses, between_methods
from lookwhy.analysis.statistics import clustered_mean, mean_over_runs


def records(values, method="occlusion", images=None, ids=None, domain="image", question="what is it ?"):
    every = {"question": question, "domain": domain, "method": method, "accuracy": 0.5, "confidence": 0.25}
    places = range(len(values))
    rows = zip(ids or places, places if images is None else images, values, strict=True)
    return [every | {"question_id": i, "image_id": image, "rho": value} for i, image, value in rows]


def rho_of(differences):
    return next(one for one in differences if one.measure == RHO)


def test_questions_are_joined_by_id_and_text_in_any_order_and_undefined_values_are_counted():
    first = records([0.1, 0.2, 0.3], ids=[7, 8, 9])
    found = rho_of(between_analyses(first, records([0.9, 0.4, 0.2], ids=[9, 7, 11])))
    assert found.estimate.mean == pytest.approx(((0.9 - 0.3) + (0.4 - 0.1)) / 2)
    assert (found.estimate.n, found.unmatched) == (2, 2)
    # The same id with another text is another question.
    assert between_analyses(first, records([0.1, 0.2, 0.3], ids=[7, 8, 9], question="how many ?")) == []
    first, second = records([0.1, None, 0.3, float("nan")]), records([0.2, 0.4, None, 0.1])
    found = rho_of(between_analyses(first, second)).estimate
    assert (found.mean, found.n, found.n_undefined) == (pytest.approx(0.1), 1, 3)
    # Without annotators there is no difference of rank correlations.
    found = between_analyses(records([None, None]), records([None, None]))
    assert {one.measure for one in found} == {ACCURACY, CONFIDENCE}


def test_the_interval_is_scipys_if_every_image_has_one_question():
    rng = np.random.default_rng(3)
    one, other = rng.normal(0.2, 0.3, 80), rng.normal(0.3, 0.3, 80)
    found = rho_of(between_analyses(records(one), records(other), samples=20000)).estimate
    judge = stats.bootstrap((other - one,), np.mean, n_resamples=20000, method="percentile", rng=rng)
    assert found.mean == pytest.approx((other - one).mean())
    assert (found.ci_low, found.ci_high) == pytest.approx(judge.confidence_interval, abs=0.003)


def test_whole_images_and_differences_are_drawn():
    rng = np.random.default_rng(4)
    images = np.repeat(np.arange(30), 4)
    shift = np.repeat(rng.normal(0.1, 0.3, 30), 4)  # questions of an image shift together
    one = rng.normal(0, 0.05, 120)
    both = records(one, images=images), records(one + shift, images=images)
    found = rho_of(between_analyses(*both, samples=4000)).estimate
    means = [shift.reshape(30, 4)[rng.integers(30, size=30)].mean() for _ in range(4000)]
    assert (found.ci_low, found.ci_high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.01)
    apart = stats.bootstrap((shift,), np.mean, n_resamples=4000, method="percentile", rng=rng)
    assert found.ci_high - found.ci_low > 1.5 * np.ptp(apart.confidence_interval)
    # The interval is narrower than that of unpaired values.
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 1, 200)
    found = rho_of(between_analyses(records(hard), records(hard + rng.normal(0.05, 0.02, 200)))).estimate
    assert 0 < found.ci_low < found.ci_high < found.ci_low + 0.01


def test_accuracy_and_confidence_count_once_for_each_question():
    first = records([0.1, 0.2]) + records([None, None], "word_drop", domain="question")
    second = [dict(record, accuracy=1.0, confidence=0.5) for record in first]
    found = {one.measure: one for one in between_analyses(first, second)}
    assert (found[ACCURACY].estimate.mean, found[ACCURACY].estimate.n) == (0.5, 2)
    assert (found[CONFIDENCE].estimate.mean, found[CONFIDENCE].estimate.n) == (0.25, 2)


def test_methods_of_one_analysis_and_methods_that_both_analyses_have_are_compared():
    both = records([0.1, 0.3], "guided_backprop") + records([0.2, 0.1], "occlusion")
    (found,) = between_methods(both + records([None, None], "word_drop", domain="question"))
    assert (found.first, found.second) == ("guided_backprop", "occlusion")
    assert found.estimate.mean == pytest.approx((0.1 - 0.2) / 2)
    assert len(between_methods(both + records([0.0, 0.5], "attention"))) == 3
    second = records([0.2, 0.3], "attention") + records([0.4, 0.5], "occlusion")
    found = [one for one in between_analyses(records([0.1, 0.2]), second) if one.measure == RHO]
    assert [one.first for one in found] == ["occlusion"]


def test_spreads_by_hand_by_the_t_of_a_printed_table_and_of_scipy_for_two_or_equal_runs_and_for_undefined_values():
    half = 4.303 / 3**0.5  # s = 1, t(0.975, 2) = 4.303
    assert mean_over_runs(np.array([1.0, 2.0, 3.0])) == pytest.approx((2, 2 - half, 2 + half), abs=1e-3)
    assert mean_over_runs(np.array([0.75, 0.25])) == (0.5, 0.25, 0.75)
    assert mean_over_runs(np.full(3, 0.5)) == (0.5, 0.5, 0.5)
    for runs in (3, 4, 10):
        values = np.random.default_rng(runs).normal(0.3, 0.05, runs)
        interval = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert mean_over_runs(values) == pytest.approx((np.mean(values), interval.low, interval.high))
    # Undefined values are left out and counted.
    found = clustered_mean(np.array([1.0, np.nan, 3.0]), np.array([1, 2, 3]))
    assert (found.mean, found.n, found.n_undefined) == (2.0, 2, 1)
    assert np.isnan(clustered_mean(np.array([np.nan]), np.array([1])).mean)


def test_the_interval_is_the_normal_one_for_independent_values_and_wider_for_questions_of_one_image():
    values = np.random.default_rng(0).normal(2.0, 1.0, size=400)
    found, half = clustered_mean(values, np.arange(400), samples=4000), 1.96 * values.std(ddof=1) / 20
    assert found.ci_low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.ci_high == pytest.approx(values.mean() + half, abs=0.02)
    values = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    both = [clustered_mean(values, images) for images in (np.repeat(np.arange(40), 10), np.arange(400))]
    together, alone = (one.ci_high - one.ci_low for one in both)
    assert together / alone == pytest.approx(np.sqrt(10), rel=0.2)
