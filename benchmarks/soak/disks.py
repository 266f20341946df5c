"""Disks that are full or read-only, and folders that vanish: one line, nothing half-written, nothing lost.

The full disk is a small file system in memory, which needs the right to mount; without it, a limit on the size of
a file stands in for it, and read-only disks are not tried.
"""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from benchmarks.soak.results import differences
from benchmarks.soak.trials import Trial
from benchmarks.soak.works import OUT, WORKS, Work, undisturbed, workplace
from benchmarks.soak.world import DATA

TIMES = 8
"""Sizes of the disk that each work is tried on, drawn at random up to what it needs."""


def disks(world: Path) -> Iterator[Trial]:
    """Full and read-only disks for each work, and a run folder that is deleted."""
    for work in WORKS:
        for number in range(TIMES):
            yield Trial("full disk", f"{work.name} {number}", partial(_full, world, work))
        if can_mount():
            yield Trial("read-only folder", f"{work.name}: its output", partial(_read_only, world, work, OUT))
            if work.name in ("train", "analyze", "explain --batch"):
                yield Trial(
                    "read-only folder", f"{work.name}: its data", partial(_read_only, world, work, DATA)
                )
    train = next(work for work in WORKS if work.is_training)
    yield Trial("run folder deleted", "train", partial(_deleted, world, train))


@cache
def can_mount() -> bool:
    """Whether this process may mount a file system."""
    with tempfile.TemporaryDirectory() as folder:
        is_mounted = _mount("-t", "tmpfs", "tmpfs", folder)
        return is_mounted and subprocess.run(["umount", folder]).returncode == 0


def _mount(*words: str) -> bool:
    if shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *words], capture_output=True).returncode == 0


@contextmanager
def _mounted(folder: Path, *words: str) -> Iterator[None]:
    """Mount a file system on a folder for a while; an error if it cannot be mounted."""
    folder.mkdir(exist_ok=True)
    assert _mount(*words, str(folder)), f"{folder} cannot be mounted"
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _full(world: Path, work: Work, own: Path, draw: random.Random) -> str:
    expected, _ = undisturbed(world, work, own)
    with workplace(world, work, own) as (folder, url):
        if not can_mount():
            size = draw.randrange(1, 1 << 16)
            limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
            outcome = work.start(folder, url=url, setup=limit).wait()
            again = work.go_on(folder, url)
            return outcome.broken_unless({0, 2}) or again.broken_unless({0})
        written = folder / (work.empties or OUT)
        size = draw.randrange(4, _kilobytes(world, work, own))
        with _mounted(written, "-t", "tmpfs", "-o", f"size={size}k", "tmpfs"):
            outcome = work.start(folder, url=url).wait()
            if broken := outcome.broken_unless({0, 2}):
                return f"with {size} KB: {broken}"
            assert _mount("-o", "remount,size=256m", str(written))
            again = work.go_on(folder, url)
            found = again.broken_unless({0}) or differences(expected, work.results(folder, again.out))
            return found and f"with {size} KB, and again with enough: {found}"


_needed: dict[str, int] = {}


def _kilobytes(world: Path, work: Work, own: Path) -> int:
    """Kilobytes that a work writes; it runs once in each process of the soak."""
    if work.name not in _needed:
        place = own / "needed"
        place.mkdir()
        with workplace(world, work, place) as (folder, url):
            outcome = work.start(folder, url=url).wait()
            assert outcome.code == 0, outcome.err
            files = (folder / (work.empties or OUT)).rglob("*")
            _needed[work.name] = sum(4 * -(-path.stat().st_size // 4096) for path in files)
    return _needed[work.name]


def _read_only(world: Path, work: Work, part: str, own: Path, draw: random.Random) -> str:
    """Output that cannot be written is one line; data that cannot be written are read all the same."""
    with workplace(world, work, own) as (folder, url):
        place = folder / part
        place.mkdir(exist_ok=True)
        with _mounted(place, "--bind", str(place)):
            assert _mount("-o", "remount,ro,bind", str(place))
            outcome = work.start(folder, url=url).wait()
    return outcome.broken_unless({2} if part == OUT else {0})


def _deleted(world: Path, work: Work, own: Path, draw: random.Random) -> str:
    with workplace(world, work, own) as (folder, _):
        process = work.start(folder, more=" --trainer.max_epochs 1000")
        if not process.wait_for(lambda: "epoch 1:" in process.printed()):
            return process.wait(1).broken_unless(set()) or "no second epoch"
        shutil.rmtree(folder / OUT, ignore_errors=True)
        return process.wait().broken_unless({2})
