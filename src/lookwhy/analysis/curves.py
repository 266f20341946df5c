"""How good a prediction of being right is, as curves: ROC, risk by coverage, calibration.

They are stored beside the scalars, so that a report draws them and computes nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from lookwhy.types import Curve

MOST_POINTS = 200
"""Of a curve: more than a chart has pixels for."""
BINS = 10
"""Of the calibration, of equal width in the predicted probability."""


def failure_curves(probability: Float[np.ndarray, " N"], correct: Bool[np.ndarray, " N"]) -> dict[str, Curve]:
    """The three curves of a prediction of being right; both outcomes must occur.

    Args:
        probability: predicted, of being right.
        correct: whether the answer was.

    Returns:
        `roc`: true positive rate (y) by false positive rate (x); `risk_coverage`: share of wrong answers (y)
        among the most trusted share of the questions (x); `calibration`: share of right answers (y) and
        number of questions (n) by mean predicted probability (x) of each bin that holds a question.
    """
    from sklearn.metrics import roc_curve  # not at the top: `failure.py` says why

    false_positive, true_positive, _ = roc_curve(correct, probability)
    risk = risk_by_coverage(probability, correct)
    coverage = np.arange(1, len(risk) + 1) / len(risk)
    return {
        "roc": _curve(false_positive, true_positive),
        "risk_coverage": _curve(coverage, risk),
        "calibration": calibration(probability, correct),
    }


def risk_by_coverage(
    probability: Float[np.ndarray, " N"], correct: Bool[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """Share of wrong answers among the k most trusted questions, k = 1 .. N (Geifman & El-Yaniv 2017).

    Questions of equal probability are taken in the average of all their orders: each counts as wrong by
    the tie's share of wrong answers.
    """
    values, tie = np.unique(-probability, return_inverse=True)
    wrong_share = np.bincount(tie, weights=~correct, minlength=len(values)) / np.bincount(tie)
    wrong = wrong_share[np.sort(tie)]
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def calibration(probability: Float[np.ndarray, " N"], correct: Bool[np.ndarray, " N"]) -> Curve:
    """Share of right answers and number of questions by mean predicted probability, in equal bins."""
    place = np.clip((probability * BINS).astype(int), 0, BINS - 1)
    n = np.bincount(place, minlength=BINS)
    some = n > 0
    predicted = np.bincount(place, weights=probability, minlength=BINS)[some] / n[some]
    right = np.bincount(place, weights=correct, minlength=BINS)[some] / n[some]
    return {"x": predicted.tolist(), "y": right.tolist(), "n": n[some].astype(float).tolist()}


def _curve(x: Float[np.ndarray, " P"], y: Float[np.ndarray, " P"]) -> Curve:
    """As lists, thinned evenly to what can be drawn; both ends stay."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return {"x": x[kept].tolist(), "y": y[kept].tolist()}
