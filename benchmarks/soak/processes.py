"""Trainings by two and three processes, as users start them: the same results, and a killed one ends all."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.soak.attempts import LIMIT, NO_END, Process
from benchmarks.soak.trials import Trial
from benchmarks.soak.works import TRAIN_SHORT, Work, workplace
from lookwhy import store

DDP = " --trainer.devices {n} --trainer.strategy {strategy}"
LAUNCHES = {
    "ddp": ((), "ddp"),
    "ddp_spawn": ((), "ddp_spawn"),
    "torchrun": (("-m", "torch.distributed.run", "--standalone", "--nproc-per-node={n}"), "ddp"),
}
UNTRAINED = TRAIN_SHORT + " --analysis.untrained true --analysis.epochs []"
"""An analysis before the first step, when the weights do not depend on the number of processes."""
ENDLESS = TRAIN_SHORT + " --trainer.max_epochs 100000 --analysis.epochs [] --trainer.logger false"
PATIENCE = 180.0
"""Seconds for the start of three processes on two cores."""
MARK = "SOAK_TRIAL"
CLOSE = 1e-5
"""Difference of the summaries: processes add numbers in another order."""


def processes(world: Path) -> Iterator[Trial]:
    """Each launch with two and three processes, and each of two killed at a random moment."""
    for launch in LAUNCHES:
        for count in (2, 3):
            yield Trial("several processes", f"{launch} {count}", partial(_equal, world, launch, count))
        for rank in range(2):
            yield Trial(
                "one of several killed", f"{launch} process {rank}", partial(_kill, world, launch, rank)
            )


def _start(launch: str, count: int, command: str, folder: Path) -> Process:
    """Start a training; all its processes have the mark in their environment, also those of other sessions."""
    launcher, strategy = LAUNCHES[launch]
    more = DDP.format(n=count, strategy=strategy)
    options = [word.format(n=count) for word in launcher]
    return Work("train", command).start(
        folder, fresh=True, more=more, launcher=options, **{MARK: str(folder)}
    )


def _equal(world: Path, launch: str, count: int, own: Path, draw: random.Random) -> str:
    summaries = []
    for number in (1, count):
        place = own / str(number)
        place.mkdir()
        with workplace(world, Work("train", UNTRAINED), place) as (folder, _):
            if number == 1:
                outcome = Work("train", UNTRAINED).start(folder).wait()
            else:
                outcome = _start(launch, count, UNTRAINED, folder).wait(PATIENCE)
            if broken := outcome.broken_unless({0}):
                return broken
            summaries.append(
                store.load_scalars(store.epoch_folder(folder / "written/mine", store.UNTRAINED)).summary
            )
    one, several = summaries
    wrong = [key for key in one.keys() | several.keys() if not _close(one.get(key), several.get(key))]
    return f"different: {', '.join(sorted(wrong)[:4])}" if wrong else ""


def _close(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) <= CLOSE)


def _kill(world: Path, launch: str, rank: int, own: Path, draw: random.Random) -> str:
    with workplace(world, Work("train", ENDLESS), own) as (folder, _):
        process = _start(launch, 2, ENDLESS, folder)
        if not process.wait_for(lambda: "epoch 1:" in process.printed(), PATIENCE):
            return process.wait(1).broken_unless(set()) or "no second epoch"
        time.sleep(draw.uniform(0.0, 2.0))
        found = _ranks(folder)
        if len(found) != 2:
            _end(folder)
            return f"{len(found)} processes train in place of 2; {process.wait().err[-200:]}"
        os.kill(found[rank], signal.SIGKILL)
        start = time.monotonic()
        outcome = process.wait()
        while (left := _running(folder)) and time.monotonic() < start + LIMIT:
            time.sleep(0.1)
        if left:
            _end(folder)
            return f"{len(left)} processes still run {LIMIT:.0f} s after a kill"
        if found[rank] == process.pid:
            return ""  # its exit code is that of the signal
        return "" if outcome.code and outcome.code != NO_END else f"exit code {outcome.code} after a kill"


def _running(folder: Path) -> dict[int, list[str]]:
    """Command lines of the processes that train in a folder, by process id; Linux tells them."""
    found, mark = {}, f"{MARK}={folder}"
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in path.joinpath("environ").read_text(errors="replace").split("\0"):
                found[int(path.name)] = path.joinpath("cmdline").read_text().split("\0")
        except OSError:
            continue  # it has ended, or it belongs to someone else
    return found


def _end(folder: Path) -> None:
    for pid in _running(folder):
        os.kill(pid, signal.SIGKILL)


def _ranks(folder: Path) -> list[int]:
    """Process ids of the ranks, the first first: those that were spawned to train, or that run the script."""
    running = _running(folder)
    spawned = [pid for pid, words in running.items() if any("spawn_main" in word for word in words)]
    scripts = [pid for pid, words in running.items() if any(word.endswith("train.py") for word in words)]
    launchers = [pid for pid, words in running.items() if "torch.distributed.run" in words]
    return sorted(spawned or set(scripts) - set(launchers))
