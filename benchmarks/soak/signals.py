"""Signals in every phase of a command: it ends within a minute without a traceback, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.soak.attempts import Outcome, Process
from benchmarks.soak.catalogue import words_of
from benchmarks.soak.results import differences
from benchmarks.soak.trials import Trial
from benchmarks.soak.works import EPOCHS, OUT, TRAIN_SHORT, WORKS, Work, undisturbed, workplace
from benchmarks.soak.world import DATA, copy_world

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


class Phase(NamedTuple):
    """A phase begins when a text is printed or a file is there; the signal comes up to some seconds later."""

    name: str
    printed: str = ""
    file: str = ""
    seconds: float = 1.0


START = 0.3
"""Seconds in which Python itself starts; a signal then ends it in its own words."""
IMPORTING, WORKING = Phase("importing", seconds=2.0), Phase("working", file=f"{OUT}/*", seconds=0.5)
TRAINING = [
    IMPORTING,
    Phase("preparing", file=f"{OUT}/mine", seconds=1.0),
    Phase("training", printed="epoch 0:", seconds=0.5),
    Phase("at the end", printed=f"epoch {EPOCHS - 1}:", seconds=1.5),
]
WORKS_BY_NAME = {work.name: work for work in WORKS}
PHASES = {name: [IMPORTING, WORKING] for name in WORKS_BY_NAME} | {"train": TRAINING}
ANALYSING = Work("train with an empty memory", f"{TRAIN_SHORT} --analysis.untrained true", f"{DATA}/cache")
"""A training whose first minutes are an analysis: of the untrained model, with nothing in the memory."""


def signals(world: Path) -> Iterator[Trial]:
    """Each signal in each phase of each work, and while the live page is served."""
    works = [(work, phase) for name, work in WORKS_BY_NAME.items() for phase in PHASES[name]]
    works.append((ANALYSING, Phase("in an analysis", file=f"{OUT}/mine", seconds=4.0)))
    for name in SIGNALS:
        for work, phase in works:
            yield Trial(name, f"{work.name}, {phase.name}", partial(_signal, world, work, phase, name))
        yield Trial(name, "serve, serving", partial(_serve, world, name))


def _allowed(name: str) -> set[int]:
    """Exit codes after a signal: done before it came, interrupted, or ended by that very signal.

    SIGINT itself ends Python only in its last moment, when the work is done.
    """
    number = int(signal.Signals[name])
    return {0, 130, 128 + number, -number}


def _signal(world: Path, work: Work, phase: Phase, name: str, own: Path, draw: random.Random) -> str:
    expected, _ = undisturbed(world, work, own)
    with workplace(world, work, own) as (folder, url):
        process = work.start(folder, True, url)
        if phase.printed or phase.file:
            process.wait_for(
                lambda: bool(
                    phase.printed in process.printed() if phase.printed else any(folder.glob(phase.file))
                )
            )
        time.sleep(START * (phase is IMPORTING) + draw.uniform(0.0, phase.seconds))
        outcome, seconds = _send(process, name)
        if broken := outcome.broken_unless(_allowed(name)):
            return f"{name} in second {seconds:.1f}: {broken}"
        again = work.go_on(folder, url)
        return again.broken_unless({0}) or differences(expected, work.results(folder, again.out))


def _send(process: Process, name: str) -> tuple[Outcome, float]:
    seconds = time.monotonic() - process.start
    if process.is_running():
        os.kill(process.pid, signal.Signals[name])
    return process.wait(), seconds


def _serve(world: Path, name: str, own: Path, draw: random.Random) -> str:
    process = Process(words_of("analyze serve {ckpt} --port 0"), copy_world(world, own), fresh=True)
    if not process.wait_for(lambda: "ask at" in process.printed()):
        return process.wait(1).broken_unless(set()) or "no page"
    return _send(process, name)[0].broken_unless(_allowed(name))
