"""One attempt at a command: a process of its own, its exit code, what it printed, and whether that was promised."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch

ROOT = Path(__file__).parents[2]
SCRIPTS = {"prepare": "data/prepare.py", "train": "train.py", "analyze": "analyze.py"}
PREFIX = "lookwhy: error: "
PROMISED = {0, 2, 130}
LIMIT = 60.0
"""Seconds after which an attempt counts as one that never ends."""
NO_END = -1000
"""Exit code of an attempt that was ended because it took too long."""


def import_commands() -> None:
    """Import what the commands import, so that each attempt is a fork that is ready to run."""
    for name in ("train", "analyze", "prepare", "lightning"):
        importlib.import_module(f"lookwhy.cli.{name}")
    for name in ("callbacks", "live.server", "reporting.figures.sheet", "reporting.page.html"):
        importlib.import_module(f"lookwhy.{name}")


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
        return self.broken_unless(PROMISED)

    def broken_unless(self, promised: Collection[int]) -> str:
        """The same, where only these exit codes are promised."""
        lines = self.err.strip().splitlines()
        if self.code == NO_END:
            return f"no end after {self.seconds:.0f} s"
        if "Traceback (most recent call last)" in self.err:
            return f"exit code {self.code} and a traceback: {' | '.join(lines[-8:])}"
        if self.code not in promised:
            return f"exit code {self.code}: {lines[-1] if lines else 'nothing on stderr'}"
        errors = [line for line in lines if line.startswith(PREFIX)]
        if self.code == 2 and len(errors) != 1:
            return f"{len(errors)} lines of error: {' | '.join(lines[-2:])}"
        if self.code == 0 and errors:
            return f"exit code 0 after {errors[0]}"
        return ""


class Process:
    """A command that runs: a fork of this process, or a fresh one as a shell starts it.

    Args:
        words: `train ...`, `analyze ...` or `prepare ...`.
        folder: its working folder; its output goes to files beside that folder.
        fresh: whether to start a new interpreter, which takes seconds.
        setup: function that the new process calls first, such as a limit.
        launcher: options of Python before the script, such as those of torchrun.
        environment: variables to set.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        fresh: bool = False,
        setup: Callable[[], object] = lambda: None,
        launcher: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self._files = [
            folder.with_name(f"{folder.name}.{time.monotonic_ns()}.{name}") for name in ("out", "err")
        ]
        descriptors = [os.open(path, os.O_CREAT | os.O_WRONLY) for path in self._files]
        sys.stdout.flush()
        self.start = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            command = (
                [sys.executable, *launcher, str(ROOT / SCRIPTS[words[0]]), *words[1:]] if fresh else None
            )
            _become(words, folder, setup, command, descriptors, environment)
        for descriptor in descriptors:
            os.close(descriptor)

    def printed(self) -> str:
        """The output so far."""
        return self._files[0].read_text(errors="replace")

    def is_running(self) -> bool:
        """Whether the process has not ended; its exit code stays for `wait`."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait_for(self, is_there: Callable[[], bool], limit: float = LIMIT) -> bool:
        """Wait until something is there; False if the process or the time ends before."""
        end = time.monotonic() + limit
        while not is_there():
            if time.monotonic() > end or not self.is_running():
                return False
            time.sleep(0.01)
        return True

    def wait(self, limit: float = LIMIT) -> Outcome:
        """Wait until it ends; it and the processes that it started are killed after a time."""
        start = time.monotonic()
        while (is_running := self.is_running()) and time.monotonic() < start + limit:
            time.sleep(0.005)
        if is_running:
            os.killpg(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        code = NO_END if is_running else os.waitstatus_to_exitcode(status)
        out, err = (path.read_text(errors="replace") for path in self._files)
        for path in self._files:
            path.unlink()
        return Outcome(code, out, err, time.monotonic() - self.start)


def attempt(words: Sequence[str], folder: Path, **options: object) -> Outcome:
    """Run a command to its end in a fork of this process."""
    return Process(words, folder, **options).wait()  # type: ignore[arg-type]


def _become(
    words: Sequence[str],
    folder: Path,
    setup: Callable[[], object],
    command: list[str] | None,
    descriptors: list[int],
    environment: dict[str, str],
) -> NoReturn:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for descriptor, target in zip(
            [os.open(os.devnull, os.O_RDONLY), *descriptors], range(3), strict=True
        ):
            os.dup2(descriptor, target)
        os.environ.update(environment)
        os.chdir(folder)
        setup()
        if command is not None:
            os.execv(command[0], command)
        torch.set_num_threads(1)
        code = importlib.import_module(f"lookwhy.cli.{words[0]}").main(list(words[1:]))
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
