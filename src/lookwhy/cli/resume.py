"""The checkpoint that a training continues: `--ckpt_path`, its short forms, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lookwhy.data.datamodule import VQADataModule
from lookwhy.errors import LookwhyError, command
from lookwhy.models import load_checkpoint
from lookwhy.models.protocol import VQAHead
from lookwhy.store import METRICS

WORDS = {"last": "last*.ckpt", "best": "best*.ckpt"}
"""Short forms of --ckpt_path, and the names of the files that they stand for."""
TRAINING = ("optimizer_states", "lr_schedulers", "loops", "callbacks")
"""Entries of a checkpoint that a training continues with."""


def find_checkpoint(runs: Path, name: str, stated: str) -> Path:
    """The file that --ckpt_path names.

    Args:
        runs: folder of all runs.
        name: name of the run whose checkpoint "last" or "best" is.
        stated: a file, a run folder (its last checkpoint), "last" or "best".

    Raises:
        LookwhyError: there is no such file.
    """
    path = Path(stated)
    if path.is_file():
        return path
    folder, word = (runs / name, stated) if stated in WORDS else (path, "last")
    found = sorted((folder / "checkpoints").glob(WORDS[word]), key=lambda one: one.stat().st_mtime)
    if found:
        return found[-1]
    missing = f"no file {path}"
    if stated in WORDS or path.is_dir():
        missing = f"no file {stated}, and no {WORDS[word]} in {folder / 'checkpoints'}"
    raise LookwhyError(
        f"expected a checkpoint, found {missing}; correct --ckpt_path, for example "
        "runs/NAME/checkpoints/last.ckpt, or --name with --ckpt_path last"
    )


def check_checkpoint(
    path: Path, head: VQAHead, data: VQADataModule, max_epochs: int | None, max_steps: int, is_training: bool
) -> None:
    """Refuse, before anything is written, a checkpoint that does not belong to this model and data.

    Args:
        path: the checkpoint.
        head: model to continue with.
        data: data to continue on.
        max_epochs: number of epochs of the whole training; None or -1: not limited.
        max_steps: number of steps of the whole training; -1: not limited.
        is_training: whether a training continues, not only a validation.

    Raises:
        LookwhyError: the file is no checkpoint, or one of other words, answers or shapes, without the state
            of a training, or of a training that has come as far already.
    """
    run = load_checkpoint(path)
    run.check_data(data)
    _check_shapes(path, head, run.head)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    needed = ("pytorch-lightning_version", *(TRAINING if is_training else ()))
    missing = [name for name in needed if name not in content]
    if missing:
        raise LookwhyError(
            f"expected a checkpoint that {command('train')} wrote, found no {missing[0]} in {path}, which "
            f"holds weights only; it can be analysed, but not continued"
        )
    if not is_training:
        return
    try:
        epochs = int(content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    except (KeyError, TypeError, ValueError) as error:
        raise LookwhyError(
            f"expected the progress of a training, found none in {path} ({error}); name another checkpoint"
        ) from error
    for name, limit, done in (
        ("max_epochs", -1 if max_epochs is None else max_epochs, epochs),
        ("max_steps", max_steps, run.step),
    ):
        if 0 <= limit <= done and not (limit == done and _lacks_its_end(path)):
            raise LookwhyError(
                f"expected --trainer.{name} above {done}, which the training in {path} has reached, found "
                f"{limit}; raise it to go on, or analyse it: {command('analyze')} {path}"
            )


def _lacks_its_end(path: Path) -> bool:
    """Whether a training was killed between its last checkpoint and its end, which a resumed one makes up."""
    run = path.parent.parent
    return path.parent.name == "checkpoints" and path.name == "last.ckpt" and not (run / METRICS).exists()


def _check_shapes(path: Path, head: VQAHead, stored: VQAHead) -> None:
    own = {name: tuple(value.shape) for name, value in head.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in stored.state_dict().items()}
    for name in own | found:
        if own.get(name) != found.get(name):
            here, there = (str(one.get(name, "nothing")) for one in (own, found))
            raise LookwhyError(
                f"expected the weights of a {type(head).__name__} with {name} of shape {here}, found {there} "
                f"in {path}; give the options of model.head that it was trained with"
            )
