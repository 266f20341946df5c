"""The error for wrong input, and the names of the commands in its message; imports no torch."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Literal

SCRIPTS = {"prepare": "data/prepare.py", "train": "train.py", "analyze": "analyze.py"}
"""Each command of `lookwhy` and the script of a clone that runs the same."""


class LookwhyError(Exception):
    """Wrong input, in one line: what was expected, what was found and where, and the remedy.

    The commands print it on stderr without a traceback and exit with code 2.
    """


def command(name: Literal["prepare", "train", "analyze"]) -> str:
    """A command as the reader of a message can type it.

    Returns:
        `python analyze.py`, with the folder as typed, if a script of a clone is running; otherwise `lookwhy
        analyze`, which every installation has.
    """
    started = sys.argv[0] if sys.argv else ""
    folder, script = os.path.split(started)
    clone = os.path.join(folder, "..") if script == "prepare.py" else folder
    paths = {one: os.path.normpath(os.path.join(clone, path)) for one, path in SCRIPTS.items()}
    # Other projects have a train.py, too; all three scripts together are ours.
    if os.path.abspath(started) in map(os.path.abspath, paths.values()) and all(
        os.path.isfile(path) for path in paths.values()
    ):
        return f"python {shlex.quote(paths[name])}"
    return f"lookwhy {name}"


def missing_package(packages: str, extra: str, reason: ImportError) -> LookwhyError:
    """The error of a command whose optional packages are not installed.

    Args:
        packages: names for pip, separated by spaces.
        extra: name of the extra in pyproject.toml with these packages.
        reason: the error of the import.
    """
    return LookwhyError(
        f"expected {packages.replace(' ', ', ')} to be installed, found: {reason}; pip install {packages}, "
        f"or in a clone of lookwhy pip install -e '.[{extra}]'"
    )
