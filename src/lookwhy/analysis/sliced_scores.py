"""Measures of the scores that predict failures in a part of the questions, from the records.

The regressions are those of the whole analysis: each question has the probability of a right answer that they
give without its image. None is made for a part. An interval is a t interval; its standard error comes from
bootstrap samples of whole images, that of the AUROC from `clustered_auroc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


class Scores:
    """All scores of an analysis, by `selective/<score>/<measure>` and `failure/<features>/<measure>`.

    Args:
        questions: a record of each question, in the order of the rows.
        images: image of each question.
        correct_above: smallest accuracy of a right answer.
        wanted: whether a key is measured.
    """

    def __init__(
        self,
        questions: Sequence[Mapping[str, Any]],
        images: Int64[np.ndarray, " N"],
        correct_above: float,
        wanted: Callable[[str], bool],
    ) -> None:
        accuracy = _numbers(questions, "accuracy")
        self._scores: list[tuple[_Score, dict[str, str]]] = []

        def add(values: Float[np.ndarray, " N"], is_probability: bool, keys: dict[str, str]) -> None:
            if chosen := {key: measure for key, measure in keys.items() if wanted(key)}:
                score = _Score(values, accuracy, images, correct_above, is_probability)
                self._scores.append((score, chosen))

        for name, sign in CERTAINTY.items():
            add(sign * _numbers(questions, name), name == CONFIDENCE, _selective(name, name == CONFIDENCE))
        start = f"{FAILURE}_"
        for column in sorted(one for one in questions[0] if one.startswith(start)):
            features = column.removeprefix(start)
            keys = _selective(FITTED_CONFIDENCE if features == CONFIDENCE else features, True)
            for one in ("auroc", "accuracy", "accuracy_gain", "aurc"):
                keys[f"{FAILURE}/{features}/{one}"] = "aurc_binary" if one == "aurc" else one
            add(_numbers(questions, column), True, keys)

    def of(self, rows: Rows) -> dict[str, Estimate]:
        """Measures of these questions by key; none where they have too few right or wrong answers."""
        found: dict[str, Estimate] = {}
        for score, keys in self._scores:
            measured = score.measures(rows)
            found |= {key: measured[name] for key, name in keys.items() if name in measured}
        return found


def _selective(name: str, is_probability: bool) -> dict[str, str]:
    """The measures of a score by key."""
    measures = RANKED + (OF_PROBABILITIES if is_probability else ())
    return {f"selective/{name}/{one}": one for one in measures}


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

    def measures(self, rows: Rows) -> dict[str, Estimate]:
        """Measures of these questions by name; empty with too few right or wrong answers (`too_few`)."""
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
