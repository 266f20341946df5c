"""The processes of one command that torchrun has started: what they share, and the end of one of them."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import numpy as np
from jaxtyping import Float

from lookwhy.errors import LookwhyError

WINDOW = 4
"""Batches of a process that may be under way to the first process."""
PATIENCE = timedelta(hours=1)
"""Longest time for a batch; the end of another process is noticed at once."""


class Processes:
    """The processes that share the work of a command; one process alone is the usual case.

    Attributes:
        rank: number of this process, from 0; the first process prints and writes.
        count: number of all processes.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count
        self._store: Any = None

    @classmethod
    def of_torchrun(cls) -> Processes:
        """The processes that torchrun started together with this one; else this one alone."""
        if "TORCHELASTIC_RUN_ID" not in os.environ:  # a container may state a WORLD_SIZE to every command
            return cls()
        return cls(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))

    @property
    def is_first(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def first_to_tell(self) -> bool:
        """Whether this process is the first to ask: it prints the error that ends all of them."""
        if self.count == 1:
            return True
        key = f"lookwhy/told/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
        try:
            return int(_interruptible(lambda: self._connected(timedelta(seconds=5)).add(key, 1))) == 1
        except (RuntimeError, ValueError, OSError):  # torchrun itself has ended
            return True

    @contextmanager
    def together(self) -> Iterator[None]:
        """Connect the processes; the end of one ends the others, with one line.

        Raises:
            LookwhyError: another process has ended before its work was done.
        """
        if self.count == 1:
            yield
            return
        import torch.distributed as dist

        usual = signal.signal(signal.SIGTERM, _stop)  # torchrun sends it when a process has ended
        try:
            store = _interruptible(lambda: self._connected(PATIENCE))
            options: dict[str, Any] = {"store": store, "rank": self.rank, "world_size": self.count}
            _interruptible(lambda: dist.init_process_group("gloo", timeout=PATIENCE, **options))
            yield
            _interruptible(dist.barrier)
            dist.destroy_process_group()
        except (_StopSignal, _ConnectionLoss) as error:
            raise LookwhyError(
                f"expected {self.count} processes to run until the end, found that another one ended or that "
                "all were stopped; the same command continues, with any number of processes"
            ) from error
        finally:
            signal.signal(signal.SIGTERM, usual)

    def from_first(self, value: Any) -> Any:
        """The value of the first process, in all of them."""
        if self.count > 1:
            import torch.distributed as dist

            values = [value]
            _interruptible(lambda: dist.broadcast_object_list(values, src=0))
            value = values[0]
        return value

    def send(self, batches: Iterator[Float[np.ndarray, "B *D"]]) -> None:
        """Send the batches of this process to the first process."""
        import torch
        import torch.distributed as dist

        sent: deque[Any] = deque()
        for batch in batches:
            rows = torch.from_numpy(batch)
            sent.append((dist.isend(rows, dst=0), rows))
            if len(sent) == WINDOW:
                _interruptible(sent.popleft()[0].wait)
        while sent:
            _interruptible(sent.popleft()[0].wait)

    def in_order(
        self, own: Iterator[Float[np.ndarray, "B *D"]], sizes: Sequence[int]
    ) -> Iterator[Float[np.ndarray, "B *D"]]:
        """In the first process: all batches in order, batch i from the process `i % count`.

        Args:
            own: batches of this process.
            sizes: number of rows of all batches.
        """
        import torch
        import torch.distributed as dist

        expected: deque[Any] = deque()
        posted = 0
        for i in range(len(sizes)):
            if i % self.count:
                work, rows = expected.popleft()
                _interruptible(work.wait)
                yield rows.numpy()
                continue
            mine = next(own)
            for j in range(posted, min(i + WINDOW * self.count, len(sizes))):
                if j % self.count:
                    rows = torch.empty(sizes[j], *mine.shape[1:])
                    expected.append((dist.irecv(rows, src=j % self.count), rows))
                posted = j + 1
            yield mine

    def _connected(self, timeout: timedelta) -> Any:
        """The store that all processes reach; torchrun holds it."""
        if self._store is None:
            from torch.distributed import rendezvous

            self._store, *_ = next(rendezvous("env://", timeout=timeout))
        self._store.set_timeout(timeout)
        return self._store


class _StopSignal(BaseException):
    """SIGTERM; no Exception, because readers of damaged files catch those."""


class _ConnectionLoss(RuntimeError):
    """Another process does not answer any more."""


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _StopSignal


def _interruptible(function: Callable[[], Any]) -> Any:
    """Call a function that waits for other processes in a thread: inside of it, no signal would be heard."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except RuntimeError as error:
            future.set_exception(_ConnectionLoss(str(error)))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future.result()
