"""Features in RAM, once for all processes of a machine.

If each process of a training by several read the features into its own memory, eight processes would need
eight times 2 GB for VQA. Instead the first process of each machine writes them to a file in memory (or, where
that has no room, to a temporary file, which the system keeps in memory as long as it can). All map this file,
and its name is removed at once, so that the memory is free when the last process has ended.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import torch.distributed as dist

from lookwhy.data.all_processes import of_all_processes
from lookwhy.data.features import open_features
from lookwhy.data.mapped_file import MappedFile
from lookwhy.errors import LookwhyError
from lookwhy.progress import readable

IN_MEMORY = Path("/dev/shm")
"""Files in this folder are memory on Linux."""
AT_ONCE = 1 << 26
"""Bytes that are copied at once."""
Shape = tuple[int, ...]


def has_company() -> bool:
    """Whether several processes work together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def shared_copy(path: Path, shapes: Mapping[str, Shape]) -> tuple[MappedFile, dict[str, int]]:
    """Map a copy of the features that the processes of this machine share; all processes must call this.

    Args:
        path: data_img.h5.
        shapes: shape of each dataset that is copied, by name.

    Returns:
        The mapped file of float32 numbers, and the first byte of each dataset in it.

    Raises:
        LookwhyError: a machine has no room for the copy.
    """
    machines = of_all_processes(_machine())
    is_first = machines.index(_machine()) == dist.get_rank()
    written, failed = None, ""
    if is_first:
        try:
            written = _write(path, shapes)
        except (OSError, LookwhyError) as error:
            failed = " ".join(str(error).split())
    copies, failures = zip(*of_all_processes((written, failed)), strict=True)
    try:
        if found := next(filter(None, failures), ""):
            raise LookwhyError(
                f"expected room for {readable(_size(shapes))} of features that all processes share, found: "
                f"{found}; make room, or set data.features to mapped"
            )
        mapped = MappedFile(Path(copies[machines.index(_machine())]), read_ahead=True)
        of_all_processes(None)  # until all have opened it
    finally:
        if written:
            with suppress(OSError):
                os.unlink(written)
    starts = np.cumsum([0, *(_size({name: shape}) for name, shape in shapes.items())]).tolist()
    return mapped, dict(zip(shapes, starts, strict=False))


def _write(path: Path, shapes: Mapping[str, Shape]) -> str:
    # Beyond its room, such a file would be a bus error at the first access to a missing page.
    has_room = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > 1.1 * _size(shapes)
    folder = IN_MEMORY if has_room else Path(tempfile.gettempdir())
    descriptor, name = tempfile.mkstemp(prefix="lookwhy-", suffix=".features", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as copy, open_features(path) as file:
            for dataset in shapes:
                data: h5py.Dataset = file[dataset]
                step = max(1, AT_ONCE // max(1, 4 * int(np.prod(data.shape[1:]))))
                for start in range(0, len(data), step):
                    copy.write(data[start : start + step].astype(np.float32).tobytes())
    except BaseException:
        os.unlink(name)
        raise
    return name


def _size(shapes: Mapping[str, Shape]) -> int:
    return sum(4 * int(np.prod(shape)) for shape in shapes.values())


def _machine() -> tuple[str, str]:
    """Name of this machine, and of the file systems that this process sees: containers may differ in them."""
    try:
        return socket.gethostname(), os.readlink("/proc/self/ns/mnt")
    except OSError:
        return socket.gethostname(), ""
