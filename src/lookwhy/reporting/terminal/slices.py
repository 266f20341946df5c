"""Table for the terminal: agreement and accuracy by slice."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from lookwhy.analysis.slices import ACCURACY, FEWEST_QUESTIONS, UNKNOWN, Slice, slices
from lookwhy.analysis.statistics import FEWEST_IMAGES, Estimate
from lookwhy.keys import parse
from lookwhy.reporting import style
from lookwhy.reporting.numbers import NOTHING
from lookwhy.reporting.slices import FEW, WAYS
from lookwhy.reporting.terminal.cells import MARK, QUIET, WIDE, new_table, short, star
from lookwhy.types import AnalysisResult

_MEASURES = ("rank_correlation", "specificity")
_MOST_TYPES = 10
"""Largest number of question types in the table: the most frequent ones."""
_NAME, _FIRST, _EACH = 24, 40, 12
"""Characters of the names of slices, of all columns before the methods, and of each method."""


def slices_tables(result: AnalysisResult, width: int = WIDE) -> list[Table]:
    """Agreement and question-specific agreement of each image method, and accuracy, by slice.

    As many methods stand side by side as fit the `width`; empty if nothing can be sliced.
    """
    found = slices(result, lambda key: key == ACCURACY or _is_shown(key))
    found = [one for one in found if one.estimates]
    names = dict.fromkeys(parse(key)[0].method for one in found for key in one.estimates if key != ACCURACY)
    baselines = [name for name in style.BASELINES if name in names]
    methods = [*sorted(set(names) - set(baselines)), *baselines]
    at_once = max((width - _FIRST) // _EACH, 1)
    parts = [methods[at : at + at_once] for at in range(0, len(methods), at_once)] or [[]]
    types = [one for one in found if one.by == "question_type" and one.value != UNKNOWN][_MOST_TYPES:]
    shown = [one for one in found if one not in types]
    return [_table(shown, some, len(types), some is parts[-1]) for some in parts if found]


def _is_shown(key: str) -> bool:
    row, _ = parse(key)
    return row.domain == "image" and row.measure in _MEASURES


def _table(found: Sequence[Slice], methods: Sequence[str], left_out: int, has_note: bool) -> Table:
    table = new_table(
        "Slices: for which questions the numbers hold", _note(methods, left_out) if has_note else ""
    )
    table.padding = (0, 0, 0, 1)
    table.add_column("Slice", max_width=_NAME, overflow="fold")
    # The only word of a method's name that is longer than its column.
    names = (style.method_name(method).replace("backpropagation", "back-\npropagation") for method in methods)
    for head in ("n", "Accuracy", *names):
        table.add_column(head, justify="right", max_width=_EACH - 1, overflow="fold")
    by = ""
    for one in found:
        if one.by != by:
            table.add_row(Text(WAYS[one.by], style=QUIET))
            by = one.by
        accuracy = one.estimates.get(ACCURACY)
        cells = [
            Text(f"{one.questions}{FEW if one.questions < FEWEST_QUESTIONS else ''}"),
            Text(NOTHING) if accuracy is None else _with_interval(Text(f"{accuracy.mean:.1%}"), accuracy),
        ]
        for method in methods:
            keys = [f"image/{method}/{measure}" for measure in _MEASURES]
            values = Text(" ").join(_cell(one, one.estimates.get(key)) for key in keys)
            cells.append(_with_interval(values, one.estimates.get(keys[0])))
        table.add_row(Text(f" {one.value}"), *cells)
    return table


def _cell(one: Slice, estimate: Estimate | None) -> Text:
    """A value, marked if its interval excludes 0, or if it rests on few questions of a larger slice."""
    if estimate is None:
        return Text(f"{NOTHING:>5}")
    text = star(estimate.mean > 0) if estimate.excludes(0.0) else Text()
    text.append(short(estimate.mean))
    if estimate.n < FEWEST_QUESTIONS <= one.questions:
        text.append(FEW)
    text.pad_left(5 - len(text))
    return text


def _with_interval(text: Text, estimate: Estimate | None) -> Text:
    """The text with a 95% interval below it, if there is one."""
    if estimate is None or estimate.clusters < 2:
        return text
    return text.append(f"\n{short(estimate.ci_low)}–{short(estimate.ci_high)}", style=QUIET)


def _note(methods: Sequence[str], left_out: int) -> str:
    parts = [f"n: questions of the slice. {FEW}: fewer than {FEWEST_QUESTIONS}, too few to rely on."]
    if methods:
        parts.insert(0, "Below each method: agreement with the annotators, then question-specific agreement.")
        parts.append(f"{MARK}: the 95% interval excludes 0, on at least {FEWEST_IMAGES} images.")
    if left_out:
        parts.append(f"{left_out} less frequent question types are not shown.")
    parts.append(
        "Second line: 95% intervals of the accuracy and of the agreement. Confidence and region: thirds of "
        "the questions. All measures with their intervals: the report page."
    )
    return " ".join(parts)
