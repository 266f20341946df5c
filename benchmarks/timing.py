"""Timing on a machine that has other work, and the table of all benchmarks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass
class Row:
    """One line of a table: quantity, measured value, bar (empty: none), and whether the bar is met."""

    name: str
    measured: str
    bar: str
    met: bool


def interleaved(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of process time of each function, called in turn: A B A B ...

    Taking turns spreads the slow phases of the machine over all functions. Process time excludes the work of
    other processes. Both are meaningful only on one thread: call `torch.set_num_threads(1)` first. The first
    round fills caches and is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if repeat:
                seconds[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print the rows as a table with its full width, also into a file or a pipe."""
    table = Table(title=title, title_justify="left")
    for column in ("quantity", "measured", "bar", "met"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(row.name, row.measured, row.bar, ("yes" if row.met else "NO") if row.bar else "")
    # A file or a pipe has no width: rich would cut the columns to 80 characters.
    Console(width=Console(width=1000).measure(table).maximum).print(table)
