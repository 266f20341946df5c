"""Arrays that depend on an image and a frozen network alone, kept for every question, epoch and run.

One file holds all images of one key. Little endian, in this order:

    header   magic (8 bytes), version and length of the text (uint32 each), a JSON text of the key and of
             the arrays' names, dtypes and shapes; filled up to a multiple of 4096 bytes
    records  all of one size, one an image: the arrays in the order of their names, then 16 bytes of the
             image's digest and 40 of nothing, then 8 of a marker; each array begins at a multiple of 64 bytes

A record counts once its marker, the last bytes of it, is there, and the marker is written after all the rest
has reached the disk. So whatever stops a process costs at most the record that it was writing: the file ends
in a piece without a marker, which no one reads and the next record is written over. Nothing is ever cut off,
because another process may have it mapped.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import mmap
import os
import re
import struct
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from lookwhy.errors import LookwhyError

Arrays = Mapping[str, Shaped[np.ndarray, "..."]]
Specs = list[tuple[str, str, list[int]]]
"""Name, dtype as NumPy's array protocol writes it ("<f4"), and shape of each array, sorted by name."""

MAGIC, VERSION = b"LOOKWHYC", 1
PREFIX = struct.Struct("<8sII")
PAGE, ALIGNMENT = 4096, 64
MARKER = b"complete"


class ImageCache:
    """image -> named arrays, in one memory-mapped file that several processes may read and add to.

    An image is named by 32 hexadecimal digits, a digest of its content. Threads need an instance each.

    Args:
        folder: where the file is, or will be once an image is put.
        name: of what is kept, the first part of the file's name.
        key: everything that the numbers depend on, in JSON's types. A digest of it is the second part of
            the file's name and the whole of it is in the file's header, so nothing stale can match.
    """

    def __init__(self, folder: Path, name: str, key: Mapping[str, object]) -> None:
        self._key = _canonical(key)
        self._arguments = (folder, name, json.loads(self._key))
        self.path = folder / f"{name}-{hashlib.sha256(self._key.encode()).hexdigest()[:16]}.cache"
        self._known: _Known | None = None

    def __reduce__(self) -> tuple[type[ImageCache], tuple[Path, str, Mapping[str, object]]]:
        # A copy opens the file again; by default the whole of the mapped file would be pickled.
        return type(self), self._arguments

    def get(self, image: str) -> dict[str, Shaped[np.ndarray, "..."]] | None:
        """The arrays of an image, or None where there are none yet, also none of another process.

        Not copied: read-only views of the mapped file, valid as long as they are held, whatever is added.
        A view keeps the map that it was taken from, and with it a file descriptor. A new map is made only
        when the file has grown, so thousands of views are fine, unless a `put` lies before each of them.

        Raises:
            LookwhyError: the file is foreign or cannot be read.
        """
        if image not in self:
            return None
        assert self._known is not None
        row, arrays = self._known.rows[image], self._known.records["arrays"]
        return {name: arrays[name][row, ...] for name, _, _ in self._known.specs}

    def __contains__(self, image: str) -> bool:
        _check_digest(image)
        if self._known is None or image not in self._known.rows:
            self._refresh()
        return self._known is not None and image in self._known.rows

    def __len__(self) -> int:
        self._refresh()
        return 0 if self._known is None else len(self._known.rows)

    def put(self, image: str, arrays: Arrays) -> None:
        """Keep the arrays of an image; nothing happens if there are some already.

        Afterwards no process that dies takes them along; a failure of the power can, until the next `put`.

        Args:
            image: 32 hexadecimal digits.
            arrays: numbers or booleans of any shape; of the same names, dtypes and shapes for all images.

        Raises:
            ValueError: the arrays are not like those of the first image, or not of numbers.
            LookwhyError: the disk is full, the folder is read-only or the file is foreign. What was in the
                file is as before.
        """
        _check_digest(image)
        specs = _specs(arrays)
        layout = _layout(specs)
        try:
            if not self.path.exists():
                self._create(specs)
            # Whoever makes a folder read-only wants it as it is, also where its files could be written to.
            if not os.access(self.path.parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            with self.path.open("r+b", buffering=0) as file, _locked(file):
                known = self._follow(file)
                if specs != known.specs:
                    raise ValueError(f"expected the arrays {known.specs} of {self.path}, found {specs}")
                if image not in known.rows:
                    _append(file, known.end, layout, image, arrays)
        except OSError as error:
            raise LookwhyError(
                f"expected to add {layout.itemsize:,} bytes to {self.path}, found {error.strerror or error}; "
                "make room, or give a folder that can be written to"
            ) from error

    def _create(self, specs: Specs) -> None:
        """A file without records, whole from its first moment; two processes that make it agree on one."""
        text = _canonical({"arrays": specs, "key": json.loads(self._key)}).encode()
        header = PREFIX.pack(MAGIC, VERSION, len(text)) + text
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.partial")
        try:
            with partial.open("xb") as file:
                file.write(header.ljust(_up(len(header), PAGE), b"\0"))
                file.flush()
                os.fsync(file.fileno())
            # Unlike a rename, a link never takes the place of a file that another process has begun to fill.
            os.link(partial, self.path)
        except FileExistsError:
            pass
        finally:
            partial.unlink(missing_ok=True)

    def _refresh(self) -> None:
        try:
            with self.path.open("rb", buffering=0) as file:
                self._follow(file)
        except FileNotFoundError:
            pass  # not made yet; or removed since, and then what is mapped is still right
        except OSError as error:
            raise LookwhyError(
                f"expected to read {self.path}, found {error.strerror or error}; "
                "correct that, or give another folder"
            ) from error

    def _follow(self, file: FileIO) -> _Known:
        """Learn what was added to the file, or all of it where it is not the file known before."""
        status = os.fstat(file.fileno())
        known, identity = self._known, (status.st_dev, status.st_ino)
        if known is None or known.identity != identity or status.st_size < known.end:
            start, specs = self._read_header(file)
            known = self._known = _Known(file, identity, start, specs)
        size, added = known.layout.itemsize, []
        # Read, not mapped: a page of each record, where a map would read ahead into all of them.
        for end in range(known.end + size, status.st_size + 1, size):
            trailer = os.pread(file.fileno(), ALIGNMENT, end - ALIGNMENT)
            if not trailer.endswith(MARKER):
                break
            added.append(trailer[:16].hex())
        if added:
            known.add(file, added)
        return known

    def _read_header(self, file: FileIO) -> tuple[int, Specs]:
        """Where the records begin, in bytes, and what they are made of."""
        prefix = os.pread(file.fileno(), PREFIX.size, 0).ljust(PREFIX.size, b"\0")
        magic, version, length = PREFIX.unpack(prefix)
        start = _up(PREFIX.size + length, PAGE)
        if magic != MAGIC:
            raise self._foreign("something else")
        if os.fstat(file.fileno()).st_size < start:
            raise self._foreign("a header cut short")
        if version != VERSION:
            raise self._foreign(f"version {version}")
        try:
            header = json.loads(os.pread(file.fileno(), length, PREFIX.size))
            key, specs = header["key"], [(name, dtype, shape) for name, dtype, shape in header["arrays"]]
            _layout(specs)
        except (ValueError, KeyError, TypeError) as error:
            raise self._foreign("a damaged header") from error
        if _canonical(key) != self._key:
            raise self._foreign(f"one of the key {_canonical(key)}")
        return start, specs

    def _foreign(self, found: str) -> LookwhyError:
        return LookwhyError(
            f"expected an image cache of version {VERSION} and of the key {self._key}, found {found} "
            f"in {self.path}; delete it and it is computed again"
        )


class _Known:
    """What an instance has seen of the file.

    Attributes:
        identity: device and inode. They stay this file's, since a map keeps the file from being freed.
        specs: what a record holds.
        layout: a record as a NumPy dtype.
        rows: image -> number of its record.
        records: as mapped.
    """

    records: Shaped[np.ndarray, " images"]

    def __init__(self, file: FileIO, identity: tuple[int, int], start: int, specs: Specs) -> None:
        self.identity, self.specs = identity, specs
        self.layout = _layout(specs)
        self.rows: dict[str, int] = {}
        self._start = start
        self._map(file, 0)

    @property
    def end(self) -> int:
        """Where the next record goes, in bytes."""
        return self._start + len(self.records) * self.layout.itemsize

    def add(self, file: FileIO, images: list[str]) -> None:
        """Take in the records that follow. The map before stays for as long as there are views of it."""
        count = len(self.records)
        self._map(file, count + len(images))
        self.rows.update(zip(images, range(count, len(self.records)), strict=True))

    def _map(self, file: FileIO, count: int) -> None:
        end = self._start + count * self.layout.itemsize
        mapped = mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ)
        self.records = np.frombuffer(mapped, self.layout, count, self._start)


