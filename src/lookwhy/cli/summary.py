"""The command `analyze.py summary`: tables over seeds, and every scalar as a file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lookwhy.analysis.seeds import SeedSpread, spreads_over_seeds
from lookwhy.errors import LookwhyError, printable
from lookwhy.files import atomic_path, writing
from lookwhy.reporting.seeds import PairedGroups, SeedAnalysis, SeedGroup, paired_groups, read_groups
from lookwhy.reporting.terminal.seeds import print_seeds
from lookwhy.reporting.terminal.tables import report_console

ENDINGS = (".csv", ".json", ".md")
COLUMNS = ("key", "group", "n", "mean", "sd", "low", "high")
"""Columns of the file of scalars."""
TESTS = ("p_value", "p_holm")
"""Further columns of a file with differences between groups."""
ALL = "all"

Row = dict[str, Any]


def summarise(runs: Sequence[Path], epoch: int | str | None, out: Path | None) -> None:
    """Read runs of each group together; print their tables, and write every scalar to a file.

    Args:
        runs: run folders.
        epoch: epoch to read; None: the last one; "all": the file has every epoch, the tables the last one.
        out: file for the scalars, .csv, .json or .md; None: no file.

    Raises:
        LookwhyError: runs that cannot be read together (see `read_groups` and `SeedGroup`), an epoch that was
            not analysed, or a file that cannot be written.
    """
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise LookwhyError(
            f"expected --out with the ending {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, found {out}; "
            "give another name"
        )
    groups = read_groups(runs)
    wanted = [_epochs(group, epoch) for group in groups]
    shown = [group.read(epochs[-1]) for group, epochs in zip(groups, wanted, strict=True)]
    spreads = [spreads_over_seeds(one.scalars) for one in shown]
    pairs = paired_groups(shown)
    if out is not None:
        rows: list[Row] = []
        for group, epochs, one, spread in zip(groups, wanted, shown, spreads, strict=True):
            for before in epochs[:-1]:
                rows += _rows(group.name, before, spreads_over_seeds(group.read(before).scalars))
            rows += _rows(group.name, one.epoch, spread)
        rows += [row for pair, one in zip(pairs, shown[1:], strict=True) for row in _paired_rows(pair, one)]
        columns = [*COLUMNS, *(TESTS if any(pair.differences for pair in pairs) else ())]
        _write(rows, [*columns, *(["epoch"] if epoch == ALL else [])], out)
    # Printed last: stdout may be closed early (by `head`, say), and the file is complete by then.
    console = report_console()
    print_seeds([*zip(shown, spreads, strict=True)], pairs, console)
    if out is not None:
        print(printable(f"scalars  {out} ({len(rows)} rows)"))


def _epochs(group: SeedGroup, epoch: int | str | None) -> list[int]:
    if epoch == ALL:
        return group.common_epochs()
    return [group.choose(epoch if isinstance(epoch, int) else None)]


def _rows(group: str, epoch: int, spreads: Mapping[str, SeedSpread]) -> list[Row]:
    return [{"key": key, "group": group, **one._asdict(), "epoch": epoch} for key, one in spreads.items()]


def _paired_rows(pair: PairedGroups, second: SeedAnalysis) -> list[Row]:
    tests = {key: {name: getattr(one, name) for name in TESTS} for key, one in pair.differences.items()}
    spreads = {key: one.spread for key, one in pair.differences.items()}
    return [row | tests[row["key"]] for row in _rows(pair.name, second.epoch, spreads)]


def _write(rows: Iterable[Row], columns: Sequence[str], out: Path) -> None:
    """Write one row a scalar; an undefined number is empty, in JSON null."""
    table = [[_defined(row.get(column)) for column in columns] for row in rows]
    text = io.StringIO()
    match out.suffix.lower():
        case ".json":
            # Rows that have no test have no columns for one.
            json.dump([dict(zip(columns, row, strict=True)) for row in table], text, indent=1)
            text.write("\n")
        case ".csv":
            csv.writer(text, lineterminator="\n").writerows([columns, *table])
        case _:
            for row in (columns, ["---"] * len(columns), *table):
                text.write(f"| {' | '.join(_cell(one) for one in row)} |\n")
    with writing("a file that can be written", out), atomic_path(out) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")
