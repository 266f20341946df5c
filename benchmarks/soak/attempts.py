"""One attempt at a command: a process of its own, its exit code, what it printed, and whether that was promised."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

PREFIX = "lookwhy: error: "
PROMISED = {0, 2, 130}


@dataclass(frozen=True)
class Outcome:
    """Exit code of a command (negative: killed by this signal), its output, and the seconds that it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def broken(self) -> str:
        """The promise that was broken; empty if none was."""
        lines = self.err.strip().splitlines()
        if self.code == -signal.SIGALRM:
            return f"no end after {self.seconds:.0f} s"
        if self.code not in PROMISED:
            return f"exit code {self.code}: {lines[-1] if lines else 'nothing on stderr'}"
        if "Traceback (most recent call last)" in self.err:
            return f"a traceback: {lines[-1]}"
        errors = [line for line in lines if line.startswith(PREFIX)]
        if self.code == 2 and len(errors) != 1:
            return f"{len(errors)} lines of error: {' | '.join(lines[-2:])}"
        if self.code == 0 and errors:
            return f"exit code 0 after {errors[0]}"
        return ""


def attempt(main: Callable[[list[str]], int], words: list[str], folder: Path, limit: int = 25) -> Outcome:
    """Run a command's main function in a fork of this process, so that torch is imported once for all attempts."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        sys.stdout.flush()
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            _become(main, words, folder, limit, out.fileno(), err.fileno())
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        return Outcome(os.waitstatus_to_exitcode(status), out.read(), err.read(), seconds)


def _become(
    main: Callable[[list[str]], int], words: list[str], folder: Path, limit: int, out: int, err: int
) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    code = 1
    try:
        # The default action of SIGALRM ends the process, whatever it waits for.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit)
        os.chdir(folder)
        torch.set_num_threads(1)
        code = main(words)
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:  # noqa: BLE001 - an error that leaves main is printed as Python prints it
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                code = 120
        os._exit(code)
