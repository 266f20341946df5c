"""Scores of each question by regressions that have not seen its image: repeated, nested cross-validation.

All questions of an image are in one fold. A single split moves the AUROC of a few hundred questions by
several hundredths, so there are `SPLITS` of them. The strength C is chosen inside of each training part.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int64

from lookwhy.analysis.logistic import logistic_probabilities
from lookwhy.analysis.selective import Order

SPLITS = 10
"""Number of random splits into folds."""
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Values of C that a regression chooses from; a small C shrinks its coefficients. Below 0.01 the
probabilities of a fold are little more than the share of right answers in its training part, which spoils the
order between folds."""
FEWEST_FOLDS = 3
"""Smallest number of folds: with two, nothing is left to choose C by inside of a training part."""


@dataclass(frozen=True)
class Score:
    """A score of each question that should be higher for right answers.

    Attributes:
        values: the score in each split; one row if it is not fitted.
        inner: for each split and fold, the scores outside of the fold on which a threshold is chosen.
        is_probability: whether it is a probability of being right.
    """

    values: Float[np.ndarray, "R N"]
    inner: Float[np.ndarray, "S K N"]
    is_probability: bool = True

    @cached_property
    def orders(self) -> list[Order]:
        """Order of the questions in each split."""
        return [Order(one) for one in self.values]


def image_folds(
    correct: Bool[np.ndarray, " N"], images: Int64[np.ndarray, " N"], folds: int, seed: int = 0
) -> Int64[np.ndarray, "R N"]:
    """Fold of each question in `SPLITS` random splits, with all questions of an image in one fold.

    The folds are those of scikit-learn's `StratifiedGroupKFold(folds, shuffle=True, random_state=seed + i)`
    for split i: image by image, beginning with those whose right and wrong answers are most unequal in
    number, each goes to the fold that makes the shares of both outcomes most equal over the folds, and of
    equally good ones to that with fewer questions. All splits are made together.
    """
    outcomes, outcome, total = np.unique(correct, return_inverse=True, return_counts=True)
    names, image = np.unique(images, return_inverse=True)
    counts = np.zeros((len(names), len(outcomes)))
    np.add.at(counts, (image, outcome), 1)
    orders = []
    for split in range(SPLITS):
        shuffled = np.arange(len(names))
        np.random.RandomState(seed + split).shuffle(shuffled)
        orders.append(shuffled[np.argsort(-np.std(counts[shuffled], axis=1), kind="stable")])
    rows, every = np.arange(SPLITS), np.arange(folds)
    held = np.zeros((SPLITS, folds, len(outcomes)))
    fold_of = np.zeros((SPLITS, len(names)), np.int64)
    for some in np.stack(orders, axis=1):
        # Whether fold i holds the image, for each i.
        proposed = np.repeat(held[:, None], folds, axis=1)
        proposed[:, every, every] += counts[some][:, None]
        uneven = np.std(proposed / total, axis=2).mean(-1)
        best = _most_even(uneven, held.sum(-1))
        fold_of[rows, some] = best
        held[rows, best] += counts[some]
    return fold_of[:, image]


def _most_even(uneven: Float[np.ndarray, "R K"], size: Float[np.ndarray, "R K"]) -> Int64[np.ndarray, " R"]:
    """The first fold of the smallest value, or one after it that is as good but for rounding, and smaller."""
    best = np.zeros(len(uneven), np.int64)
    least, fewest = uneven[:, 0], size[:, 0]
    for fold in range(1, uneven.shape[1]):
        now, count = uneven[:, fold], size[:, fold]
        is_close = np.abs(now - least) <= 1e-8 + 1e-5 * least
        is_better = (now < least) | (is_close & (count < fewest))
        best = np.where(is_better, fold, best)
        least, fewest = np.where(is_better, now, least), np.where(is_better, count, fewest)
    return best


def unfitted(values: Float[np.ndarray, " N"], folds: Int64[np.ndarray, "R N"], is_probability: bool) -> Score:
    """A score that is known without any regression."""
    inner = np.broadcast_to(values, (len(folds), int(folds.max()) + 1, len(values)))
    return Score(values[None], inner, is_probability)


def fitted(
    features: Float[np.ndarray, "N F"], correct: Bool[np.ndarray, " N"], folds: Int64[np.ndarray, "R N"]
) -> Score:
    """Probability that an answer is right, by regressions that have not seen its image.

    To choose C for a fold, regressions without this and another fold predict that other fold; C with the
    smallest log loss over all other folds is chosen. Neither has seen an image of the fold.
    """
    splits, count, n = len(folds), int(folds.max()) + 1, len(correct)
    pairs = [*combinations(range(count), 2)]
    without_two = np.stack([(folds != one) & (folds != other) for one, other in pairs], axis=1)
    train = np.tile(without_two.reshape(-1, n), (len(STRENGTHS), 1))
    strength = np.repeat(STRENGTHS, splits * len(pairs))
    found = logistic_probabilities(features, correct, train, strength)
    found = found.reshape(len(STRENGTHS), splits, len(pairs), n)
    inner = np.full((len(STRENGTHS), splits, count, n), np.nan)
    for place, pair in enumerate(pairs):
        for fold, predicted in (pair, pair[::-1]):
            inner[:, :, fold] = np.where(folds == predicted, found[:, :, place], inner[:, :, fold])
    likelihood = np.where(correct, inner, 1 - inner)
    best = np.nansum(-np.log(np.maximum(likelihood, 1e-12)), axis=-1).argmin(0)
    return Score(
        values=out_of_fold(features, correct, folds, np.array(STRENGTHS)[best]),
        inner=np.take_along_axis(inner, best[None, :, :, None], axis=0)[0],
    )


def out_of_fold(
    features: Float[np.ndarray, "N F"],
    correct: Bool[np.ndarray, " N"],
    folds: Int64[np.ndarray, "R N"],
    strength: Float[np.ndarray, "R K"],
) -> Float[np.ndarray, "R N"]:
    """Probability of each question by the regression without its fold; `strength` holds C of each fold."""
    train = np.stack([folds != one for one in range(strength.shape[1])], axis=1)
    found = logistic_probabilities(features, correct, train.reshape(-1, len(correct)), strength.ravel())
    return np.take_along_axis(found.reshape(train.shape), folds[:, None], axis=1)[:, 0]


def lacks_an_outcome(folds: Int64[np.ndarray, "R N"], correct: Bool[np.ndarray, " N"]) -> bool:
    """Whether the questions outside of two folds of a split are all right, or all wrong."""
    for outcome in (correct, ~correct):
        held = np.stack([(folds[:, outcome] == one).sum(1) for one in range(int(folds.max()) + 1)])
        if (np.sort(held, axis=0)[-2:].sum(0) == outcome.sum()).any():
            return True
    return False
