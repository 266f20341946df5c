"""The progress of a training: bars on a terminal, and one plain line per epoch everywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from jsonargparse import Namespace
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import convert_inf
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor
from tqdm import tqdm

from lookwhy.progress import progress

LOSS, VALIDATION_LOSS, ACCURACY = "train/loss", "val/loss", "val/accuracy/overall"


class TrainingProgress(ProgressBar):
    """Bars on stderr if it is a terminal, and on stdout a line for each epoch, which also suits log files.

    Lightning's default bars write to stdout, even into a file, and show only the remaining time of the epoch.
    Its RichProgressBar overwrites the bars of the analysis.
    """

    reads_metrics = False
    """Whether Lightning shall read a model's numbers for the bar, at every step, which makes a GPU wait.

    This bar reads a number when it shows it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_enabled = True
        self._epoch_bar: Any = None
        self._evaluation_bar: Any = None
        self._start = 0.0
        self._round_seconds: float | None = None
        self._losses: Tensor | None = None
        self._steps = 0
        self._is_validated = False

    def enable(self) -> None:
        """Show bars."""
        self._is_enabled = True

    def disable(self) -> None:
        """Show no bars: Lightning calls this in all processes but the first."""
        self._is_enabled = False

    def _bar(self, name: str, batches: int | float, position: int = 0) -> Any:
        form = "{desc}: {percentage:3.0f}%|{bar}| {remaining} left{postfix}"
        look: dict[str, Any] = {"leave": False, "dynamic_ncols": True, "bar_format": form, "unit": "step"}
        total = convert_inf(batches)
        return progress(desc=name, total=total, position=position, shown=self._is_enabled, **look)

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin with the rest of an epoch, if a training goes on in the middle of it."""
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if 0 < done < trainer.num_training_batches:
            self.on_train_epoch_start(trainer)
            self._epoch_bar.update(done)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Begin an epoch with a new bar."""
        now = time.monotonic()
        if self._start:  # of the epoch before, whose analysis is over, too
            self._round_seconds = now - self._start
        self._start = now
        self._losses, self._steps, self._is_validated = None, 0, False
        last = f"/{_epochs(trainer) - 1}" if _epochs(trainer) else ""
        self._epoch_bar = self._bar(f"epoch {trainer.current_epoch}{last}", self.total_train_batches)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: STEP_OUTPUT, *_: Any
    ) -> None:
        """Add the loss, and move the bar at most ten times a second."""
        loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            # The sum stays on the device: reading it from a GPU at every step would slow training down.
            self._losses = loss.detach() if self._losses is None else self._losses + loss.detach()
            self._steps += 1
        if self._epoch_bar.update():
            self._epoch_bar.set_postfix(self._numbers(trainer), refresh=False)

    def on_validation_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Open a bar for the validation, below the epoch's bar if there is one."""
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self.on_validation_end(trainer)
        self._evaluation_bar = self._bar("validating", sum(batches), position=int(trainer.state.fn == "fit"))

    def on_test_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Open a bar for the test."""
        self._evaluation_bar = self._bar("testing", sum(trainer.num_test_batches))

    def on_validation_batch_end(self, *_: Any) -> None:
        """Move the bar."""
        self._evaluation_bar.update()

    on_test_batch_end = on_validation_batch_end  # type: ignore[assignment]

    def on_validation_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Close the bar, to leave its place to the bar of the analysis."""
        self._is_validated = not trainer.sanity_checking
        self._evaluation_bar.close()

    on_test_end = on_validation_epoch_end  # type: ignore[assignment]

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Show the new accuracy beside the epoch's bar."""
        if self._epoch_bar is not None:
            self._epoch_bar.set_postfix(self._numbers(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Print the line of the epoch."""
        self._epoch_bar.close()
        if trainer.is_global_zero:
            print(self._line(trainer), flush=True)

    def _line(self, trainer: pl.Trainer) -> str:
        found = trainer.callback_metrics if self._is_validated else {}
        parts = [] if self._losses is None else [f"loss {float(self._losses) / self._steps:.3f}"]
        if VALIDATION_LOSS in found:
            parts.append(f"validation loss {float(found[VALIDATION_LOSS]):.3f}")
        if ACCURACY in found:
            parts.append(f"validation accuracy {float(found[ACCURACY]):.2%}")
        parts.append(f"{time.monotonic() - self._start:.1f} s")
        return f"epoch {trainer.current_epoch}: {', '.join(parts)}"

    def _numbers(self, trainer: pl.Trainer) -> dict[str, str]:
        """Loss, accuracy, and the remaining time of the whole training."""
        found, shown = trainer.callback_metrics, {}
        if LOSS in found:
            shown["loss"] = f"{float(found[LOSS]):.3f}"
        if ACCURACY in found:
            shown["accuracy"] = f"{float(found[ACCURACY]):.1%}"
        if self._round_seconds is not None and _epochs(trainer):
            # Assumes that each epoch, with its validation and analysis, takes as long as the last one.
            epochs = _epochs(trainer) - trainer.current_epoch
            left = max(epochs * self._round_seconds - (time.monotonic() - self._start), 0.0)
            shown["all"] = f"{tqdm.format_interval(left)} left"
        return shown


def _epochs(trainer: pl.Trainer) -> int:
    """Number of epochs of the training; 0 if it is not limited."""
    return max(trainer.max_epochs or 0, 0)


def progress_bars(trainer: Namespace) -> list[pl.Callback]:
    """The progress bar to add to a trainer; none if its options switch bars off or name another bar."""
    callbacks = trainer.get("callbacks") or []
    own = callbacks if isinstance(callbacks, list) else [callbacks]
    if trainer.get("enable_progress_bar") is False or any(isinstance(one, ProgressBar) for one in own):
        return []
    return [TrainingProgress()]
