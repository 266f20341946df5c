"""The end of a training that was interrupted or stopped by a signal: the line that tells how to go on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import SLURMEnvironment

from lookwhy.callbacks.signals import StopSignal
from lookwhy.cli.run_folder import is_first_process
from lookwhy.errors import command


def end_interrupted(
    stop: KeyboardInterrupt, run: Path | None, trainer: pl.Trainer | None, arguments: Sequence[str]
) -> int:
    """Print how to go on after Ctrl-C, SIGTERM or SIGUSR1; a Slurm job that got SIGUSR1 is queued again.

    Args:
        stop: the interruption.
        run: run folder; None if none was taken yet.
        trainer: trainer that was running; None if training had not begun.
        arguments: words of the command.

    Returns:
        The exit code: 130 for Ctrl-C, else 128 + the number of the signal.
    """
    signum = stop.signum if isinstance(stop, StopSignal) else signal.SIGINT
    if is_first_process():
        what = "interrupted" if signum == signal.SIGINT else f"ended by {signal.Signals(signum).name}"
        print(f"lookwhy: {what}{how_to_go_on(run, trainer, arguments)}", file=sys.stderr)
        if signum == getattr(signal, "SIGUSR1", None) and SLURMEnvironment.detect():
            with suppress(OSError):  # no scontrol on this machine
                subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)
    return 128 + signum


def how_to_go_on(run: Path | None, trainer: pl.Trainer | None, arguments: Sequence[str]) -> str:
    """The end of a line about a training that ended early: the command that continues it, if one does."""
    saved = [*(run / "checkpoints").glob("*.ckpt")] if run and trainer else []
    saved.sort(key=lambda path: (path.name.startswith("last"), path.stat().st_mtime))
    if not saved or trainer is None:
        return " before the first checkpoint; start again with the same command"
    words = [word for word in _without_checkpoint(arguments) if word != "fit"]
    resume = f"{command('train')} {shlex.join([*words, f'--ckpt_path={saved[-1]}'])}"
    return f"; go on with: {resume}"


def _without_checkpoint(arguments: Sequence[str]) -> list[str]:
    """The words of a command without --ckpt_path and its value."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [
        word
        for previous, word in pairs
        if previous != "--ckpt_path" and word != "--ckpt_path" and not word.startswith("--ckpt_path=")
    ]
