"""The error for wrong input, names of commands and options in its message, and text for a terminal.

Imports no torch.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

SCRIPTS = {"prepare": "data/prepare.py", "train": "train.py", "analyze": "analyze.py"}
"""For each command of `lookwhy`, the script in a clone of the repository that does the same."""
_JOINERS = "\u200c\u200d"
"""Characters without width that words of some scripts and joined emoji hold."""
AT_COMMAND = ContextVar("AT_COMMAND", default=False)
"""Whether a command is running; otherwise the reader of a message has called a function."""


class LookwhyError(Exception):
    """Wrong input, in one line: what was expected, what was found and where, and the remedy.

    The commands print it on stderr without a traceback and exit with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def printable(text: str) -> str:
    r"""Text of data as a terminal or a page may show it: without the characters that control either.

    Names and texts of a data set may hold escape sequences, carriage returns or overrides of the writing
    direction. White space becomes a space; other characters that control the output are removed.

    Example:
        >>> printable("red\x1b[2J\rblue")
        'red[2J blue'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else " " * c.isspace() for c in text)


def command(name: Literal["prepare", "train", "analyze"]) -> str:
    """Text of a command, as the reader of an error message can type it.

    Returns:
        For "analyze": `python analyze.py`, with the folder that the user typed, if a script of a clone is
        running; otherwise `lookwhy analyze`, which works in every installation.
    """
    started = sys.argv[0] if sys.argv else ""
    folder, script = os.path.split(started)
    clone = os.path.join(folder, "..") if script == "prepare.py" else folder
    paths = {one: os.path.normpath(os.path.join(clone, path)) for one, path in SCRIPTS.items()}
    # Other projects may have a train.py, too, so all three scripts must exist.
    is_clone = all(map(os.path.isfile, paths.values()))
    if is_clone and os.path.abspath(started) in map(os.path.abspath, paths.values()):
        return f"python {shlex.quote(paths[name])}"
    return f"lookwhy {name}"


def option(name: str) -> str:
    """Name of an argument as the reader of an error line types it: `--base-url`, or `base_url` in Python."""
    return f"--{name.replace('_', '-')}" if AT_COMMAND.get() else name


def refuse_untrusted(module: str, name: str, where: object) -> None:
    """Refuse a module that a file names and that is neither lookwhy's nor imported yet: its code would run.

    Args:
        module: the module.
        name: what the file names in it.
        where: the file.
    """
    if module.split(".")[0] != "lookwhy" and module not in sys.modules:
        remedy = f"give --trust {module}" if AT_COMMAND.get() else f"import {module} first"
        raise LookwhyError(
            f"expected classes of lookwhy, found {name} in {where}; if you trust this module, {remedy}"
        )


@contextmanager
def extra(name: str, packages: str, *modules: str) -> Iterator[None]:
    """Turn an import of packages that are not installed into one line.

    Args:
        name: name of the extra in pyproject.toml with these packages.
        packages: names for pip, separated by spaces.
        *modules: top-level modules of the packages, if they have other names.
    """
    try:
        yield
    except ImportError as error:
        if str(error.name).split(".")[0] not in (modules or packages.replace("-", "_").split()):
            raise
        raise LookwhyError(
            f"expected {packages.replace(' ', ', ')} to be installed, found: {error}; "
            f"pip install {packages}, or in a clone of lookwhy pip install -e '.[{name}]'"
        ) from error
