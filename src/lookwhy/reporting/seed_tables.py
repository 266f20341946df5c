"""Tables of values over seeds: their rows, columns and keys; the terminal draws them."""

from __future__ import annotations

from typing import NamedTuple

from lookwhy.reporting import measures, numbers, paired, reading, sanity, selective, style
from lookwhy.reporting.selective import BOTH, Measure
from lookwhy.types import AnalysisResult

PERCENT = "{:.1%}"
_AGREEMENT = (
    Measure("rank_correlation", "Rank correlation", sign=1.0),
    Measure("mean_map", "Mean map", sign=0.0),
    Measure("other_question", "Other question", sign=0.0),
    Measure("other_image", "Other image", sign=0.0),
    Measure("specificity", "Question-specific", sign=1.0),
)
_OWN = ("rank_correlation", "specificity")
"""Measures of `paired.heads` that the table of the agreement has."""


class Line(NamedTuple):
    """A row of a table: its name, the parts of its keys around the column's, and whether it is a baseline."""

    name: str
    before: str
    after: str = ""
    is_baseline: bool = False


class Grid(NamedTuple):
    """A table whose cells are values by key.

    Attributes:
        title: its title.
        note: how its values are defined; may be empty.
        corner: head of the first column.
        lines: its rows.
        columns: its columns.
    """

    title: str
    note: str
    corner: str
    lines: list[Line]
    columns: list[Measure]

    def key(self, line: Line, column: Measure) -> str:
        """Key of the value of a cell."""
        return f"{line.before}{column.key}{line.after}"


def grids(result: AnalysisResult) -> list[Grid]:
    """Tables of an analysis whose summary holds the value of every key that some seed has.

    Cells, rows and columns without a value are left out, and so are empty tables.
    """
    found = (
        _accuracy(result),
        _agreement(result),
        _believe(result),
        _sanity(result),
        _words(result),
        _words_faithfulness(result),
        _modality(result),
        *_failure(result),
    )
    return [grid for one in found if (grid := _filled(one, result)).lines]


def _filled(grid: Grid, result: AnalysisResult) -> Grid:
    def has(line: Line, column: Measure) -> bool:
        return grid.key(line, column) in result.summary

    lines = [line for line in grid.lines if any(has(line, one) for one in grid.columns)]
    columns = [one for one in grid.columns if any(has(line, one) for line in lines)]
    return grid._replace(lines=lines, columns=columns)


def _accuracy(result: AnalysisResult) -> Grid:
    lines = [
        Line("Validation questions, at the end", "val/accuracy/overall"),
        Line("Always the most frequent answer", "val/accuracy_most_frequent_answer", is_baseline=True),
        Line("Analysed questions", "accuracy/overall"),
    ]
    kinds = ("answer_type", "question_type")
    rows = [row for row in reading.rows(result, "accuracy") if row.measure in kinds]
    lines += [Line(row.group, row.key) for row in sorted(rows, key=lambda row: (row.measure, row.group))]
    return Grid("VQA accuracy", "", "Questions", lines, [Measure("", "Accuracy", PERCENT, 0.0)])


def _agreement(result: AnalysisResult) -> Grid:
    lines = [_method(method, result) for method in numbers.table_rows(result)]
    note = (
        "Rank correlation with each annotator's map, averaged; question-specific: the part that the map of "
        f"another question about the same image lacks. {result.manifest.get('data_note') or ''}"
    )
    title = f"Agreement with {style.annotators(result.manifest).lower()}"
    return Grid(title, note.strip(), "Method", lines, [*_AGREEMENT])


def _believe(result: AnalysisResult) -> Grid:
    heads = paired.heads(result)
    signs = {one.key: one.sign for one in measures.IMAGE}
    columns = [Measure(key, head, sign=signs[key]) for key, head in heads.items() if key not in _OWN]
    lines = [_method(one, result) for one in (*reading.image_methods(result), *style.BASELINES)]
    note = "Deletion: lower is better; all others: higher is better. Definitions: docs/believe.md."
    return Grid("Which map to believe", note, "Method", lines, columns)


def _method(method: str, result: AnalysisResult) -> Line:
    name = style.method_name(method, result.manifest)
    return Line(name, f"image/{method}/", is_baseline=method in style.BASELINES)


def _sanity(result: AnalysisResult) -> Grid:
    lines = [
        Line(sanity.method_of(name), f"{name}/sanity/", "/spearman_magnitude")
        for name in sanity.methods(result)
    ]
    columns = [Measure(one, head, "{:.2f}", 0.0) for one, head in sanity.SHOWN.items()]
    note = "Rank correlation of magnitudes between the maps of the trained model and those of the column."
    return Grid(sanity.TITLE, note, "Method", lines, columns)


def _words(result: AnalysisResult) -> Grid:
    groups = reading.groups(result)
    lines = [Line(style.in_words(one), "question/", f"/most_important/{one}") for one in groups]
    methods = reading.question_methods(result)
    columns = [Measure(one, style.method_name(one), PERCENT, 0.0) for one in methods]
    title = "Which words count: P(most important | part of speech)"
    return Grid(title, numbers.few_words(result), "Part of speech", lines, columns)


def _words_faithfulness(result: AnalysisResult) -> Grid:
    lines = [
        Line(style.method_name(one), f"question/{one}/faithfulness/", is_baseline=one in style.BASELINES)
        for one in (*reading.question_methods(result), "random")
    ]
    columns = [Measure("deletion", "Deletion"), Measure("insertion", "Insertion", sign=1.0)]
    note = "Deletion: lower is better; insertion: higher is better."
    return Grid("Which order of the words to believe", note, "Method", lines, columns)


def _modality(result: AnalysisResult) -> Grid:
    rows = [row for row in reading.rows(result, "modality") if row.measure != "exact"]
    lines = [Line(_share(row.measure), row.key) for row in rows if row.value is not None]
    title = "How much of the answer comes from the question"
    return Grid(title, "", "Share", lines, [Measure("", "Share", PERCENT, 0.0)])


def _share(measure: str) -> str:
    name, _, fill = measure.rpartition("_")
    return (
        f"{style.in_words(name)}, {measures.FILLS[fill]}"
        if fill in measures.FILLS
        else style.in_words(measure)
    )


def _failure(result: AnalysisResult) -> list[Grid]:
    features = [Line(style.in_words(one), f"failure/{one}/") for one in reading.feature_sets(result)]
    scores = [Line(style.in_words(one), f"selective/{one}/") for one in selective.scores(result)]
    gains = [
        Line("AUROC", f"selective/{BOTH}/auroc_increment"),
        Line("AURC (lower is better)", f"selective/{BOTH}/aurc_soft_increment"),
    ]
    where = "Definitions: docs/selective.md."
    return [
        Grid(
            "Predicting whether the answer is right",
            where,
            "The predictor sees",
            features,
            [*selective.FAILURE],
        ),
        Grid(
            "Selective prediction: which answers to trust", where, "Ranked by", scores, [*selective.RANKING]
        ),
        Grid("What answering is worth, and calibration", where, "Ranked by", scores, [*selective.WORTH]),
        Grid(
            "Increment of the explanations over the confidence",
            where,
            "Measure",
            gains,
            [Measure("", "Increment", "{:+.3f}", 0.0)],
        ),
    ]
