"""Paired differences between two analyses, or two methods, of the same questions.

A hard question is hard for both sides, so two separate intervals overestimate the uncertainty of the
difference. Here questions are joined by id and text, and the difference is computed for each question. The
mean difference gets a bootstrap interval over whole images (Efron & Tibshirani 1993, section 8.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from lookwhy.analysis.statistics import Estimate, clustered_mean

Records = list[dict[str, Any]]
"""Rows of an analysis, one per question x method (`lookwhy.store.RECORD_COLUMNS`)."""

RHO, ACCURACY, CONFIDENCE = "rank_correlation", "accuracy", "confidence"


@dataclass(frozen=True)
class Difference:
    """Mean over questions of the second value minus the first.

    Attributes:
        measure: `rank_correlation`, `accuracy` (VQA accuracy, 0..1) or `confidence` (0..1).
        first: method of the first value; empty if the measure has no method.
        second: method of the second value.
        estimate: mean and 95% interval; `n` joined questions have both values, `n_undefined` lack one.
        unmatched: number of questions that only one side has.
    """

    measure: str
    first: str
    second: str
    estimate: Estimate
    unmatched: int


class Comparison(NamedTuple):
    """A group of differences, and a title that states which side is subtracted from which."""

    title: str
    differences: list[Difference]


def between_analyses(first: Records, second: Records, samples: int = 1000, seed: int = 0) -> list[Difference]:
    """Second analysis minus the first: accuracy, confidence, and the rank correlation of common methods.

    The analyses are from different runs or epochs. A measure is left out if no question has it in both.
    """
    found = [
        _difference(measure, "", "", _values(first, measure), _values(second, measure), samples, seed)
        for measure in (ACCURACY, CONFIDENCE)
    ]
    for method in sorted(set(_image_methods(first)) & set(_image_methods(second))):
        one, other = _values(first, "rho", method), _values(second, "rho", method)
        found.append(_difference(RHO, method, method, one, other, samples, seed))
    return [difference for difference in found if difference.estimate.n]


def between_methods(records: Records, samples: int = 1000, seed: int = 0) -> list[Difference]:
    """Differences of rank correlation between each two image methods, the later name minus the earlier."""
    found = [
        _difference(
            RHO, one, other, _values(records, "rho", one), _values(records, "rho", other), samples, seed
        )
        for one, other in combinations(_image_methods(records), 2)
    ]
    return [difference for difference in found if difference.estimate.n]


Values = dict[tuple[int, str], tuple[float, int]]
"""For each question (id, text): value (NaN if undefined) and image id. Different data sets share ids."""


def _difference(
    measure: str, one: str, other: str, first: Values, second: Values, samples: int, seed: int
) -> Difference:
    joined = sorted(first.keys() & second.keys())
    differences = np.array([second[key][0] - first[key][0] for key in joined], np.float64)
    images = np.array([first[key][1] for key in joined], np.int64)
    estimate = clustered_mean(differences, images, samples, seed)
    return Difference(measure, one, other, estimate, len(first.keys() ^ second.keys()))


def _values(records: Records, column: str, image_method: str = "") -> Values:
    """Values of a column by question, of one image method; of any row if all methods have equal values."""
    found: Values = {}
    for record in records:
        if not image_method or (record["domain"], record["method"]) == ("image", image_method):
            value = record[column]
            key = int(record["question_id"]), str(record["question"])
            found[key] = (float("nan") if value is None else float(value), int(record["image_id"]))
    return found


def _image_methods(records: Records) -> list[str]:
    return sorted({str(record["method"]) for record in records if record["domain"] == "image"})
