"""Checks of the arguments that a notebook gives: one line for a value of another type."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any

from lookwhy.errors import LookwhyError, option

PATH = (str, Path), "a path (str or Path)"
WHOLE = Integral, "a whole number"
TEXT = str, "a text"
Kind = tuple[type | tuple[type, ...], str]


def check(name: str, value: Any, kind: Kind, optional: bool = False) -> None:
    """Refuse a value of another type.

    Args:
        name: name of the argument.
        value: value that the caller gave.
        kind: `PATH`, `WHOLE` or `TEXT`.
        optional: whether None is allowed, too.

    Raises:
        LookwhyError: the value has another type.

    Example:
        >>> check("limit", "5", WHOLE)
        Traceback (most recent call last):
        lookwhy.errors.LookwhyError: expected limit to be a whole number, found '5'; give another
    """
    types, words = kind
    if (optional and value is None) or (isinstance(value, types) and not isinstance(value, bool)):
        return
    rest = "; give another, or leave it out" if optional else "; give another"
    raise LookwhyError(f"expected {option(name)} to be {words}, found {value!r:.60}{rest}")
