"""Values by slice for the report page as compact JSON, computed from the stored records of an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lookwhy.analysis.part_of_speech import GROUPS
from lookwhy.analysis.slices import ACCURACY, FEWEST_QUESTIONS, UNKNOWN, Slice, slices
from lookwhy.analysis.statistics import Estimate
from lookwhy.keys import parse
from lookwhy.reporting import measures, style
from lookwhy.reporting.page.numbers import CHANCE, Json, short
from lookwhy.reporting.slices import FEW, WAYS
from lookwhy.types import AnalysisResult

WORDS = "most_important"
"""Measure of a part of speech."""
MOST_TYPES = 16
"""Largest number of question types that the page holds: the most frequent ones."""
MOST_BYTES = 3_000_000
"""Largest size of the values by slice of all runs; of longer runs, some epochs are left out."""
BYTES_OF_VALUE = 30
"""Characters of one value with its interval and count."""


@dataclass(frozen=True)
class _Choice:
    """A measure that can be chosen: its key without the method, its title and whether it is in percent."""

    key: str
    name: str
    percent: bool = False


SHOWN = (
    *(_Choice(f"image/{one.key}", one.name) for one in measures.AGREEMENT),
    _Choice(ACCURACY, "VQA accuracy", percent=True),
    *(_Choice(f"image/{one.key}", one.name) for one in measures.IMAGE),
    _Choice("question/faithfulness/deletion", "Deletion of words: lower is better"),
    _Choice("question/faithfulness/insertion", "Insertion of words: higher is better"),
    _Choice("modality/text_share", "T-SHAP: share of the words"),
    *(
        _Choice(f"question/{WORDS}/{one}", f"Most important word: {style.in_words(one).lower()}", True)
        for one in GROUPS
    ),
    _Choice("selective/auroc", "Selective prediction: AUROC"),
    _Choice("selective/aurc_soft", "Selective prediction: AURC, lower is better"),
    _Choice("selective/coverage_at_10_percent_risk_soft", "Selective prediction: coverage at 10% risk", True),
    _Choice("failure/accuracy_gain", "Failure prediction: gain over the majority"),
)
"""Measures that the page shows by slice, in this order."""
_KEYS = {one.key for one in SHOWN}


def slices_of(result: AnalysisResult) -> Json:
    """Slices of one epoch by way: names, numbers of questions, and values by measure and method.

    The values of a method are in the order of the slices, each as value, ends of its interval and count;
    None without a value. The method of a measure of the answers is "".
    """
    found: Json = {}
    left_out = 0
    for one in slices(result, lambda key: _measure_and_method(key)[0] in _KEYS):
        way = found.setdefault(one.by, {"slices": [], "values": {}})
        if one.by == "question_type" and len(way["slices"]) >= MOST_TYPES and one.value != UNKNOWN:
            left_out += 1
            continue
        way["slices"].append([one.value, one.questions])
        for (measure, method), value in _values(one).items():
            column = way["values"].setdefault(measure, {}).setdefault(method, [])
            column += [None] * (len(way["slices"]) - 1 - len(column)) + [value]
    if left_out:
        found["question_type"]["leftOut"] = left_out
    return {by: way for by, way in found.items() if way["values"]}


def _values(one: Slice) -> dict[tuple[str, str], list[Any]]:
    found = {_measure_and_method(key): _cell(estimate) for key, estimate in one.estimates.items()}
    for key, chance in one.expected.items():
        found.setdefault((_measure_and_method(key)[0], CHANCE), [short(chance)])
    return found


def _cell(estimate: Estimate) -> list[float | int | None]:
    return [short(estimate.mean), short(estimate.ci_low), short(estimate.ci_high), estimate.n]


def _measure_and_method(key: str) -> tuple[str, str]:
    """Parts of a key: ("image/rank_correlation", "occlusion")."""
    row, _ = parse(key)
    group = f"/{row.group}" if row.measure == WORDS else ""
    return f"{row.domain}/{row.measure}{group}", row.method


def bytes_of(content: Json) -> int:
    """About how many bytes the slices of one epoch take."""
    columns = [
        column for way in content.values() for one in way["values"].values() for column in one.values()
    ]
    return BYTES_OF_VALUE * sum(map(len, columns))


def names() -> Json:
    """Names of ways and measures, and the number of questions below which a value is marked."""
    return {
        "ways": WAYS,
        "measures": [{"key": one.key, "name": one.name, "percent": one.percent} for one in SHOWN],
        "fewest": FEWEST_QUESTIONS,
        "few": FEW,
    }
