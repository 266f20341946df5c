"""Measures of the scores that predict failures in a part of the questions, from the records.

The regressions are those of the whole analysis: each question has the probability of a right answer that they
give without its image. None is made for a part. An interval is a t interval; its standard error comes from
bootstrap samples of whole images, that of the AUROC from `clustered_auroc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from lookwhy.analysis.evaluate import CERTAINTY
from lookwhy.analysis.failure import CONFIDENCE, FAILURE, FEWEST_FOLDS, FITTED_CONFIDENCE, too_few
from lookwhy.analysis.selective import (
    RISKS,
    Order,
    Outcomes,
    best_areas,
    probability_measures,
    ranking_measures,
    samples_of,
)
from lookwhy.analysis.sliced_words import NOTHING
from lookwhy.analysis.statistics import Estimate, clustered_auroc

SAMPLES = 100
"""Bootstrap samples of a standard error, which is then known to about 7%."""
ERRORS = ("soft", "binary")
RANKED = (
    "auroc",
    *(f"{area}_{error}" for area in ("aurc", "e_aurc", "augrc") for error in ERRORS),
    *(f"coverage_at_{risk}_percent_risk_{error}" for risk in RISKS for error in ERRORS),
)
"""Measures of any score."""
OF_PROBABILITIES = ("accuracy", "accuracy_gain", "ece", "ece_equal_mass", "brier")
"""Measures of a score that is a probability."""
Rows = Int64[np.ndarray, " _"]


def scores_measured(
    questions: Sequence[Mapping[str, Any]], images: Int64[np.ndarray, " N"], correct_above: float
) -> dict[str, Callable[[Rows], Estimate]]:
    """Function from rows to a measure, by `selective/<score>/<measure>` and `failure/<features>/<measure>`.

    It gives `NOTHING` where the rows have too few right or wrong answers (`too_few`).

    Args:
        questions: a record of each question, in the order of the rows.
        images: image of each question.
        correct_above: smallest accuracy of a right answer.
    """
    accuracy = _numbers(questions, "accuracy")
    found: dict[str, Callable[[Rows], Estimate]] = {}
    for name, sign in CERTAINTY.items():
        score = _Score(sign * _numbers(questions, name), accuracy, images, correct_above, name == CONFIDENCE)
        found |= {f"selective/{name}/{one}": partial(score.measure, one) for one in score.measures}
    start = f"{FAILURE}_"
    for column in sorted(one for one in questions[0] if one.startswith(start)):
        score = _Score(_numbers(questions, column), accuracy, images, correct_above, True)
        features = column.removeprefix(start)
        name = FITTED_CONFIDENCE if features == CONFIDENCE else features
        found |= {f"selective/{name}/{one}": partial(score.measure, one) for one in score.measures}
        for one in ("auroc", "accuracy", "accuracy_gain", "aurc"):
            own = "aurc_binary" if one == "aurc" else one
            found[f"{FAILURE}/{features}/{one}"] = partial(score.measure, own)
    return found


class _Score:
    """A score of each question, higher for an answer that is more likely right."""

    def __init__(
        self,
        score: Float[np.ndarray, " N"],
        accuracy: Float[np.ndarray, " N"],
        images: Int64[np.ndarray, " N"],
        correct_above: float,
        is_probability: bool,
    ) -> None:
        self._score, self._accuracy, self._images = score, accuracy, images
        self._correct_above, self._is_probability = correct_above, is_probability
        self._last: tuple[bytes, dict[str, Estimate]] = (b"", {})

    @property
    def measures(self) -> tuple[str, ...]:
        return RANKED + (OF_PROBABILITIES if self._is_probability else ())

    def measure(self, name: str, rows: Rows) -> Estimate:
        """One measure; all of the same rows are computed together."""
        if (key := rows.tobytes()) != self._last[0]:
            self._last = key, self._all(rows)
        return self._last[1].get(name, NOTHING)

    def _all(self, rows: Rows) -> dict[str, Estimate]:
        known = rows[~np.isnan(self._accuracy[rows]) & ~np.isnan(self._score[rows])]
        score, accuracy, images = (one[known] for one in (self._score, self._accuracy, self._images))
        correct, clusters = accuracy >= self._correct_above, len(np.unique(images))
        if too_few(correct, clusters, FEWEST_FOLDS):
            return {}
        from scipy.special import stdtrit

        outcomes, order, parts = Outcomes(accuracy, correct), Order(score), []
        for times in samples_of(images, SAMPLES, 0):
            one = ranking_measures(order, outcomes, times, best_areas(outcomes, times))
            parts.append(one | (probability_measures(score, outcomes, times) if self._is_probability else {}))
        width = float(stdtrit(clusters - 1, 0.975))
        found = {}
        for name in parts[0]:
            drawn = np.concatenate([part[name] for part in parts])
            value, half = float(drawn[0]), width * float(np.nanstd(drawn[1:], ddof=1))
            lowest = -1.0 if name == "accuracy_gain" else 0.0
            ends = max(value - half, lowest), min(value + half, 1.0)
            found[name] = Estimate(value, *ends, len(known), len(rows) - len(known), clusters)
        return found | {"auroc": clustered_auroc(score, correct, images)}


def _numbers(questions: Sequence[Mapping[str, Any]], name: str) -> Float[np.ndarray, " N"]:
    return np.array([one.get(name) for one in questions], np.float64)  # None becomes NaN
