"""Tables for the terminal: which map, and which order of the words, to believe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from lookwhy.reporting import measures, reading, style
from lookwhy.reporting.numbers import NOTHING, explained_note, few_images, number
from lookwhy.reporting.terminal.cells import BEST, MARK, QUIET, WIDE, best, interval, mark, new_table, short
from lookwhy.types import AnalysisResult

RANDOM = "random"
WORDS = {"deletion": -1.0, "insertion": 1.0}
"""Measures of the order of the words, and their better directions."""


@dataclass(frozen=True)
class _Column:
    """A column: its head, its measure after the method, the better direction, and the table that it is in."""

    head: str
    measure: str
    sign: float = 1.0
    part: int = 0


def believe_tables(result: AnalysisResult, width: int = WIDE) -> list[Table | Text]:
    """Which map to believe: agreement, faithfulness and localisation of each image method side by side.

    Empty without faithfulness and localisation. Below a `width` of `WIDE` characters, localisation and
    seconds form a second table.
    """
    if not measures.measured(result):
        return []
    columns = [one for one in _columns(result) if _has_value(result, one)]
    title = f"Which map to believe{_epoch(result)}"
    note = _note(result, columns)
    if width >= WIDE:
        return [_believe(title, note, columns, result, _seconds(result))]
    first, second = ([one for one in columns if one.part == part] for part in (0, 1))
    tables: list[Table | Text] = [_believe(title, "", first, result, {})]
    if second or _seconds(result):
        tables.append(_believe("Localisation and time", "", second, result, _seconds(result)))
    return [*tables, Text(note, style=QUIET)]


def words_faithfulness_table(result: AnalysisResult) -> Table:
    """Deletion and insertion of words by question method, beside a random order of the words."""
    columns = [_Column(kind, f"faithfulness/{kind}", sign) for kind, sign in WORDS.items()]
    methods = reading.question_methods(result)
    heads = [head for column in columns for head in (style.in_words(column.head), "95% interval")]
    table = new_table(
        "Which order of the words to believe",
        "Area under the probability of the answer while words are taken out of the question, most important "
        "first (deletion, lower is better), or put into an empty question (insertion, higher is better). "
        f"Bold: the best. {MARK}: differs, in pairs, from a random order. {few_images(result)}".strip(),
        ["Method", *heads, "n"],
    )
    for method in (*methods, RANDOM):
        found = [column for column in columns if f"question/{method}/{column.measure}" in result.summary]
        if not found:
            continue
        cells = [
            part
            for column in columns
            for part in (
                _value(result, "question", method, column, methods),
                interval(result, f"question/{method}/{column.measure}"),
            )
        ]
        count = number(result, f"question/{method}/{found[0].measure}/n", "{:.0f}")
        look = QUIET if method == RANDOM else ""
        table.add_row(Text(style.method_name(method), style=look), *cells, count)
    return table


def _columns(result: AnalysisResult) -> list[_Column]:
    fill = next(iter(measures.fills(result)), "patch")
    return [
        _Column("\nAgreement", "rank_correlation"),
        _Column("Question-\nspecific", "specificity"),
        _Column("\nDeletion", f"faithfulness/deletion_{fill}", -1.0),
        _Column("\nInsertion", f"faithfulness/insertion_{fill}"),
        _Column("Faithful-\nness", "faithfulness/correlation"),
        _Column("\nMass", "localisation/mass_accuracy", part=1),
        _Column("\nRank", "localisation/rank_accuracy", part=1),
        _Column("Pointing\ngame", "localisation/pointing_game", part=1),
    ]


def _has_value(result: AnalysisResult, column: _Column) -> bool:
    return any(
        f"image/{method}/{column.measure}" in result.summary for method in reading.image_methods(result)
    )


def _seconds(result: AnalysisResult) -> dict[str, float]:
    found = result.manifest.get("seconds") or {}
    names = {method: f"image/{method}" for method in reading.image_methods(result)}
    return {method: found[name] for method, name in names.items() if name in found}


def _believe(
    title: str, note: str, columns: Sequence[_Column], result: AnalysisResult, seconds: Mapping[str, float]
) -> Table:
    table = new_table(title, note)
    # One space between columns: ten of them fit a hundred characters.
    table.padding = (0, 0, 0, 0)
    table.add_column("\nMethod", min_width=15, max_width=19)
    for column in columns:
        table.add_column(column.head, justify="right", no_wrap=True)
    if seconds:
        table.add_column("\nSeconds", justify="right")
    methods = reading.image_methods(result)
    for method in (*methods, *style.BASELINES):
        if not any(f"image/{method}/{column.measure}" in result.summary for column in columns):
            continue
        look = QUIET if method in style.BASELINES else ""
        cells = [_cell(result, "image", method, column, methods) for column in columns]
        time = [f"{seconds[method]:.1f}" if method in seconds else NOTHING] if seconds else []
        table.add_row(Text(style.method_name(method, result.manifest), style=look), *cells, *time)
    return table


def _cell(result: AnalysisResult, domain: str, method: str, column: _Column, methods: Sequence[str]) -> Text:
    """The value above its interval."""
    text = _value(result, domain, method, column, methods)
    ends = [result.summary.get(f"{domain}/{method}/{column.measure}/{end}") for end in ("ci_low", "ci_high")]
    shown = [short(end) for end in ends if end is not None]
    return text.append("\n" + "–".join(shown), style=QUIET) if len(shown) == len(ends) else text


def _value(result: AnalysisResult, domain: str, method: str, column: _Column, methods: Sequence[str]) -> Text:
    """The value, bold if it is the best, marked if it differs from chance."""
    key = f"{domain}/{method}/{column.measure}"
    text = _compared(result, key, column) if method != RANDOM else Text()
    keys = {one: f"{domain}/{one}/{column.measure}" for one in methods}
    is_best = method in best(result, keys, lowest=column.sign < 0)
    return text.append(number(result, key), style=BEST if is_best else "")


def _compared(result: AnalysisResult, key: str, column: _Column) -> Text:
    """Mark of a difference from a random map (faithfulness), from chance (localisation), or from 0."""
    if column.measure.startswith("faithfulness/"):
        return mark(result, f"{key}_minus_random", 0.0, column.sign)
    level = result.summary.get(f"{key}/expected") if column.measure.startswith("localisation/") else 0.0
    return mark(result, key, level)


def _note(result: AnalysisResult, columns: Sequence[_Column]) -> str:
    """How each column was measured, of how many questions, and what chance gives."""
    methods = reading.image_methods(result)
    heads = {column.measure: column.head for column in columns}

    def counted(*wanted: str) -> str:
        counts = [_questions(result, "image", methods, one) for one in wanted if one in heads]
        return f"n = {_span(counts)}"

    area = [one for one in heads if "deletion" in one or "insertion" in one]
    inside = [one for one in heads if one.startswith("localisation/")]
    parts = [explained] if (explained := explained_note(result)) else []
    if "rank_correlation" in heads:
        what = reading.compared(result)
        parts.append(
            f"Agreement: rank correlation of {what} with the annotators ({counted('rank_correlation')})."
        )
    if area:
        fill = measures.FILLS[area[0].rpartition("_")[2]]
        parts.append(
            "Deletion, insertion: area under the probability of the answer while cells, most important "
            f"first, give way to the {fill}, or come back from it; lower, higher is better "
            f"({counted(*area)})."
        )
    if "faithfulness/correlation" in heads:
        plan = (result.manifest.get("plan") or {}).get("faithfulness") or {}
        fill = (
            f", filled with the {measures.FILLS[plan['fill']]}" if plan.get("fill") in measures.FILLS else ""
        )
        parts.append(
            "Faithfulness: correlation over masks of the importance that a mask hides and the fall of the "
            f"probability{fill} ({counted('faithfulness/correlation')})."
        )
    if inside:
        levels = {result.summary.get(f"image/{m}/{one}/expected") for m in methods for one in inside} - {None}
        chance = f"; by chance {'–'.join(sorted({f'{one:.3f}' for one in levels if one}))}" if levels else ""
        parts.append(
            "Mass, rank, pointing: share of the importance, of the top cells, and of the questions whose top "
            f"cell lies inside the mask of what the question needs{chance} ({counted(*inside)})."
        )
        if any(f"image/human/{one}" in result.summary for one in inside):
            parts.append("Annotators: there, the mean of their maps.")
    if _seconds(result):
        parts.append("Seconds: of the method, for all questions.")
    tested = {
        "from 0 (agreement, specific)": {"rank_correlation", "specificity"} & heads.keys(),
        "in pairs from a random map (faithfulness)": [
            one for one in heads if one.startswith("faithfulness/")
        ],
        "from chance (localisation)": inside,
    }
    differs = ", ".join(text for text, found in tested.items() if found)
    parts.append(f"Below: 95% intervals. Bold: the best method. {MARK}: differs {differs}.")
    return " ".join([*parts, *filter(None, [few_images(result)])])


def _questions(result: AnalysisResult, domain: str, methods: Sequence[str], measure: str) -> set[int]:
    found = {result.summary.get(f"{domain}/{method}/{measure}/n") for method in methods}
    return {int(one) for one in found if one is not None}


def _span(counts: Sequence[set[int]]) -> str:
    found = sorted(set().union(*counts))
    return "–".join(str(one) for one in dict.fromkeys(found[:1] + found[-1:])) or NOTHING


def _epoch(result: AnalysisResult) -> str:
    epoch = result.manifest.get("epoch")
    return "" if epoch is None else f", {style.epoch_name(epoch)}"
