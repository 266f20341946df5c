"""A terminal that a test can read: stdout and stderr of this process, of so many columns."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


class Screen:
    """The text written to a terminal; complete once the terminal is closed."""

    def __init__(self) -> None:
        self.raw = ""

    @property
    def states(self) -> list[str]:
        """Every state that a line was in: a bar draws itself again and again at one place."""
        return [part.rstrip() for part in re.split(r"[\r\n]+", CONTROL.sub("", self.raw)) if part.strip()]


@contextmanager
def terminal(monkeypatch, columns: int = 80) -> Iterator[Screen]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown, parts = Screen(), []

    def read() -> None:
        # Reading fails once the last writer is gone.
        while True:
            try:
                part = os.read(master, 1 << 16)
            except OSError:
                return
            if not part:
                return
            parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with os.fdopen(slave, "w", encoding="utf-8") as screen, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            patch.setattr(sys, "stderr", screen)
            # Rich would believe these instead of the terminal.
            for name in ("LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
                patch.delenv(name, raising=False)
            patch.setenv("TERM", "xterm")
            # Rich asks the process's own streams for their width, not sys.stdout.
            patch.setenv("COLUMNS", str(columns))
            yield shown
    finally:
        reader.join(timeout=10)
        os.close(master)
        shown.raw = b"".join(parts).decode("utf-8")
