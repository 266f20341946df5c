"""Exit codes and one-line errors, the same for every command."""

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
        """Raise instead of printing: `run_command` knows how to leave."""
        raise LookwhyError(f"{message}; see {self.prog} --help")


def run_command(function: Callable[[], int], resume: str = "the same command continues") -> int:
    """Run a command and turn what people can act on into one line on stderr and an exit code.

    Returns:
        The function's own code, 2 for wrong input, 130 when interrupted.
    """
    try:
        return function()
    except LookwhyError as error:
        print(f"lookwhy: error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print(f"lookwhy: interrupted; {resume}", file=sys.stderr)
        return INTERRUPTED
