"""Time on a device that works on its own: seconds of the wall clock, between two moments when it is idle."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Measures functions on one device.

    Args:
        device: device of the work.
        repeats: number of measured calls; the first call, which compiles and allocates, is not counted.
    """

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def once(self, function: Callable[[], object]) -> float:
        """Seconds of one call."""
        self.wait()
        start = time.perf_counter()
        function()
        self.wait()
        return time.perf_counter() - start

    def median(self, function: Callable[[], object]) -> float:
        """Median seconds of the calls after the first."""
        self.once(function)
        return statistics.median(self.once(function) for _ in range(self.repeats))


@contextmanager
def tf32() -> Iterator[None]:
    """Products and convolutions in TF32 (10-bit mantissas), for comparison; PyTorch's defaults afterwards."""
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def ms(seconds: float) -> str:
    """Seconds as text in milliseconds, with three digits."""
    return f"{1000 * seconds:.3g} ms"
