"""`train.py sweep`: the runs of a W&B sweep file one after the other, without an account.

Each run is a training of its own, in a process and a run folder of its own. The folder's name comes from the
settings, so the same command again skips what is finished and resumes what is not. A training that breaks
down leaves the others to go on; one that refuses its options ends the sweep: something must be corrected.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.table import Table
from rich.text import Text

from lookwhy.cli.errors import INTERRUPTED, WRONG_INPUT, OneLineParser
from lookwhy.cli.sweep_file import Combination, Sweep, read_sweep
from lookwhy.cli.train import METRICS
from lookwhy.errors import LookwhyError

LOG = "train.log"
"""What a run would have printed, in its run folder."""
NOTHING, FAILED = "–", "failed"
_OWN_OPTIONS = ("--name", "--runs", "--ckpt_path")


@dataclass(frozen=True)
class Run:
    """One run of a sweep: its settings, folder, and what it came to, or why it came to nothing."""

    chosen: Combination
    folder: Path
    metrics: dict[str, float] = field(default_factory=dict)
    failed: str | None = None


def build_parser() -> OneLineParser:
    """Options of `train.py sweep`; the others go to every training."""
    parser = OneLineParser(
        prog="train.py sweep",
        description="Train every combination of a W&B sweep file, one after the other, without an account.",
        epilog="Any other option goes to every training, after those of the file: --trainer.max_epochs=2. "
        "The same command again skips finished runs and resumes unfinished ones. "
        "With an account: wandb sweep FILE, then wandb agent ID.",
        allow_abbrev=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="e.g. configs/sweep.yaml")
    parser.add_argument("--count", type=int, help="runs at most (default: the whole grid, or run_cap)")
    parser.add_argument("--seed", type=int, default=0, help="of a random search (default: 0)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs (default: runs)")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the sweep and print its table; returns 0.

    Raises:
        LookwhyError: a wrong file or option, or trainings that failed; the table of all is printed.
    """
    options, overrides = build_parser().parse_known_args(list(arguments))
    if options.count is not None and options.count < 1:
        raise LookwhyError(f"expected --count of at least 1, found {options.count}; leave it out for all")
    if options.seed < 0:
        raise LookwhyError(f"expected --seed of at least 0, found {options.seed}; give another")
    own = next((word for word in overrides if word.split("=")[0] in _OWN_OPTIONS), None)
    if own:
        raise LookwhyError(f"expected options of a training, found {own}, which the sweep sets; leave it out")
    sweep = read_sweep(options.file)
    combinations = sweep.combinations(options.count, options.seed)
    console = Console() if sys.stdout.isatty() else Console(width=100)
    if sweep.stops_early:
        console.print("early_terminate is for wandb agent: here every run trains to its end", soft_wrap=True)
    with _ended_as_by_ctrl_c():
        done = _run_all(sweep, combinations, options.runs, overrides, console)
    console.print(_table(sweep, done))
    console.print(Text(f"run folders  {options.runs / sweep.stem}-*"), soft_wrap=True)
    failed = [run for run in done if run.failed is not None]
    if failed:
        first = failed[0].folder
        raise LookwhyError(
            f"expected {len(done)} runs to finish, found {len(failed)} that failed, first {first.name} "
            f"({failed[0].failed}); see {first / LOG}; the same command tries them again"
        )
    return 0


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """A closed terminal or `kill` ends the training, too, instead of leaving it alone."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_all(
    sweep: Sweep, combinations: list[Combination], runs: Path, overrides: list[str], console: Console
) -> list[Run]:
    """Train what is not finished, telling of each run in a line."""
    done = []
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeLeft(),
        console=console, disable=not console.is_terminal, transient=True, refresh_per_second=2,
    )  # fmt: skip
    with bar:
        task = bar.add_task(sweep.name, total=len(combinations))
        for number, chosen in enumerate(combinations, start=1):
            folder = runs / sweep.run_name(chosen, overrides)
            bar.update(task, description=folder.name)
            start = time.monotonic()
            finished = (folder / METRICS).is_file()
            failed = None if finished else _train(sweep, chosen, folder, overrides)
            if failed is None:
                run = Run(chosen, folder, json.loads((folder / METRICS).read_text()))
            else:
                run = Run(chosen, folder, failed=failed)
            took = "finished before" if finished else f"{time.monotonic() - start:.0f} s"
            value = FAILED if run.failed is not None else _value(run.metrics.get(sweep.metric))
            settings = " ".join(f"{name}={setting}" for name, setting in chosen.items())
            console.print(
                Text(f"{number}/{len(combinations)}  {folder.name}  {settings}  {value}  ({took})"),
                soft_wrap=True,
            )
            bar.advance(task)
            done.append(run)
    return done


def _train(sweep: Sweep, chosen: Combination, folder: Path, overrides: list[str]) -> str | None:
    """One training, in a process of its own; what it prints goes to its log.

    Returns:
        Why it broke down; None where it finished.

    Raises:
        LookwhyError: it refused its options, or another one is still at work in its folder.
        KeyboardInterrupt: it was interrupted, or this process was; then it is, too.
    """
    last = folder / "checkpoints" / "last.ckpt"
    resumed = [f"--ckpt_path={last}"] if last.is_file() else []
    own = [f"--runs={folder.parent}", f"--name={folder.name}", f"--group={sweep.name}"]
    arguments = [*sweep.arguments(chosen), *own, *overrides, *resumed]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("ab") as log:
        _lock(log, folder)
        if not resumed:
            _clear(folder)
        code = _run(arguments, log, sweep)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code == WRONG_INPUT:
        raise LookwhyError(
            f"expected the run {folder.name} to finish, found exit code {code} ({_last_line(folder / LOG)}); "
            f"see {folder / LOG}; the same command continues"
        )
    if code or not (folder / METRICS).is_file():
        return f"exit code {code}: {_last_line(folder / LOG)}"
    return None


def _lock(log: BinaryIO, folder: Path) -> None:
    """Keep others out while this log is open: the training inherits it, and so holds it if this process dies.

    Raises:
        LookwhyError: another training has it.
    """
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LookwhyError(
            f"expected no process at work in {folder}, found a training that still is; wait for it, or end it"
        ) from error


def _clear(folder: Path) -> None:
    """Remove what a training killed in its first epoch has left, but for its log."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOG:
            path.unlink()


