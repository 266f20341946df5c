import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, roc_auc_score

from lookwhy.analysis.curves import MOST_POINTS, calibration, failure_curves, risk_by_coverage
from lookwhy.analysis.failure import area_under_risk_coverage, predict_failure


def made(n=500, ties=False):
    random = np.random.default_rng(n)
    correct = random.random(n) < 0.6
    probability = np.clip(0.5 + 0.3 * (correct - 0.5) + 0.2 * random.normal(size=n), 0, 1)
    return (probability.round(1) if ties else probability), correct


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_under_the_drawn_roc_is_scikit_learns(ties):
    probability, correct = made(ties=ties)
    roc = failure_curves(probability, correct)["roc"]
    assert auc(roc["x"], roc["y"]) == pytest.approx(roc_auc_score(correct, probability), abs=0.005)
    assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == (0, 0, 1, 1)


def test_risk_by_coverage_by_hand_and_its_mean_is_the_area():
    probability, correct = np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, False, True, False])
    assert risk_by_coverage(probability, correct) == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert area_under_risk_coverage(probability, correct) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert area_under_risk_coverage(np.full(4, 0.5), correct) == pytest.approx(0.5)


def test_risk_at_full_coverage_is_the_share_of_wrong_answers():
    probability, correct = made(ties=True)
    curve = failure_curves(probability, correct)["risk_coverage"]
    assert (curve["x"][-1], curve["y"][-1]) == pytest.approx((1, 1 - correct.mean()))


def test_calibration_is_scikit_learns():
    probability, correct = made()
    found = calibration(probability, correct)
    right, predicted = calibration_curve(correct, probability, n_bins=10)
    assert (found["x"], found["y"]) == (pytest.approx(predicted), pytest.approx(right))
    assert sum(found["n"]) == len(correct)
    assert calibration(np.array([0.95, 1.0]), np.array([True, False]))["n"] == [2]  # 1 is in the last bin


def test_no_curve_is_longer_than_can_be_drawn():
    curves = failure_curves(*made(5000))
    assert max(len(curve["x"]) for curve in curves.values()) <= MOST_POINTS


def test_the_predictor_brings_its_curves_and_an_undefined_one_none():
    random = np.random.default_rng(3)
    correct = random.random(200) < 0.5
    found = predict_failure((correct + random.normal(size=200))[:, None], correct, np.arange(200))
    assert auc(found.curves["roc"]["x"], found.curves["roc"]["y"]) == pytest.approx(found.auroc, abs=0.005)
    assert predict_failure(np.zeros((10, 1)), np.ones(10, bool), np.arange(10)).curves == {}
