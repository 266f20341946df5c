"""Curves that evaluate the predicted probability of a right answer: ROC, risk-coverage, calibration.

The curves are stored with the scalars, so that reports only draw them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from lookwhy.types import Curve

MOST_POINTS = 200
"""Largest number of points of a curve; a chart cannot show many more."""
BINS = 10
"""Number of calibration bins, of equal width in the predicted probability."""


def failure_curves(probability: Float[np.ndarray, " N"], correct: Bool[np.ndarray, " N"]) -> dict[str, Curve]:
    """The three curves of the predicted probability of a right answer; both outcomes must occur.

    Returns:
        `roc`: true positive rate (y) by false positive rate (x); `risk_coverage`: share of wrong answers (y)
        among the share of questions (x) with the highest probabilities; `calibration`: share of right answers
        (y) and number of questions (n) by mean probability (x), for each bin that is not empty.
    """
    from sklearn.metrics import roc_curve  # not at the top: see `predict_failure`

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
    """Share of wrong answers among the k highest probabilities, k = 1 .. N (Geifman & El-Yaniv 2017).

    For equal probabilities the result is the mean over all their orders: each of these questions counts as
    their common share of wrong answers.
    """
    values, tie = np.unique(-probability, return_inverse=True)
    wrong_share = np.bincount(tie, weights=~correct, minlength=len(values)) / np.bincount(tie)
    wrong = wrong_share[np.sort(tie)]
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def calibration(probability: Float[np.ndarray, " N"], correct: Bool[np.ndarray, " N"]) -> Curve:
    """Share of right answers and number of questions by mean probability, in bins of equal width."""
    place = np.clip((probability * BINS).astype(int), 0, BINS - 1)
    n = np.bincount(place, minlength=BINS)
    some = n > 0
    predicted = np.bincount(place, weights=probability, minlength=BINS)[some] / n[some]
    right = np.bincount(place, weights=correct, minlength=BINS)[some] / n[some]
    return {"x": predicted.tolist(), "y": right.tolist(), "n": n[some].astype(float).tolist()}


def _curve(x: Float[np.ndarray, " P"], y: Float[np.ndarray, " P"]) -> Curve:
    """The points as lists, thinned evenly to `MOST_POINTS`; both ends stay."""
    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return {"x": x[places].tolist(), "y": y[places].tolist()}
