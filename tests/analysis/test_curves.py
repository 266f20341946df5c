"""Curves of the failure prediction, against scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, roc_auc_score

from lookwhy.analysis.curves import MOST_POINTS, calibration, failure_curves, risk_by_coverage
from lookwhy.analysis.failure import area_under_risk_coverage


def made(n=500, ties=False):
    random = np.random.default_rng(n)
    correct = random.random(n) < 0.6
    probability = np.clip(0.5 + 0.3 * (correct - 0.5) + 0.2 * random.normal(size=n), 0, 1)
    return (probability.round(1) if ties else probability), correct


@pytest.mark.parametrize("ties", [False, True])
def test_the_drawn_curves_have_the_area_and_the_ends_of_scikit_learn(ties):
    probability, correct = made(ties=ties)
    curves = failure_curves(probability, correct)
    roc, risk = curves["roc"], curves["risk_coverage"]
    assert auc(roc["x"], roc["y"]) == pytest.approx(roc_auc_score(correct, probability), abs=0.005)
    assert (roc["x"][0], roc["y"][0], roc["x"][-1], roc["y"][-1]) == (0, 0, 1, 1)
    # At full coverage the risk is the share of wrong answers.
    assert (risk["x"][-1], risk["y"][-1]) == pytest.approx((1, 1 - correct.mean()))


def test_risk_by_coverage_by_hand_and_its_mean_is_the_area():
    probability, correct = np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, False, True, False])
    assert risk_by_coverage(probability, correct) == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert area_under_risk_coverage(probability, correct) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert area_under_risk_coverage(np.full(4, 0.5), correct) == pytest.approx(0.5)


def test_calibration_is_scikit_learns_and_no_curve_has_more_points_than_a_chart_shows():
    probability, correct = made()
    found = calibration(probability, correct)
    right, predicted = calibration_curve(correct, probability, n_bins=10)
    assert (found["x"], found["y"]) == (pytest.approx(predicted), pytest.approx(right))
    assert sum(found["n"]) == len(correct)
    assert calibration(np.array([0.95, 1.0]), np.array([True, False]))["n"] == [2]  # 1 is in the last bin
    assert max(len(curve["x"]) for curve in failure_curves(*made(5000)).values()) <= MOST_POINTS
