"""Images decoded in worker processes, and their features computed without a pause of the device."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lookwhy.errors import LookwhyError, option
from lookwhy.towers.recipe import ImageRecipe, read_rgb

MAX_WORKERS = 16
"""Most workers by default. One worker decodes about 165 JPEG files of 640x480 a second."""
AHEAD = 2
"""Batches that a GPU has been given while the results of an earlier one are written."""
EVEN = 8
"""Products of a multiple of this many rows have the same bits with 1 to 16 threads (MKL, fc6 of VGG)."""


def default_workers() -> int:
    """Processor cores that this process may use, shared with the other processes of torchrun.

    None in a process of a pool, which may not start others.
    """
    if multiprocessing.current_process().daemon:
        return 0
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        cores = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):  # Linux
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count()
    share = (cores or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return min(max(share, 1), MAX_WORKERS)


@contextmanager
def decoded(
    root: Path, batches: Sequence[list[str]], recipe: ImageRecipe, workers: int, pinned: bool
) -> Iterator[Iterator[UInt8[Tensor, "B H W 3"]]]:
    """Yield an iterator over the resized images of each batch, in order.

    Args:
        root: folder of the images.
        batches: paths below `root`.
        recipe: size of the images.
        workers: processes that decode, each a batch; 0: this process.
        pinned: whether a GPU copies the images from pinned memory.

    Raises:
        LookwhyError: an image is missing or damaged (when it is its turn), or a worker process was killed.
    """
    workers = min(workers, len(batches))
    loader = DataLoader(
        _Images(root, batches, recipe),
        batch_size=None,
        num_workers=workers,
        pin_memory=pinned,
        worker_init_fn=_leave_signals_to_the_command,
        generator=torch.Generator(),  # the global random state stays as it is
    )
    try:
        batches_in_order: Any = iter(loader)
        try:
            yield _images_or_error(batches_in_order)
        finally:
            if workers:  # until then, PyTorch raises an error anywhere when a killed worker is noticed
                batches_in_order._shutdown_workers()
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise LookwhyError(
            "expected each process that decodes images to run until the end, found that one was killed "
            f"({' '.join(str(error).split())}); give fewer {option('workers')} if memory is short; the same "
            "command continues"
        ) from error


class _Images(Dataset[Tensor | str]):
    """Resized images by batch; a damaged one gives the text of its error, for the main process to raise."""

    def __init__(self, root: Path, batches: Sequence[list[str]], recipe: ImageRecipe) -> None:
        self.root, self.batches, self.recipe = root, batches, recipe

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            return torch.stack([self.recipe.resized(read_rgb(self.root / n)) for n in self.batches[index]])
        except LookwhyError as error:
            return str(error)


def _images_or_error(batches: Iterable[Tensor | str]) -> Iterator[Tensor]:
    try:
        for images in batches:
            if isinstance(images, str):
                raise LookwhyError(images)
            yield images
    except (EOFError, OSError) as error:  # the worker was killed while it handed over a batch
        raise RuntimeError(f"DataLoader worker closed its connection: {type(error).__name__}") from error


def _leave_signals_to_the_command(worker: int) -> None:
    """Ignore Ctrl-C and signals to the whole command: it ends its workers itself, in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):  # not on Windows
        os.setpgrp()


def features_of(
    forward: Callable[[Tensor], Tensor],
    recipe: ImageRecipe,
    device: torch.device,
    batches: Iterable[UInt8[Tensor, "B H W 3"]],
) -> Iterator[Float[np.ndarray, "B *D"]]:
    """Features of each batch, in order; a GPU gets the next batches before the first result is yielded."""
    waiting: deque[Callable[[], np.ndarray]] = deque()
    for images in batches:
        pixels = recipe.from_rgb(images.to(device, non_blocking=True))
        with _threads_for(len(images)):
            features = forward(pixels).float()
        waiting.append(_on_its_way(features))
        if device.type != "cuda" or len(waiting) > AHEAD:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


@contextmanager
def _threads_for(count: int) -> Iterator[None]:
    """Threads with which the sums of a matrix product do not depend on their number.

    A product of few rows may be split into sums among the threads. Then the features of the last batch would
    depend on the number of cores, and on the number of processes that share them.
    """
    usual = torch.get_num_threads()
    torch.set_num_threads(1 if count % EVEN else usual)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _on_its_way(features: Float[Tensor, "B *D"]) -> Callable[[], np.ndarray]:
    """Begin to copy features from a GPU; returns a function that waits for them."""
    if not features.is_cuda:
        return features.cpu().numpy
    copy = torch.empty(features.shape, pin_memory=True)
    copy.copy_(features, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> np.ndarray:
        copied.synchronize()
        return copy.numpy()

    return wait
