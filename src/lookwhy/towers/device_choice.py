"""The device that a command computes on."""

from __future__ import annotations

import os

import torch

from lookwhy.errors import LookwhyError, option
from lookwhy.progress import write_above

AUTO = "auto"


def choose_device(wanted: str) -> str:
    """The device to compute on, after a look whether it exists.

    Args:
        wanted: a device of PyTorch, or "auto": a GPU if there is one, else the CPU. Apple's GPUs are not
            chosen, because they have no float64. Several processes of torchrun take a GPU each for "auto"
            and "cuda".

    Raises:
        LookwhyError: there is no such device.

    Example:
        >>> choose_device("cpu")
        'cpu'
    """
    if wanted == AUTO and not torch.cuda.is_available():
        return "cpu"
    if wanted in (AUTO, "cuda") and torch.cuda.is_available():
        return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    try:
        torch.empty(0, device=wanted)
        found = f"{wanted}, which computes nothing" if wanted.split(":")[0] == "meta" else ""
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # depends on the build of PyTorch
        found = f"no {wanted} ({str(error).strip().splitlines()[0]})"
    if found:
        raise LookwhyError(f"expected a device to compute on, found {found}; give {option('device')} cpu")
    return wanted


def tell_device(wanted: str, device: str) -> None:
    """Print one line with the device that `choose_device` chose, unless the caller named one."""
    if wanted == AUTO:
        found = torch.cuda.get_device_name(device) if device.startswith("cuda") else "no GPU found"
        write_above(f"device  {device} ({found})")
