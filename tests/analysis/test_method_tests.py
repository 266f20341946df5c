"""Paired tests of methods: SciPy and statsmodels are the judges, and a simulation with known truth."""

import numpy as np
import pytest
from known_models import make_maps
from scipy.stats import nct, t, ttest_1samp
from statsmodels.stats.multitest import multipletests

from lookwhy.analysis.localisation import localisation
from lookwhy.analysis.method_tests import localisation_of_other_questions, method_tests
from lookwhy.analysis.questions import MOST_PARTNERS, partners
from lookwhy.analysis.statistics import (
    clustered_mean,
    detectable,
    holm,
    p_value,
    questions_for,
    standard_error,
)


def test_p_values_and_errors_are_scipys_for_one_question_an_image():
    values = np.random.default_rng(0).normal(0.3, 1, 25)
    found = clustered_mean(values, np.arange(25))
    assert standard_error(found) == pytest.approx(values.std(ddof=1) / 5)
    assert p_value(found) == pytest.approx(ttest_1samp(values, 0).pvalue)
    one = clustered_mean(values, np.zeros(25, np.int64))
    assert np.isnan([standard_error(one), p_value(one), detectable(one), questions_for(one, 0.1)]).all()
    # Values without any spread.
    assert p_value(clustered_mean(np.zeros(9), np.arange(9))) == 1
    assert p_value(clustered_mean(np.full(9, 0.1), np.arange(9))) == 0


def test_holm_is_that_of_statsmodels_and_undefined_tests_are_no_members():
    rng = np.random.default_rng(1)
    for count in (1, 2, 7, 30):
        p_values = rng.random(count) ** 3
        expected = multipletests(p_values, method="holm")[1]
        np.testing.assert_allclose(holm(p_values), expected)
        mixed = np.insert(p_values, 1, np.nan)
        np.testing.assert_allclose(holm(mixed), np.insert(expected, 1, np.nan))
    assert holm(np.array([])).shape == (0,)


def test_a_detectable_difference_is_found_with_a_power_of_80_percent():
    found = clustered_mean(np.random.default_rng(2).normal(0, 1, 60), np.arange(60))
    smallest, error = detectable(found), standard_error(found)
    # Power of the t test by the noncentral t distribution.
    power = nct.sf(t.ppf(0.975, 59), 59, smallest / error)
    assert power == pytest.approx(0.8, abs=0.005)
    assert questions_for(found, smallest / 2) == pytest.approx(4 * 60, abs=1)


def values_of(rng, questions=240, images=40, truth=0.0):
    """Two methods and both baselines of a measure, with a share of the error in common to an image."""
    image_of = dict(enumerate(np.repeat(np.arange(images), questions // images).tolist()))
    of_image = rng.normal(size=(4, images))
    names = ("image/a/{}", "image/b/{}", "image/centre_prior/{}", "image/a/{}_other_question")
    found = {}
    for number, name in enumerate(names):
        noise = rng.normal(size=questions) + of_image[number, list(image_of.values())]
        column = dict(enumerate((noise + truth * (number == 0)).tolist()))
        found[name.format("rank_correlation")] = column
    return found, image_of


def test_the_tests_are_paired_corrected_over_their_measure_and_named_by_both_sides():
    values, image_of = values_of(np.random.default_rng(3), truth=0.5)
    values["image/a/specificity"] = values["image/a/rank_correlation"]
    values["image/b/specificity"] = values["image/b/rank_correlation"]
    values["image/a/faithfulness/infidelity"] = values["image/b/faithfulness/infidelity"] = {0: 1.0, 1: 2.0}
    del values["image/b/rank_correlation"][7]
    found = method_tests(values, ["a", "b"], image_of)
    pairs = {key.removesuffix("/p_value") for key in found if key.endswith("/p_value")}
    assert pairs == {
        "paired/a/b/rank_correlation", "paired/a/centre_prior/rank_correlation",
        "paired/a/other_question/rank_correlation", "paired/b/centre_prior/rank_correlation",
        "paired/a/b/specificity",
    }  # fmt: skip
    key = "paired/a/b/rank_correlation"
    ids = [one for one in image_of if one != 7]
    one, other = (values[f"image/{name}/rank_correlation"] for name in "ab")
    expected = clustered_mean(
        np.array([one[i] - other[i] for i in ids]), np.array([image_of[i] for i in ids], np.int64)
    )
    assert found[key] == pytest.approx(expected.mean)
    assert found[f"{key}/ci_low"] == pytest.approx(expected.ci_low)
    assert found[f"{key}/p_value"] == pytest.approx(p_value(expected))
    assert (found[f"{key}/n"], found[f"{key}/images"]) == (239, 40)
    family = sorted(one for one in pairs if one.endswith("rank_correlation"))
    corrected = multipletests([found[f"{one}/p_value"] for one in family], method="holm")[1]
    np.testing.assert_allclose([found[f"{one}/p_holm"] for one in family], corrected)
    assert found["paired/a/b/specificity/p_holm"] == found["paired/a/b/specificity/p_value"]


def test_where_nothing_differs_at_most_six_percent_of_the_families_have_a_significant_difference():
    rng, trials = np.random.default_rng(4), 400
    wrong = 0
    for _ in range(trials):
        found = method_tests(*reversed_names(values_of(rng, 60, 20)))
        wrong += min(value for key, value in found.items() if key.endswith("/p_holm")) < 0.05
    assert wrong / trials <= 0.06
    # The same test finds a difference that is there.
    found = method_tests(*reversed_names(values_of(rng, 240, 40, truth=1.5)))
    assert found["paired/a/b/rank_correlation/p_holm"] < 0.01


def reversed_names(made):
    values, image_of = made
    return values, ["a", "b"], image_of


def test_the_maps_of_other_questions_are_compared_with_a_questions_own_mask():
    rng, images = np.random.default_rng(5), np.array([3, 3, 3, 5, 9, 9])
    maps = rng.normal(size=(6, 4, 4))
    truth = (rng.random((6, 4, 4)) < 0.3).astype(np.float64)
    truth[1] = np.nan
    found = localisation_of_other_questions([make_maps(maps)], truth, images, "magnitude")
    assert len(found) == 3
    for key, values in found.items():
        measure = key.removesuffix("_other_question")
        for row in range(6):
            others = [one for one in np.flatnonzero(images == images[row]) if one != row]
            own = localisation({"x": maps[others]}, truth[[row] * len(others)], "magnitude") if others else {}
            expected = own[measure].mean() if own else np.nan
            assert values[row] == pytest.approx(expected, nan_ok=True)
    assert localisation_of_other_questions([make_maps(maps)], truth[:0], images, "magnitude") == {}


def test_a_question_about_an_image_with_many_has_a_fixed_number_of_partners():
    assert partners(1) == [[]]
    many = partners(30)
    assert {len(one) for one in many} == {MOST_PARTNERS}
    assert all(row not in one and len({*one}) == len(one) for row, one in enumerate(many))
