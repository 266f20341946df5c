"""Whether agreement goes with other measures over questions; SciPy is the judge."""

import numpy as np
import pytest
from scipy import stats

from lookwhy.analysis.together import correlation, with_agreement

MASS, FAITHFUL = "localisation/mass_accuracy", "faithfulness/correlation"


def made(seed=0, count=40):
    """Two values of each question, with ties and undefined ones, and its image (two questions each)."""
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    y = (0.6 * x + random.normal(size=count)).round(1)
    x[3], y[[4, 5]] = np.nan, np.nan
    return x, y, np.arange(count) // 2


def test_the_correlation_is_spearmans_of_the_questions_with_both_values():
    x, y, images = made()
    both = ~np.isnan(x) & ~np.isnan(y)
    found, drawn = correlation(x, y, images, samples=50)
    assert found.mean == pytest.approx(stats.spearmanr(x[both], y[both]).statistic)
    assert (found.n, found.n_undefined, len(drawn)) == (37, 3, 50)


def test_each_sample_is_ranked_anew_and_holds_whole_images():
    x, y, images = made(1)
    _, drawn = correlation(x, y, images, samples=20, seed=5)
    random, count = np.random.default_rng(5), 20
    for value in drawn:
        times = random.multinomial(count, np.full(count, 1 / count))[images]
        rows = np.repeat(np.arange(len(x)), times)
        rows = rows[~np.isnan(x[rows]) & ~np.isnan(y[rows])]
        assert value == pytest.approx(stats.spearmanr(x[rows], y[rows]).statistic)


def test_the_interval_covers_the_true_correlation_about_as_often_as_it_says():
    random, hits = np.random.default_rng(2), 0
    for seed in range(120):
        x = random.normal(size=80)
        y = random.normal(size=80)
        found, _ = correlation(x, y, np.arange(80), samples=200, seed=seed)
        hits += found.ci_low <= 0 <= found.ci_high
    assert 105 <= hits <= 119


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [1, 2]), ([1, 2, 3], [5, 5, 5]), ([1, 2, np.nan], [1, 2, 3]), ([], [])]
)
def test_few_questions_or_a_constant_value_are_undefined(x, y):
    found, drawn = correlation(np.array(x, float), np.array(y, float), np.arange(len(x)), samples=5)
    assert found.n == 0
    assert np.isnan([found.mean, *drawn]).all()


def test_questions_of_one_image_have_a_correlation_without_an_interval():
    found, _ = correlation(np.array([1.0, 2, 3]), np.array([1.0, 3, 2]), np.zeros(3, int), samples=10)
    assert found.mean == pytest.approx(0.5)
    assert np.isnan([found.ci_low, found.ci_high]).all()


def test_the_mean_over_methods_never_ranks_questions_of_different_methods_together():
    ids, images = np.arange(10), np.arange(10)
    rising = np.linspace(0, 1, 10)
    # Within each method the values fall; together they would rise, because one method is higher in both.
    agreement = {"occlusion": rising, "grad_cam": rising + 5, "other": rising}
    values = {
        f"image/occlusion/{MASS}": dict(enumerate(-rising)),
        f"image/grad_cam/{MASS}": dict(enumerate(5 - rising)),
        f"image/occlusion/{FAITHFUL}": dict(enumerate(rising**2)),
    }
    found = with_agreement(agreement, values, ids, images, samples=20)
    assert found[f"agreement_with/{MASS}"] == pytest.approx(-1)
    assert found[f"image/grad_cam/{MASS}_with_agreement"] == pytest.approx(-1)
    assert found[f"image/occlusion/{FAITHFUL}_with_agreement"] == pytest.approx(1)
    assert found[f"agreement_with/{FAITHFUL}/n"] == 10
    assert not [key for key in found if "other" in key or "grad_cam/faithfulness" in key]
    assert with_agreement(agreement, {}, ids, images) == {}
