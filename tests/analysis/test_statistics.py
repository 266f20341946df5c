"""Means with intervals and paired differences; judges: statsmodels, SciPy, a table of t, known truths."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression import linear_model as statsmodels
from statsmodels.stats.proportion import proportion_confint

from lookwhy.analysis import statistics
from lookwhy.analysis.paired import ACCURACY, CONFIDENCE, RHO, between_analyses, between_methods
from lookwhy.analysis.statistics import (
    FEWEST_IMAGES,
    clustered_mean,
    clustered_means,
    clustered_share,
    clustered_shares,
    in_summary,
    mean_of_clusters,
    mean_over_runs,
)


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


@pytest.mark.parametrize("most", [1 << 20, 100])
def test_rows_that_share_clusters_are_what_each_is_by_itself(monkeypatch, most):
    """Rows without a value, with one, in one image only, and rows that are taken in parts."""
    monkeypatch.setattr(statistics, "MOST_DRAWN", most)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 12, 40) * 7 + 5
    values = np.where(rng.random((9, 40)) < 0.3, np.nan, rng.random((9, 40)))
    values[1], values[2, 1:], values[3, images != images[0]] = np.nan, np.nan, np.nan
    values[4], values[5] = 0.0, 1.0
    for together, alone in ((clustered_means, clustered_mean), (clustered_shares, clustered_share)):
        found, expected = together(values, images), [alone(one, images) for one in values]
        for ours, other in zip(found, expected, strict=True):
            assert vars(ours) == pytest.approx(vars(other), rel=1e-12, nan_ok=True)
        assert [(one.n, one.clusters) for one in found[1:3]] == [(0, 0), (int(values[2, 0] >= 0), 1)]
        assert together(values[:0], images) == []
        assert together(values[:, :0], images[:0])[0].n == 0


def test_without_clusters_the_interval_is_scipys_t_interval_of_the_differences():
    rng = np.random.default_rng(3)
    one, other = rng.normal(0.2, 0.3, 80), rng.normal(0.3, 0.3, 80)
    found = rho_of(between_analyses(records(one), records(other))).estimate
    judge = stats.ttest_rel(other, one).confidence_interval(0.95)
    assert (found.mean, found.ci_low, found.ci_high) == pytest.approx(((other - one).mean(), *judge))
    assert (found.n, found.clusters) == (80, 80)


@pytest.mark.parametrize("sizes", [[4] * 30, [1, 2, 3, 40], [1] * 12 + [9, 30]])
def test_the_interval_is_that_of_statsmodels_regression_on_a_constant_with_clustered_errors(sizes):
    rng = np.random.default_rng(len(sizes))
    images = np.repeat(rng.permutation(len(sizes)), sizes)
    values = rng.normal(0.1, 0.3, len(sizes))[images] + rng.normal(0, 0.2, len(images))
    judge = clustered_regression(values, images)
    found = clustered_mean(np.append(values, np.nan), np.append(images, 99))
    assert found.mean == pytest.approx(judge.params[0])
    assert (found.ci_low, found.ci_high) == pytest.approx(judge.conf_int()[0])
    assert (found.n, found.n_undefined, found.clusters) == (len(images), 1, len(sizes))


def clustered_regression(values, clusters):
    model = statsmodels.OLS(values, np.ones(len(values)))
    return model.fit(cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True)


@pytest.mark.parametrize("binary", [True, False])
def test_a_share_has_statsmodels_wilson_interval_of_its_effective_sample_size(binary):
    rng = np.random.default_rng(6)
    images = np.repeat(np.arange(15), rng.integers(1, 6, 15))
    values = rng.random(15)[images] * rng.random(len(images))
    values = (values > 0.4).astype(float) if binary else values
    p, variance = values.mean(), clustered_regression(values, images).cov_params()[0, 0]
    size = p * (1 - p) / variance
    # Wilson's interval with the quantile of t(14): at the level where it is the normal one.
    level = 2 * stats.norm.sf(stats.t.ppf(0.975, 14))
    judge = proportion_confint(p * size, size, alpha=level, method="wilson")
    found = clustered_share(values, images)
    assert (found.mean, found.ci_low, found.ci_high) == pytest.approx((p, *judge))


def test_an_event_that_never_or_always_happened_may_have_happened_otherwise():
    none, all_ = (clustered_share(np.full(60, value), np.arange(60) // 3) for value in (0.0, 1.0))
    # 20 images count, not 60 questions: at most t^2 / (20 + t^2), t = 2.093 of a printed table.
    assert (none.ci_low, none.ci_high) == (0.0, pytest.approx(2.093**2 / (20 + 2.093**2), abs=1e-4))
    assert (all_.ci_low, all_.ci_high) == (pytest.approx(1 - none.ci_high), 1.0)
    # An image with most of the questions leaves fewer than 20 to count.
    unequal = clustered_share(np.zeros(60), np.r_[np.arange(19), np.full(41, 19)])
    assert unequal.ci_high > 2 * none.ci_high
    with pytest.raises(ValueError, match="expected values from 0 to 1, found -1 to 2"):
        clustered_share(np.array([-1.0, 2.0]), np.arange(2))


REPEATS = 2000


def covers(estimates, truth):
    return np.mean([one.ci_low <= truth <= one.ci_high for one in estimates])


@pytest.mark.parametrize("images", [10, 20, 40])
def test_intervals_of_few_images_hold_the_truth_as_often_as_they_say(images):
    rng = np.random.default_rng(images)
    clusters = np.repeat(np.arange(images), 3)
    shared, own = rng.normal(0.2, 0.3, (REPEATS, images)), rng.normal(0, 0.3, (REPEATS, images * 3))
    assert 0.935 <= covers(clustered_means(shared[:, clusters] + own, clusters), 0.2) <= 0.965
    # Exponential values: skewed, so that a symmetrical interval misses the mean more often.
    skewed = rng.exponential(1.0, (REPEATS, images))[:, clusters] + own
    assert covers(clustered_means(skewed, clusters), 1.0) >= 0.90
    # Shares near the lower end: hits of 7%, alike within an image, and Beta values of mean 1/9.
    likely = rng.beta(0.7, 9.3, (REPEATS, images))[:, clusters]
    hits = (rng.random(likely.shape) < likely).astype(float)
    assert covers(clustered_shares(hits, clusters), 0.07) >= 0.93
    values = rng.beta(1, 8, (REPEATS, images))[:, clusters]
    assert covers(clustered_shares(values, clusters), 1 / 9) >= 0.93


def test_the_macro_mean_counts_an_image_with_many_questions_once():
    # Image 0: 15 questions around 0.5; seven images of one question each around 0.1.
    values = np.array([0.4, 0.5, 0.6] * 5 + [0.1, 0.0, 0.2, 0.1, np.nan, 0.3, 0.1])
    images = np.r_[np.zeros(15), np.arange(1, 8)].astype(int)
    found = mean_of_clusters(values, images)
    of_images = [0.5, 0.1, 0.0, 0.2, 0.1, 0.3, 0.1]
    judge = stats.ttest_1samp(of_images, 0.0).confidence_interval(0.95)
    assert (found.mean, found.ci_low, found.ci_high) == pytest.approx((np.mean(of_images), *judge))
    assert (found.n, clustered_mean(values, images).mean > 0.39) == (7, True)
    # One image: a mean without an interval.
    assert np.isnan(mean_of_clusters(values[:15], images[:15]).ci_low)
    assert np.isnan(mean_of_clusters(np.array([np.nan]), np.array([3])).mean)


def test_an_interval_excludes_a_level_only_if_it_rests_on_enough_images():
    values = np.linspace(0.4, 0.6, FEWEST_IMAGES)
    assert clustered_mean(values, np.arange(FEWEST_IMAGES)).excludes(0.0)
    assert not clustered_mean(values, np.arange(FEWEST_IMAGES)).excludes(0.5)
    assert not clustered_mean(values[:-1], np.arange(FEWEST_IMAGES - 1)).excludes(0.0)
    assert in_summary(clustered_mean(values, np.arange(FEWEST_IMAGES)), "x")["x/images"] == FEWEST_IMAGES


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
