"""Unpack a zip completely or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

from lookwhy.errors import LookwhyError
from lookwhy.files import BYTES


def unpack(
    archive: Path, folder: str | None = None, require: Callable[[int, str], None] | None = None
) -> None:
    """Put a zip's content beside it once every file passed its CRC, mark it as unpacked, remove the zip.

    Args:
        archive: the zip; other files beside it stay.
        folder: folder for the content, whether or not the zip names it; None: as packed.
        require: called with the bytes needed and their purpose; raises where the disk is too small.

    Raises:
        LookwhyError: the zip is broken, is empty or leads outside the folder; it is removed.
    """
    root = archive.parent
    temporary = root / f".{archive.name}.unpacking"  # on the same disk, so that files can be renamed
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
    temporary.mkdir()
    try:
        _extract(archive, temporary, require)
        names = os.listdir(temporary)
        inside = root if folder is None or names == [folder] else root / folder
        shutil.copytree(temporary, inside, copy_function=os.replace, dirs_exist_ok=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _mark(archive).write_text(json.dumps(names if folder is None else [folder]))
    archive.unlink()


def is_unpacked(archive: Path) -> bool:
    """Whether `unpack` finished here, and each top entry that it wrote still exists."""
    try:
        return all((archive.parent / name).exists() for name in json.loads(_mark(archive).read_text()))
    except (OSError, ValueError):
        return False


def _mark(archive: Path) -> Path:
    return archive.with_name(f".{archive.name}.unpacked")


def _extract(archive: Path, folder: Path, require: Callable[[int, str], None] | None) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
            total = sum(entry.file_size for entry in entries)
            if require is not None:
                require(total, f"to unpack {archive.name}")
            for entry in entries:
                path = PureWindowsPath(entry.filename)  # knows both slashes, and drives
                if path.anchor or ".." in path.parts:
                    raise ValueError(f"entry {entry.filename!r} leads outside the folder")
            if not entries:
                raise ValueError("no file in it")
            with tqdm(desc=f"unpacking {archive.name}", total=total, disable=None, **BYTES) as bar:
                for entry in entries:
                    file.extract(entry, folder)
                    bar.update(entry.file_size)
    except LookwhyError:
        raise
    except Exception as error:  # zipfile raises many kinds on garbled bytes
        # bz2 raises OSError without a number; EINVAL is a garbled offset. Other numbers are the disk's.
        if getattr(error, "errno", None) not in (None, errno.EINVAL):
            raise
        archive.unlink()
        raise LookwhyError(
            f"expected a whole zip file {archive}, found: {error}; it was removed: run the command again, "
            "with --base-url of another mirror if this comes back"
        ) from error
