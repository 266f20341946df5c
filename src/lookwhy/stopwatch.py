"""Where the time of an analysis goes: seconds by part, parts of parts included."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
clock: Callable[[], float] = time.perf_counter
"""What is read; benchmarks put process time here, which others on the machine do not change."""
_WITHIN: ContextVar[tuple[dict[str, float], str] | None] = ContextVar("within", default=None)


@contextmanager
def recording(seconds: dict[str, float]) -> Iterator[None]:
    """Add what `part` measures inside to `seconds`."""
    token = _WITHIN.set((seconds, ""))
    try:
        yield
    finally:
        _WITHIN.reset(token)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Measure a part, by the `clock`, under its name and those around it: "outer: inner".

    Nothing is measured where nobody records. A GPU's work is counted where it is waited for.
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
    """The items, the making of each measured as a part."""
    iterator = iter(items)
    while True:
        with part(name):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
