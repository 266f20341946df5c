"""Tables for the terminal: the paper's Table 1 with its controls, and what else an analysis found."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lookwhy.reporting import reading, style
from lookwhy.types import AnalysisResult

PAPER = {
    "random": "0.00007", "occlusion": "0.07164", "guided_backprop": "0.12277", "attention": "-0.08836",
    "human": "0.62289",
}  # fmt: skip
"""Rank correlations of Table 1 of Goyal et al. 2016: VQA v1 validation, VQA-HAT, human annotators.

The figure for attention is of a stacked attention network as the paper quotes it; the authors of VQA-HAT
published about +0.25 for such a model (Das et al. 2016)."""
PAPER_SOURCE = "Goyal et al. 2016, VQA v1 + VQA-HAT"
PAPER_FAILURE = "72%"
"""Section 6 of the same paper: how often success or failure is predicted right."""
NOTHING = "–"


def table_rows(result: AnalysisResult) -> list[str]:
    """Methods and baselines in the order of the table, those without any number left out."""
    order = ["random", "centre_prior", *reading.image_methods(result), "human"]
    return [name for name in order if any(key.startswith(f"image/{name}/") for key in result.summary)]


def estimate(result: AnalysisResult, key: str) -> tuple[str, str]:
    """A mean and its 95% interval as text; the interval is empty where there is none."""
    mean = number(result, key)
    low, high = number(result, f"{key}/ci_low"), number(result, f"{key}/ci_high")
    return mean, "" if NOTHING in (low, high) else f"[{low}, {high}]"


def number(result: AnalysisResult, key: str, form: str = "{:.3f}") -> str:
    """A scalar as text; a dash where it is undefined."""
    value = result.summary.get(key)
    if value is None:
        return NOTHING
    text = form.format(value)
    # A tiny negative mean is shown as zero, not as minus zero.
    return text.removeprefix("-") if not text.strip("-0.%") else text


def counts(result: AnalysisResult, key: str) -> str:
    """Number of questions, with how many are undefined."""
    undefined = result.summary.get(f"{key}/n_undefined", 0.0)
    return number(result, f"{key}/n", "{:.0f}") + (f" ({undefined:.0f})" if undefined else "")


def counted(result: AnalysisResult, key: str) -> tuple[str, str]:
    """A mean and how many questions it is of; empty where that is its row's own number."""
    own = result.summary.get(key.rsplit("/", 1)[0] + "/rank_correlation/n")
    differs = result.summary.get(f"{key}/n") not in (None, own)
    return number(result, key), f"n {number(result, f'{key}/n', '{:.0f}')}" if differs else ""


def table_title(result: AnalysisResult) -> str:
    """What Table 1 shows, of which epoch."""
    epoch = result.manifest.get("epoch")
    return f"Agreement with {style.annotators(result.manifest).lower()}" + (
        f", {style.epoch_name(epoch)}" if epoch is not None else ""
    )


def table_note(result: AnalysisResult) -> str:
    """What must be known beside Table 1."""
    grid = result.manifest.get("grid")
    parts = [
        f"Mean Spearman rank correlation on a {grid} x {grid} grid, 95% intervals in brackets."
        if grid
        else "Mean Spearman rank correlation, 95% intervals in brackets.",
        "Rank correlation: with each annotator's map, averaged; mean map: with the mean of them. "
        "Other question, other image: the map of another question on the same image, of another image.",
        "Question-specific: against the own question's annotators minus another question's on the same "
        "image; 0 for a model that does not listen.",
        f"Paper: {PAPER_SOURCE}, human annotators: other data than here unless it is theirs.",
        f"Left out: {reading.excluded_note(result)}." if reading.excluded_note(result) else "",
        str(result.manifest.get("data_note") or ""),
    ]
    return " ".join(part for part in parts if part)


def table_one(result: AnalysisResult) -> Table:
    """The paper's Table 1 with the controls without which it says little; fits 100 columns."""
    rows = table_rows(result)
    note = table_note(result) if rows else "No annotator maps, so no agreement."
    table = _table(table_title(result), note)
    table.add_column("Method", min_width=15, max_width=20)
    for name, width in (
        ("Rank\ncorrelation", 16),
        ("Mean\nmap", 6),
        ("n\n(undef.)", 8),
        ("Other\nquestion", 8),
        ("Other\nimage", 6),
        ("Question-\nspecific", 16),
        ("Paper", 8),
    ):
        table.add_column(name, justify="right", width=width)
    for method in rows:
        key = f"image/{method}"
        table.add_row(
            Text(style.method_name(method, result.manifest), style="" if _is_method(method) else "dim"),
            _two_lines(*estimate(result, f"{key}/rank_correlation")),
            _two_lines(*counted(result, f"{key}/mean_map")),
            counts(result, f"{key}/rank_correlation"),
            _two_lines(*counted(result, f"{key}/other_question")),
            _two_lines(*counted(result, f"{key}/other_image")),
            _two_lines(*estimate(result, f"{key}/specificity")),
            PAPER.get(method, NOTHING),
        )
    if not rows:
        table.add_row(*[NOTHING] * 8)
    return table


