"""Unpacking of a zip file beside it, and the check that a disk has room."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from pathlib import Path, PureWindowsPath

from lookwhy.progress import progress, readable


def unzip(path: Path, folder: str | None) -> list[str]:
    """Extract a zip (which checks every CRC), and move its content beside it, into `folder` if one is given.

    Returns:
        Names of the files and folders that now lie beside the zip.

    Raises:
        OSError: the disk is full or cannot be written.
        Exception: the zip is damaged, empty, or an entry leads outside; zipfile raises many kinds.
    """
    temporary = path.with_name(f".{path.name}.unpacking")  # on the same disk, so that files can be renamed
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            require_space(path.parent, sum(one.file_size for one in entries), f"to unpack {path.name}")
            if not entries:
                raise ValueError("no file in it")
            for one in entries:
                inside = PureWindowsPath(one.filename)  # understands both slashes and drive letters
                if inside.anchor or ".." in inside.parts:
                    raise ValueError(f"entry {one.filename!r} leads outside the folder")
            file.extractall(temporary, progress(entries, f"unpacking {path.name}", unit="file"))
        names = os.listdir(temporary)
        goal = path.parent if folder is None or names == [folder] else path.parent / folder
        shutil.copytree(temporary, goal, copy_function=os.replace, dirs_exist_ok=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return names if folder is None else [folder]


def require_space(root: Path, needed: int, purpose: str) -> None:
    """Print the free space, and raise an OSError if it is less than the bytes needed."""
    free = shutil.disk_usage(root).free
    print(f"needs {readable(needed)} {purpose}; {readable(free)} free in {root}", flush=True)
    if needed > free:
        raise OSError(errno.ENOSPC, f"{readable(free)} free of {readable(needed)} needed {purpose}")
