"""The callbacks of `train.py` itself: they note the start, write config.yaml, and have their order."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, ModelSummary
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.loggers import WandbLogger

from lookwhy.callbacks import ImportanceCallback
from lookwhy.callbacks.progress import TrainingProgress
from lookwhy.callbacks.signals import StopOnSignal
from lookwhy.cli.run_logger import describe
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path
from lookwhy.store import METRICS


class RunFolderConfig(SaveConfigCallback):
    """Saves config.yaml in the run folder, and starts the W&B run, when all settings have been checked."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write nothing yet: model, data and analysis may still be refused."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write every resolved option; a resumed run replaces the file, and is not finished any more."""
        if not trainer.is_global_zero:
            return
        path = Path(trainer.default_root_dir) / "config.yaml"
        path.with_name(METRICS).unlink(missing_ok=True)
        with atomic_path(path) as partial:
            self.parser.save(self.config, partial, skip_none=False, overwrite=True, multifile=False)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(describe(path, trainer.datamodule))  # type: ignore[attr-defined]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notice a run folder that was removed or moved: checkpoints would go on into a new, empty one.

        Raises:
            LookwhyError: config.yaml, which only the start of a training writes, is not there any more.
        """
        run = Path(trainer.default_root_dir)
        if trainer.is_global_zero and not (run / "config.yaml").exists():
            raise LookwhyError(
                f"expected the run folder to stay where it is, found no {run / 'config.yaml'} in "
                f"epoch {trainer.current_epoch}; put it back and go on with --ckpt_path, or start again"
            )


class ShareStart(pl.Callback):
    """Notes when each process begins with its own share; until then, all processes meet the same errors."""

    is_past = False
    trainer: pl.Trainer | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note that the set-up is over; all callbacks that may refuse the training have been called."""
        self.is_past, self.trainer = True, trainer

    on_validation_start = on_test_start = on_train_start


def place(callback: pl.Callback) -> int:
    """Place of a callback in the order in which they are called."""
    kinds = (
        RunFolderConfig,
        ShareStart,
        StopOnSignal,
        ImportanceCallback,
        ModelSummary,
        TrainingProgress,
        Checkpoint,
    )
    return next((place for place, kind in enumerate(kinds, start=1) if isinstance(callback, kind)), 0)
