"""Exit codes, one-line errors and the options --device and --format, the same for every command."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from types import FrameType
from typing import Any, NoReturn

from lookwhy.cli.net import chain, one_line
from lookwhy.errors import AT_COMMAND, LookwhyError

INTERRUPTED = 130


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage text; options have their full names."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # An abbreviation would become another option as soon as a second one begins alike.
        super().__init__(*args, **options | {"allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise the message as an error, which `run_command` prints."""
        raise LookwhyError(f"{message}; see {self.prog} --help")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Refuse unknown options here, so that the line names the help of the subcommand."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            meant = closest(unknown[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return options, unknown


def add_device(parser: argparse.ArgumentParser, choices: Sequence[str] | None = None) -> None:
    """Add the option --device; `lookwhy.towers.device_choice.choose_device` decides what it means.

    Args:
        parser: parser of a command that computes.
        choices: devices that the command can take; by default all of PyTorch.
    """
    others = "cpu or cuda" if choices else "cpu, cuda, cuda:1, ..."
    text = f"auto: a GPU if there is one, else the CPU; or {others} (default: auto)"
    parser.add_argument("--device", default="auto", choices=choices, help=text)


def closest(word: str, known: Iterable[str]) -> str:
    """The known name that a misspelt one resembles, as a part of an error line; "" if there is none."""
    return "".join(f" (did you mean {name}?)" for name in get_close_matches(word.split("=")[0], known, 1))


def run_command(function: Callable[[], int], resume: str = "the same command continues") -> int:
    """Run a command; turn every error and an interruption into one line on stderr and an exit code.

    Returns:
        The function's own code, 2 for wrong input, 70 for a fault in lookwhy, 130 when interrupted.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        # Read when torch is imported, later. By default, threads keep their cores busy for milliseconds while
        # they wait for each other; on a machine with other work, those that they wait for cannot run then.
        # This is some microseconds. Sleeping at once made small steps twice as slow on an idle machine.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    token, usual_format = AT_COMMAND.set(True), warnings.formatwarning
    warnings.formatwarning = _warning
    try:
        try:
            with _interruptible_imports(resume), _interruptible_callbacks():
                return function()
        finally:
            if sys.stdout is not None:  # closed by the shell (>&-)
                sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"lookwhy: interrupted; {resume}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if any(isinstance(one, KeyboardInterrupt) for one in chain(error)):
            # A library, for example in the middle of its import, raised an error of its own after Ctrl-C.
            print(f"lookwhy: interrupted; {resume}", file=sys.stderr)
            return INTERRUPTED
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EPIPE):
            # Python would try to write the rest of stdout when it ends.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 0  # the reader of the output, such as `head`, has seen enough
        line, code = one_line(error)
        print(f"lookwhy: error: {line}", file=sys.stderr)
        return code
    finally:
        AT_COMMAND.reset(token)
        warnings.formatwarning = usual_format


@contextmanager
def _interruptible_imports(resume: str) -> Iterator[None]:
    """End the process when Ctrl-C meets an import: libraries in C forget it there, and fail later."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                print(f"lookwhy: interrupted; {resume}", file=sys.stderr, flush=True)
                os._exit(INTERRUPTED)
            frame = frame.f_back
        raise KeyboardInterrupt

    # A job in the background ignores Ctrl-C, and a notebook has a handler of its own.
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        imports_are_over()


@contextmanager
def _interruptible_callbacks() -> Iterator[None]:
    """Send a signal again that came where Python ignores errors, as in the callback of a weak reference."""
    usual = sys.unraisablehook

    def again(ignored: sys.UnraisableHookArgs) -> None:
        if not isinstance(ignored.exc_value, KeyboardInterrupt):
            usual(ignored)
            return
        signum = getattr(ignored.exc_value, "signum", signal.SIGINT)
        timer = threading.Timer(0.05, os.kill, [os.getpid(), signum])  # the callback has ended by then
        timer.daemon = True
        timer.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = usual


def imports_are_over() -> None:
    """Let Ctrl-C raise a KeyboardInterrupt again, wherever it comes; work in progress then ends in order."""
    if getattr(signal.getsignal(signal.SIGINT), "__module__", "") == __name__:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """One line without the place in the code, which tells a user nothing; of libraries also their name."""
    _, is_library, inside = filename.rpartition(f"site-packages{os.sep}")
    source = f" ({inside.split(os.sep)[0].removesuffix('.py')})" if is_library else ""
    return f"lookwhy: warning: {' '.join(str(message).split())}{source}\n"


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


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, found {text!r}")
    return int(text)
