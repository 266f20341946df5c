"""Differences between a CPU and a GPU that decide how work is cut into calls."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

ON_CPU, LEAST_ON_GPU, MOST_ON_GPU = 2**28, 2**28, 2**33
"""Bytes for one batched call. On an H200, occlusion of an image took 52 ms with 4 GB, and 48 ms with 8 GB."""

QUESTIONS_ON_GPU = 192
"""Questions with pixels that methods explain together on a GPU; their pixels take 115 MB."""
IMAGES_ON_GPU = 128
"""Changed images in one forward pass on a GPU."""


def launches_are_dear(device: torch.device) -> bool:
    """Whether a call costs more than the work of a small one, so that few large calls are fastest."""
    return device.type != "cpu"


def working_memory(device: torch.device) -> int:
    """Bytes that one batched call may take on a device.

    On a GPU this is a quarter of the memory that is free or that PyTorch keeps for new tensors: the inputs,
    outputs and workspace of a call then stay below half of it.

    Example:
        >>> working_memory(torch.device("cpu")) // 2**20
        256
    """
    if device.type != "cuda":
        return ON_CPU
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + kept
    return min(max(free // 4, LEAST_ON_GPU), MOST_ON_GPU)


def upload(array: Shaped[np.ndarray, "*D"], device: torch.device) -> Shaped[Tensor, "*D"]:
    """An array of the host on a device; the host waits for nothing that a GPU has still to do.

    Example:
        >>> upload(np.zeros(2, np.float32), torch.device("cpu"))
        tensor([0., 0.])
    """
    found = torch.from_numpy(array)
    # Only pinned memory is copied while the host goes on.
    return found.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else found.to(device)
