"""How far a training is: bars where someone looks, one plain line an epoch everywhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.callbacks import ProgressBar, TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm, convert_inf
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor
from tqdm import tqdm

LOSS, VALIDATION_LOSS, ACCURACY = "train/loss", "val/loss", "val/accuracy/overall"


class TrainingProgress(TQDMProgressBar):
    """Bars on stderr if it is a terminal, and for each epoch a line on stdout, which stays in a log.

    Lightning's own bars go to stdout, also into a file, and know the time left of the epoch alone; and rich's
    would write over those of the analysis.
    """

    BAR_FORMAT = "{desc}{percentage:3.0f}%|{bar}| {remaining} left{postfix}"

    def __init__(self) -> None:
        super().__init__()
        self._began = 0.0
        self._last_seconds: float | None = None
        self._losses: Tensor | None = None
        self._steps = 0
        self._validated = False

    @property
    def is_enabled(self) -> bool:
        """Whether bars are shown: not in a log, and not by the other processes of a run."""
        return super().is_enabled and sys.stderr.isatty()

    def init_train_tqdm(self) -> Tqdm:
        """The bar of the epochs."""
        return self._bar("training")

    def init_validation_tqdm(self) -> Tqdm:
        """The bar of a validation, below the epoch's in training."""
        return self._bar("validating", position=int(self.trainer.state.fn == "fit"))

    def init_test_tqdm(self) -> Tqdm:
        """The bar of a test."""
        return self._bar("testing")

    def _bar(self, what: str, position: int = 0) -> Tqdm:
        return Tqdm(
            desc=f"{what}: ",
            position=position,
            disable=self.is_disabled,
            leave=False,
            dynamic_ncols=True,
            file=sys.stderr,
            bar_format=self.BAR_FORMAT,
        )

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin another epoch on the same bar."""
        self._began = time.monotonic()
        self._losses, self._steps, self._validated = None, 0, False
        last = f"/{_epochs(trainer) - 1}" if _epochs(trainer) else ""
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch}{last}", refresh=False)
        self.train_progress_bar.reset(convert_inf(self.total_train_batches))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Remember the loss; move the bar, ten times a second at most."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            # Added up where it is: reading it off a GPU would wait for every step.
            self._losses = loss.detach() if self._losses is None else self._losses + loss.detach()
            self._steps += 1
        if self.train_progress_bar.update():
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module), refresh=False)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's bar as it stands, and one of the validation below it."""
        if self._train_progress_bar is not None:
            self.train_progress_bar.refresh()
        super().on_validation_start(trainer, pl_module)

    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Tell the bar how many batches there will be."""
        if self.has_dataloader_changed(dataloader_idx):
            self.val_progress_bar.reset(convert_inf(self.total_val_batches_current_dataloader))

    def on_test_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Tell the bar how many batches there will be."""
        if self.has_dataloader_changed(dataloader_idx):
            self.test_progress_bar.reset(convert_inf(self.total_test_batches_current_dataloader))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make room for the bar of the analysis."""
        self._validated = not trainer.sanity_checking
        if self._val_progress_bar is not None:
            self.val_progress_bar.close()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell what the epoch came to."""
        super().on_train_epoch_end(trainer, pl_module)
        self._last_seconds = time.monotonic() - self._began
        if trainer.is_global_zero:
            # Above the bars, where there are some.
            tqdm.write(self._line(trainer), file=sys.stdout)
            sys.stdout.flush()

    def _line(self, trainer: pl.Trainer) -> str:
        found = trainer.callback_metrics
        parts = []
        if self._losses is not None:
            parts.append(f"loss {float(self._losses) / self._steps:.3f}")
        if self._validated:
            if VALIDATION_LOSS in found:
                parts.append(f"validation loss {float(found[VALIDATION_LOSS]):.3f}")
            if ACCURACY in found:
                parts.append(f"validation accuracy {float(found[ACCURACY]):.2%}")
        parts.append(f"{self._last_seconds:.1f} s")
        return f"epoch {trainer.current_epoch}: {', '.join(parts)}"

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What stands behind the bar: loss, accuracy, and the time left of the whole training."""
        found, shown = trainer.callback_metrics, {}
        if LOSS in found:
            shown["loss"] = f"{float(found[LOSS]):.3f}"
        if ACCURACY in found:
            shown["accuracy"] = f"{float(found[ACCURACY]):.1%}"
        if self._last_seconds is not None and _epochs(trainer):
            # As long as the last epoch took, with its validation and analysis.
            epochs = _epochs(trainer) - trainer.current_epoch
            left = max(epochs * self._last_seconds - (time.monotonic() - self._began), 0.0)
            shown["all"] = f"{tqdm.format_interval(left)} left"
        return shown


def _epochs(trainer: pl.Trainer) -> int:
    """How many epochs there will be; 0 where something else ends the training."""
    return max(trainer.max_epochs or 0, 0)


def progress_bars(trainer: Namespace) -> list[pl.Callback]:
    """The progress bar of a training, unless its options switch bars off or bring one of their own.

    Args:
        trainer: the options of the trainer, its callbacks built.
    """
    callbacks = trainer.get("callbacks") or []
    own = callbacks if isinstance(callbacks, list) else [callbacks]
    if trainer.get("enable_progress_bar") is False or any(isinstance(one, ProgressBar) for one in own):
        return []
    return [TrainingProgress()]
