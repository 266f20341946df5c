"""Zip files unpacked whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from lookwhy.errors import LookwhyError


def unpacked_bytes(archive: Path) -> int:
    """Bytes that the files of a zip take when unpacked, from its directory.

    Raises:
        LookwhyError: it is no zip file.
    """
    with _opened(archive) as file:
        return sum(entry.file_size for entry in file.infolist())


def unpack(archive: Path, root: Path) -> None:
    """Put the content of a zip under `root`, leave a mark that it is there, and remove the zip.

    The files appear in `root` only after every one of them was read whole and passed its CRC. A folder that
    is there already keeps its other files.

    Raises:
        LookwhyError: a broken zip, or an entry that leads outside `root`; the zip is removed.
    """
    # Not in the system's temporary folder: a rename works only within one disk.
    temporary = root / f".{archive.name}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)  # what a killed process left
    try:
        with _opened(archive) as file:
            for entry in file.infolist():
                _refuse_outside(entry.filename, archive)
            try:
                file.extractall(temporary)
            # RuntimeError: flags, garbled or not, that zipfile cannot serve, such as encryption.
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
                raise _broken(archive, str(error)) from error
        names = sorted(path.name for path in temporary.iterdir())
        for name in names:
            _move(temporary / name, root / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _mark(archive).write_text(json.dumps(names))
    archive.unlink()


def is_unpacked(archive: Path) -> bool:
    """Whether `unpack` finished here, and what it wrote (looked at from the top) is there still."""
    try:
        names = json.loads(_mark(archive).read_text())
    except (OSError, ValueError):
        return False
    return all((archive.parent / name).exists() for name in names)


def _mark(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked")


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
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