def _run(arguments: list[str], log: BinaryIO, sweep: Sweep) -> int:
    try:
        # In a process group of its own: Ctrl-C comes from here, once.
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )
    except OSError as error:
        raise LookwhyError(
            f"expected a command that runs in {sweep.path}, found {arguments[0]} ({error.strerror}); "
            "correct command"
        ) from error
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
    return lines[-1].removeprefix("lookwhy: error: ").strip()[:400]


def _table(sweep: Sweep, done: list[Run]) -> Table:
    """The runs, the best first; only settings that differ."""
    names = [name for name in sweep.parameters if len({repr(run.chosen[name]) for run in done}) > 1]
    best = f"{sweep.metric}/best"
    with_best = any(best in run.metrics for run in done)
    goal = "higher" if sweep.maximise else "lower"
    table = Table(
        title=Text(f"Sweep {sweep.name}"), caption=Text(f"Sorted by {sweep.metric}: {goal} is better.")
    )
    table.add_column("Run")
    for name in names:
        table.add_column(Text(name), overflow="fold")
    table.add_column("Last", justify="right")
    if with_best:
        table.add_column("Best epoch's", justify="right")
    for run in sorted(done, key=lambda run: _rank(run.metrics.get(sweep.metric), sweep.maximise)):
        cells = [run.folder.name, *(_setting(run.chosen[name]) for name in names)]
        cells += [FAILED if run.failed is not None else _value(run.metrics.get(sweep.metric))]
        cells += [_value(run.metrics.get(best))] if with_best else []
        table.add_row(*map(Text, cells))
    return table


def _rank(value: float | None, maximise: bool) -> tuple[bool, float]:
    """For sorting, the best first, runs without a value last."""
    return value is None, (-value if maximise else value) if value is not None else 0.0


def _setting(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _value(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"
