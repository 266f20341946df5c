"""A trial: one attempt to break a promise. Trials are run by several processes at once, each in an empty folder."""

from __future__ import annotations

import multiprocessing
import random
import re
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch

Attempt = Callable[[Path, random.Random], str]
"""Function of an empty folder and a source of random numbers; it returns the broken promise, or ""."""


@dataclass(frozen=True)
class Trial:
    """An attempt with its kind, which is a row of the table, and its name within the kind."""

    kind: str
    name: str
    attempt: Attempt

    @property
    def title(self) -> str:
        """Kind and name, in which `--only` is looked for."""
        return f"{self.kind}: {self.name}"


def drawn(trials: Sequence[Trial], only: str, most: int | None, seed: int) -> list[Trial]:
    """The trials with that title, else those whose title matches it (re.search); at most so many of each kind."""
    exact = [trial for trial in trials if trial.title == only]
    found = exact or [trial for trial in trials if re.search(only, trial.title)]
    if most is None:
        return found
    kinds: dict[str, list[Trial]] = {}
    for trial in found:
        kinds.setdefault(trial.kind, []).append(trial)
    draw = random.Random(seed)
    return [trial for some in kinds.values() for trial in draw.sample(some, min(most, len(some)))]


_trials: Sequence[Trial] = ()
_seed = 0


def outcomes(trials: Sequence[Trial], jobs: int, seed: int, folder: Path) -> Iterator[tuple[Trial, str]]:
    """Run the trials in `jobs` processes; yields each with its broken promise."""
    global _trials, _seed
    _trials, _seed = trials, seed  # the processes are forks: functions need not be pickled
    work = [(index, str(folder)) for index in range(len(trials))]
    # Not a Pool: its processes, and forks of them, may not start processes of their own.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        for done in as_completed([pool.submit(_run, one) for one in work]):
            index, broken = done.result()
            yield trials[index], broken


def _run(work: tuple[int, str]) -> tuple[int, str]:
    index, folder = work
    trial = _trials[index]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as own:
        try:
            broken = trial.attempt(Path(own), random.Random(f"{_seed} {trial.title}"))
        except Exception:  # noqa: BLE001 - a fault of the soak itself must not end it
            broken = "the trial itself failed: " + " | ".join(traceback.format_exc().splitlines()[-3:])
    return index, broken


class Table:
    """Number of attempts of each kind, and of broken promises; "kind: text" rows keep their order."""

    def __init__(self) -> None:
        self.tried, self.broken = Counter[str](), Counter[str]()

    def add(self, trial: Trial, broken: str, again: str) -> None:
        """Count an attempt; print it, with the command that repeats it, if a promise was broken."""
        self.tried[trial.kind] += 1
        self.broken[trial.kind] += bool(broken)
        if broken:
            print(f"BROKEN {trial.title} | {' '.join(broken.split())[:800]}\n       {again}", flush=True)

    def print(self, markdown: bool) -> None:
        """Print the table, for a terminal or as Markdown."""
        rows = [(kind, tried, self.broken[kind]) for kind, tried in self.tried.items()]
        rows.append(("all", self.tried.total(), self.broken.total()))
        cells = [("kind", "tried", "as promised", "broken")]
        cells += [(kind, f"{tried:,}", f"{tried - broken:,}", f"{broken:,}") for kind, tried, broken in rows]
        if markdown:
            cells.insert(1, ("---", "---:", "---:", "---:"))
            print("\n" + "\n".join(f"| {' | '.join(row)} |" for row in cells))
        else:
            print("\n" + "\n".join(f"{row[0]:44} {row[1]:>7} {row[2]:>12} {row[3]:>7}" for row in cells))
