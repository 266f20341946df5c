"""Work that may be interrupted: a command, how to go on after an interruption, and what its results are."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from benchmarks.soak.attempts import Outcome, Process
from benchmarks.soak.catalogue import words_of
from benchmarks.soak.results import digests
from benchmarks.soak.servers import WebServer
from benchmarks.soak.world import DATA, SHAPES, copy_world
from benchmarks.soak.wrong_input import ANALYZE, TRAIN

OUT = "written"
"""Folder of the results of every work, below its working folder."""
EPOCHS = 3
TRAIN_SHORT = TRAIN.replace("--trainer.max_epochs 1", f"--trainer.max_epochs {EPOCHS}") + f" --runs {OUT}"
ZIPS = ("vqahat_train.zip", "vqahat_val.zip")


@dataclass(frozen=True)
class Work:
    """One command.

    Attributes:
        name: name of the command.
        command: its words; all that it writes lies below `written/`.
        empties: folder below the world that is deleted first, and is part of the results.
        fresh: whether it runs in a new interpreter: what it imports is not imported for the attempts.
    """

    name: str
    command: str
    empties: str = ""
    fresh: bool = False

    @property
    def is_training(self) -> bool:
        return self.command.startswith("train")

    def start(
        self, folder: Path, fresh: bool = False, url: str = "", more: str = "", **options: object
    ) -> Process:
        """Start the command in a copy of the world."""
        words = words_of(f"{self.command}{more}".replace("URL", url))
        return Process(words, folder, self.fresh or fresh, **options)  # type: ignore[arg-type]

    def go_on(self, folder: Path, url: str = "", **options: object) -> Outcome:
        """Start the command again after an interruption; a training resumes, if it has saved a checkpoint.

        A training that had come to its very end says so in one line; then nothing is left to do.
        """
        last = folder / OUT / "mine/checkpoints/last.ckpt"
        more = f" --ckpt_path {last.relative_to(folder)}" if self.is_training and last.is_file() else ""
        outcome = self.start(folder, False, url, more, **options).wait()
        if more and "which the training in" in outcome.err and (last.parents[1] / "metrics.json").is_file():
            return replace(outcome, code=0, err="", out=f"run folder  {OUT}/mine\n")
        return outcome

    def results(self, folder: Path, printed: str) -> dict[str, str]:
        """Digest of each result, by path. A training's folder is the one that it printed."""
        run = re.search(rf"^run folder +({OUT}/\S+)", printed, re.M)
        found = digests(folder / run[1] if run and self.is_training else folder / OUT, folder)
        return found | (digests(folder / self.empties, folder) if self.empties else {})


WORKS = [
    Work("prepare", f"{SHAPES} {OUT}/shapes"),
    Work("train", TRAIN_SHORT),
    Work("analyze", ANALYZE.replace("--out out", f"--out {OUT}/analysis")),
    Work(
        "the towers' memory", ANALYZE.replace("--out out", f"--out {OUT}/analysis"), empties=f"{DATA}/cache"
    ),
    Work("explain --batch", f"analyze explain {{ckpt}} --batch {{csv}} --format png,json --out {OUT}/batch"),
    Work("download", f"prepare download vqa-hat --root {OUT} --base-url URL --timeout 5", fresh=True),
]


@contextmanager
def workplace(world: Path, work: Work, own: Path) -> Iterator[tuple[Path, str]]:
    """A copy of the world in which a work can start, and the address of a server with slow files."""
    folder = copy_world(world, own)
    if work.empties:
        shutil.rmtree(folder / work.empties)
    if work.name != "download":
        yield folder, ""
        return
    with WebServer() as server:
        server.files |= {name: _archive(name) for name in ZIPS}
        for name in ZIPS:
            server.plan[name] = ["stall"]
        yield folder, server.url


_undisturbed: dict[str, tuple[dict[str, str], float]] = {}


def undisturbed(world: Path, work: Work, own: Path) -> tuple[dict[str, str], float]:
    """Results and seconds of a work that nothing disturbs; it runs once in each process of the soak."""
    if work.name not in _undisturbed:
        place = own / "undisturbed"
        place.mkdir()
        with workplace(world, work, place) as (folder, url):
            outcome = work.start(folder, url=url).wait()
            assert outcome.code == 0, f"{work.name} failed undisturbed: {outcome.err}"
            _undisturbed[work.name] = work.results(folder, outcome.out), outcome.seconds
    return _undisturbed[work.name]


@cache
def _archive(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(3):
            archive.writestr(
                zipfile.ZipInfo(f"{number}_1.png"), hashlib.sha512(f"{name}{number}".encode()).digest() * 2000
            )
    return content.getvalue()
