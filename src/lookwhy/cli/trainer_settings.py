"""Settings of the trainer that are refused here: Lightning would refuse them late, or not at all."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from lookwhy.cli.errors import closest
from lookwhy.data.datamodule import VQADataModule
from lookwhy.errors import LookwhyError
from lookwhy.models.system import VQASystem


def check_trainer(config: Any) -> None:
    """Refuse options with which a training cannot begin, or fails in its first step.

    Args:
        config: options of the trainer by name.

    Raises:
        LookwhyError: an option has a value that a training cannot have.
    """
    if str(config.get("precision")) in ("64", "64-true", "64-mixed", "16-true"):
        raise LookwhyError(
            f"expected a --trainer.precision of 32-true, bf16-mixed or 16-mixed, found {config.precision}; "
            "image features are single precision, and half precision overflows"
        )
    if (batches := config.get("accumulate_grad_batches")) is not None and batches < 1:
        raise LookwhyError(f"expected --trainer.accumulate_grad_batches of at least 1, found {batches}")
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    if config.get("accelerator") in ("gpu", "cuda") and not has_gpu:
        raise LookwhyError(
            f"expected an accelerator that this machine has, found {config.accelerator}, but no GPU that "
            "torch can use; give --trainer.accelerator auto or cpu"
        )
    if config.get("enable_checkpointing") is False:
        raise LookwhyError(
            "expected --trainer.enable_checkpointing true, found false; leave it out: a training is "
            "resumed and analysed from its checkpoints"
        )


def check_monitors(trainer: pl.Trainer, data: VQADataModule) -> None:
    """Refuse a callback that watches a metric which no training logs; Lightning does so after an epoch.

    A callback of another package may log metrics of its own, so nothing is refused beside one.

    Raises:
        LookwhyError: the metric is unknown.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    own = ("pytorch_lightning", "lookwhy")
    if not all(type(callback).__module__.split(".")[0] in own for callback in callbacks):
        return
    known = VQASystem.logged(data)
    for callback in callbacks:
        name = getattr(callback, "monitor", None)
        if name is not None and name not in known:
            raise LookwhyError(
                f"expected the monitor of {type(callback).__name__} to be one of {', '.join(known)}, found "
                f"{name}{closest(name, known)}; correct it"
            )
