"""Cache of a frozen network's results for each image, which every question, epoch and run can use.

On disk each image has one file, `<folder>/<name>-<key>/<ab>/<digest>.npz`. `key` is a digest of everything
else that the numbers depend on (the network, the grid, ...), so a stale file never matches. `ab` are the
first two digits of the image's digest, which keeps folders small. A file is renamed when it is complete, so
that any number of processes can share a folder; two that compute the same image write the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.files import atomic_path
from lookwhy.stopwatch import part

Result = TypeVar("Result")
Arrays = Mapping[str, np.ndarray]
AHEAD = 2
"""Files that are read before they are needed, each in a thread."""
HEADER = 4096
"""Most bytes of the description before the numbers of an array."""
_unwritable: set[Path] = set()
"""Folders that this process could not write: all memories of a folder give one warning."""


class Memory:
    """Cache of results by image, on disk, in RAM, both or neither. Not thread-safe.

    Args:
        folder: folder of the files; None: nothing is written.
        images: number of recently used images whose results stay in RAM, for each kind of result.

    Example:
        >>> memory = Memory(images=1)
        >>> import torch
        >>> image = torch.zeros(3, 2, 2)
        >>> memory.recall("sums", {}, image, lambda: image.sum().item(), dict, dict)
        0.0
    """

    def __init__(self, folder: str | Path | None = None, images: int = 0) -> None:
        self.folder, self.images = None if folder is None else Path(folder), images
        self._recent: dict[str, dict[object, Any]] = {}
        self._ahead: dict[object, tuple[Tensor, Future[tuple[str, Arrays | None]]]] = {}

    def recall(
        self,
        name: str,
        key: Mapping[str, object],
        image: Float[Tensor, "3 H W"],
        make: Callable[[], Result],
        pack: Callable[[Result], Arrays | None],
        unpack: Callable[[Arrays], Result],
    ) -> Result:
        """The result for an image: from RAM or disk if it is there, else computed now and stored.

        A result that is written to disk is returned as it will be read back (it may be rounded), so that an
        analysis does not depend on what earlier runs stored.

        Args:
            name: kind of result, the first part of its folder's name.
            key: everything besides the image that the result depends on, in JSON's types.
            image: the image, identified by its content, type and shape.
            make: function that computes the result.
            pack: function that converts the result to arrays, or returns None if it cannot be stored.
            unpack: function that converts the arrays of `pack` back to the result.
        """
        if self.folder is None and not self.images:
            return make()
        kind, read = _kind(name, key), None
        if begun := self._ahead.pop((kind, _identity(image)), None):
            with part("reading"):
                digest, read = begun[1].result()
        else:
            digest = digest_of_image(image)
        # The device, too: the tensors of a result in RAM lie on the image's device.
        recent, place = self._recent.setdefault(kind, {}), (digest, image.device)
        path = self._path(kind, digest)
        result = recent.pop(place, None)
        if result is None and path:
            with part("reading"):
                read = read or _read(path)
            result = _unpacked(read, unpack)
        if result is None:
            result = make()
            if path and (packed := pack(result)) is not None:
                _write(path, packed)
                result = unpack(packed)
        if self.images:
            recent[place] = result
            if len(recent) > self.images:
                del recent[next(iter(recent))]
        return result

    def read_ahead(self, name: str, key: Mapping[str, object], image: Float[Tensor, "3 H W"]) -> None:
        """Begin to read the file of an image in a thread, for the `recall` that follows soon.

        At most two files wait for theirs.
        """
        kind = _kind(name, key)
        place = kind, _identity(image)
        if self.folder is None or image.is_inference() or place in self._ahead:
            return
        while len(self._ahead) >= AHEAD:
            self._ahead.pop(next(iter(self._ahead)))[1].cancel()
        copied = _copied(image)
        # Holds the image: until then its memory is not given to another one.
        self._ahead[place] = image, _readers().submit(self._digest_and_arrays, kind, copied)

    def _digest_and_arrays(self, kind: str, copied: Callable[[], Tensor]) -> tuple[str, Arrays | None]:
        digest = digest_of(copied())
        path = self._path(kind, digest)
        return digest, None if path is None else _read(path)

    def has(self, name: str, key: Mapping[str, object], image: Float[Tensor, "3 H W"]) -> bool:
        """Whether the result for an image is on disk."""
        path = self._path(_kind(name, key), digest_of_image(image)) if self.folder else None
        return path is not None and path.is_file()

    def _path(self, kind: str, digest: str) -> Path | None:
        return self.folder and self.folder / kind / digest[:2] / f"{digest}.npz"


def _kind(name: str, key: Mapping[str, object]) -> str:
    """Name of the folder of one kind of results."""
    text = json.dumps(dict(key), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@cache
def _readers() -> ThreadPoolExecutor:
    """The threads that read ahead."""
    return ThreadPoolExecutor(AHEAD, "lookwhy-reader")


def _copied(image: Tensor) -> Callable[[], Tensor]:
    """Function that waits for a copy of an image on the host, but for nothing that a GPU is given later."""
    if not image.is_cuda:
        return lambda: image
    stream = torch.cuda.Stream(image.device)
    stream.wait_stream(torch.cuda.current_stream(image.device))
    with torch.cuda.stream(stream):
        copy = torch.empty(image.shape, dtype=image.dtype, pin_memory=True)
        copy.copy_(image.detach(), non_blocking=True)
        done = torch.cuda.Event()
        done.record()

    def wait() -> Tensor:
        done.synchronize()
        return copy

    return wait


def _read(path: Path) -> Arrays | None:
    """The arrays of a file that `np.savez` wrote; None if the file is missing or damaged in any way.

    NumPy reads such a file in small pieces, which takes longer and stops other threads.
    """
    with suppress(Exception), path.open("rb") as file:
        content = bytearray(path.stat().st_size)
        file.readinto(content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {one.filename.removesuffix(".npy"): _array(content, one) for one in archive.infolist()}
    return None


def _array(content: bytearray, member: zipfile.ZipInfo) -> np.ndarray:
    """An array in a file's content, without a copy.

    Raises:
        ValueError: the array is damaged.
    """
    name, extra = struct.unpack_from("<HH", content, member.header_offset + 26)
    start = member.header_offset + 30 + name + extra
    found = memoryview(content)[start : start + member.file_size]
    if member.compress_type != zipfile.ZIP_STORED or zlib.crc32(found) != member.CRC:
        raise ValueError("damaged")
    header = io.BytesIO(found[:HEADER])
    version = np.lib.format.read_magic(header)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, is_transposed, dtype = read(header)
    values = np.frombuffer(found, dtype, offset=header.tell())
    return values.reshape(shape, order="F" if is_transposed else "C")


def _unpacked(arrays: Arrays | None, unpack: Callable[[Arrays], Result]) -> Result | None:
    """The result of a file's arrays; None if there are none, or others than `pack` writes."""
    with suppress(Exception):
        return None if arrays is None else unpack(arrays)
    return None


