"""The catalogue: every command with every kind of wrong file, number, plan and setting, and closed outputs."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.soak.attempts import LIMIT, Process
from benchmarks.soak.trials import Trial
from benchmarks.soak.world import PLACES, WRONG_FILES, copy_world, make_wrong_files
from benchmarks.soak.wrong_input import (
    ANALYZE,
    EXPLAIN,
    FILES,
    LARGE,
    NUMBERS,
    OTHER,
    OUTPUTS,
    PLANS,
    QUESTIONS,
    SETTINGS,
    TRAIN,
    WRONG_NUMBERS,
    WRONG_OUTPUTS,
)

SOUND = {("serve CKPT", "a checkpoint"), ("train --config", "fifo")}
"""Commands that would never end: a server, and the reader of a pipe, which `--config <(command)` is as well."""
FRESH_EVERY = 25
"""One in so many attempts starts a new interpreter as a shell does; the others are forks, which is the same but
for the imports."""
READ_BY_HEAD = {
    "prepare shapes": "prepare shapes --train-scenes 3 --val-scenes 2 --epochs 1 --out out",
    "prepare questions": QUESTIONS,
    "train": TRAIN,
    "analyze": ANALYZE,
    "explain": EXPLAIN,
    "explain --batch": "analyze explain {ckpt} --batch {csv} --out out",
    "compare": "analyze compare {run} --out page.html",
    "figures": "analyze figures {run} --out out",
    "train --help": "train --help",
    "analyze --help": "analyze --help",
}


def words_of(command: str, value: str = "") -> tuple[str, ...]:
    """The words of a command; @ stands for the value, and '' for an empty word."""
    words = (word.format(**PLACES) for word in command.split(" ") if word)
    return tuple({"@": value, "''": ""}.get(word, word) for word in words)


def catalogue(world: Path) -> Iterator[Trial]:
    """Every case with wrong input, and the commands whose output nobody reads to its end."""
    for number, case in enumerate(_cases()):
        yield Trial(case.kind, case.name, partial(_try, world, case, number % FRESH_EVERY == 0))
    for name, command in READ_BY_HEAD.items():
        yield Trial("stdout closed early", name, partial(_closed_early, world, command))


class Case(NamedTuple):
    """A command, and the value, or the name of the wrong file, that takes the place of @."""

    kind: str
    name: str
    command: str
    value: str = ""


def _try(world: Path, case: Case, fresh: bool, own: Path, draw: random.Random) -> str:
    folder = copy_world(world, own)
    make_wrong_files(folder)
    value = case.value
    if case.kind == "wrong plan":
        (folder / "wrong.yaml").write_bytes(value.encode("latin-1"))
        value = "wrong.yaml"
    return Process(words_of(case.command, value), folder, fresh).wait().broken


def _cases() -> Iterator[Case]:
    for place, command in FILES.items():
        for wrong, path in WRONG_FILES.items():
            if (place, wrong) not in SOUND:
                yield Case("wrong file", f"{place}: {wrong}", command, path)
    for place, command in OUTPUTS.items():
        for target in WRONG_OUTPUTS:
            yield Case("wrong output", f"{place}: {target[:20]!r}", command, target)
    for place, command in NUMBERS.items():
        for number in WRONG_NUMBERS:
            if not (place in LARGE and len(number) > 9):
                yield Case("wrong number", f"{place} {number!r}", command, number)
    for index, text in enumerate(PLANS):
        yield Case("wrong plan", f"{index} {text[:60]!r}", ANALYZE.replace("{plan}", "@"), text)
    for text in SETTINGS:
        yield Case("setting of a training", text, f"{TRAIN} {text}")
    for index, text in enumerate(OTHER):
        yield Case("other wrong command", f"{index} {text[:60]!r}", text)


def _closed_early(world: Path, command: str, own: Path, draw: random.Random) -> str:
    """Run a command whose stdout is a pipe that nobody reads, as after `| head -n 0`."""
    reading, writing = os.pipe()

    def setup() -> None:
        os.close(reading)
        os.dup2(writing, 1)

    process = Process(words_of(command), copy_world(world, own), setup=setup)
    os.close(writing)
    os.close(reading)
    outcome = process.wait(LIMIT)
    return outcome.broken_unless({0}) or (
        f"stderr: {outcome.err.splitlines()[-1]}" if "Broken pipe" in outcome.err else ""
    )
