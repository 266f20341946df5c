"""Time of an analysis: seconds of each part; parts can be nested."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
clock: Callable[[], float] = time.perf_counter
"""Clock in seconds. Benchmarks replace it by process time, which other processes do not affect."""
_WITHIN: ContextVar[tuple[dict[str, float], str] | None] = ContextVar("within", default=None)


@contextmanager
def recording(seconds: dict[str, float]) -> Iterator[None]:
    """Add the seconds of every `part` inside the context to `seconds`."""
    token = _WITHIN.set((seconds, ""))
    try:
        yield
    finally:
        _WITHIN.reset(token)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Measure the seconds of a part. The key of a nested part is "outer: inner".

    No-op outside `recording`. GPU time counts for the part that synchronises.
    """
    within = _WITHIN.get()
    if within is None:
        yield
        return
    seconds, outer = within
    key = f"{outer}: {name}" if outer else name
    token, start = _WITHIN.set((seconds, key)), clock()
    try:
        yield
    finally:
        _WITHIN.reset(token)
        seconds[key] = seconds.get(key, 0.0) + clock() - start


def part_each(name: str, items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and measure the computation of each one as a part."""
    iterator, end = iter(items), object()
    while True:
        with part(name):
            item: Any = next(iterator, end)
        if item is end:
            return
        yield item
