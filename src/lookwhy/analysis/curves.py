"""Curves that evaluate a predicted probability of a right answer: ROC, risk-coverage, calibration.

The curves are stored with the scalars, so that reports only draw them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from lookwhy.analysis.selective import BINS, equal_width
from lookwhy.types import Curve

MOST_POINTS = 200
"""Largest number of points of a curve; a chart cannot show many more."""


def failure_curves(
    probability: Float[np.ndarray, "R N"], correct: Bool[np.ndarray, " N"]
) -> dict[str, Curve]:
    """The three curves of the predicted probability of a right answer; both outcomes must occur.

    Each row of `probability` is one split of the cross-validation. The curves are means over splits at equal
    coverage, and questions of equal probability count in the mean over their orders.

    Returns:
        `roc`: true positive rate (y) by false positive rate (x); `risk_coverage`: share of wrong answers (y)
        among the share of questions (x) with the highest probabilities; `calibration`: share of right answers
        (y) and number of questions (n, mean over splits) by mean probability (x), for each bin that is not
        empty.
    """
    errors = np.mean([errors_by_coverage(one, 1.0 - correct) for one in probability], axis=0)
    accepted = np.arange(len(errors))
    wrong = (~correct).sum()
    return {
        "roc": _curve(errors / wrong, (accepted - errors) / (len(correct) - wrong)),
        "risk_coverage": _curve(accepted[1:] / len(correct), errors[1:] / accepted[1:]),
        "calibration": calibration(probability, correct),
    }


def errors_by_coverage(
    score: Float[np.ndarray, " N"], error: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " counts"]:
    """Sum of the errors of the k highest scores, k = 0 .. N.

    For equal scores the result is the mean over all their orders: each of these questions counts as their
    mean error.
    """
    values, tie = np.unique(-score, return_inverse=True)
    mean = np.bincount(tie, weights=error, minlength=len(values)) / np.bincount(tie)
    return np.concatenate([[0.0], np.cumsum(mean[np.sort(tie)])])


def calibration(probability: Float[np.ndarray, "R N"], correct: Bool[np.ndarray, " N"]) -> Curve:
    """Share of right answers and number of questions by mean probability, in bins of equal width."""
    place = equal_width(probability.ravel())
    n = np.bincount(place, minlength=BINS)
    some = n > 0
    predicted = np.bincount(place, weights=probability.ravel(), minlength=BINS)[some] / n[some]
    outcomes = np.broadcast_to(correct, probability.shape).ravel()
    right = np.bincount(place, weights=outcomes, minlength=BINS)[some] / n[some]
    return {"x": predicted.tolist(), "y": right.tolist(), "n": (n[some] / len(probability)).tolist()}


def _curve(x: Float[np.ndarray, " P"], y: Float[np.ndarray, " P"]) -> Curve:
    """The points as lists, thinned evenly to `MOST_POINTS`; both ends stay."""
    places = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).round().astype(int))
    return {"x": x[places].tolist(), "y": y[places].tolist()}