def _write(path: Path, arrays: Arrays) -> None:
    if path.parents[2] in _unwritable:
        return
    try:
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        # A full disk must not stop a training: warn, and go on without writing.
        _unwritable.add(path.parents[2])
        warnings.warn(
            f"expected to write {path}, found: {error.strerror or error}; results of the image network are "
            "computed again each time from here on: make room, or make the folder writable",
            stacklevel=2,
        )


def digest_of(x: Tensor) -> str:
    """32 hexadecimal digits that identify a tensor's content, type and shape."""
    content = np.ascontiguousarray(x.detach().cpu().numpy())
    found = hashlib.sha256(str((content.dtype, content.shape)).encode())
    found.update(content.reshape(-1).view(np.uint8).data)  # no copy of the content
    return found.hexdigest()[:32]


class _LastDigest:
    """The image that was asked for last, and its digest."""

    def __init__(self) -> None:
        # Holds the tensor itself: its memory cannot be given to another one.
        self.last: tuple[Tensor, tuple[object, ...], str] | None = None


_last = _LastDigest()


def digest_of_image(image: Float[Tensor, "3 H W"]) -> str:
    """The same as `digest_of`, computed once while the same unchanged image is asked for again.

    An analysis asks for many results of an image, one after the other, and a digest takes a third of a
    millisecond.
    """
    if image.is_inference():
        return digest_of(image)  # such a tensor does not count its changes
    identity = _identity(image)
    if _last.last is None or _last.last[1] != identity:
        _last.last = image, identity, digest_of(image)
    return _last.last[2]


def _identity(x: Tensor) -> tuple[object, ...]:
    """Facts that stay the same while a tensor is unchanged and its memory is not given to another one."""
    version = 0 if x.is_inference() else x._version
    return x.data_ptr(), version, x.shape, x.stride(), x.dtype, x.device
