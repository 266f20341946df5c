"""Many logistic regressions at once: one for each training part of repeated, nested cross-validation.

Repeated and nested cross-validation of a few features fits thousands of small models. One after the other
they would take longer than the rest of an analysis, so Newton's method runs on all of them together.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

MOST_AT_ONCE = 1 << 20
"""Largest number of questions x regressions at once; bounds the memory."""
MOST_PRODUCTS = 1 << 23
"""Largest number of products of features that stay from one Newton step to the next; bounds the memory."""
STEPS, TOLERANCE = 50, 1e-8
"""Largest number of Newton steps, and the change of a coefficient that counts as none."""


def logistic_probabilities(
    features: Float[np.ndarray, "N F"],
    outcome: Bool[np.ndarray, " N"],
    train: Bool[np.ndarray, "R N"],
    strength: Float[np.ndarray, " R"],
) -> Float[np.ndarray, "R N"]:
    """Probability of the outcome by each regression, also for the questions outside of its training part.

    A regression minimises, on its training part, the sum of log losses plus the squared length of its
    coefficients divided by `2 C`, as scikit-learn's `LogisticRegression(C=C)` after a `StandardScaler`.

    Args:
        features: features of each question.
        outcome: outcome of each question.
        train: training part of each regression; both outcomes must occur in it.
        strength: C of each regression.

    Example:
        >>> x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([False, True, False, True])
        >>> found = logistic_probabilities(x, y, np.ones((1, 4), bool), np.array([1.0]))
        >>> found.round(2).tolist()
        [[0.35, 0.45, 0.55, 0.65]]
    """
    x = features - features.mean(0)
    x = np.hstack([np.ones((len(x), 1)), x / np.where(x.std(0) > 0, x.std(0), 1.0)])
    at_once = max(1, MOST_AT_ONCE // len(x))
    parts = [slice(start, start + at_once) for start in range(0, len(train), at_once)]
    products = _Products(x)
    return np.concatenate([_fit(x, products, outcome, train[part], strength[part]) for part in parts])


def _fit(
    x: Float[np.ndarray, "N P"],
    products: _Products,
    outcome: Bool[np.ndarray, " N"],
    train: Bool[np.ndarray, "R N"],
    strength: Float[np.ndarray, " R"],
) -> Float[np.ndarray, "R N"]:
    weight = train.astype(np.float64)
    penalty = _variances(x, weight) / strength[:, None]
    sign = np.where(outcome, 1.0, -1.0)
    coefficients = np.zeros((len(train), x.shape[1]))

    def at(
        coefficients: Float[np.ndarray, "R P"],
    ) -> tuple[Float[np.ndarray, " R"], Float[np.ndarray, "R N"]]:
        """Loss of each regression, and the probabilities of the outcome."""
        logit = coefficients @ x.T
        small = np.exp(-np.abs(logit))
        each = np.log(1.0 + small) + np.maximum(-sign * logit, 0.0)
        loss = (weight * each).sum(1) + 0.5 * (penalty * coefficients**2).sum(1)
        return loss, np.where(logit >= 0, 1.0, small) / (1.0 + small)

    best, probability = at(coefficients)
    for _ in range(STEPS):
        gradient = (weight * (probability - outcome)) @ x + penalty * coefficients
        curvature = products.summed(weight * probability * (1 - probability))
        diagonal = np.arange(x.shape[1])
        curvature[:, diagonal, diagonal] += penalty
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        # A full step may overshoot where the outcomes are almost separated.
        for _ in range(STEPS):
            now, probability = at(coefficients - step)
            worse = now > best + 1e-9 * (1 + np.abs(best))
            if not worse.any():
                break
            step[worse] /= 2
        coefficients, best = coefficients - step, now
        if np.abs(step).max() < TOLERANCE:
            break
    return at(coefficients)[1]


def _variances(x: Float[np.ndarray, "N P"], weight: Float[np.ndarray, "R N"]) -> Float[np.ndarray, "R P"]:
    """Variance of each feature in each training part: the penalty of a standardised coefficient.

    The intercept has none. That of a constant feature is 1, so that its coefficient becomes 0.
    """
    count = weight.sum(1, keepdims=True)
    mean = weight @ x / count
    found = np.maximum(weight @ x**2 / count - mean**2, 0.0)
    found = np.where(found > 1e-12, found, 1.0)
    found[:, 0] = 0.0
    return found


class _Products:
    """Products of each two features of each question; they do not change from one Newton step to the next."""

    def __init__(self, x: Float[np.ndarray, "N P"]) -> None:
        self._x = x
        # Each pair once: the matrix of the products is symmetric.
        self._first, self._second = np.triu_indices(x.shape[1])
        parts = [slice(start, start + 4096) for start in range(0, len(x), 4096)]
        is_kept = len(x) * len(self._first) <= MOST_PRODUCTS
        self._parts = [(part, self._of(part) if is_kept else None) for part in parts]

    def _of(self, part: slice) -> Float[np.ndarray, "M pairs"]:
        some = self._x[part]
        return some[:, self._first] * some[:, self._second]

    def summed(self, weight: Float[np.ndarray, "R N"]) -> Float[np.ndarray, "R P P"]:
        """Sum over questions of `weight x xᵀ`, for each regression."""
        size = self._x.shape[1]
        pairs = np.zeros((len(weight), len(self._first)))
        for part, products in self._parts:
            pairs += weight[:, part] @ (self._of(part) if products is None else products)
        found = np.empty((len(weight), size, size))
        found[:, self._first, self._second] = pairs
        found[:, self._second, self._first] = pairs
        return found
