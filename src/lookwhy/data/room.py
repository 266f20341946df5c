"""Room on the disk for a file of features, taken before hours of work.

HDF5 ends the process with a segmentation fault if a write, or the closing of its file, finds no room.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import h5py
import numpy as np

from lookwhy.progress import readable

ROOM_TO_CLOSE = 1 << 18
"""Bytes that HDF5 may write when it closes a file of features: names, attributes and buffers."""


def _check_room(path: Path, size: int) -> None:
    """Raise an OSError if the disk has no room for more bytes in a file, before hours of work."""
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise OSError(errno.ENOSPC, f"{readable(free)} free where {readable(size)} are needed", str(path))


def create(file: h5py.File, key: str, shape: tuple[int, ...]) -> None:
    """Create a dataset, with its room on the disk.

    HDF5 ends the process with a segmentation fault if a write or the closing of its file finds no room.
    """
    path = Path(file.filename)
    _check_room(path, 4 * math.prod(shape))
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    file.create_dataset(key, shape, np.float32, dcpl=layout)
    take_room(file)


def take_room(file: h5py.File) -> None:
    """Take the room on the disk that the datasets have in the file, so that no other file can."""
    file.flush()
    path = Path(file.filename)
    if hasattr(os, "posix_fallocate"):  # Linux
        with path.open("r+b") as same:
            os.posix_fallocate(same.fileno(), 0, path.stat().st_size)


@contextmanager
def room_to_close(path: Path) -> Iterator[IO[bytes]]:
    """Hold a little more room until a file is to be closed; truncating what is yielded gives it back."""
    # The file has no name, so nothing is left after a kill.
    with tempfile.TemporaryFile(dir=path.parent) as ballast:
        try:
            ballast.write(bytes(ROOM_TO_CLOSE))
            ballast.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        yield ballast
