"""Opens and writes HDF5 files so that neither damage nor a full disk crashes the command.

libhdf5 raises an error for most damage. For the rest it crashes, or it never returns: a heap of texts with an
object of size 0 is an endless loop. A process cannot survive that, or be interrupted in it. So a second
process, which can be ended, reads the structure and a sample of the data first. It costs 0.2 seconds for the
first file of a process, and milliseconds for others; a file that has been read before is not read again.
"""

from __future__ import annotations

import atexit
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from lookwhy.errors import LookwhyError
from lookwhy.files import regular

SECONDS = 10
"""CPU time that reading one file may take; VQA v1 takes less than one second, and a machine may be slow."""
PATIENCE = 120
"""Seconds on the clock that it may take, on a disk that is slow or a machine that is busy."""
IDLE = 1.0
"""Seconds after which the second process ends if no file follows."""
NUMBERS = 1 << 24
"""Bytes up to which all numbers of a dataset are read. Damage to more of them is an error, not a crash."""
TEXTS = 1 << 16
"""Texts that are read of each dataset. Neighbours share a heap of kilobytes, so a sample meets every heap."""
_CHILD = """
import sys
sys.path[:] = sys.argv[1].split("\\n")
from lookwhy.hdf5 import serve
serve(int(sys.argv[2]))
"""
_proven: set[tuple[int, ...]] = set()
"""Device, inode, size and time of the files that this process need not check again."""


def open_hdf5(path: Path) -> h5py.File:
    """Open a file to read, after another process has read it.

    Raises:
        LookwhyError: libhdf5 crashes on the file, or never ends to read it.
        OSError: the file is missing, or it is no HDF5 file.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp(), "a.h5")
        >>> with h5py.File(path, "w") as file:
        ...     file["numbers"] = [1, 2, 3]
        >>> with open_hdf5(path) as file:
        ...     file["numbers"][1].item()
        2
    """
    state = os.stat(regular(path))
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    if key not in _proven:
        if found := _reader.read(path):
            raise LookwhyError(
                f"expected a whole HDF5 file, found one that HDF5 itself fails on ({found}) in {path}; copy "
                "it again, or write it again"
            )
        _proven.add(key)
    return h5py.File(path)


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file that is composed in memory and written as a whole at the end.

    On a full disk, libhdf5 raises errors that cannot be caught when it closes a file, or crashes; bytes that
    cannot be written are an ordinary error.

    Raises:
        OSError: the file cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp(), "a.h5")
        >>> with new_hdf5(path) as file:
        ...     file["numbers"] = [1, 2, 3]
        >>> with open_hdf5(path) as file:
        ...     file["numbers"][1].item()
        2
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    path.write_bytes(content.getbuffer())


class _Reader:
    """The second process: started by the first file, and again after it was idle or did not survive."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._idle = threading.Timer(IDLE, self.close)

    def read(self, path: Path) -> str:
        """Read a file there; returns what happened if the process did not come to the file's end, else ""."""
        self._idle.cancel()
        with self._lock:
            process = self._started()
            if process is None:
                return ""
            assert process.stdin is not None
            assert process.stdout is not None
            patience = threading.Timer(PATIENCE, process.kill)
            patience.start()
            is_read = False
            try:
                with suppress(BrokenPipeError):  # the exit code tells more
                    process.stdin.write(os.fsencode(path.absolute()) + b"\0")
                is_read = bool(process.stdout.read(1))
            finally:
                patience.cancel()
                if not is_read:  # also after Ctrl-C, when it may still read
                    self._process = None
                    process.kill()  # nothing happens if it has ended
                    process.communicate()
            if not is_read:
                return _reason(process.returncode)
        self._idle = threading.Timer(IDLE, self.close)
        self._idle.daemon = True
        self._idle.start()
        return ""

    def _started(self) -> subprocess.Popen[bytes] | None:
        """The process when it is ready to read; None if there is no interpreter that could be started."""
        if self._process is None or self._process.poll() is not None:  # someone else may have ended it
            if not sys.executable or hasattr(sys, "frozen"):  # a program that holds Python
                return None
            command = [sys.executable, "-S", "-E", "-c", _CHILD, "\n".join(sys.path), str(SECONDS)]
            pipe = subprocess.PIPE
            # A session of its own, because Ctrl-C is meant for the command.
            process = subprocess.Popen(
                command, bufsize=0, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
            )
            assert process.stdout is not None
            if not process.stdout.read(1):
                process.communicate()
                return None
            self._process = process
        return self._process

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._process is not None:
                self._process.communicate()
            self._process = None

    def forget(self) -> None:
        """Leave the process to the parent of this fork, whose pipes it shares."""
        if (process := self._process) is not None:
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
            process.returncode = 0  # so that Python does not warn that it still runs
        self.__init__()  # type: ignore[misc]


_reader = _Reader()
atexit.register(_reader.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reader.forget)


def _reason(code: int) -> str:
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"no end after {SECONDS} s"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def serve(seconds: int) -> None:
    """Read every file that stdin names, and write a byte after each; this is the second process."""
    os.write(1, b"+")
    while name := _next_name():
        with suppress(ImportError):  # Windows has no such limits
            import resource

            spent = resource.getrusage(resource.RUSAGE_SELF)
            limit = int(spent.ru_utime + spent.ru_stime) + 1 + seconds
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(Exception), h5py.File(os.fsdecode(name)) as file:
            _read_all(file)
        os.write(1, b".")


def _next_name() -> bytes:
    name = b""
    while (byte := os.read(0, 1)) not in (b"", b"\0"):
        name += byte
    return name


def _read_all(file: h5py.File) -> None:
    """Read the structure, all attributes, the index of the chunks, and a sample of the data.

    Ordinary errors are left to the command, which describes them; here each ends the reading of one object.
    """
    names = ["/"]
    with suppress(Exception):
        file.visit(names.append)
    for name in names:
        with suppress(Exception):
            found = file[name]
            with suppress(Exception):
                dict(found.attrs)
            if isinstance(found, h5py.Dataset):
                _read_sample(found)


def _read_sample(data: h5py.Dataset) -> None:
    if data.chunks is not None:
        data.id.chunk_iter(lambda _: None)
    if data.dtype.kind != "O":
        if data.nbytes <= NUMBERS:
            data[()]
    elif data.ndim == 0:
        data[()]
    elif (columns := data.size // max(len(data), 1)) <= TEXTS:
        data[:: -(-len(data) * columns // TEXTS) or 1]
