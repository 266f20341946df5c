"""Calls that make the processor wait for a GPU, as PyTorch reports them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

REPORTED = "synchronizing CUDA operation"


@contextmanager
def recorded_waits() -> Iterator[list[str]]:
    """The list holds a line for each wait of the context, once that is over; none without a GPU."""
    found: list[str] = []
    if not torch.cuda.is_available():
        yield found
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [f"{one.filename}:{one.lineno}" for one in said if REPORTED in str(one.message)]