def words_table(result: AnalysisResult) -> Table:
    """P(most important | part of speech) by question method (the paper's Figure 3)."""
    tagger = result.manifest.get("tagger") or "unknown"
    table = _table("Which words count: P(most important | part of speech)", f"Tagged by {tagger}.")
    methods = reading.question_methods(result)
    table.add_column("Part of speech")
    for name in (*(style.method_name(method) for method in methods), "By chance", "Words"):
        table.add_column(name, justify="right")
    for group in reading.groups(result):
        keys = [f"question/{method}/most_important/{group}" for method in methods]
        table.add_row(
            style.group_name(group),
            *(number(result, key, "{:.1%}") for key in keys),
            _first(result, [f"{key}/expected" for key in keys], "{:.1%}"),
            _first(result, [f"{key}/n" for key in keys], "{:.0f}"),
        )
    return table


def failure_table(result: AnalysisResult) -> Table:
    """How well the rightness of an answer is predicted, by what the predictor sees."""
    table = _table(
        "Predicting whether the answer is right",
        f"Cross-validated. AURC: area under the risk-coverage curve, lower is better. "
        f"Paper: {PAPER_FAILURE} accuracy (Goyal et al. 2016, VQA v1).",
    )
    table.add_column("The predictor sees")
    for name in ("Accuracy", "Always the more frequent", "AUROC", "AURC", "n"):
        table.add_column(name, justify="right", max_width=14)
    for name in reading.feature_sets(result):
        key = f"failure/{name}"
        table.add_row(
            style.feature_set_name(name),
            number(result, f"{key}/accuracy", "{:.1%}"),
            number(result, f"{key}/majority_accuracy", "{:.1%}"),
            number(result, f"{key}/auroc"),
            number(result, f"{key}/aurc"),
            number(result, f"{key}/n", "{:.0f}"),
        )
    return table


def accuracy_table(result: AnalysisResult, most: int = 10) -> Table:
    """The official VQA accuracy in percent: overall, by answer type and by question type."""
    names = {kind: reading.types(result, kind) for kind in ("answer_type", "question_type")}
    hidden = max(len(names["question_type"]) - most, 0)
    table = _table(
        "VQA accuracy in percent",
        f"{hidden} less frequent question types are not shown." if hidden else "",
    )
    table.add_column("Questions")
    table.add_column("Accuracy", justify="right")
    table.add_column("n", justify="right")
    if "accuracy/overall" in result.summary:
        total = sum(reading.count_types(result, "answer_type").values())
        table.add_row("all", number(result, "accuracy/overall", "{:.2%}"), str(total or NOTHING))
    for kind, found in names.items():
        table.add_section()
        counted = reading.count_types(result, kind)
        for name in found if kind == "answer_type" else found[:most]:
            value = number(result, f"accuracy/{kind}/{name}", "{:.2%}")
            table.add_row(Text(name), value, str(counted.get(name, NOTHING)))
    return table


def profile_table(seconds: dict[str, float], questions: int) -> Table:
    """Where the time of an analysis went, the longest first; parts of a part, "part: its part", below it."""
    table = _table(
        f"Seconds of an analysis of {questions} questions",
        "By the clock on the wall. What a network makes of an image is kept: the next analysis reads it.",
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
    """A console as wide as the terminal; the tables' 100 columns where there is none (a file, a pipe)."""
    console = Console()
    return console if console.is_terminal else Console(width=100)


def print_tables(result: AnalysisResult, console: Console) -> None:
    """Every table that has a row; Table 1 always, so that its absence is explained."""
    console.print(table_one(result))
    for table in (words_table(result), failure_table(result), accuracy_table(result)):
        if table.row_count:
            console.print(table)


def _table(title: str, caption: str) -> Table:
    # Captions and titles as Text: brackets in them are not markup.
    return Table(
        title=Text(title, style="bold"),
        caption=Text(caption, style="dim") if caption else None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        header_style="bold",
        padding=(0, 1, 0, 0),
    )


def _two_lines(mean: str, below: str) -> Text:
    text = Text(mean)
    return text.append(f"\n{below}", style="dim") if below else text


def _first(result: AnalysisResult, keys: list[str], form: str) -> str:
    return next((number(result, key, form) for key in keys if key in result.summary), NOTHING)


def _is_method(method: str) -> bool:
    return method not in style.BASELINES
