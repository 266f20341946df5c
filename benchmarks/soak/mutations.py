"""Damage to files as disks, networks and editors do it, drawn at random, and the commands that read them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.soak.attempts import attempt
from benchmarks.soak.catalogue import words_of
from benchmarks.soak.trials import Trial
from benchmarks.soak.world import CKPT, DATA, RUN, copy_world
from benchmarks.soak.wrong_input import ANALYZE, EXPLAIN, QUESTIONS, TRAIN

ANALYSIS, COMPARE = f"{RUN}/analysis/epoch=001", "analyze compare {run} --out page.html"
READERS = {
    f"{DATA}/data_prepro.h5": TRAIN,
    f"{DATA}/data_prepro.json": TRAIN,
    f"{DATA}/data_img.h5": TRAIN,
    f"{DATA}/questions_val.json": QUESTIONS,
    f"{DATA}/annotations_val.json": QUESTIONS,
    f"{DATA}/tower.pt": EXPLAIN,
    CKPT: EXPLAIN,
    "picture.png": EXPLAIN,
    "list.csv": "analyze explain {ckpt} --batch {csv} --out out",
    "list.jsonl": "analyze explain {ckpt} --batch {jsonl} --out out",
    "plan.yaml": ANALYZE,
    "config.yaml": TRAIN,
    f"{ANALYSIS}/manifest.json": COMPARE,
    f"{ANALYSIS}/summary.json": COMPARE,
    f"{ANALYSIS}/curves.json": COMPARE,
    f"{ANALYSIS}/records.parquet": COMPARE,
    f"{ANALYSIS}/maps.h5": "analyze figures {run} --out out",
}
"""Files of the small world, and a command that reads each of them."""


def mutations(world: Path, count: int) -> Iterator[Trial]:
    """Reading each file with `count` kinds of damage."""
    for number in range(count):
        for file, command in READERS.items():
            name = f"damaged {Path(file).name}"
            yield Trial(name, str(number), partial(_try, world, file, command))


def _try(world: Path, file: str, command: str, own: Path, draw: random.Random) -> str:
    folder = copy_world(world, own)
    path = folder / file
    path.write_bytes(mutated(path.read_bytes(), draw))
    return attempt(words_of(command), folder).broken


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A copy of a file with one to three damages."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        _damage(data, draw)
    return bytes(data)


def _damage(data: bytearray, draw: random.Random) -> None:
    place = draw.randrange(len(data) + 1)
    # Half of the damage goes to the first kilobyte, where most formats keep what describes the rest.
    if draw.random() < 0.5:
        place = min(place, draw.randrange(1024))
    length = draw.choice([1, 2, 4, 16, 256, 4096])
    kind = draw.choice(["bits", "zeros", "noise", "cut", "out", "twice", "number"])
    if kind == "bits":
        for _ in range(length):
            if place < len(data):
                data[place] ^= 1 << draw.randrange(8)
            place += draw.randrange(1, 64)
    elif kind == "zeros":
        data[place : place + length] = bytes(min(length, max(len(data) - place, 0)))
    elif kind == "noise":
        data[place : place + length] = draw.randbytes(min(length, max(len(data) - place, 0)))
    elif kind == "cut":
        del data[place:]
    elif kind == "out":
        del data[place : place + length]
    elif kind == "twice":
        data[place:place] = data[place : place + length]
    else:
        number = draw.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1])
        data[place : place + 8] = number.to_bytes(8, "little")[: max(len(data) - place, 0)]
