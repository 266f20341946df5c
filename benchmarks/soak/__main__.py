"""Long runs that try what users meet: wrong input of every kind, and damaged files.

    python -m benchmarks.soak [--cases N] [--mutations N] [--seed S] [--only TEXT]

Prints each broken promise and, at the end, a table: tried, as promised, broken. Exit code 1 if any was broken.
"""

from __future__ import annotations

import argparse
import importlib
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from benchmarks.soak.attempts import Outcome, attempt
from benchmarks.soak.catalogue import ANALYZE, EXPLAIN, QUESTIONS, TRAIN, Case, all_cases
from benchmarks.soak.mutations import mutated
from benchmarks.soak.world import make_world

READERS = {
    "data/data_prepro.h5": TRAIN,
    "data/data_prepro.json": TRAIN,
    "data/data_img.h5": TRAIN,
    "data/questions_val.json": QUESTIONS,
    "data/annotations_val.json": QUESTIONS,
    "data/tower.pt": EXPLAIN,
    "runs/sound/checkpoints/last.ckpt": EXPLAIN,
    "picture.png": EXPLAIN.replace("{picture}", "picture.png"),
    "list.csv": "analyze explain {ckpt} --batch {csv} --out out",
    "list.jsonl": "analyze explain {ckpt} --batch {jsonl} --out out",
    "plan.yaml": ANALYZE,
    "config.yaml": TRAIN,
    "ANALYSIS/manifest.json": "analyze compare {run} --out page.html",
    "ANALYSIS/summary.json": "analyze compare {run} --out page.html",
    "ANALYSIS/curves.json": "analyze compare {run} --out page.html",
    "ANALYSIS/records.parquet": "analyze compare {run} --out page.html",
    "ANALYSIS/maps.h5": "analyze figures {run} --out out",
}
"""Files of the small world, and a command that reads each of them."""


def run(words: tuple[str, ...], folder: Path) -> Outcome:
    """Attempt `train ...`, `analyze ...` or `prepare ...`, without the network and without colours."""
    main = importlib.import_module(f"lookwhy.cli.{words[0]}").main
    return attempt(main, list(words[1:]), folder)


class Table:
    """Number of attempts of each group, and of broken promises."""

    def __init__(self) -> None:
        self.tried, self.broken = Counter[str](), Counter[str]()

    def add(self, group: str, name: str, outcome: Outcome) -> None:
        """Count an attempt; print it if a promise was broken."""
        self.tried[group] += 1
        if outcome.broken:
            self.broken[group] += 1
            print(f"BROKEN {group} | {name} | {outcome.broken[:300]}", flush=True)

    def print(self) -> None:
        """Print the table."""
        print(f"\n{'group':44} {'tried':>7} {'as promised':>12} {'broken':>7}")
        for group, tried in self.tried.items():
            print(f"{group:44} {tried:7,} {tried - self.broken[group]:12,} {self.broken[group]:7,}")
        total, broken = self.tried.total(), self.broken.total()
        print(f"{'all':44} {total:7,} {total - broken:12,} {broken:7,}")


def try_cases(cases: list[Case], folder: Path, table: Table) -> None:
    """Attempt each case in an empty folder."""
    for case in cases:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            table.add(case.group, case.name, run(case.words, Path(work)))


def try_mutations(count: int, draw: random.Random, sound: SimpleNamespace, only: str, table: Table) -> None:
    """Read `count` damaged copies of each file with a copy of the world around it."""
    for name, command in READERS.items():
        if only not in name:
            continue
        with tempfile.TemporaryDirectory() as work:
            copy = Path(work) / "world"
            shutil.copytree(
                sound.folder, copy, symlinks=True, ignore=shutil.ignore_patterns("wrong", "wandb")
            )
            shutil.copy(sound.picture, copy / "picture.png")
            places = {key: str(copy / value.relative_to(sound.folder)) for key, value in vars(sound).items()}
            analysis = max((copy / "runs/sound/analysis").iterdir())
            path = analysis / Path(name).name if name.startswith("ANALYSIS") else copy / name
            content = path.read_bytes()
            words = tuple(word.format(**places) for word in command.split(" "))
            for number in range(count):
                path.write_bytes(mutated(content, draw))
                outcome = run(words, copy)
                table.add(f"damaged {path.name}", str(number), outcome)
                for made in ("out", "why.png", "page.html", "runs/mine"):
                    shutil.rmtree(copy / made, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Run what the options ask for; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, help="attempt this many cases, drawn at random (default: all)")
    parser.add_argument("--mutations", type=int, default=1000, help="damaged files of each kind (1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of what is drawn (0)")
    parser.add_argument("--only", default="", help="cases and files whose name contains this text")
    options = parser.parse_args(argv)
    draw, table = random.Random(options.seed), Table()
    for name in ("train", "analyze", "prepare", "lightning"):
        importlib.import_module(f"lookwhy.cli.{name}")
    for name in ("callbacks", "live.server", "reporting.figures.sheet", "reporting.page.html"):
        importlib.import_module(f"lookwhy.{name}")
    with tempfile.TemporaryDirectory() as folder:
        sound = make_world(Path(folder))
        cases = [one for one in all_cases(Path(folder), sound) if options.only in f"{one.group} {one.name}"]
        if options.cases is not None:
            cases = draw.sample(cases, min(options.cases, len(cases)))
        try_cases(cases, Path(folder), table)
        try_mutations(options.mutations, draw, sound, options.only, table)
    table.print()
    return 1 if table.broken.total() else 0


if __name__ == "__main__":
    raise SystemExit(main())
