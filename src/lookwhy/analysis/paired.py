"""Paired differences between two analyses, or two methods, of the same questions.

A hard question is hard for both sides, so two separate intervals overestimate the uncertainty of the
difference. Here questions are joined by id and text, and the difference is computed for each question. The
mean difference gets an interval that is clustered by image (`lookwhy.analysis.statistics.clustered_mean`).
"""

from __future__ import annotations

from collections.abc import Iterable
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


def between_analyses(first: Records, second: Records) -> list[Difference]:
    """Second analysis minus the first: accuracy, confidence, and the rank correlation of common methods.

    The analyses are from different runs or epochs. A measure is left out if no question has it in both.
    """
    asked = [(ACCURACY, "", ACCURACY), (CONFIDENCE, "", CONFIDENCE)]
    asked += [(RHO, method, "rho") for method in _image_methods(first) if method in _image_methods(second)]
    pairs = [
        (measure, method, method, _values(first, column, method), _values(second, column, method))
        for measure, method, column in asked
    ]
    return _differences(pairs)


def between_methods(records: Records) -> list[Difference]:
    """Differences of rank correlation between each two image methods, the later name minus the earlier."""
    values = {method: _values(records, "rho", method) for method in _image_methods(records)}
    pairs = [(RHO, one, other, values[one], values[other]) for one, other in combinations(values, 2)]
    return _differences(pairs)


Values = dict[tuple[int, str], tuple[float, int]]
"""For each question (id, text): value (NaN if undefined) and image id. Different data sets share ids."""


def _differences(pairs: Iterable[tuple[str, str, str, Values, Values]]) -> list[Difference]:
    """The differences that are defined, from measures, both methods and both values."""
    found = []
    for measure, one, other, first, second in pairs:
        joined = sorted(first.keys() & second.keys())
        differences = np.array([second[key][0] - first[key][0] for key in joined], np.float64)
        images = np.array([first[key][1] for key in joined], np.int64)
        estimate = clustered_mean(differences, images)
        found.append(Difference(measure, one, other, estimate, len(first.keys() ^ second.keys())))
    return [difference for difference in found if difference.estimate.n]


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
