"""Failure prediction and its curves: by hand, by scikit-learn, and cross-validated by image."""

import numpy as np
import pytest
import torch
from known_models import make_maps
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, roc_auc_score

from lookwhy.analysis.curves import MOST_POINTS, calibration, failure_curves, risk_by_coverage
from lookwhy.analysis.failure import area_under_risk_coverage, failure_features, map_shape, predict_failure


def test_a_telling_feature_predicts_and_a_random_one_does_not():
    random = np.random.default_rng(0)
    correct = random.random(600) < 0.7
    groups = np.repeat(np.arange(200), 3)
    telling = correct[:, None] + random.normal(scale=0.3, size=(600, 1))
    found = predict_failure(telling, correct, groups)
    assert found.accuracy > 0.9
    assert found.auroc > 0.95
    assert found.majority_accuracy == pytest.approx(correct.mean())
    silent = predict_failure(random.normal(size=(600, 2)), correct, groups)
    assert silent.auroc == pytest.approx(0.5, abs=0.07)


def test_questions_of_one_image_are_never_in_training_and_test():
    # The feature names the image and the outcome belongs to the image: only leakage could predict it.
    outcome = np.random.default_rng(1).permutation(np.repeat([True, False], 30))
    groups = np.repeat(np.arange(60), 10)
    assert predict_failure(np.eye(60)[groups], outcome[groups], groups).auroc < 0.6


def test_shape_of_a_point_and_of_a_flat_map_and_share_of_flips():
    point = np.pad(np.full((1, 1, 1), -3.0), ((0, 0), (1, 2), (2, 1)))
    found = [map_shape(make_maps(maps))[0] for maps in (point, np.ones((1, 4, 4)), np.zeros((1, 4, 4)))]
    np.testing.assert_allclose(found, [(0.0, 1.0, 15 / 16), *[(1.0, 1 / 16, 0.0)] * 2], rtol=1e-6, atol=1e-12)
    # Flips are a share of the removed cells.
    maps = {"image/occlusion": make_maps(np.zeros((2, 4, 4)), flips=torch.tensor([4, 16]))}
    sets = failure_features(maps, np.array([0.5, 0.9]))
    assert sets["flips"].ravel().tolist() == [0.25, 1.0]
    assert sets["all"].shape == (2, 4)


def test_auroc_is_scikit_learns_on_the_out_of_fold_probabilities_and_undefined_for_one_outcome():
    random = np.random.default_rng(3)
    correct = random.random(200) < 0.5
    feature = correct + random.normal(size=200)
    found = predict_failure(feature[:, None], correct, np.arange(200))
    # A logistic regression of one feature ranks as the feature does, fold by fold.
    assert found.auroc == pytest.approx(roc_auc_score(correct, feature), abs=0.02)
    assert auc(found.curves["roc"]["x"], found.curves["roc"]["y"]) == pytest.approx(found.auroc, abs=0.005)
    # With one outcome alone, the prediction is undefined.
    found = predict_failure(np.zeros((10, 1)), np.ones(10, bool), np.arange(10))
    assert np.isnan(found.auroc)
    assert "0 questions of the rarer outcome" in found.reason
    assert found.curves == {}


def made(n=500, decimals=9):
    random = np.random.default_rng(n)
    correct = random.random(n) < 0.6
    noise = 0.2 * random.normal(size=n)
    return np.clip(0.5 + 0.3 * (correct - 0.5) + noise, 0, 1).round(decimals), correct


@pytest.mark.parametrize("decimals", [1, 9], ids=["ties", "no ties"])
def test_the_drawn_curves_have_the_area_and_the_ends_of_scikit_learn(decimals):
    probability, correct = made(decimals=decimals)
    curves = failure_curves(probability, correct)
    roc, risk = curves["roc"], curves["risk_coverage"]
    assert auc(roc["x"], roc["y"]) == pytest.approx(roc_auc_score(correct, probability), abs=0.005)
    assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == (0, 0, 1, 1)
    # At full coverage the risk is the share of wrong answers.
    assert (risk["x"][-1], risk["y"][-1]) == pytest.approx((1, 1 - correct.mean()))


def test_risk_by_coverage_by_hand_and_its_area_for_ties_as_the_mean_over_their_orders():
    probability, correct = np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, False, True, False])
    assert risk_by_coverage(probability, correct) == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert area_under_risk_coverage(probability, correct) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert area_under_risk_coverage(np.full(4, 0.5), correct) == pytest.approx(0.5)
    random = np.random.default_rng(2)
    probability, correct = random.integers(0, 4, 40) / 4, random.random(40) < 0.6
    jitters = 1e-6 * np.random.default_rng(0).random((400, 40))
    shuffled = [area_under_risk_coverage(probability + jitter, correct) for jitter in jitters]
    assert area_under_risk_coverage(probability, correct) == pytest.approx(np.mean(shuffled), abs=0.005)


def test_calibration_is_scikit_learns_and_no_curve_has_more_points_than_a_chart_shows():
    probability, correct = made()
    found = calibration(probability, correct)
    right, predicted = calibration_curve(correct, probability, n_bins=10)
    assert (found["x"], found["y"]) == (pytest.approx(predicted), pytest.approx(right))
    assert sum(found["n"]) == len(correct)
    assert calibration(np.array([0.95, 1.0]), np.array([True, False]))["n"] == [2]  # 1 is in the last bin
    assert max(len(curve["x"]) for curve in failure_curves(*made(5000)).values()) <= MOST_POINTS
