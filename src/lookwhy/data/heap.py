"""Memory of large tensors that is used again, on Linux, in place of new pages for every batch.

By default, glibc maps every large tensor anew and gives it back at once. The kernel then clears hundreds of
megabytes for each layer of each batch: a quarter of the CPU time of VGG-16's features.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Numbers of settings of mallopt, from malloc.h of glibc."""
NEVER, USUAL_MMAP_MAX = -1, 65536
LARGEST_MMAP_THRESHOLD = 32 << 20
"""Bytes to which glibc's own threshold grows while large tensors are freed; a call of mallopt ends this."""


@contextmanager
def reused_memory() -> Iterator[None]:
    """Let the C library keep freed memory for the next tensor; on exit it is given back.

    Does nothing where the C library is not glibc.

    Example:
        >>> import torch
        >>> with reused_memory():
        ...     sums = [float(torch.ones(1 << 24).sum()) for _ in range(3)]
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, NEVER)
    try:
        yield
    finally:
        libc.mallopt(MMAP_MAX, USUAL_MMAP_MAX)
        libc.mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        libc.mallopt(TRIM_THRESHOLD, 2 * LARGEST_MMAP_THRESHOLD)
        libc.malloc_trim(0)
