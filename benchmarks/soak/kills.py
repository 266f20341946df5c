"""Kills at random moments: the same command is run again, and its results must be those of undisturbed work."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.soak.results import differences
from benchmarks.soak.trials import Trial
from benchmarks.soak.works import WORKS, Work, undisturbed, workplace

FRESH_EVERY = 10
"""One in so many attempts is killed in a new interpreter; the others are forks, without the imports."""


def kills(world: Path, count: int) -> Iterator[Trial]:
    """`count` kills (SIGKILL) of each work, at random moments."""
    for work in WORKS:
        for number in range(count):
            yield Trial(
                f"killed {work.name}", str(number), partial(_kill, world, work, number % FRESH_EVERY == 0)
            )


def _kill(world: Path, work: Work, fresh: bool, own: Path, draw: random.Random) -> str:
    expected, seconds = undisturbed(world, work, own)
    with workplace(world, work, own) as (folder, url):
        process = work.start(folder, fresh, url)
        time.sleep(draw.uniform(0.0, seconds + 2.0 * fresh))
        if process.is_running():
            os.killpg(process.pid, signal.SIGKILL)
        killed = process.wait()
        outcome = work.go_on(folder, url)
        if broken := outcome.broken_unless({0}):
            return f"after a kill in second {killed.seconds:.1f}: {broken}"
        found = differences(expected, work.results(folder, outcome.out))
        return found and f"after a kill in second {killed.seconds:.1f} of {seconds:.1f}: {found}"
