"""The error that people are meant to read, and the commands that it names; imports no torch."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Literal

SCRIPTS = {"prepare": "data/prepare.py", "train": "train.py", "analyze": "analyze.py"}
"""Each command of `lookwhy` and the script of a clone that runs the same."""


class LookwhyError(Exception):
    """Wrong input: one line that says what was expected, what was found, where, and what to do.

    The commands print it on stderr without a traceback and leave with exit code 2.
    """


def command(name: Literal["prepare", "train", "analyze"]) -> str:
    """The words that start a command, as the reader of a message can type them.

    Returns:
        `python analyze.py`, with the folder as it was typed, for whoever started a script of a clone;
        else `lookwhy analyze`, which every installation has.
    """
    started = sys.argv[0] if sys.argv else ""
    folder, script = os.path.split(started)
    clone = os.path.join(folder, "..") if script == "prepare.py" else folder
    paths = {one: os.path.normpath(os.path.join(clone, path)) for one, path in SCRIPTS.items()}
    # Other projects have a train.py, too; the three together are ours.
    if os.path.abspath(started) in map(os.path.abspath, paths.values()) and all(
        os.path.isfile(path) for path in paths.values()
    ):
        return f"python {shlex.quote(paths[name])}"
    return f"lookwhy {name}"


def missing_package(packages: str, extra: str, reason: ImportError) -> LookwhyError:
    """The error of a command whose optional packages are not installed.

    Args:
        packages: their names as pip knows them, with spaces between.
        extra: name of the extra in pyproject.toml that holds them.
        reason: what Python said.
    """
    return LookwhyError(
        f"expected {packages.replace(' ', ', ')} to be installed, found: {reason}; pip install {packages}, "
        f"or in a clone of lookwhy pip install -e '.[{extra}]'"
    )
