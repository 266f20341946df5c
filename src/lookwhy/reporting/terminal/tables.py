"""Tables for the terminal: the results of an analysis, and the time that its parts took."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lookwhy.reporting import reading, style
from lookwhy.reporting.numbers import NOTHING, PAPER_FAILURE, number
from lookwhy.reporting.terminal.agreement import BAD, BEST, GOOD, MARK, WIDE, best, mark, new_table, table_one
from lookwhy.types import AnalysisResult

_MOST_TYPES = 10
"""Largest number of question types in the table of accuracies."""


def words_table(result: AnalysisResult) -> Table:
    """P(most important | part of speech) by question method (Figure 3 of the paper)."""
    tagger = result.manifest.get("tagger") or "unknown"
    methods = reading.question_methods(result)
    table = new_table(
        "Which words count: P(most important | part of speech)",
        f"{MARK}: the 95% interval excludes chance. Tagged by {tagger}.",
    )
    table.add_column("Part of speech")
    for name in (*(style.method_name(method) for method in methods), "By chance", "Words"):
        table.add_column(name, justify="right")
    for group in reading.groups(result):
        keys = [f"question/{method}/most_important/{group}" for method in methods]
        table.add_row(
            style.group_name(group),
            *(_against_chance(result, key) for key in keys),
            _first(result, [f"{key}/expected" for key in keys], "{:.1%}"),
            _first(result, [f"{key}/n" for key in keys], "{:.0f}"),
        )
    return table


def _against_chance(result: AnalysisResult, key: str) -> Text:
    marked = mark(result, key, result.summary.get(f"{key}/expected"))
    return Text().append(marked).append(number(result, key, "{:.1%}"))


def failure_table(result: AnalysisResult) -> Table:
    """How well the predictor tells right answers from wrong ones, by the features that it sees."""
    table = new_table(
        "Predicting whether the answer is right",
        "Cross-validated. Bold: the best. AURC: area under the risk-coverage curve, lower is better. "
        f"Paper: {PAPER_FAILURE} accuracy (Goyal et al. 2016, VQA v1).",
    )
    table.add_column("The predictor sees")
    for name in ("Accuracy", "Always the more frequent", "AUROC", "AURC", "n"):
        table.add_column(name, justify="right", max_width=14)
    names = reading.feature_sets(result)
    bold = {
        measure: best(result, {name: f"failure/{name}/{measure}" for name in names}, measure == "aurc")
        for measure in ("accuracy", "auroc", "aurc")
    }
    for name in names:
        key = f"failure/{name}"
        cells = {
            one: Text(number(result, f"{key}/{one}", form), style=BEST if name in bold.get(one, ()) else "")
            for one, form in (
                ("accuracy", "{:.1%}"),
                ("majority_accuracy", "{:.1%}"),
                ("auroc", "{:.3f}"),
                ("aurc", "{:.3f}"),
                ("n", "{:.0f}"),
            )
        }
        accuracy, majority = (result.summary.get(f"{key}/{one}") for one in ("accuracy", "majority_accuracy"))
        if accuracy is not None and majority is not None and accuracy != majority:
            cells["accuracy"].stylize(GOOD if accuracy > majority else BAD)
        table.add_row(style.feature_set_name(name), *cells.values())
    return table


def accuracy_table(result: AnalysisResult) -> Table:
    """The official VQA accuracy in percent: overall, by answer type and by question type."""
    names = {kind: reading.types(result, kind) for kind in ("answer_type", "question_type")}
    hidden = max(len(names["question_type"]) - _MOST_TYPES, 0)
    table = new_table(
        "VQA accuracy in percent",
        f"{hidden} less frequent question types are not shown." if hidden else "",
    )
    table.add_column("Questions")
    table.add_column("Accuracy", justify="right")
    table.add_column("n", justify="right")
    if "accuracy/overall" in result.summary:
        total = sum(reading.count_types(result, "answer_type").values())
        overall = Text(number(result, "accuracy/overall", "{:.2%}"), style=BEST)
        table.add_row("all", overall, str(total or NOTHING))
    for kind, found in names.items():
        table.add_section()
        counted = reading.count_types(result, kind)
        for name in found if kind == "answer_type" else found[:_MOST_TYPES]:
            value = number(result, f"accuracy/{kind}/{name}", "{:.2%}")
            table.add_row(Text(name), value, str(counted.get(name, NOTHING)))
    return table


def profile_table(seconds: dict[str, float], questions: int) -> Table:
    """Seconds of each part of an analysis, the longest first.

    Args:
        seconds: seconds by name of the part; the name "part: inner" belongs to a part inside another.
        questions: number of questions analysed.
    """
    table = new_table(
        f"Seconds of an analysis of {questions} questions",
        "Wall-clock time. Image features are cached, so a second analysis is faster.",
    )
    table.add_column("Part")
    for name in ("Seconds", "Share", "ms a question"):
        table.add_column(name, justify="right")
    parts = {name: value for name, value in seconds.items() if ": " not in name}
    total = sum(parts.values())

    def add(name: str, value: float, style: str = "") -> None:
        share = value / total if total else 0.0
        row = (name, f"{value:.2f}", f"{share:.1%}", f"{1000 * value / max(questions, 1):.1f}")
        table.add_row(*(Text(cell, style=style) for cell in row))

    for name in sorted(parts, key=lambda name: -parts[name]):
        add(name, parts[name])
        inner = {key: value for key, value in seconds.items() if key.startswith(f"{name}: ")}
        for key in sorted(inner, key=lambda key: -inner[key]):
            add(f"  {key.removeprefix(f'{name}: ')}", inner[key], "dim")
    table.add_section()
    add("all", total)
    return table


def report_console() -> Console:
    """A console as wide as the terminal, or as the tables where there is none (a file, a pipe)."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def print_tables(result: AnalysisResult, console: Console) -> None:
    """Print every table that has a row; an empty Table 1 is printed, too, with the reason."""
    for part in table_one(result, console.width):
        console.print(part)
    for table in (words_table(result), failure_table(result), accuracy_table(result)):
        if table.row_count:
            console.print(table)


def _first(result: AnalysisResult, keys: list[str], form: str) -> str:
    return next((number(result, key, form) for key in keys if key in result.summary), NOTHING)
