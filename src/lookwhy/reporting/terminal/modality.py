"""Table for the terminal: how much of an answer comes from the question."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from lookwhy import keys
from lookwhy.keys import Row
from lookwhy.reporting import measures, reading
from lookwhy.reporting.numbers import NOTHING
from lookwhy.reporting.terminal.cells import new_table
from lookwhy.types import AnalysisResult

_MOST_TYPES = 10


def modality_table(result: AnalysisResult) -> Table:
    """Share of the question in the answers (T-SHAP): over all questions, and by type of question."""
    get = result.summary.get
    shares = {row.measure: row for row in reading.rows(result, "modality") if row.value is not None}
    exact, first = get("modality/exact"), measures.FILLS.get(measures.first_fill(result), "")
    needless = [
        f"{get(f'modality/image_not_needed_{fill}'):.0%} ({name})"
        for fill, name in measures.FILLS.items()
        if f"modality/image_not_needed_{fill}" in result.summary
    ]
    types = sorted(_types(result), key=lambda row: -(row.n or 0))
    hidden = max(len(types) - _MOST_TYPES, 0)
    table = new_table(
        "How much of the answer comes from the question",
        "T-SHAP: share of the words in the Shapley values of words and cells; the rest is the image's. "
        "Two players: the same with the whole question and the whole image. Named: what fills absent cells; "
        "by type: as in the first row."
        + (f" Exact for {exact:.0%} of the questions, else sampled." if exact is not None else "")
        + (f" As probable without the image: {', '.join(needless)} of the answers." if needless else "")
        + (f" {hidden} less frequent question types are not shown." if hidden else ""),
        ["Questions", "Share", "95% interval", "n"],
    )
    names = {"text_share": "all", "two_player_text_share": "all, two players"}
    for measure, name in names.items():
        for ending in ("", "_blur", "_patch"):
            if row := shares.get(f"{measure}{ending}"):
                filled = measures.FILLS[ending.strip("_")] if ending else first
                table.add_row(f"{name}, {filled}" if filled else name, *_share_cells(row))
    table.add_section()
    for row in types[:_MOST_TYPES]:
        table.add_row(Text(row.slice[1] if row.slice else ""), *_share_cells(row))
    return table


def _types(result: AnalysisResult) -> list[Row]:
    rows = [row for row in keys.table(result.summary) if row.slice and row.slice[0] == "question_type"]
    found = [row for row in rows if (row.domain, row.measure) == ("modality", "text_share")]
    return [row for row in found if row.value is not None]


def _share_cells(row: Row) -> tuple[str, str, str]:
    known = row.ci_low is not None and row.ci_high is not None
    between = f"[{row.ci_low:.1%}, {row.ci_high:.1%}]" if known else NOTHING
    return f"{row.value:.1%}", between, NOTHING if row.n is None else f"{row.n:.0f}"
