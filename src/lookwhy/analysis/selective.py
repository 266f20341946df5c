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
from functools import cached_property

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

IN_CACHE, FEWEST_AT_ONCE = 1 << 17, 64
"""Number of questions x samples at once, whose arrays stay in the cache of a core; and the smallest number of
samples, unless `MOST_DRAWN` allows fewer: work by question, such as that of bins, is done for each part."""

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
    return float(_once(score).coverage(1 - accuracy, np.array([risk]))[0, 0])


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
    return float(_once(score).aurc((1 - accuracy)[None])[0, 0])


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
    in_cache = max(IN_CACHE // len(clusters), FEWEST_AT_ONCE)
    at_once = max(1, min(in_cache, MOST_DRAWN // len(clusters)))
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
    """

    def __init__(self, order: Order, times: Times) -> None:
        self._order = order
        self._times = times[order.rows]
        self.size = self._summed(self._times)
        self.count = np.cumsum(self.size, axis=0)
        self.n = self.count[-1]

    @cached_property
    def _inverse(self) -> Float[np.ndarray, "G S"]:
        with np.errstate(divide="ignore"):
            return np.asarray(1 / self.count)

    def aurc(self, errors: Float[np.ndarray, "E N"]) -> Float[np.ndarray, "E S"]:
        """Mean over k of the risk among the k highest scores, mean over the orders of equal ones.

        In a group of W questions with the mean error e, after W0 questions with E0 errors, there are
        `E0 + j e` errors after its j-th question. Summed over j and divided by `W0 + j`, with the harmonic
        numbers H, that is `W e + (E0 - W0 e) (H(W0 + W) - H(W0))`. Each E0 is itself a sum of the errors
        before, so a group's e counts `W (1 + H(n) - H(W0)) - (W0 + W) (H(W0 + W) - H(W0))` times.
        """
        table = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, self.n.max() + 1))])
        harmonic = table[self.count.astype(np.intp)]
        steps = np.diff(harmonic, axis=0, prepend=0.0)
        weight = self.size * (1 + harmonic[-1] - harmonic + steps) - self.count * steps
        return self._weighted(errors, weight) / self.n

    def augrc(self, errors: Float[np.ndarray, "E N"]) -> Float[np.ndarray, "E S"]:
        """Mean over k of the errors among the k highest scores, divided by N.

        An error counts for itself and for each question accepted after it; within a group, for half of them.
        """
        weight = self.size * (self.n - self.count + (self.size + 1) / 2)
        return self._weighted(errors, weight) / self.n**2

    def coverage(
        self, error: Float[np.ndarray, " N"], risks: Float[np.ndarray, " R"]
    ) -> Float[np.ndarray, "R S"]:
        """Largest coverage whose risk is at most each of `risks`; 0 if there is none."""
        reached = np.cumsum(self._within(error), axis=0)
        # Sums of thirds are rounded, and a risk of exactly 5% is a risk of 5%.
        reached -= 1e-9
        reached *= self._inverse
        # The smallest risk of all larger coverages falls from the end on, so a binary search finds its place.
        lowest = reached[::-1]
        np.minimum.accumulate(lowest, axis=0, out=lowest)
        groups, samples = lowest.shape
        wanted, column = np.asarray(risks)[:, None], np.arange(samples)
        low = np.zeros((len(wanted), samples), np.intp)
        high = np.full_like(low, groups)
        while (low < high).any():
            middle = (low + high) // 2
            above = lowest[np.minimum(middle, groups - 1), column] > wanted
            is_open = low < high
            low = np.where(is_open & above, middle + 1, low)
            high = np.where(is_open & ~above, middle, high)
        accepted = self.count[np.maximum(groups - 1 - low, 0), column]
        return np.where(low < groups, accepted, 0.0) / self.n

    def _within(self, values: Float[np.ndarray, " N"]) -> Float[np.ndarray, "G S"]:
        """Sum of the values over each group."""
        return self._summed(self._times * values[self._order.rows, None])

    def _weighted(
        self, errors: Float[np.ndarray, "E N"], weight: Float[np.ndarray, "G S"]
    ) -> Float[np.ndarray, "E S"]:
        """Sum over the groups of their mean error times a weight, which is 0 for an empty group."""
        if self._order.starts is None:
            return errors[:, self._order.rows] @ weight
        share = weight / np.maximum(self.size, 1)
        return np.stack([(self._within(error) * share).sum(0) for error in errors])

    def _summed(self, rows: Float[np.ndarray, "N S"]) -> Float[np.ndarray, "G S"]:
        starts = self._order.starts
        return rows if starts is None else np.add.reduceat(rows, starts, axis=0)


def _once(score: Float[np.ndarray, " N"]) -> _Ranking:
    return _Ranking(Order(score), np.ones((len(score), 1)))


def best_areas(outcomes: Outcomes, times: Times) -> Measures:
    """The smallest possible AURC by error: that of a score that ranks as the errors do."""
    return {
        name: _Ranking(Order(-error), times).aurc(error[None])[0] for name, error in outcomes.errors.items()
    }


def ranking_measures(order: Order, outcomes: Outcomes, times: Times, best: Measures) -> Measures:
    """Measures of the order that a score puts the questions in.

    These are the areas, and by error, `_soft` and `_binary`, `coverage_at_<r>_percent_risk`, which needs at
    least 100 / r questions: with fewer, a single error is above the risk.
    """
    accepted = _Ranking(order, times)
    found = _areas(accepted, outcomes, times, best)
    risks = [risk for risk in RISKS if risk * len(order) >= 100]
    for name, error in outcomes.errors.items():
        coverages = accepted.coverage(error, np.array(risks) / 100)
        for risk, coverage in zip(risks, coverages, strict=True):
            found[f"coverage_at_{risk}_percent_risk_{name}"] = coverage
    return found


def areas_of(order: Order, outcomes: Outcomes, times: Times, best: Measures) -> Measures:
    """Areas of the order that a score puts the questions in.

    `auroc` (Mann-Whitney, equal scores count half), and by error, `_soft` and `_binary`: `aurc`; `e_aurc`,
    the same minus the smallest possible (`best_areas`; Geifman et al. 2019); `augrc`, the mean over k of the
    errors among the k highest scores divided by N (Traub et al. 2024).
    """
    return _areas(_Ranking(order, times), outcomes, times, best)


def _areas(accepted: _Ranking, outcomes: Outcomes, times: Times, best: Measures) -> Measures:
    errors = outcomes.errors
    stacked = np.stack([*errors.values()])
    areas, generalised = accepted.aurc(stacked), accepted.augrc(stacked)
    found: Measures = {}
    for name, aurc, augrc in zip(errors, areas, generalised, strict=True):
        found |= {f"aurc_{name}": aurc, f"e_aurc_{name}": aurc - best[name], f"augrc_{name}": augrc}
    # Over all pairs of questions, AUGRC counts those of a wrong answer with any question accepted after it.
    # Without those of two wrong answers, the pairs in the wrong order are left (Traub et al. 2024).
    wrong = errors["binary"] @ times
    pairs = (accepted.n - wrong) * wrong
    swapped = generalised[[*errors].index("binary")] * accepted.n**2 - wrong / 2 - wrong**2 / 2
    # Undefined in a sample that has one outcome only.
    found["auroc"] = np.where(pairs > 0, 1 - swapped / np.maximum(pairs, 1), np.nan)
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
    starts = np.arange(len(order)) if order.starts is None else order.starts
    group = np.searchsorted(starts, places - 1, side="right") - 1
    before, after = starts[group], np.append(starts, len(order))[group + 1]
    part = ((places - before) / (after - before))[:, None]
    some = times[order.rows]
    reached = []
    for rows in (some, some * error[order.rows, None]):
        first, last = _sums_before(rows, before), _sums_before(rows, after)
        reached.append(last - (1 - part) * (last - first))
    count, total = reached
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


def _sums_before(rows: Float[np.ndarray, "N S"], ends: Int64[np.ndarray, " P"]) -> Float[np.ndarray, "P S"]:
    """Sums of the first rows, down to each of the increasing `ends`."""
    cuts = np.unique(np.concatenate([[0], ends, [len(rows)]]))
    sums = np.add.reduceat(rows, cuts[:-1], axis=0)
    totals = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(sums, axis=0)])
    return totals[np.searchsorted(cuts, ends)]
