"""Paired differences between two analyses, or two methods, of the same questions.

A hard question is hard for both sides, so two separate intervals overestimate the uncertainty of the
difference. Here questions are joined by id and text, and the difference is computed for each question. The
mean difference gets an interval that is clustered by image (`lookwhy.analysis.statistics.clustered_mean`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from lookwhy.analysis.statistics import (
    FEWEST_IMAGES,
    Estimate,
    clustered_mean,
    detectable,
    holm,
    p_value,
    questions_for,
)

Records = list[dict[str, Any]]
"""Rows of an analysis, one per question x method (`lookwhy.store.RECORD_COLUMNS`)."""

RHO, ACCURACY, CONFIDENCE = "rank_correlation", "accuracy", "confidence"
MEASURES = {
    RHO: "rho",
    "specificity": "specificity",
    "faithfulness/correlation": "faithfulness_correlation",
    "faithfulness/deletion_patch": "faithfulness_deletion_patch",
    "faithfulness/insertion_patch": "faithfulness_insertion_patch",
    "localisation/mass_accuracy": "localisation_mass_accuracy",
    "localisation/rank_accuracy": "localisation_rank_accuracy",
    "localisation/pointing_game": "localisation_pointing_game",
}
"""Column of the records that holds each measure of an image method."""
LEVEL = 0.05
"""Largest corrected p-value of a difference that counts as significant."""


@dataclass(frozen=True)
class Difference:
    """Mean over questions of the second value minus the first.

    Attributes:
        measure: one of `MEASURES`, `accuracy` (VQA accuracy, 0..1) or `confidence` (0..1).
        first: method of the first value; empty if the measure has no method.
        second: method of the second value.
        estimate: mean and 95% interval; `n` joined questions have both values, `n_undefined` lack one.
        unmatched: number of questions that only one side has.
        p_value: p-value of the t test that the mean difference is 0; NaN without an interval.
        p_holm: the same, corrected by Holm (1979) for all differences of its measure in the comparison.
    """

    measure: str
    first: str
    second: str
    estimate: Estimate
    unmatched: int
    p_value: float = float("nan")
    p_holm: float = float("nan")

    @property
    def detectable(self) -> float:
        """Smallest difference that as many questions could show (80% power, 5% before correction)."""
        return detectable(self.estimate)

    @property
    def needed(self) -> float:
        """Number of questions that could show a difference of 0.01, with as many about an image."""
        return questions_for(self.estimate)

    @property
    def is_significant(self) -> bool:
        """Whether the corrected p-value is below 5%, on at least `FEWEST_IMAGES` images."""
        return self.p_holm < LEVEL and self.estimate.clusters >= FEWEST_IMAGES


class Comparison(NamedTuple):
    """A group of differences, and a title that states which side is subtracted from which."""

    title: str
    differences: list[Difference]


def between_analyses(first: Records, second: Records) -> list[Difference]:
    """Second analysis minus the first: accuracy, confidence, and the measures of common methods.

    The analyses are from different runs or epochs. A measure is left out if no question has it in both.
    """
    asked = [(ACCURACY, "", ACCURACY), (CONFIDENCE, "", CONFIDENCE)]
    methods = [method for method in _image_methods(first) if method in _image_methods(second)]
    columns = [{name for record in records for name in record} for records in (first, second)]
    for measure, column in MEASURES.items():
        if all(column in known for known in columns):
            asked += [(measure, method, column) for method in methods]
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
        unmatched = len(first.keys() ^ second.keys())
        found.append(Difference(measure, one, other, estimate, unmatched, p_value(estimate)))
    defined = [difference for difference in found if difference.estimate.n]
    tested: dict[Difference, float] = {}
    for measure in dict.fromkeys(one.measure for one in defined):
        family = [one for one in defined if one.measure == measure]
        corrected = holm(np.array([one.p_value for one in family]))
        tested |= dict(zip(family, corrected.tolist(), strict=True))
    return [replace(one, p_holm=tested[one]) for one in defined]


def _values(records: Records, column: str, image_method: str = "") -> Values:
    """Values of a column by question, of one image method; of any row if all methods have equal values."""
    found: Values = {}
    for record in records:
        if not image_method or (record["domain"], record["method"]) == ("image", image_method):
            value = record.get(column)
            key = int(record["question_id"]), str(record["question"])
            found[key] = (float("nan") if value is None else float(value), int(record["image_id"]))
    return found


def _image_methods(records: Records) -> list[str]:
    return sorted({str(record["method"]) for record in records if record["domain"] == "image"})
