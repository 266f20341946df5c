"""A file of numbers that is mapped into memory and must not change meanwhile."""

from __future__ import annotations

import mmap
import os
import warnings
import weakref
from operator import attrgetter
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lookwhy.errors import LookwhyError, command

_STATE = attrgetter("st_size", "st_mtime_ns")


class MappedFile:
    """A file mapped into memory, and read at once if `read_ahead` is set.

    A changed file is refused: reading a truncated map raises SIGBUS.
    """

    def __init__(self, path: Path, read_ahead: bool) -> None:
        # The file stays open while the map is used, so a new file under the same name does no harm.
        self.path, self.descriptor = path, os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)
        self.state = _STATE(os.fstat(self.descriptor))
        self._maps: list[mmap.mmap] = []
        self.is_read_ahead = read_ahead and hasattr(os, "posix_fadvise")
        if self.is_read_ahead:  # the whole file in order, before batches read it in random order
            os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_WILLNEED)

    def release(self) -> None:
        """Count the pages read so far no longer as this process's memory; the system may keep them."""
        for one in self._maps if hasattr(mmap, "MADV_DONTNEED") else []:
            one.madvise(mmap.MADV_DONTNEED)

    def map(self, offset: int, shape: tuple[int, ...]) -> Float[Tensor, "M *D"]:
        """The float32 numbers that begin at an offset.

        Raises:
            LookwhyError: the file is too short.
        """
        end = offset + 4 * int(np.prod(shape))
        if end > self.state[0]:
            raise LookwhyError(
                f"expected {end} bytes, found {self.state[0]} in {self.path}; it has been cut off: copy it "
                f"again or run {command('prepare')} features again"
            )
        with open(self.descriptor, "rb", closefd=False) as file:
            numbers = np.memmap(file, np.float32, "r", offset, shape)
        self._maps.append(numbers._mmap)  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            # Nobody writes to the tensor: `take` returns copies.
            warnings.filterwarnings("ignore", message=".*not writable.*")
            return torch.from_numpy(numbers)

    def prepare(self, offset: int, nbytes: int, positions: Int64[Tensor, " B"]) -> None:
        """Ask the kernel to read these rows at once; page by page takes ten times as long.

        Raises:
            LookwhyError: the file was written to after it was opened.
        """
        if _STATE(os.fstat(self.descriptor)) != self.state:
            raise LookwhyError(
                f"expected {self.path} to stay unchanged during training, found it written to or cut off; "
                "restore it and resume from the last checkpoint, or set data.features to ram"
            )
        if not self.is_read_ahead and hasattr(os, "posix_fadvise"):
            for row in positions.tolist():
                os.posix_fadvise(self.descriptor, offset + row * nbytes, nbytes, os.POSIX_FADV_WILLNEED)
