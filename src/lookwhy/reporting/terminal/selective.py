"""Tables for the terminal: predicting failure, and which answers to trust."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from lookwhy.reporting import reading, selective, style
from lookwhy.reporting.numbers import number
from lookwhy.reporting.selective import Measure
from lookwhy.reporting.terminal.cells import BEST, MARK, QUIET, best, mark, new_table, short
from lookwhy.types import AnalysisResult


def failure_tables(result: AnalysisResult) -> list[Table | Text]:
    """Failure prediction, both tables of selective prediction, and whether the explanations add anything.

    A line with the reason takes their place where nothing was measured.
    """
    if reason := selective.not_measured(result):
        return [Text(f"Predicting whether the answer is right: not printed: {reason}.\n")]
    found: list[Table | Text] = [failure_table(result)]
    for title, measures, note in (
        ("Selective prediction: which answers to trust", selective.RANKING, selective.ranking_note(result)),
        ("What answering is worth, and calibration", selective.WORTH, selective.worth_note()),
    ):
        found.append(_table(result, title, "selective", measures, note))
    if note := selective.increment_note(result):
        found.append(Text(f"{note}\n", style=BEST))
    return [one for one in found if isinstance(one, Text) or one.row_count]


def failure_table(result: AnalysisResult) -> Table:
    """How well the failure predictor tells right from wrong answers, by the features that it sees."""
    n = number(result, f"failure/{(reading.feature_sets(result) or [''])[0]}/n", "{:.0f}")
    note = (
        f"Cross-validated, no image on both sides; n = {n}. Majority: always the more frequent outcome. "
        "Gain: accuracy above it. AURC: area under the risk-coverage curve, lower is better. Below: 95% "
        f"intervals. Bold: the best. {MARK}: the gain differs from 0. {selective.PAPER_NOTE}"
    )
    title = "Predicting whether the answer is right"
    return _table(result, title, "failure", selective.FAILURE, note)


def _table(result: AnalysisResult, title: str, domain: str, measures: Sequence[Measure], note: str) -> Table:
    """A row for each score, or feature set, with each interval below its value."""
    measures = selective.measured(result, domain, measures)
    table = new_table(title, note)
    # One space between columns, so that eight of them fit eighty characters.
    table.padding = (0, 0, 0, 0)
    table.add_column("The predictor sees" if domain == "failure" else "Ranked by", min_width=15, max_width=22)
    for one in measures:
        table.add_column(one.head, justify="right", no_wrap=True)
    names = reading.feature_sets(result) if domain == "failure" else selective.scores(result)
    for name in names:
        if any(f"{domain}/{name}/{one.key}" in result.summary for one in measures):
            cells = [_cell(result, domain, name, one, names) for one in measures]
            table.add_row(style.in_words(name), *cells)
    return table


def _cell(result: AnalysisResult, domain: str, name: str, measure: Measure, names: Sequence[str]) -> Text:
    key = f"{domain}/{name}/{measure.key}"
    text = mark(result, key, 0.0) if measure.key == "accuracy_gain" else Text()
    keys = {one: f"{domain}/{one}/{measure.key}" for one in names}
    is_best = bool(measure.sign) and name in best(result, keys, lowest=measure.sign < 0)
    text.append(number(result, key, measure.form), style=BEST if is_best else "")
    if f"{key}/expected" in result.summary:
        text.append(f" ({short(result.summary[f'{key}/expected'])})", style=QUIET)
    ends = [result.summary[one] for end in ("ci_low", "ci_high") if (one := f"{key}/{end}") in result.summary]
    if ends:
        # The ends of a share stand without the sign of percent.
        shown = [measure.form.format(end).strip("%") if "%" in measure.form else short(end) for end in ends]
        text.append("\n" + "–".join(shown), style=QUIET)
    return text
