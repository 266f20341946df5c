"""W&B servers that are of no use: a training goes on offline, says so, and its results are complete."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.soak.results import differences
from benchmarks.soak.servers import USELESS, useless_server
from benchmarks.soak.trials import Trial
from benchmarks.soak.works import WORKS, undisturbed, workplace

LIMIT = 180.0
"""Seconds that a training of a few seconds may take with a server that never answers."""


def servers(world: Path) -> Iterator[Trial]:
    """A training with an API key and each useless server, as a user starts it."""
    for name in USELESS:
        yield Trial("useless W&B server", name, partial(_train, world, name))


def _train(world: Path, name: str, own: Path, draw: random.Random) -> str:
    work = next(work for work in WORKS if work.is_training)
    expected, _ = undisturbed(world, work, own)
    with workplace(world, work, own) as (folder, _), useless_server(USELESS[name]) as address:
        online = {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": address, "WANDB_MODE": "online"}
        outcome = work.start(folder, fresh=True, **online).wait(LIMIT)
        said = outcome.out.count("the run goes on offline in")
        if broken := outcome.broken_unless({0}):
            return broken
        if said != 1:
            return f"said {said} times that the run goes on offline"
        return differences(expected, work.results(folder, outcome.out))
