"""Images decoded in worker processes, and their features computed without a pause of the device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lookwhy.data.workers import in_workers
from lookwhy.errors import option
from lookwhy.towers.recipe import ImageRecipe, read_rgb

AHEAD = 2
"""Batches that a GPU has been given while the results of an earlier one are written."""
EVEN = 8
"""Products of a multiple of this many rows have the same bits with 1 to 16 threads (MKL, fc6 of VGG)."""


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
    remedy = f"give fewer {option('workers')} if memory is short; the same command continues"
    resize = partial(_resized, root, recipe)
    with in_workers(resize, batches, workers, pinned=pinned, remedy=remedy) as images:
        yield images


def _resized(root: Path, recipe: ImageRecipe, names: list[str]) -> UInt8[Tensor, "B H W 3"]:
    return torch.stack([recipe.resized(read_rgb(root / name)) for name in names])


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
