"""Selective prediction: what a score is worth that tells which answers to trust.

The questions are accepted by decreasing score. Coverage is the share of the questions that are accepted, risk
the mean error of their answers (Geifman & El-Yaniv 2017). There are two errors: `soft` is 1 minus the
official accuracy, as in Whitehead et al. 2022; `binary` is 1 for an answer that does not count as right.
Equal scores are accepted together, or, where each question counts by itself, in the mean over their orders.

Every measure is a function of how often each question occurs, so a bootstrap over images is one more axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from lookwhy.analysis.statistics import MOST_DRAWN

RISKS = (1, 5, 10, 20)
"""Risks in percent at which coverage is measured."""
COSTS = (1.0, 10.0, 100.0)
"""Costs of a wrong answer in effective reliability, where a right answer gains 1."""
BINS = 15
"""Number of bins of calibration, and of its error."""
CALIBRATED_DRAWS = 200
"""Draws behind the calibration error that a perfectly calibrated score would have."""

Times = Float[np.ndarray, "N S"]
"""How often each question occurs in each sample."""
Measures = dict[str, Float[np.ndarray, " S"]]
"""Values of each measure in each sample."""


def coverage_at_risk(score: Float[np.ndarray, " N"], accuracy: Float[np.ndarray, " N"], risk: float) -> float:
    """Largest coverage, 0..1, at which the mean of 1 - accuracy is at most `risk` (Whitehead et al. 2022).

    Questions of equal score are accepted or left out together. 0 if no coverage has so low a risk.

    Example:
        >>> coverage_at_risk(np.array([0.9, 0.8, 0.3, 0.2]), np.array([1.0, 1.0, 0.0, 1.0]), 0.25)
        1.0
    """
    return float(_Errors(_once(score), 1 - accuracy).coverage(risk)[0])


def effective_reliability(
    score: Float[np.ndarray, " N"], accuracy: Float[np.ndarray, " N"], threshold: float, cost: float
) -> float:
    """Mean gain of answering from a score of `threshold` on (Whitehead et al. 2022).

    A question gains its accuracy if it is answered and the accuracy is above 0; it loses `cost` if it is
    answered and the accuracy is 0; it gains 0 if it is not answered.

    Example:
        >>> effective_reliability(np.array([0.9, 0.8, 0.3]), np.array([1.0, 0.0, 1.0]), 0.5, 10.0)
        -3.0
    """
    return float(np.where(score >= threshold, _gains(accuracy, cost), 0.0).mean())


def area_under_risk_coverage(score: Float[np.ndarray, " N"], accuracy: Float[np.ndarray, " N"]) -> float:
    """AURC: mean of the risk among the k highest scores over k = 1 .. N, with 1 - accuracy as the error.

    Equal scores count as the mean over their orders. Lower is better.

    Example:
        >>> area_under_risk_coverage(np.array([0.9, 0.5]), np.array([1.0, 0.0]))
        0.25
    """
    return float(_Errors(_once(score), 1 - accuracy).aurc[0])


def best_threshold(score: Float[np.ndarray, " N"], accuracy: Float[np.ndarray, " N"], cost: float) -> float:
    """Threshold of the highest effective reliability; of equal ones, that with more coverage.

    Infinite if no threshold gains anything.

    Example:
        >>> best_threshold(np.array([0.9, 0.8, 0.3]), np.array([1.0, 1.0, 0.0]), 1.0)
        0.8
    """
    values, group = np.unique(-score, return_inverse=True)
    total = np.cumsum(np.bincount(group, weights=_gains(accuracy, cost), minlength=len(values)))
    # Look from the end, because argmax takes the first of equal values.
    place = len(total) - 1 - int(np.argmax(total[::-1].round(9)))
    return float(-values[place]) if total[place] > -1e-9 else np.inf


def _gains(accuracy: Float[np.ndarray, " N"], cost: float) -> Float[np.ndarray, " N"]:
    return np.where(accuracy > 0, accuracy, -cost)


def samples_of(clusters: Int64[np.ndarray, " N"], samples: int, seed: int) -> Iterator[Times]:
    """Occurrences of each question: once in the data themselves, then in samples of whole clusters.

    The samples come in parts of bounded memory; the first part is the data.
    """
    _, member = np.unique(clusters, return_inverse=True)
    yield np.ones((len(clusters), 1))
    random, count = np.random.default_rng(seed), int(member.max()) + 1
    at_once = max(1, MOST_DRAWN // len(clusters))
    for start in range(0, samples, at_once):
        size = min(at_once, samples - start)
        drawn = random.multinomial(count, np.full(count, 1 / count), size=size)
        yield np.ascontiguousarray(drawn.T[member], np.float64)


@dataclass(frozen=True)
class Outcomes:
    """The answers that a score should tell apart.

    Attributes:
        accuracy: official accuracy of each answer, 0..1.
        correct: whether it counts as right.
    """

    accuracy: Float[np.ndarray, " N"]
    correct: Bool[np.ndarray, " N"]

    @property
    def errors(self) -> dict[str, Float[np.ndarray, " N"]]:
        """Both errors of each answer by name."""
        return {"soft": 1 - self.accuracy, "binary": 1.0 - self.correct}


class Order:
    """Questions by decreasing score; those of equal score are one group.

    Attributes:
        rows: rows of the questions in this order.
        starts: first place of each group; None if all scores differ.
    """

    def __init__(self, score: Float[np.ndarray, " N"]) -> None:
        _, group, sizes = np.unique(-score, return_inverse=True, return_counts=True)
        self.rows = np.argsort(group, kind="stable")
        self.starts = None if len(sizes) == len(score) else np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def __len__(self) -> int:
        return len(self.rows)


class _Ranking:
    """Questions by decreasing score in each sample.

    Attributes:
        size: questions in each group and sample.
        count: questions accepted down to each group, itself included.
        n: questions in each sample.
        steps: sum of 1 / k over the places k of each group.
    """

    def __init__(self, order: Order, times: Times) -> None:
        self._order = order
        self._times = times[order.rows]
        self.size = self._summed(self._times)
        self.count = np.cumsum(self.size, axis=0)
        self.n = self.count[-1]
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, self.n.max() + 1))])
        self.steps = np.diff(harmonic[self.count.astype(np.int64)], axis=0, prepend=0.0)

    def within(self, values: Float[np.ndarray, " N"]) -> Float[np.ndarray, "G S"]:
        """Sum of the values over each group."""
        return self._summed(self._times * values[self._order.rows, None])

    def _summed(self, rows: Float[np.ndarray, "N S"]) -> Float[np.ndarray, "G S"]:
        starts = self._order.starts
        return rows if starts is None else np.add.reduceat(rows, starts, axis=0)


def _once(score: Float[np.ndarray, " N"]) -> _Ranking:
    return _Ranking(Order(score), np.ones((len(score), 1)))


class _Errors:
    """Errors of one kind among the accepted questions.

    Attributes:
        each: sum of the errors of each group and sample.
        total: sum down to each group, itself included.
    """

    def __init__(self, accepted: _Ranking, error: Float[np.ndarray, " N"]) -> None:
        self._accepted = accepted
        self.each = accepted.within(error)
        self.total = np.cumsum(self.each, axis=0)

    @property
    def aurc(self) -> Float[np.ndarray, " S"]:
        """Mean over k of the risk among the k highest scores, mean over the orders of equal ones.

        In a group of W questions with E errors, after W0 with E0, there are E0 + j E / W errors after its
        j-th question. The sum over j of these divided by W0 + j has a closed form by `steps`.
        """
        size, count = self._accepted.size, self._accepted.count
        offset = self.total - self.each / np.maximum(size, 1) * count
        return (self.each + offset * self._accepted.steps).sum(0) / self._accepted.n

    @property
    def augrc(self) -> Float[np.ndarray, " S"]:
        """Mean over k of the errors among the k highest scores, divided by N."""
        size = self._accepted.size
        areas = (self.total - self.each) * size + self.each * (size + 1) / 2
        return areas.sum(0) / self._accepted.n**2

    def coverage(self, risk: float) -> Float[np.ndarray, " S"]:
        """Largest coverage whose risk is at most `risk`."""
        count = self._accepted.count
        # Sums of thirds are rounded, and a risk of exactly 5% is a risk of 5%.
        return np.where(self.total <= risk * count + 1e-9, count, 0.0).max(0) / self._accepted.n


def best_areas(outcomes: Outcomes, times: Times) -> Measures:
    """The smallest possible AURC by error: that of a score that ranks as the errors do."""
    return {
        name: _Errors(_Ranking(Order(-error), times), error).aurc for name, error in outcomes.errors.items()
    }


def ranking_measures(order: Order, outcomes: Outcomes, times: Times, best: Measures) -> Measures:
    """Measures of the order that a score puts the questions in.

    `auroc` (Mann-Whitney, equal scores count half), and by error, `_soft` and `_binary`: `aurc`; `e_aurc`,
    the same minus the smallest possible (`best_areas`; Geifman et al. 2019); `augrc`, the mean over k of the
    errors among the k highest scores divided by N (Traub et al. 2024); `coverage_at_<r>_percent_risk`, which
    needs at least 100 / r questions: with fewer, a single error is above the risk.
    """
    accepted = _Ranking(order, times)
    found: Measures = {}
    for name, error in outcomes.errors.items():
        errors = _Errors(accepted, error)
        aurc = errors.aurc
        found |= {f"aurc_{name}": aurc, f"e_aurc_{name}": aurc - best[name], f"augrc_{name}": errors.augrc}
        for risk in RISKS:
            if risk * len(order) >= 100:
                found[f"coverage_at_{risk}_percent_risk_{name}"] = errors.coverage(risk / 100)
    # `errors` are now the binary ones.
    right, wrong = accepted.size - errors.each, errors.total[-1]
    below = wrong - errors.total + errors.each / 2
    with np.errstate(invalid="ignore"):
        # Undefined in a sample that has one outcome only.
        found["auroc"] = (right * below).sum(0) / ((accepted.n - wrong) * wrong)
    return found


def probability_measures(probability: Float[np.ndarray, " N"], outcomes: Outcomes, times: Times) -> Measures:
    """Measures of a probability of being right.

    `ece`: expected calibration error in `BINS` bins of equal width; `ece_equal_mass`: in as many bins of an
    equal number of questions (equal probabilities stay in one bin); `brier`: mean squared error; `accuracy`:
    share of questions for which 0.5 or more means right; `accuracy_gain`: that minus the share of the more
    frequent outcome, which is always chosen without any features.
    """
    correct, n = outcomes.correct, times.sum(0)
    error = correct - probability
    right = (probability >= 0.5) == correct
    majority = correct if correct.mean() >= 0.5 else ~correct
    rows = np.stack([error**2, right, right.astype(float) - majority])
    brier, accuracy, gain = rows @ times / n
    return {
        "ece": _bin_errors(equal_width(probability), error, times),
        "ece_equal_mass": _bin_errors(_equal_mass(probability), error, times),
        "brier": brier,
        "accuracy": accuracy,
        "accuracy_gain": gain,
    }


def errors_if_calibrated(probability: Float[np.ndarray, " N"], seed: int) -> dict[str, float]:
    """Mean `ece` and `ece_equal_mass` of outcomes drawn with just these probabilities.

    A calibration error is never negative, so the noise of its bins adds to it, and more so for fewer
    questions. These are the values that remain without any miscalibration.
    """
    drawn = np.random.default_rng(seed).random((len(probability), CALIBRATED_DRAWS)) < probability[:, None]
    error = drawn - probability[:, None]
    places = {"ece": equal_width(probability), "ece_equal_mass": _equal_mass(probability)}
    return {
        name: float(np.abs(_members(one) @ error).sum(0).mean() / len(error)) for name, one in places.items()
    }


def equal_width(probability: Float[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """Bin of each probability: `BINS` of equal width."""
    return np.clip((probability * BINS).astype(np.int64), 0, BINS - 1)


def _equal_mass(probability: Float[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    edges = np.quantile(probability, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, probability, side="right").astype(np.int64)


def _members(place: Int64[np.ndarray, " N"]) -> Float[np.ndarray, "K N"]:
    return (np.arange(BINS)[:, None] == place).astype(np.float64)


def _bin_errors(
    place: Int64[np.ndarray, " N"], error: Float[np.ndarray, " N"], times: Times
) -> Float[np.ndarray, " S"]:
    return np.abs((_members(place) * error) @ times).sum(0) / times.sum(0)


def mean_of_splits(splits: Sequence[Measures]) -> Measures:
    """Mean of each measure over the splits of a cross-validation."""
    return {key: np.mean([one[key] for one in splits], axis=0) for key in splits[0]}


def reliability_by_question(
    scores: Float[np.ndarray, "R N"],
    inner: Float[np.ndarray, "R K N"],
    folds: Int64[np.ndarray, "R N"],
    accuracy: Float[np.ndarray, " N"],
    cost: float,
) -> Float[np.ndarray, " N"]:
    """Gain of each question, mean over splits, by a threshold chosen on the questions of the other folds.

    Args:
        scores: score of each question in each split.
        inner: for each fold, the scores of the questions outside of it that the threshold is chosen on.
        folds: fold of each question in each split.
        accuracy: official accuracy of each answer.
        cost: loss of a wrong answer.
    """
    gains, found = _gains(accuracy, cost), np.zeros(len(accuracy))
    for score, inside, fold in zip(scores, inner, folds, strict=True):
        for number, other in enumerate(inside):
            outside = fold != number
            threshold = best_threshold(other[outside], accuracy[outside], cost)
            found += np.where(~outside & (score >= threshold), gains, 0.0)
    return found / len(scores)


def risk_at(
    order: Order,
    error: Float[np.ndarray, " N"],
    times: Times,
    places: Int64[np.ndarray, " P"],
) -> Float[np.ndarray, "P S"]:
    """Risk among the questions whose score is among the k highest of the data, for each k of `places`.

    The threshold is that of the data also in the other samples. Within a tie, its questions count in part.
    """
    accepted, first = _Ranking(order, times), _Ranking(order, np.ones((len(order), 1)))
    ends = first.count[:, 0]
    group = np.searchsorted(ends, places)
    part = ((places - (ends - first.size[:, 0])[group]) / first.size[group, 0])[:, None]
    errors = _Errors(accepted, error)
    count = accepted.count[group] - (1 - part) * accepted.size[group]
    total = errors.total[group] - (1 - part) * errors.each[group]
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)
