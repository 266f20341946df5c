"""Tables for the terminal: mean and spread over seeds, and differences of groups, paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from lookwhy.analysis.seeds import SeedDifference, SeedSpread
from lookwhy.reporting.cautions import TITLE
from lookwhy.reporting.numbers import MARK, NOTHING, as_text
from lookwhy.reporting.paired import LEVEL
from lookwhy.reporting.seed_tables import Grid, Line, grids
from lookwhy.reporting.seeds import PairedGroups, SeedAnalysis
from lookwhy.reporting.selective import Measure
from lookwhy.reporting.terminal.cells import BEST, CAUTION, QUIET, new_table, short, star

_INLINE = 2
"""Largest number of columns whose intervals stand beside the values, and not below."""
_LABEL, _LONG_LABEL = 19, 36
"""Largest width of the first column in characters; the second: of tables with intervals beside the values."""

_HEADS = {"Question-specific": "Question-\nspecific", "Faithfulness": "Faithful-\nness"}
"""Heads of two lines."""

Spreads = Mapping[str, SeedSpread]
_Cell = Callable[[Line, Measure], Text]


def print_seeds(
    analyses: Sequence[tuple[SeedAnalysis, Spreads]], pairs: Sequence[PairedGroups], console: Console
) -> None:
    """Print the tables of each group, then those of the differences from the first group.

    Args:
        analyses: analyses of each group, with the spread of every scalar.
        pairs: each other group minus the first.
        console: where to print.
    """
    found = [grids(replace(one.first, summary={k: s.mean for k, s in of.items()})) for one, of in analyses]
    for (analysis, spreads), own in zip(analyses, found, strict=True):
        console.print(Text(analysis.title, style="bold"))
        console.print(Text(_how(analysis), style=QUIET))
        for grid in own:
            _print(grid, grid.title, _spread_cells(grid, spreads, len(analysis.seeds)), grid.note, console)
    known = {grid.title: grid for own in found for grid in own}
    for pair in pairs:
        console.print(Text(f"{pair.title}, paired by seed", style="bold"))
        if pair.note:
            console.print(Text("! ", style=CAUTION).append(pair.note, style="default"))
        if pair.differences:
            console.print(Text(_how_paired(pair), style=QUIET))
        for grid in known.values() if len(pair.seeds) > 1 else ():
            if (shown := _tested(grid, pair.differences)).lines:
                title = f"{pair.name}: {grid.title}"
                _print(
                    shown, title, _difference_cells(shown, pair.differences), _families(shown, pair), console
                )


def _how(analysis: SeedAnalysis) -> str:
    count = len(analysis.seeds)
    if count == 1:
        return f"{TITLE}: one seed says nothing about the spread over seeds.\n"
    interval = "the smaller and the larger of both" if count == 2 else "95% t interval of the mean over seeds"
    return (
        f"Mean over seeds ± their standard deviation; in brackets or below: {interval}. Bold: the best mean. "
        "All seeds answered the same questions: the spread is that of the training, not of the questions.\n"
    )


def _how_paired(pair: PairedGroups) -> str:
    count = len(pair.seeds)
    listed = f"{count} shared seed{'' if count == 1 else 's'} ({', '.join(map(str, pair.seeds))})"
    if count == 1:
        return f"{listed}: one difference has no spread, and only the file has it.\n"
    return (
        f"Mean difference over {listed} ± its standard deviation; in brackets or below: 95% t interval over "
        f"the shared seeds, before correction. {MARK}: p below {LEVEL:g} by Holm (1979) within the measure.\n"
    )


def _spread_cells(grid: Grid, spreads: Spreads, seeds: int) -> _Cell:
    best = {
        column: (max if column.sign > 0 else min)(values)
        for column in grid.columns
        if column.sign
        and (
            values := [
                s.mean for n in grid.lines if not n.is_baseline and (s := spreads.get(grid.key(n, column)))
            ]
        )
    }

    def cell(line: Line, column: Measure) -> Text:
        found = spreads.get(grid.key(line, column))
        if found is None:
            return Text(NOTHING)
        is_best = not line.is_baseline and found.mean == best.get(column)
        fewer = f" n {found.n}" if found.n < seeds else ""
        return _spread(found, column.form, len(grid.columns), BEST if is_best else "", fewer)

    return cell


def _difference_cells(grid: Grid, differences: Mapping[str, SeedDifference]) -> _Cell:
    def cell(line: Line, column: Measure) -> Text:
        found = differences.get(grid.key(line, column))
        if found is None:
            return Text(NOTHING)
        mean = found.spread.mean
        text = star(mean * (column.sign or 1.0) > 0) if found.p_holm < LEVEL else Text()
        form = column.form if "+" in column.form else column.form.replace(":", ":+")
        p = "" if found.p_holm != found.p_holm else f" p {_short(found.p_holm, '{:.3f}')}"
        return text.append_text(_spread(found.spread, form, len(grid.columns), "", p))

    return cell


def _spread(found: SeedSpread, form: str, columns: int, look: str, after: str) -> Text:
    """The mean with its standard deviation, and the interval beside or below it."""
    plain = form.replace("+", "")
    text = Text(_short(found.mean, form) + "%" * ("%" in form), style=look)
    if found.n > 1:
        text.append(f" ±{_short(found.sd, plain)}", style=QUIET)
        if columns <= _INLINE:
            ends = ", ".join(as_text(end, plain).strip("%") for end in (found.low, found.high))
            text.append(f" [{ends}]", style=QUIET)
        else:
            text.append(f"\n{_short(found.low, plain)}–{_short(found.high, plain)}", style=QUIET)
    return text.append(after if columns <= _INLINE or not after else f"\n{after.strip()}", style=QUIET)


def _short(value: float, form: str) -> str:
    """A share without the zero before its point; a percentage without its sign."""
    return as_text(value, form).strip("%") if "%" in form else short(value, form)


def _tested(grid: Grid, differences: Mapping[str, SeedDifference]) -> Grid:
    """The part of a table that differs between seeds; baselines that do not see the model are left out."""

    def differs(line: Line, column: Measure) -> bool:
        found = differences.get(grid.key(line, column))
        return found is not None and (found.spread.mean != 0 or found.spread.sd > 0)

    lines = [line for line in grid.lines if any(differs(line, one) for one in grid.columns)]
    columns = [one for one in grid.columns if any(differs(line, one) for line in lines)]
    return grid._replace(lines=lines, columns=columns)


def _families(grid: Grid, pair: PairedGroups) -> str:
    """Number of tests that each column was corrected for."""
    sizes = {}
    for column in grid.columns:
        found = [one for line in grid.lines if (one := pair.differences.get(grid.key(line, column)))]
        if counts := sorted({one.family for one in found if one.family}):
            sizes[column.head] = "–".join(dict.fromkeys(str(one) for one in (counts[0], counts[-1])))
    listed = ", ".join(f"{head} {size}" for head, size in sizes.items())
    return f"Number of tests in the family of each measure: {listed}." if listed else ""


def _print(grid: Grid, title: str, cell: _Cell, note: str, console: Console) -> None:
    """Print a table; columns that do not fit the console follow in further tables."""
    cells = [[cell(line, column) for column in grid.columns] for line in grid.lines]
    heads = [_HEADS.get(column.head, column.head.replace(" ", "\n")) for column in grid.columns]
    lines = max(head.count("\n") for head in heads)
    corner, *heads = ["\n" * (lines - head.count("\n")) + head for head in (grid.corner, *heads)]
    most = _LONG_LABEL if len(grid.columns) <= _INLINE else _LABEL
    label = min(max(cell_len(name) for name in (grid.corner, *(line.name for line in grid.lines))), most)
    widths = [
        max(cell_len(part) for text in (head, *(row[at].plain for row in cells)) for part in text.split("\n"))
        for at, head in enumerate(heads)
    ]
    parts = _parts(widths, console.width - label - 3)
    for number, part in enumerate(parts):
        table = new_table(f"{title}, continued" if number else title, note if part is parts[-1] else "")
        # One space between columns.
        table.padding = (0, 0, 0, 0)
        table.add_column(corner, min_width=label, max_width=label)
        for at in part:
            table.add_column(heads[at], justify="right", no_wrap=True)
        for line, row in zip(grid.lines, cells, strict=True):
            table.add_row(Text(line.name, style=QUIET if line.is_baseline else ""), *(row[at] for at in part))
        console.print(table)
    if note:
        console.print()


def _parts(widths: Sequence[int], room: int) -> list[list[int]]:
    """Indices of the columns of each table, so that those of one table fit the room."""
    parts: list[list[int]] = [[]]
    used = 0
    for at, width in enumerate(widths):
        if parts[-1] and used + width + 1 > room:
            parts.append([])
            used = 0
        parts[-1].append(at)
        used += width + 1
    return parts
