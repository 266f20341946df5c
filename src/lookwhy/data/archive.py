"""Zip files unpacked whole or not at all."""

from __future__ import annotations

import errno
import json
import lzma
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from lookwhy.errors import LookwhyError
from lookwhy.files import BYTES

_GARBLED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, RuntimeError, ValueError, IndexError,
)  # fmt: skip
"""What `zipfile` raises on bytes that make no sense or that it cannot serve, such as encryption."""


def unpacked_bytes(archive: Path) -> int:
    """Bytes that the files of a zip take when unpacked, from its directory.

    Raises:
        LookwhyError: it is no zip file.
    """
    with _opened(archive) as file:
        return sum(entry.file_size for entry in file.infolist())


def unpack(archive: Path, root: Path, folder: str | None = None) -> None:
    """Put the content of a zip under `root`, leave a mark that it is there, and remove the zip.

    The files appear in `root` only after every one of them was read whole and passed its CRC. A folder that
    is there already keeps its other files.

    Args:
        archive: the zip.
        root: folder to unpack in.
        folder: where under `root` the content goes, whether the zip holds that folder or what belongs in it;
            None where the zip is right as it is.

    Raises:
        LookwhyError: a broken or empty zip, or an entry that leads outside `root`; the zip is removed.
    """
    # Not in the system's temporary folder: a rename works only within one disk.
    temporary = root / f".{archive.name}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)  # what a killed process left
    temporary.mkdir()
    try:
        with _opened(archive) as file:
            for entry in file.infolist():
                _refuse_outside(entry.filename, archive)
            _extract(file, temporary, archive.name)
        names = sorted(path.name for path in temporary.iterdir())
        if not names:
            raise _broken(archive, "no file in it")
        inside = root if folder is None or names == [folder] else root / folder
        inside.mkdir(exist_ok=True)
        for name in names:
            _move(temporary / name, inside / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _mark(archive).write_text(json.dumps(names if folder is None else [folder]))
    archive.unlink()


def _extract(file: zipfile.ZipFile, folder: Path, name: str) -> None:
    entries = file.infolist()
    total = sum(entry.file_size for entry in entries)
    with tqdm(desc=f"unpacking {name}", total=total, disable=None, **BYTES) as bar:
        for entry in entries:
            file.extract(entry, folder)
            bar.update(entry.file_size)


def is_unpacked(archive: Path) -> bool:
    """Whether `unpack` finished here, and what it wrote (looked at from the top) is there still."""
    try:
        names = json.loads(_mark(archive).read_text())
    except (OSError, ValueError):
        return False
    return all((archive.parent / name).exists() for name in names)


def _mark(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked")


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as file:
            yield file
    except _GARBLED as error:
        raise _broken(archive, str(error)) from error
    except OSError as error:
        # bz2's errors have no number, and a garbled offset is an invalid argument; others are the disk's.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _broken(archive, str(error)) from error


def _refuse_outside(name: str, archive: Path) -> None:
    """`zipfile` would quietly write such a file elsewhere; an archive with one is not what was published."""
    path = PureWindowsPath(name)  # knows every way out: both slashes, drives
    if path.anchor or ".." in path.parts:
        raise _broken(archive, f"entry {name!r} leads outside the folder")


def _broken(archive: Path, found: str) -> LookwhyError:
    archive.unlink()
    return LookwhyError(
        f"expected a whole zip file {archive}, found: {found}; it was removed: run the command again, "
        "with --base-url of another mirror if this comes back"
    )


def _move(source: Path, target: Path) -> None:
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _move(child, target / child.name)
    else:
        os.replace(source, target)
