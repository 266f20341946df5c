"""A model in a program of its own, in any language: JSON lines on its standard input and output."""

from __future__ import annotations

import atexit
import json
import shlex
import subprocess
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from lookwhy.errors import LookwhyError
from lookwhy.models.foreign.exchange import answers_of, request_of, scores_of

ENDS_WITHIN = 5.0
"""Seconds that the program has to end after its input was closed, before it is killed."""
ATTEMPTS = 3
"""How often the same pictures are sent to a program that ends before it answers."""


class _EndedError(LookwhyError):
    """The program has ended.

    Attributes:
        reason: that, and its exit code.
    """

    def __init__(self, program: str, code: int) -> None:
        self.reason = f"cmd:{program} ended with code {code}"
        super().__init__(
            f"expected a line of JSON from cmd:{program}, found that it ended with code {code}; see what it "
            "printed, and give the same command again: what was answered is kept"
        )


class ProcessModel:
    """A program that prints `{"answers": [...]}`, and then a line of scores for each line that it reads.

    The lines that it reads are those of `exchange.request_of`; what it prints to its standard error is shown.
    Its input ends when this process ends, so a program that reads until the end ends, too. One that ends
    before it answers, out of memory for example, is started again and asked the same, twice.

    Args:
        program: command line, split as a shell would split it, but run without one.

    Raises:
        LookwhyError: the program cannot be started, ends early, or prints something else.
    """

    def __init__(self, program: str) -> None:
        self.program, self._words = program, shlex.split(program)
        if not self._words:
            raise LookwhyError("expected a program after cmd:, found none; name it")
        self._process, self.answers = self._start()

    def _start(self) -> tuple[subprocess.Popen[str], Sequence[str]]:
        """The program, and the answers that it printed first."""
        try:
            self._process = subprocess.Popen(
                self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
        except OSError as error:
            raise LookwhyError(
                f"expected a program that can be started, found {error.strerror} for {self._words[0]}; "
                "correct --model"
            ) from error
        atexit.register(self.close)
        return self._process, answers_of(self._line(), f"cmd:{self.program}")

    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> list[list[float]]:
        """Scores of each answer, (B, A)."""
        request = json.dumps(request_of(images, questions)) + "\n"
        for attempt in range(ATTEMPTS):
            assert self._process.stdin is not None
            with suppress(OSError):  # it has ended: reading says so
                self._process.stdin.write(request)
                self._process.stdin.flush()
            try:
                return scores_of(self._line(), f"cmd:{self.program}")
            except _EndedError as error:
                if attempt == ATTEMPTS - 1:
                    raise
                warnings.warn(f"{error.reason}: it is started again, and asked the same", stacklevel=2)
            self.close()
            _, answers = self._start()
            if answers != self.answers:
                raise LookwhyError(
                    f"expected the same answers from cmd:{self.program} as before, found others after it was "
                    "started again; correct the program"
                )
        raise AssertionError("unreachable")

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise _EndedError(self.program, self._process.wait())
        try:
            return json.loads(line)
        except ValueError as error:
            raise LookwhyError(
                f"expected a line of JSON from cmd:{self.program}, found {line.strip():.80}; print messages "
                "to the standard error"
            ) from error

    def close(self) -> None:
        """Close the program's input, and kill it if it does not end."""
        atexit.unregister(self.close)
        process = self._process
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
