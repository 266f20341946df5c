"""Cache of a frozen network's results for each image, which every question, epoch and run can use.

On disk each image has one file, `<folder>/<name>-<key>/<ab>/<digest>.npz`. `key` is a digest of everything
else that the numbers depend on (the network, the grid, ...), so a stale file never matches. `ab` are the
first two digits of the image's digest, which keeps folders small. A file is written under a temporary name
and then renamed, so a reader in any process finds a complete file or none. Two processes that compute the
same image write the same bytes, and the later rename wins.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
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
        self._recent: dict[str, OrderedDict[object, object]] = defaultdict(OrderedDict)
        self._writes = True

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
        text = json.dumps(dict(key), sort_keys=True, separators=(",", ":"), allow_nan=False)
        kind = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        digest = digest_of(image)
        # The device, too: the tensors of a result in RAM lie on the image's device.
        recent, place = self._recent[kind], (digest, image.device)
        if place in recent:
            recent.move_to_end(place)
            return cast(Result, recent[place])
        if self.folder is None:
            result = make()
        else:
            result = self._through(self.folder / kind / digest[:2] / f"{digest}.npz", make, pack, unpack)
        if self.images:
            recent[place] = result
            while len(recent) > self.images:
                recent.popitem(last=False)
        return result

    def _through(
        self,
        path: Path,
        make: Callable[[], Result],
        pack: Callable[[Result], Arrays | None],
        unpack: Callable[[Arrays], Result],
    ) -> Result:
        """The result in a file; computed and written if the file is missing or damaged in any way."""
        with suppress(Exception):
            return unpack(_read(path))
        result = make()
        arrays = pack(result)
        if arrays is None:
            return result
        self._write(path, arrays)
        return unpack(arrays)

    def _write(self, path: Path, arrays: Arrays) -> None:
        if not self._writes:
            return
        try:
            with atomic_path(path) as partial, partial.open("wb") as file:
                np.savez(file, **cast(dict[str, np.ndarray], arrays))  # type: ignore[arg-type]
        except OSError as error:
            # A full disk must not stop a training: warn, and go on without writing.
            self._writes = False
            warnings.warn(
                f"expected to write {path}, found: {error.strerror or error}; results of the image network "
                "are computed again each time from here on: make room, or make the folder writable",
                stacklevel=2,
            )


def digest_of(x: Tensor) -> str:
    """32 hexadecimal digits that identify a tensor's content, type and shape."""
    content = np.ascontiguousarray(x.detach().cpu().numpy())
    return hashlib.sha256(str((content.dtype, content.shape)).encode() + content.tobytes()).hexdigest()[:32]


def fingerprint(network: nn.Module) -> str:
    """32 hexadecimal digits that identify a network's layers, settings and weights, but not its code."""
    found = hashlib.sha256(repr(network).encode())
    for name, value in sorted(network.state_dict().items()):
        found.update(f"{name} {digest_of(value)}".encode())
    for name, module in network.named_modules():
        # The repr of a torch layer shows all its settings; the repr of another module may show none.
        if not type(module).__module__.startswith("torch.nn."):
            found.update(f"{name} {type(module)} {list(_settings(module))}".encode())
    return found.hexdigest()[:32]


def _settings(module: nn.Module) -> Iterator[str]:
    for name, value in sorted(vars(module).items()):
        if isinstance(value, Tensor):
            yield f"{name} {digest_of(value)}"
        elif isinstance(value, (bool, int, float, str, tuple, list, dict)) and not name.startswith("_"):
            yield f"{name} {value!r}"


def _read(path: Path) -> Arrays:
    # Open the file here: NumPy does not close a damaged file that it opened itself.
    with part("reading"), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
