"""Worker processes: the results of a function for many items, in order, each computed in one of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from lookwhy.errors import LookwhyError

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_WORKERS = 16
"""Most workers by default. One worker decodes about 165 JPEG files of 640x480 a second."""


def default_workers() -> int:
    """Processor cores that this process may use, shared with the other processes of torchrun.

    None in a process of a pool, which may not start others.
    """
    if multiprocessing.current_process().daemon:
        return 0
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        cores = os.process_cpu_count()
    elif hasattr(os, "sched_getaffinity"):  # Linux
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count()
    share = (cores or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return min(max(share, 1), MAX_WORKERS)


@contextmanager
def in_workers(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    *,
    pinned: bool = False,
    remedy: str = "make memory free if it was short, and start again",
) -> Iterator[Iterator[Result]]:
    """Yield an iterator over the results of all items, in order.

    Args:
        function: must be one that can be pickled. A LookwhyError that it raises is raised here when it is the
            item's turn.
        items: arguments of the function.
        workers: number of processes; 0: this process.
        pinned: whether tensors are put into pinned memory, from which a GPU copies them.
        remedy: end of the line about a worker process that was killed.

    Raises:
        LookwhyError: the function raised it, or a worker process was killed.

    Example:
        >>> with in_workers(abs, [-1, -2], workers=0) as results:
        ...     print(list(results))
        [1, 2]
    """
    loader = DataLoader(
        _Results(function, items),
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=min(workers, len(items)),
        pin_memory=pinned,
        worker_init_fn=_leave_signals_to_the_command,
        generator=torch.Generator(),  # the global random state stays as it is
    )
    try:
        results: Any = iter(loader)
        try:
            yield _results_or_error(results)
        finally:
            if (
                loader.num_workers
            ):  # until then, PyTorch raises an error anywhere when a killed worker is noticed
                results._shutdown_workers()
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise LookwhyError(
            "expected each worker process to run until the end, found that one was killed "
            f"({' '.join(str(error).split())}); {remedy}"
        ) from error


class _Refusal:
    """The text of a LookwhyError, for the main process to raise."""

    def __init__(self, text: str) -> None:
        self.text = text


class _Results(Dataset[Any], Generic[Item]):
    def __init__(self, function: Callable[[Item], Any], items: Sequence[Item]) -> None:
        self.function, self.items = function, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.function(self.items[index])
        except LookwhyError as error:
            return _Refusal(str(error))


def _results_or_error(results: Iterable[Any]) -> Iterator[Any]:
    try:
        for result in results:
            if isinstance(result, _Refusal):
                raise LookwhyError(result.text)
            yield result
    except (EOFError, OSError) as error:  # the worker was killed while it handed over a result
        raise RuntimeError(f"DataLoader worker closed its connection: {type(error).__name__}") from error


def _unchanged(result: Result) -> Result:
    """The result itself: by default, PyTorch copies nested lists and dictionaries to make tensors in them."""
    return result


def _leave_signals_to_the_command(worker: int) -> None:
    """Ignore Ctrl-C and signals to the whole command: it ends its workers itself, in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setpgrp"):  # not on Windows
        os.setpgrp()
