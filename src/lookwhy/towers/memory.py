"""Memory of a frozen network: results that depend on an image alone, for every question, epoch and run.

On disk each image has one file, `<folder>/<name>-<key>/<ab>/<digest>.npz`. `key` is a digest of everything
that the numbers depend on (the network's weights, the grid, ...), so a stale file can never match; `ab` are
the first two digits of the image's digest, so that no folder gets too large. A file is written under another
name
and renamed: readers in any process find a whole file or none. Two processes that compute the same image write
the same bytes, and the later rename wins.
"""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.files import atomic_path
from lookwhy.stopwatch import part

Result = TypeVar("Result")
Arrays = Mapping[str, np.ndarray]


class Memory:
    """Results by image, on disk, in RAM or nowhere.

    Args:
        folder: folder of the files; None: nothing is written.
        images: number of recently used images whose results stay in RAM (per kind of result).

    Example:
        >>> memory = Memory(images=1)
        >>> import torch
        >>> image = torch.zeros(3, 2, 2)
        >>> memory.recall("sums", {}, image, lambda: image.sum().item(), dict, dict)
        0.0
    """

    def __init__(self, folder: Path | None = None, images: int = 0) -> None:
        self.folder, self.images = folder, images
        self._recent: dict[str, OrderedDict[str, object]] = {}
        self._disk_is_full = False

    def recall(
        self,
        name: str,
        key: Mapping[str, object],
        image: Float[Tensor, "3 H W"],
        make: Callable[[], Result],
        pack: Callable[[Result], Arrays | None],
        unpack: Callable[[Arrays], Result],
    ) -> Result:
        """The result for an image: remembered, else made now and kept.

        A result that goes to disk is returned as it will be read later, so that an analysis does not depend
        on the runs before it.

        Args:
            name: kind of result, the first part of its folder's name.
            key: everything beside the image that the result depends on, in JSON's types.
            image: known by its content, type and shape.
            make: computes the result.
            pack: result to arrays; None where it cannot be stored.
            unpack: arrays to result, the inverse of `pack`.
        """
        if self.folder is None and not self.images:
            return make()
        text = json.dumps(dict(key), sort_keys=True, separators=(",", ":"), allow_nan=False)
        kind = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        digest = digest_of(image)
        recent = self._recent.setdefault(kind, OrderedDict())
        if digest in recent:
            recent.move_to_end(digest)
            return cast(Result, recent[digest])
        result = make() if self.folder is None else self._through_disk(kind, digest, make, pack, unpack)
        if self.images:
            recent[digest] = result
            while len(recent) > self.images:
                recent.popitem(last=False)
        return result

    def _through_disk(
        self,
        kind: str,
        digest: str,
        make: Callable[[], Result],
        pack: Callable[[Result], Arrays | None],
        unpack: Callable[[Arrays], Result],
    ) -> Result:
        assert self.folder is not None
        path = self.folder / kind / digest[:2] / f"{digest}.npz"
        with part("reading"):
            found = _read(path)
        if found is None:
            result = make()
            found = pack(result)
            if found is None:
                return result
            self._write(path, found)
        return unpack(found)

    def _write(self, path: Path, arrays: Arrays) -> None:
        if self._disk_is_full:
            return
        try:
            with atomic_path(path) as partial, partial.open("wb") as file:
                np.savez(file, **cast(dict[str, np.ndarray], arrays))  # type: ignore[arg-type]
        except OSError as error:
            # A full disk costs time, not the training that this analysis is part of.
            self._disk_is_full = True
            warnings.warn(
                f"expected to write {path}, found: {error.strerror or error}; results of the image network "
                "are computed again each time from here on: make room, or make the folder writable",
                stacklevel=2,
            )


def digest_of(x: Tensor) -> str:
    """32 hexadecimal digits that stand for a tensor's content, type and shape."""
    content = np.ascontiguousarray(x.detach().cpu().numpy())
    return hashlib.sha256(str((content.dtype, content.shape)).encode() + content.tobytes()).hexdigest()[:32]


def fingerprint(network: nn.Module) -> str:
    """32 hexadecimal digits that stand for a network's layers and weights."""
    found = hashlib.sha256(repr(network).encode())
    for name, value in sorted(network.state_dict().items()):
        found.update(f"{name} {digest_of(value)}".encode())
    return found.hexdigest()[:32]


def _read(path: Path) -> Arrays | None:
    """The arrays of a file; None where there is none, or a damaged one, which is computed again."""
    try:
        # Opened here: NumPy would leave a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError, AttributeError):
        return None
