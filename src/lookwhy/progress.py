"""Progress of long work: a bar on a terminal; elsewhere (nohup, Slurm, a pipe) one plain line per minute."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from lookwhy.errors import printable

SECONDS_BETWEEN_LINES = 60.0
BYTES: dict[str, Any] = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
"""Options of a progress bar that counts bytes."""
Bar = tqdm


def progress(
    iterable: Iterable[Any] | None = None, desc: str = "", *, shown: bool = True, **options: Any
) -> Bar:
    """Show a progress bar on stderr, or one line per minute if stderr is not a terminal.

    Args:
        iterable: objects that the bar yields one by one; None if the caller calls `update`.
        desc: short name of the work.
        shown: whether to show anything; only one process of a run should.
        options: other options of `tqdm.tqdm`.

    Example:
        >>> sum(progress([1, 2, 3], "adding", leave=False))
        6
    """
    if not shown or sys.stderr.isatty():
        return tqdm(iterable, desc, disable=not shown, **options)
    return _Lines(iterable, desc, **options)


def readable(count: int) -> str:
    """Format a number of bytes as the bars do, in powers of 1024: "293kB"."""
    return tqdm.format_sizeof(count, "B", 1024)


def write_above(line: str) -> None:
    """Print a line on stderr, above the bars."""
    tqdm.write(printable(line), file=sys.stderr)


class _Lines(tqdm):
    def __init__(self, iterable: Iterable[Any] | None, desc: str, **options: Any) -> None:
        self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        # A dummy file, because tqdm moves the cursor of its file. With 0 columns its text has no bar.
        options |= {"file": io.StringIO(), "ncols": 0, "dynamic_ncols": False, "bar_format": None}
        super().__init__(iterable, desc, **options | {"mininterval": SECONDS_BETWEEN_LINES / 10})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print the state if a line is due; tqdm calls this for each new state."""
        if msg is None and time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            print(self, file=sys.stderr, flush=True)
