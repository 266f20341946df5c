"""Slices of an analysis: the same measures over a part of its questions, from the values that are stored.

The questions are sliced in five ways:

* `answer_type` and `question_type`: as in the official annotations;
* `outcome`: `right` for an official accuracy of at least the plan's `correct_above`, else `wrong`;
* `confidence`: terciles of the probability of the model's answer: `low`, `middle`, `high`;
* `region`: terciles of the share of the image that the question's mask covers: `small`, `middle`, `large`.

The slices of one way are disjoint and cover all questions: those without the property, such as a type, an
accuracy or a mask, are the slice `unknown`. A way is left out if no question has its property.

Terciles are those of the analysed questions of one epoch. Equal values stay together: those that a third of
the questions would end in belong to the lower slice, so that with many ties a slice may be larger than
another, or missing.

Means of values by question are sliced; the share of the words of a part of speech that were the most
important ones, where there are enough of them; and the measures of each score that predicts failures, where
a slice has enough right and wrong answers. Those of an image's other questions (`specificity`,
`other_question`) were measured on all questions of the analysis, also outside of the slice. So were the
regressions that predict failures: none was made for a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from lookwhy.analysis.evaluate import is_share
from lookwhy.analysis.localisation import area
from lookwhy.analysis.method_tests import CENTRE, ENDING
from lookwhy.analysis.modality import MODALITY
from lookwhy.analysis.sliced_scores import Scores
from lookwhy.analysis.sliced_words import WordShares
from lookwhy.analysis.statistics import Estimate, clustered_means, clustered_shares, in_summary
from lookwhy.types import AnalysisResult

FEWEST_QUESTIONS = 30
"""Smallest number of questions behind a value of a slice that is shown without a mark."""
ACCURACY = "accuracy/overall"
UNKNOWN = "unknown"
TYPES = ("answer_type", "question_type")
THIRDS = ("low", "middle", "high")
ORDERS = {"outcome": ("right", "wrong"), "confidence": THIRDS, "region": ("small", "middle", "large")}
"""Slices of each way that is no kind of type, in order."""
_AGREEMENT = {
    "rho": "rank_correlation",
    "rank_correlation": "rank_correlation",  # of the centre prior
    "specificity": "specificity",
    "partial_rank_correlation": "partial_rank_correlation",
    f"rank_correlation{ENDING}": "other_question",
}
"""Measure that each column of the records about agreement holds."""
_MEASURED_IN_PART = ("faithfulness", MODALITY)
"""Families of measures that may be asked of a part of the questions; null is then undefined or not asked."""

Column = Float[np.ndarray, " N"]
Rows = Int64[np.ndarray, " _"]
Wanted = Callable[[str], bool]


class Slice(NamedTuple):
    """The measures of a part of the questions.

    Attributes:
        by: way of slicing: "answer_type", "question_type", "outcome", "confidence" or "region".
        value: its part of that way: "yes/no", "wrong", "low", ...
        questions: number of its questions, with and without values.
        estimates: mean, interval and counts of each measure with a value, by the key of the whole.
        expected: value by chance of each localisation measure, by the same key: the mean area of the masks.
    """

    by: str
    value: str
    questions: int
    estimates: dict[str, Estimate]
    expected: dict[str, float]


def sliced(result: AnalysisResult) -> dict[str, float]:
    """Flat scalars of all slices by `slice/<by>/<value>/<key>`, with the endings of the keys of the whole.

    `n_undefined` is missing for measures that may have been asked of a part of the questions only.

    Example:
        >>> rows = [
        ...     {"question_id": at, "image_id": at // 2, "domain": "image", "method": "occlusion", "rho": rho,
        ...      "accuracy": 1.0, "confidence": 0.5, "answer_type": kind, "question_type": ""}
        ...     for at, (kind, rho) in enumerate([("yes/no", 0.5), ("number", 0.1), ("yes/no", 0.25)])
        ... ]
        >>> found = sliced(AnalysisResult({}, rows))
        >>> found["slice/answer_type/yes/no/image/occlusion/rank_correlation"]
        0.375
        >>> found["slice/answer_type/yes/no/accuracy/overall/n"]
        2.0
    """
    summary: dict[str, float] = {}
    for one in slices(result):
        start = f"slice/{one.by}/{one.value}"
        for key, estimate in one.estimates.items():
            found = in_summary(estimate, f"{start}/{key}")
            if any(f"{family}/" in key for family in _MEASURED_IN_PART):
                del found[f"{start}/{key}/n_undefined"]
            summary |= found
        summary |= {f"{start}/{key}/expected": value for key, value in one.expected.items()}
    return summary


def slices(result: AnalysisResult, wanted: Wanted = lambda key: True) -> list[Slice]:
    """All slices: types by number of questions, largest first, then outcome, confidence and region in order.

    Args:
        result: an analysis with its records, and with its masks for slices by region.
        wanted: whether a key is measured; by default all keys that the records hold values of.
    """
    first: dict[int, dict[str, Any]] = {}
    for record in result.records:
        first.setdefault(int(record["question_id"]), record)
    if not first:
        return []
    plan = result.manifest.get("plan") or {}
    images = np.array([record["image_id"] for record in first.values()], np.int64)
    columns = _columns(result.records, [*first], wanted)
    above = float(plan.get("correct_above", 0.5))
    target = str(plan.get("target", ""))
    measures = (
        _Means(columns, images, target),
        WordShares(result, [*first], images, wanted),
        Scores([*first.values()], images, above, wanted),
    )
    truth = _truth(result, [*first])
    # Without masks, no measure of localisation has a value.
    chance = np.full(len(first), np.nan) if truth is None else area(truth)
    found = []
    for by, labels in _labels([*first.values()], truth, above).items():
        for value, rows in _rows(by, labels).items():
            found_here = (pair for one in measures for pair in one.of(rows).items())
            estimates = {key: one for key, one in found_here if one.n and not np.isnan(one.mean)}
            inside = [key for key in estimates if "/localisation/" in key and not key.endswith(ENDING)]
            expected = {key: float(chance[rows][~np.isnan(columns[key][rows])].mean()) for key in inside}
            found.append(Slice(by, value, len(rows), estimates, expected))
    return found


class _Means:
    """Means of the columns of the records; those of all columns are computed together."""

    def __init__(self, columns: Mapping[str, Column], images: Int64[np.ndarray, " N"], target: str) -> None:
        self._images, self._order = images, list(columns)
        kinds: dict[bool, list[str]] = {False: [], True: []}
        for key in columns:
            kinds[is_share(key, target)].append(key)
        self._kinds = [
            (keys, np.stack([columns[key] for key in keys]), clustered_shares if share else clustered_means)
            for share, keys in kinds.items()
            if keys
        ]

    def of(self, rows: Rows) -> dict[str, Estimate]:
        """Mean of these questions by key."""
        images, found = self._images[rows], dict[str, Estimate]()
        for keys, values, function in self._kinds:
            found |= dict(zip(keys, function(values[:, rows], images), strict=True))
        return {key: found[key] for key in self._order}


def terciles(values: Column, names: Sequence[str] = THIRDS) -> list[str]:
    """Name of each value's third, from the lowest to the highest; `UNKNOWN` for NaN.

    A third ends with the value of rank ceil(N / 3), or ceil(2 N / 3), and all values that are equal to it.

    Example:
        >>> terciles(np.array([0.9, 0.1, 0.5, np.nan]))
        ['high', 'low', 'middle', 'unknown']
        >>> terciles(np.array([0.5, 0.5, 0.5]))
        ['low', 'low', 'low']
    """
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return [UNKNOWN] * len(values)
    ends = known[[-(-part * len(known) // 3) - 1 for part in (1, 2)]]
    place = np.where(np.isnan(values), 3, np.searchsorted(ends, values, side="left"))
    return [(*names, UNKNOWN)[at] for at in place.tolist()]


def _labels(
    questions: list[dict[str, Any]], truth: Float[np.ndarray, "N C C"] | None, correct_above: float
) -> dict[str, list[str]]:
    """Slice of each question by way of slicing; only ways of which a question has the property."""
    accuracy, confidence = (_numbers(questions, name) for name in ("accuracy", "confidence"))
    found = {kind: [str(one.get(kind) or UNKNOWN) for one in questions] for kind in TYPES}
    right, wrong = ORDERS["outcome"]
    found["outcome"] = [
        UNKNOWN if np.isnan(one) else right if one >= correct_above else wrong for one in accuracy.tolist()
    ]
    found["confidence"] = terciles(confidence)
    if truth is not None:
        covered = truth.mean((1, 2))
        found["region"] = terciles(np.where(covered > 0, covered, np.nan), ORDERS["region"])
    return {by: labels for by, labels in found.items() if {*labels} != {UNKNOWN}}


def _rows(by: str, labels: list[str]) -> dict[str, Int64[np.ndarray, " _"]]:
    """Rows of the questions of each slice, in the order of `slices`."""
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rows = {str(name): np.flatnonzero(place == at) for at, name in enumerate(names)}
    # Types of equal size stay in alphabetical order, in which NumPy returns them.
    by_size = [str(names[at]) for at in np.argsort(-counts, kind="stable")]
    order = [one for one in ORDERS.get(by, by_size) if one != UNKNOWN]
    return {one: rows[one] for one in (*order, UNKNOWN) if one in rows}


def _truth(result: AnalysisResult, ids: list[int]) -> Float[np.ndarray, "N C C"] | None:
    """Mask of each question, NaN without one; None if the analysis has no masks."""
    if not len(result.truth):
        return None
    place = {one: at for at, one in enumerate(result.question_ids.tolist())}
    return np.asarray(result.truth[[place[one] for one in ids]], np.float64)


def _columns(records: list[dict[str, Any]], ids: list[int], wanted: Wanted) -> dict[str, Column]:
    """Value of each question, NaN where it has none, by the key of the mean; only keys with a value."""
    place = {one: at for at, one in enumerate(ids)}
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        rows.setdefault((str(record["domain"]), str(record["method"])), []).append(record)
    found: dict[str, Column] = {}
    for (domain, method), own in rows.items():
        at = np.array([place[int(record["question_id"])] for record in own])
        for name in sorted(set().union(*own)):
            key = _key(name, domain, method)
            # Values that do not depend on the method stand in the rows of each method.
            if key and key not in found and wanted(key):
                column = np.full(len(ids), np.nan)
                column[at] = _numbers(own, name)
                if not np.isnan(column).all():
                    found[key] = column
    return found


def _numbers(records: list[dict[str, Any]], name: str) -> Column:
    return np.array([record.get(name) for record in records], np.float64)  # None becomes NaN


def _key(column: str, domain: str, method: str) -> str:
    """Key of the mean of a column of the records; empty if the column is no measure."""
    if column == "accuracy":
        return ACCURACY
    if column.startswith(f"{CENTRE}_"):
        method, column = CENTRE, column.removeprefix(f"{CENTRE}_")
    family, _, measure = column.partition("_")
    if family == MODALITY:
        return f"{MODALITY}/{measure}"
    if family in ("faithfulness", "localisation"):
        return f"{domain}/{method}/{family}/{measure}"
    return f"{domain}/{method}/{_AGREEMENT[column]}" if column in _AGREEMENT else ""
