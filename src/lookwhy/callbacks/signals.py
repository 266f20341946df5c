"""SIGTERM and SIGUSR1, as Slurm sends them: save a checkpoint in the middle of the epoch, then end.

A training that is resumed from it ends at the weights of an uninterrupted one: the checkpoint holds the
random states of all processes, and the batches of the epoch that were seen already are left out.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lookwhy.callbacks.importance import ImportanceCallback
from lookwhy.data.all_processes import of_all_processes
from lookwhy.data.sampling import TrainBatches

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]  # Windows: one
STEPS_BETWEEN_CHECKS = 8
"""Number of steps between two agreements of several processes that one of them has received a signal."""


class StopSignal(KeyboardInterrupt):
    """A signal has ended the training; like an interrupt, it is no failure.

    Attributes:
        signum: number of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class StopOnSignal(pl.Callback):
    """Saves `checkpoints/last.ckpt` and raises `StopSignal` after a signal.

    During a validation it waits for the end of the epoch, whose checkpoint is written then. An analysis ends
    at once: the checkpoint before it exists, and a resumed training repeats the analysis.
    """

    def __init__(self) -> None:
        self._received = 0
        self._is_saving = False
        self._random: list[list[Tensor]] = []
        self._analyses: list[ImportanceCallback] = []

    def state_dict(self) -> dict[str, Any]:
        """The random states of all processes, if the checkpoint is one in the middle of an epoch."""
        return {"random": of_all_processes(_random_state())} if self._is_saving else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the random states for the first step."""
        self._random = state_dict.get("random", [])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's handlers; it restores the earlier ones at the end of a training."""
        self._analyses = [one for one in trainer.callbacks if isinstance(one, ImportanceCallback)]  # type: ignore[attr-defined]
        if threading.current_thread() is threading.main_thread():
            for one in SIGNALS:
                signal.signal(one, self._note)
        loader = trainer.train_dataloader
        if self._random and isinstance(getattr(loader, "sampler", None), TrainBatches):
            loader.sampler.start = trainer.fit_loop.epoch_loop.batch_progress.current.ready  # type: ignore[union-attr]

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self._received = signum
        if any(analysis.is_running for analysis in self._analyses):
            raise StopSignal(signum)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Go on with the random numbers of the interrupted training, if it had as many processes."""
        if len(self._random) == trainer.world_size:
            _set_random_state(self._random[trainer.global_rank])
        self._random = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save and end, unless the epoch is over: then validation and checkpoint come first."""
        is_last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if is_last or (trainer.world_size > 1 and trainer.global_step % STEPS_BETWEEN_CHECKS):
            return
        if signum := self._agreed(trainer):
            self._is_saving = True
            trainer.save_checkpoint(Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt")
            raise StopSignal(signum)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End before the analysis of the epoch that is over, whose checkpoint is written."""
        if signum := self._agreed(trainer):
            raise StopSignal(signum)

    on_train_end = on_train_epoch_start

    def _agreed(self, trainer: pl.Trainer) -> int:
        """The signal that any of the processes has received; 0 if none has."""
        return max(of_all_processes(self._received))


def _random_state() -> list[Tensor]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(one) for one in devices)]


def _set_random_state(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0].cpu())
    for device, state in enumerate(states[1:]):
        torch.cuda.set_rng_state(state.cpu(), device)