def _append(file: FileIO, at: int, layout: np.dtype[Any], image: str, arrays: Arrays) -> None:
    record = np.zeros(1, layout)
    for name, values in arrays.items():
        record["arrays"][name][0] = values
    record["digest"] = np.void(bytes.fromhex(image))
    content = record.view(np.uint8).data[: -len(MARKER)]
    _write(file, content, at)
    os.fsync(file.fileno())
    # Within one page, so there or not. It reaches the disk with the next record at the latest.
    _write(file, memoryview(MARKER), at + len(content))


def _write(file: FileIO, content: memoryview, at: int) -> None:
    while content:  # a disk that fills up takes a part, and says so only at the next attempt
        written = os.pwrite(file.fileno(), content, at)
        content, at = content[written:], at + written


@contextmanager
def _locked(file: FileIO) -> Iterator[None]:
    """One process at a time. The kernel drops the lock of a process that dies."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        # Closing would not do: a process forked meanwhile has a copy of the descriptor.
        fcntl.flock(file, fcntl.LOCK_UN)


def _specs(arrays: Arrays) -> Specs:
    for name, values in arrays.items():
        if values.dtype.kind not in "biufc":
            raise ValueError(f"expected numbers or booleans, found the dtype {values.dtype} of {name!r}")
    return [(name, arrays[name].dtype.str, list(arrays[name].shape)) for name in sorted(arrays)]


def _layout(specs: Specs) -> np.dtype[Any]:
    """The dtype of a record: `arrays`, by name, and what follows them."""
    fields = [np.dtype((dtype, tuple(shape))) for _, dtype, shape in specs]
    ends = np.cumsum([0, *(_up(each.itemsize, ALIGNMENT) for each in fields)]).tolist()
    names = [name for name, _, _ in specs]
    arrays = np.dtype({"names": names, "formats": fields, "offsets": ends[:-1], "itemsize": ends[-1]})
    return np.dtype([("arrays", arrays), ("digest", "V16"), ("nothing", "V40"), ("marker", "V8")])


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_digest(image: str) -> None:
    if not re.fullmatch("[0-9a-f]{32}", image):
        raise ValueError(f"expected 32 hexadecimal digits, found {image!r}")


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
