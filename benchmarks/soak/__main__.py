"""Long runs that try what users meet: wrong input, damaged files, kills, signals, full disks, servers, many epochs.

    python -m benchmarks.soak [--only TEXT] [--most N] [--jobs N] [--seed S] [--markdown]
        [--mutations N] [--kills N] [--epochs N]

Prints each broken promise with the command that repeats it and, at the end, a table: kind, tried, as promised,
broken. Exit code 1 if any was broken.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.soak.attempts import import_commands
from benchmarks.soak.catalogue import catalogue
from benchmarks.soak.disks import disks
from benchmarks.soak.kills import kills
from benchmarks.soak.long_run import long_run
from benchmarks.soak.mutations import mutations
from benchmarks.soak.offline import servers
from benchmarks.soak.paper import papers
from benchmarks.soak.processes import processes
from benchmarks.soak.signals import signals
from benchmarks.soak.trials import Table, Trial, drawn, outcomes
from benchmarks.soak.world import make_world
from lookwhy.progress import progress


def options_of(argv: list[str] | None) -> argparse.Namespace:
    """Parse the options; without any, everything is tried at full size, which takes hours."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--only",
        default="",
        metavar="TEXT",
        help="trials whose `kind: name` is TEXT, or matches it (re.search)",
    )
    add("--most", type=int, metavar="N", help="at most N trials of each kind, drawn at random")
    add("--jobs", type=int, default=1, help="trials that run at once (1)")
    add("--seed", type=int, default=0, help="seed of everything that is drawn (0)")
    add("--markdown", action="store_true", help="print the table as Markdown")
    add("--mutations", type=int, default=1000, help="damaged copies of each file (1000)")
    add("--kills", type=int, default=50, help="kills of each command (50)")
    add("--epochs", type=int, default=2000, help="epochs of the long training (2000)")
    return parser.parse_args(argv)


def all_trials(world: Path, options: argparse.Namespace) -> list[Trial]:
    """Every trial at the sizes of the options; the long ones first, so that no process waits for them at the end."""
    return [
        *long_run(world, options.epochs),
        *papers(),
        *catalogue(world),
        *mutations(world, options.mutations),
        *kills(world, options.kills),
        *signals(world),
        *disks(world),
        *servers(world),
        *processes(world),
    ]


def main(argv: list[str] | None = None) -> int:
    """Run what the options ask for; 1 if a promise was broken."""
    options, table, start = options_of(argv), Table(), time.monotonic()
    sizes = f"--seed {options.seed} --mutations {options.mutations} --kills {options.kills} --epochs {options.epochs}"
    import_commands()
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder) / "world")
        trials = drawn(all_trials(world, options), options.only, options.most, options.seed)
        print(f"{len(trials):,} trials; the small world took {time.monotonic() - start:.0f} s", flush=True)
        done = outcomes(trials, options.jobs, options.seed, Path(folder))
        try:
            for trial, broken in progress(done, desc="trials", total=len(trials), unit="trial"):
                table.add(
                    trial, broken, f"python -m benchmarks.soak {sizes} --only {shlex.quote(trial.title)}"
                )
        finally:  # what was tried before an interruption counts, too
            table.print(options.markdown)
            minutes = (time.monotonic() - start) / 60
            print(
                f"\nseed {options.seed}, {table.tried.total():,} trials in {minutes:.1f} minutes", flush=True
            )
    return 1 if table.broken.total() else 0


if __name__ == "__main__":
    sys.exit(main())
