"""Callbacks that measure the real `train.py` from inside, and a process that only loads batches."""

from __future__ import annotations

import copy
import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytorch_lightning as pl
import torch
from torch.nn import functional as F

from benchmarks.gpu.waits import recorded_waits
from lookwhy.callbacks import ImportanceCallback
from lookwhy.data.datamodule import VQADataModule
from lookwhy.models import VQASystem
from lookwhy.types import VQABatch

NUM_STEPS = 16


class Twin(pl.Callback):
    """After each step of the fit, run the same step without Lightning: same weights, batch and dropout.

    Both are measured in process time, in turn. The work of Lightning, its other callbacks and the logger
    between two steps counts for the fit.
    """

    fit: ClassVar[list[float]] = []
    bare: ClassVar[list[float]] = []
    equal: ClassVar[bool] = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights and the optimizer's settings."""
        assert isinstance(pl_module, VQASystem)
        self.head, self.clamp = copy.deepcopy(pl_module.head), pl_module.clamp
        own = VQASystem(self.head, pl_module.learning_rate, pl_module.decay, pl_module.alpha, pl_module.eps)
        chosen: Any = own.configure_optimizers()
        self.optimizer, self.schedule = chosen["optimizer"], chosen["lr_scheduler"]["scheduler"]
        Twin.fit.clear()
        Twin.bare.clear()
        self.since = time.process_time()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: VQABatch, batch_idx: int
    ) -> None:
        """Store the random state from which dropout will draw."""
        self.random = torch.get_rng_state()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: VQABatch, batch_idx: int
    ) -> None:
        """Run and time the bare step."""
        start = time.process_time()
        Twin.fit.append(start - self.since)
        after = torch.get_rng_state()
        torch.set_rng_state(self.random)
        start = time.process_time()
        self.optimizer.zero_grad()
        logits = self.head(batch.features, batch.tokens, batch.lengths)
        torch.autograd.backward([F.cross_entropy(logits, batch.labels)])
        torch.nn.utils.clip_grad_value_(self.head.parameters(), self.clamp)
        self.optimizer.step()
        self.schedule.step()
        Twin.bare.append(time.process_time() - start)
        torch.set_rng_state(after)
        self.since = time.process_time()

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Record whether both have the same weights."""
        pairs = zip(self.head.parameters(), pl_module.head.parameters(), strict=True)
        Twin.equal = all(torch.equal(own, other) for own, other in pairs)


class EpochClock(pl.Callback):
    """Process time of each epoch's training, its validation, and the analysis that follows its checkpoint."""

    epochs: ClassVar[list[tuple[float, float]]] = []
    analyses: ClassVar[list[float]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget earlier trainings, and measure each call of the analysis."""
        EpochClock.epochs.clear()
        EpochClock.analyses.clear()
        (callback,) = (one for one in trainer.callbacks if isinstance(one, ImportanceCallback))  # type: ignore[attr-defined]
        analyse = callback.analyse

        def timed(*arguments: Any) -> None:
            start = time.process_time()
            analyse(*arguments)
            EpochClock.analyses.append(time.process_time() - start)

        vars(callback)["analyse"] = timed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: VQABatch, batch_idx: int
    ) -> None:
        """Mark the start of training; the analysis of the epoch before may follow the start of an epoch."""
        if batch_idx == 0:
            self.marks = [time.process_time()]

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Mark the end of training."""
        self.marks.append(time.process_time())

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record both times."""
        start, middle = self.marks
        EpochClock.epochs.append((middle - start, time.process_time() - middle))


class FirstStep(pl.Callback):
    """Record the time at the end of the first step, and the peak memory until then."""

    def __init__(self, file: str) -> None:
        self.file, self.built = Path(file), time.time()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: VQABatch, batch_idx: int
    ) -> None:
        """Write the record."""
        found = {"built": self.built, "clock": time.time(), "peak": _memory("status")["VmHWM"]}
        self.file.write_text(json.dumps(found))


LAST_STEPS = 100
"""Steps in which waits for a GPU are counted."""


class StepClock(pl.Callback):
    """Record the time at the end of each step, when the device has done the work of the last one.

    In the last 100 steps of a training, the calls that wait for a GPU are counted, too.
    """

    def __init__(self, file: str) -> None:
        self.file, self.times = Path(file), list[float]()
        self.waits, self.counting = list[str](), ExitStack()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: VQABatch, batch_idx: int
    ) -> None:
        """Begin to count waits."""
        if trainer.global_step == trainer.max_steps - LAST_STEPS:
            self.waits = self.counting.enter_context(recorded_waits())

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: VQABatch, batch_idx: int
    ) -> None:
        """Note the time; wait for the device at the first step, and at the last of each epoch."""
        last = batch_idx + 1 == trainer.num_training_batches
        if (last or not self.times) and torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.time())

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the times. A validation may lie between the last step and now."""
        self.counting.close()
        self.file.write_text(json.dumps({"times": self.times, "waits": self.waits}))


def feed(folder: str, keep: str, batches: str = "all") -> dict[str, float]:
    """Load all batches of an epoch without using them, and return the times of the wall clock.

    No file may be opened with h5py after the first batch. The features are only on disk at the start, as
    after a restart of the machine.
    """
    _evict(Path(folder) / "data_img.h5")
    data = VQADataModule(folder, features=keep)  # type: ignore[arg-type]
    start = time.perf_counter()
    data.setup()
    setup = time.perf_counter() - start
    loader = data.train_dataloader()
    with mock.patch("h5py.File", None):  # opening a file now fails
        times, since = [], time.perf_counter()
        for batch in loader:
            times.append(time.perf_counter() - since)
            assert batch.features is not None
            if str(len(times)) == batches:
                break
            since = time.perf_counter()
    memory = _memory("smaps_rollup")
    validation, since = [], time.perf_counter()
    for _ in data.val_dataloader() if batches == "all" else ():
        validation.append(time.perf_counter() - since)
        since = time.perf_counter()
    return {
        "batches": len(times),
        "setup": setup,
        "median": statistics.median(times),
        "worst": max(times),
        "validation": statistics.median(validation or [0.0]),
        "peak": _memory("status")["VmHWM"],
        "own": memory["Anonymous"],
        "files": memory["Rss"] - memory["Anonymous"],
    }


def _evict(path: Path) -> None:
    """Remove a file from the kernel's cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _memory(name: str) -> dict[str, int]:
    """Bytes by name, from Linux's tables of this process."""
    lines = [line.split() for line in Path(f"/proc/self/{name}").read_text().splitlines()]
    return {line[0].rstrip(":"): 1024 * int(line[1]) for line in lines if line[-1] == "kB"}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(feed(*sys.argv[1:])))
