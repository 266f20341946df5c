"""Cache of a frozen network's results for each image, which every question, epoch and run can use.

On disk each image has one file, `<folder>/<name>-<key>/<ab>/<digest>.npz`. `key` is a digest of everything
else that the numbers depend on (the network, the grid, ...), so a stale file never matches. `ab` are the
first two digits of the image's digest, which keeps folders small. A file is renamed when it is complete, so
that any number of processes can share a folder; two that compute the same image write the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from lookwhy.files import atomic_path
from lookwhy.stopwatch import part

Result = TypeVar("Result")
Arrays = Mapping[str, np.ndarray]
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
        kind, digest = _kind(name, key), digest_of_image(image)
        # The device, too: the tensors of a result in RAM lie on the image's device.
        recent, place = self._recent.setdefault(kind, {}), (digest, image.device)
        path = self._path(kind, digest)
        result = recent.pop(place, None)
        if result is None and path:
            result = _read(path, unpack)
        if result is None:
            result = make()
            if path and (arrays := pack(result)) is not None:
                _write(path, arrays)
                result = unpack(arrays)
        if self.images:
            recent[place] = result
            if len(recent) > self.images:
                del recent[next(iter(recent))]
        return result

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


def _read(path: Path, unpack: Callable[[Arrays], Result]) -> Result | None:
    """The result in a file; None if the file is missing or damaged in any way."""
    with suppress(Exception):
        # Open the file here: NumPy does not close a damaged file that it opened itself.
        with part("reading"), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        return unpack(arrays)
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
    return hashlib.sha256(str((content.dtype, content.shape)).encode() + content.tobytes()).hexdigest()[:32]


class _LastDigest:
    """The image that was asked for last, and its digest."""

    def __init__(self) -> None:
        # Holds the tensor itself: its memory cannot be given to another one.
        self.last: tuple[Tensor, int, str] | None = None


_last = _LastDigest()


def digest_of_image(image: Float[Tensor, "3 H W"]) -> str:
    """The same as `digest_of`, computed once while the same unchanged image is asked for again.

    An analysis asks for many results of an image, one after the other, and a digest takes a third of a
    millisecond.
    """
    if image.is_inference():
        return digest_of(image)  # such a tensor does not count its changes
    if _last.last is not None:
        tensor, version, digest = _last.last
        if image._version == version and _is_same_view(image, tensor):
            return digest
    digest = digest_of(image)
    _last.last = image, image._version, digest
    return digest


def _is_same_view(x: Tensor, y: Tensor) -> bool:
    facts = [(one.data_ptr(), one.shape, one.stride(), one.dtype, one.device) for one in (x, y)]
    return facts[0] == facts[1]
