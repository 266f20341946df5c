"""The unfinished file of features: whose work it is, and how far it has come."""

from __future__ import annotations

import os
from pathlib import Path

from lookwhy.errors import LookwhyError
from lookwhy.hdf5 import open_hdf5
from lookwhy.progress import write_above


def partial_file(out: Path, stamp: str) -> Path:
    """The file to write to: one of the same work if there is any; one of other work is set aside."""
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists() and (other := _stamp_of(partial)) != stamp:
        aside = _aside(out, other or "damaged")
        os.replace(partial, aside)
        found = "features with other settings" if other else "a damaged file"
        write_above(f"{partial.name} held {found}; it is kept as {aside}: remove it if you do not need it")
    if not partial.exists() and _aside(out, stamp).exists():
        os.replace(_aside(out, stamp), partial)
    return partial


def rows_done(partial: Path) -> dict[str, int]:
    """Number of rows that are written, by dataset."""
    if not partial.exists():
        return {}
    with open_hdf5(partial) as file:
        return {key: int(file[key].attrs.get("done", 0)) for key in file}


def _aside(out: Path, stamp: str) -> Path:
    return out.with_name(f"{out.name}.{stamp[:12]}.partial")


def _stamp_of(partial: Path) -> str:
    """Digest of the work that a partial file belongs to; empty if it is damaged."""
    try:
        with open_hdf5(partial) as file:
            return str(file.attrs.get("stamp", ""))
    except BlockingIOError as error:
        raise LookwhyError(
            f"expected to continue {partial}, found another process writing it; wait for its end or stop it"
        ) from error
    except (OSError, LookwhyError):  # a process that is killed may leave a file that libhdf5 cannot read
        return ""
