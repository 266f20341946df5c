"""Paired tests of an analysis' methods for the terminal and the page."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from lookwhy.analysis.paired import Comparison
from lookwhy.analysis.statistics import FEWEST_IMAGES
from lookwhy.keys import Row
from lookwhy.reporting import measures, reading, style
from lookwhy.types import AnalysisResult

TITLE = "Paired differences: methods against each other and against baselines"
SECONDS = {
    "centre_prior": "the centre prior",
    "other_question": "another question’s map",
    "untrained": "its untrained model’s",
}
"""Names of second sides that are no methods."""
LEVEL = 0.05


class Pair(NamedTuple):
    """The differences of two sides by measure; a measure without a difference is absent."""

    first: str
    second: str
    differences: dict[str, Row]

    @property
    def name(self) -> str:
        """Both sides in words: "Occlusion minus the centre prior"."""
        return f"{style.method_name(self.first)} minus {self.second_name}"

    @property
    def second_name(self) -> str:
        """The second side in words."""
        return SECONDS.get(self.second) or style.method_name(self.second)


def heads(result: AnalysisResult) -> dict[str, str]:
    """Heads of the measures of an image method by key, in the order of the table of which map to believe."""
    fill = next(iter(measures.fills(result)), "patch")
    return {
        "rank_correlation": "Agreement",
        "specificity": "Question-specific",
        f"faithfulness/deletion_{fill}": "Deletion",
        f"faithfulness/insertion_{fill}": "Insertion",
        "faithfulness/correlation": "Faithfulness",
        "localisation/mass_accuracy": "Mass",
        "localisation/rank_accuracy": "Rank",
        "localisation/pointing_game": "Pointing game",
    }


def columns(result: AnalysisResult) -> dict[str, str]:
    """Head of each measure that was tested."""
    found = {row.measure for row in reading.rows(result, "paired")}
    return {measure: head for measure, head in heads(result).items() if measure in found}


def pairs(result: AnalysisResult) -> list[Pair]:
    """All pairs: methods against each other, then against the centre prior, then another question's maps."""
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in reading.rows(result, "paired"):
        if row.value is not None:
            found.setdefault((row.method, row.group), {})[row.measure] = row
    order = ["", *SECONDS]

    def place(pair: tuple[str, str]) -> tuple[int, str, str]:
        second = pair[1] if pair[1] in SECONDS else ""
        return order.index(second), *pair

    return [Pair(*pair, found[pair]) for pair in sorted(found, key=place)]


def changes(untrained: Comparison) -> list[Pair]:
    """Differences of the methods from the untrained model, as `comparisons.since_untrained` found them."""
    found: dict[str, dict[str, Row]] = {}
    for one in untrained.differences:
        if one.second:
            estimate = one.estimate
            row = Row(
                "paired", one.second, one.measure, "untrained", None, estimate.mean,
                n=float(estimate.n), images=float(estimate.clusters), p_value=one.p_value, p_holm=one.p_holm,
            )  # fmt: skip
            if estimate.clusters > 1:
                row = replace(row, ci_low=estimate.ci_low, ci_high=estimate.ci_high)
            found.setdefault(one.second, {})[one.measure] = row
    return [Pair(method, "untrained", rows) for method, rows in found.items()]


def is_significant(row: Row) -> bool:
    """Whether the corrected p-value is below 5%, on enough images for a test."""
    return (
        row.p_holm is not None
        and row.p_holm < LEVEL
        and row.images is not None
        and row.images >= FEWEST_IMAGES
    )


def is_better(row: Row) -> bool:
    """Whether the first side of a difference is the better one."""
    sign = next((one.sign for one in measures.IMAGE if one.key == row.measure), 1.0)
    return (row.value or 0.0) * sign > 0


def note(result: AnalysisResult, mark: str) -> str:
    """How the differences were tested, the families, and the difference that could have been found.

    `mark` says how a significant difference is marked.
    """
    shown, found = columns(result), pairs(result)
    sizes = [
        f"{head.lower()} {sum(measure in pair.differences for pair in found)}"
        for measure, head in shown.items()
    ]
    parts = [
        "Mean difference within questions, with its 95% interval before correction (t test, errors "
        f"clustered by image). {mark}: p below 0.05 by Holm (1979), corrected for the comparisons of its "
        f"column: {', '.join(sizes)}."
    ]
    for measure in ("rank_correlation", "specificity"):
        rows = [pair.differences[measure] for pair in found if measure in pair.differences]
        between = [row for row in rows if row.group not in SECONDS]
        smallest = [row.detectable for row in between if row.detectable is not None]
        needed = [row.needed for row in between if row.needed is not None]
        if smallest and needed:
            parts.append(
                f"Between methods, {_span(rows)} could show a difference in {shown[measure].lower()} of "
                f"{_range(smallest, '{:.3f}')} (80% power, 5% before correction); one of 0.01 would take "
                f"{_range(needed, '{:,.0f}')} questions."
            )
    return " ".join(parts)


def _span(rows: list[Row]) -> str:
    counts = sorted({int(row.n) for row in rows if row.n is not None})
    return f"{_range([float(one) for one in counts], '{:.0f}')} questions"


def _range(values: list[float], form: str) -> str:
    ends = dict.fromkeys(form.format(value) for value in (min(values), max(values)))
    return "–".join(ends)
