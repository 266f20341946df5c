"""Exit codes, one-line errors and the option --format, the same for every command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from lookwhy.errors import LookwhyError

WRONG_INPUT, INTERRUPTED = 2, 130


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as an error, which `run_command` prints."""
        raise LookwhyError(f"{message}; see {self.prog} --help")


def run_command(function: Callable[[], int], resume: str = "the same command continues") -> int:
    """Run a command; turn wrong input and an interruption into one line on stderr and an exit code.

    Returns:
        The function's own code, 2 for wrong input, 130 when interrupted.
    """
    try:
        return function()
    except KeyboardInterrupt:
        print(f"lookwhy: interrupted; {resume}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        found = _own(error)
        if found is None:
            raise
        print(f"lookwhy: error: {found}", file=sys.stderr)
        return WRONG_INPUT


def _own(error: BaseException | None) -> LookwhyError | None:
    """The LookwhyError that an error is, or that caused it: a parser wraps it in an error of its own."""
    while error is not None and not isinstance(error, LookwhyError):
        error = error.__cause__
    return error


def file_endings(formats: str, known: tuple[str, ...]) -> list[str]:
    """File endings from "png,json", each once.

    Raises:
        LookwhyError: one of them is not among the known endings.
    """
    endings = list(dict.fromkeys(f".{one.strip().lstrip('.').lower()}" for one in formats.split(",")))
    wrong = [ending[1:] for ending in endings if ending not in known]
    if wrong:
        raise LookwhyError(
            f"expected --format of {', '.join(one[1:] for one in known)}, found {wrong[0]!r} in {formats!r}; "
            "separate several by commas"
        )
    return endings
