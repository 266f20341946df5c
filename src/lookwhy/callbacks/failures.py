"""An analysis that fails in training: all processes learn of it, its checkpoint is kept, one line says so."""

from __future__ import annotations

import os
import shlex
import shutil
import traceback
from contextlib import suppress
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from lookwhy import store
from lookwhy.analysis.run import Findings
from lookwhy.data.all_processes import of_all_processes
from lookwhy.errors import LookwhyError, command
from lookwhy.progress import write_above


class Exchange:
    """Gathers the findings of all processes, once.

    A process whose analysis failed takes part with its error, so that no other waits for its findings.
    """

    def __init__(self) -> None:
        self._is_over = False

    def __call__(self, findings: Findings) -> list[Findings]:
        """Findings of all processes.

        Raises:
            LookwhyError: the analysis of another process failed.
        """
        parts = self._gathered(findings)
        if errors := [part for part in parts if isinstance(part, str)]:
            raise LookwhyError(errors[0])
        return [part for part in parts if isinstance(part, Findings)]

    def fail(self, error: Exception) -> None:
        """Tell the others, unless they have everything already."""
        if not self._is_over:
            self._gathered(line_of(error))

    def _gathered(self, own: Findings | str) -> list[Findings | str]:
        self._is_over = True
        return of_all_processes(own)


def report(line: str) -> None:
    """Print one line above the bars."""
    write_above(f"lookwhy: {line}")


def line_of(error: Exception) -> str:
    """The error in one line; its class is named unless it is an error for users."""
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}{f': {error.filename}' if error.filename else ''}"
    return text if isinstance(error, LookwhyError) else f"{text} ({type(error).__name__})"


def missing_line(run: Path, epoch: int, error: Exception, checkpoint: str) -> str:
    """The line about an analysis that failed: what to repair, and the command that makes up for it."""
    name, found = name_of(epoch), line_of(error)
    if not isinstance(error, (LookwhyError, OSError)):
        path = run / "analysis" / f"failed-{store.epoch_folder(run, epoch).name}.txt"
        with suppress(OSError):  # a full disk may be the very error
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)))
            found += f", the traceback is in {path}"
    if not checkpoint:
        return f"no analysis of {name}: {found}; the training goes on, and no checkpoint of it could be kept"
    return (
        f"no analysis of {name}: {found}; the training goes on; repair this, then make up for it: "
        f"{make_up_command(checkpoint)}"
    )


def name_of(epoch: int) -> str:
    """The epoch in words."""
    return "the untrained model" if epoch == store.UNTRAINED else f"epoch {epoch}"


def make_up_command(checkpoint: str) -> str:
    """The command that analyses a checkpoint."""
    return f"{command('analyze')} {shlex.quote(checkpoint)}"


def keep_checkpoint(trainer: pl.Trainer, epoch: int) -> str:
    """Keep the checkpoint of an epoch under a name that no later epoch takes; returns its path, or "".

    All processes call it; the first returns the path.
    """
    run = Path(trainer.default_root_dir)
    kept = run / "checkpoints" / f"{store.epoch_folder(run, epoch).name}.ckpt"
    if epoch == store.UNTRAINED:
        try:
            trainer.save_checkpoint(kept)
        except OSError:
            return ""
        return str(kept)
    if not trainer.is_global_zero:
        return ""
    writers = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
    for path in {path for one in writers for path in (one.best_model_path, one.last_model_path) if path}:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if content["epoch"] != epoch or content["global_step"] != trainer.global_step:
                continue
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.unlink(missing_ok=True)
            try:
                os.link(path, kept)  # takes no room; later epochs replace the other name
            except OSError:
                shutil.copyfile(path, kept)
            return str(kept)
        except (OSError, RuntimeError, KeyError):
            continue
    return ""
