"""Tables of the report page as HTML; on a narrow screen each row becomes a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lookwhy.analysis.paired import ACCURACY, CONFIDENCE, RHO, Comparison, Difference
from lookwhy.analysis.statistics import DIFFERENCE
from lookwhy.keys import Row
from lookwhy.reporting import numbers, paired, sanity, style
from lookwhy.reporting.page.parts import escape, note_line
from lookwhy.types import AnalysisResult

_MEASURES = {
    RHO: "Rank correlation ρ",
    ACCURACY: "VQA accuracy",
    CONFIDENCE: "Confidence of the answer",
    "specificity": "Question-specific ρ",
    "faithfulness/correlation": "Faithfulness correlation",
    "faithfulness/deletion_patch": "Deletion",
    "faithfulness/insertion_patch": "Insertion",
    "localisation/mass_accuracy": "Mass accuracy",
    "localisation/rank_accuracy": "Rank accuracy",
    "localisation/pointing_game": "Pointing game",
}
_COULD_SHOW = (
    "Could show: smallest difference that as many questions could show (80% power, 5% before correction); "
    f"and how many questions a difference of {DIFFERENCE} would take, with as many about an image."
)


def table_one(result: AnalysisResult, note: bool) -> str:
    """Table 1 of the paper as HTML, with or without its note; empty without rows."""
    heads, rows = ["Method"], []
    for method in numbers.table_rows(result):
        found = numbers.table_cells(result, method)
        heads = ["Method", *found]
        name = escape(style.method_name(method, result.manifest))
        cells = [_small(*cell) for cell in found.values()]
        rows.append(_row(name, cells, heads, "baseline" if method in style.BASELINES else ""))
    if not rows:
        return ""
    below = note_line(numbers.table_note(result)) if note else ""
    return _table(heads, rows, numbers.table_title(result)) + below


def sanity_table(result: AnalysisResult) -> str:
    """The sanity card of a run as HTML; empty without one."""
    found = sanity.card_rows(result)
    if not found:
        return ""
    heads, rows, before = (
        ["Method", "Measure", *(sanity.SHOWN[one] for one in sanity.columns(result))],
        [],
        "",
    )
    for row in found:
        light = sanity.light(result, row.name)
        sign = light_sign(light) if light else ""
        name = f"{sign}{escape(sanity.method_of(row.name))}" if row.name != before else ""
        rows.append(_row(name, [escape(row.measure), *(_small(*cell) for cell in row.cells)], heads))
        before = row.name
    below = "".join(note_line(one) for one in (*sanity.lines(result), sanity.note(result)))
    return _table(heads, rows, sanity.TITLE) + below


def light_sign(light: sanity.Light) -> str:
    """The sign of a light in its colour, with its words for readers of screens and as a tooltip."""
    colour, words = style.light_dark(light.colour), escape(light.words)
    return (
        f'<span class="light" style="color: {colour}" role="img" title="{words}" aria-label="{words}">'
        f"{light.sign}</span> "
    )


def macro_table(result: AnalysisResult) -> str:
    """Means over images instead of questions; empty where they are the same."""
    if not numbers.has_macro(result):
        return ""
    heads = ["Method", *numbers.MACRO_COLUMNS]
    rows = [
        _row(
            escape(style.method_name(method, result.manifest)),
            [_small(*cell) for cell in numbers.macro_cells(result, method).values()],
            heads,
            "baseline" if method in style.BASELINES else "",
        )
        for method in numbers.table_rows(result)
    ]
    title = f"<h3>{escape(numbers.MACRO_TITLE)}</h3>"
    return title + _table(heads, rows, numbers.MACRO_TITLE) + note_line(numbers.MACRO_NOTE)


def paired_table(comparisons: list[Comparison]) -> str:
    """Paired differences: one table for each comparison, one row for each difference."""
    heads = ["Measure", "Difference", "95% interval", "Could show", "Questions"]
    nothing, found = note_line("Nothing to compare: no question has a value on both sides."), ""
    for comparison in comparisons:
        rows = [_difference_row(difference, heads) for difference in comparison.differences]
        found += f"<h3>{escape(comparison.title)}</h3>"
        found += _table(heads, rows, comparison.title) if rows else nothing
    return found + (note_line(_COULD_SHOW) if "<table" in found else "")


def tests_table(result: AnalysisResult) -> str:
    """Paired tests of the methods of one analysis; empty without any."""
    columns = paired.columns(result)
    if not columns:
        return ""
    heads = ["First minus second", *columns.values()]
    rows = []
    for pair in paired.pairs(result):
        cells = [_tested(pair.differences.get(measure)) for measure in columns]
        rows.append(_row(escape(pair.name), cells, heads))
    table = _table(heads, rows, paired.TITLE)
    return f'<div class="tests">{table}</div>' + note_line(paired.note(result, "Bold"))


def _tested(row: Row | None) -> str:
    if row is None or row.value is None:
        return numbers.NOTHING
    value = f"<strong>{_signed(row.value)}</strong>" if paired.is_significant(row) else _signed(row.value)
    if row.ci_low is None or row.ci_high is None:
        return value
    ends = ", ".join(_signed(end, "{:+.2f}") for end in (row.ci_low, row.ci_high))
    return f"{value}<small>[{ends}]</small>"


def caveat(manifests: Sequence[Mapping[str, Any]]) -> str:
    """A warning for runs whose rank correlations were measured in different ways; else empty."""
    plans = [manifest.get("plan") or {} for manifest in manifests]
    measured = {
        "grids of different sizes": {str(manifest.get("grid")) for manifest in manifests},
        "magnitudes or signed values": {plan.get("compared", "magnitude") for plan in plans},
    }
    differ = [f"{what} ({', '.join(sorted(found))})" for what, found in measured.items() if len(found) > 1]
    return note_line(f"Not measured alike: these runs compared {' and '.join(differ)}.") if differ else ""


def _difference_row(difference: Difference, heads: list[str]) -> str:
    found = difference.estimate
    known = found.ci_low == found.ci_low
    value = f"<strong>{_signed(found.mean)}</strong>" if difference.is_significant else _signed(found.mean)
    interval = f"[{_signed(found.ci_low)}, {_signed(found.ci_high)}]" if known else numbers.NOTHING
    left_out = [(found.n_undefined, "undefined"), (difference.unmatched, "unmatched")]
    cells = [
        value,
        _small(interval, _p(difference.p_holm)),
        _could_show(difference),
        _small(str(found.n), *(f"{many} {why}" for many, why in left_out if many)),
    ]
    name, sides = _MEASURES[difference.measure], [difference.second, difference.first]
    if difference.first:
        name += ", " + " minus ".join(dict.fromkeys(style.method_name(side) for side in sides))
    return _row(escape(name), cells, heads)


def _could_show(difference: Difference) -> str:
    """The smallest difference that could be found, and the questions that one of 0.01 would take."""
    smallest, needed = difference.detectable, difference.needed
    if np.isnan(smallest):
        return numbers.NOTHING
    return _small(f"{smallest:.3f}", f"{needed:,.0f} for {DIFFERENCE}" if needed else "")


def _p(value: float) -> str:
    """A p-value in words; empty if it is undefined."""
    if np.isnan(value):
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _signed(value: float, form: str = "{:+.3f}") -> str:
    text = form.format(value)
    # A tiny negative mean is shown as zero, without its sign.
    return text[1:] if not text.strip("+-0.") else text.replace("-", "−")


def _table(heads: list[str], rows: list[str], label: str) -> str:
    head = "".join(f'<th scope="col" role="columnheader">{escape(name)}</th>' for name in heads)
    return (
        f'<table class="stacks" role="table" aria-label="{escape(label)}">'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )


def _row(name: str, cells: list[str], heads: list[str], kind: str = "") -> str:
    # Each cell names its column, because a narrow screen hides the head. The roles keep the meaning of a
    # table for screen readers when CSS changes its layout.
    named = "".join(
        f'<td role="cell" data-head="{escape(head)}"><span>{cell}</span></td>'
        for head, cell in zip(heads[1:], cells, strict=True)
    )
    kind = f' class="{kind}"' if kind else ""
    return f'<tr role="row"{kind}><th scope="row" role="rowheader">{name}</th>{named}</tr>'


def _small(mean: str, *below: str) -> str:
    """A value above small lines, those with text."""
    return escape(mean) + "".join(f"<small>{escape(line)}</small>" for line in below if line)
