"""A training of thousands of analysed epochs: memory and open files stay level."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.soak.attempts import Process
from benchmarks.soak.trials import Trial
from benchmarks.soak.works import TRAIN_SHORT, Work, workplace

WARM_UP = 0.25
"""Share of the epochs that is left out: caches fill, and Python's memory finds its size."""
MOST_GROWTH = 0.05
"""Share of its level by which the memory may grow over all epochs, by a straight line through them."""
PATIENCE = 180.0
"""Seconds to the next epoch; the first takes some seconds of imports."""


def long_run(world: Path, epochs: int) -> Iterator[Trial]:
    """One training of so many epochs, each analysed."""
    yield Trial("analysed epochs", f"{epochs:,}", partial(_train, world, epochs))


def _train(world: Path, epochs: int, own: Path, draw: random.Random) -> str:
    work = Work("train", f"{TRAIN_SHORT} --trainer.max_epochs {epochs}")
    with workplace(world, work, own) as (folder, _):
        process = work.start(folder, fresh=True)
        rows: list[tuple[int, float, int]] = []
        is_further = partial(_is_further, process, rows)
        while process.wait_for(is_further, PATIENCE):
            proc = Path(f"/proc/{process.pid}")
            try:
                pages = int((proc / "statm").read_text().split()[1])
                files = len([*(proc / "fd").iterdir()])
            except OSError:
                break  # it has ended
            rows.append((_epochs(process), pages * 4096 / 1e6, files))
        outcome = process.wait()
    if broken := outcome.broken_unless({0}):
        return f"after {len(rows)} epochs: {broken}"
    number, memory, files = np.array(rows[int(WARM_UP * len(rows)) :]).T
    growth, files_growth = (1000 * np.polyfit(number, one, 1)[0] for one in (memory, files))
    stated = (
        f"memory {memory.mean():.1f} MB, slope {growth:+.2f} MB in 1,000 epochs; open files {int(files.min())} to "
        f"{int(files.max())}, slope {files_growth:+.2f} in 1,000 epochs"
    )
    print(f"{len(rows)} measurements over {int(number[-1])} epochs after a warm-up: {stated}", flush=True)
    is_level = growth * epochs / 1000 <= MOST_GROWTH * memory.mean() and files_growth * epochs / 1000 < 1
    return "" if is_level else f"not level: {stated}"


def _epochs(process: Process) -> int:
    """Number of epochs that are done, by the lines that they print."""
    return len(re.findall(r"^epoch \d+:", process.printed(), re.M))


def _is_further(process: Process, rows: Sequence[tuple[int, float, int]]) -> bool:
    return _epochs(process) > (rows[-1][0] if rows else 0)
