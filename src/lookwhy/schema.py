"""Checks JSON, YAML and descriptions in checkpoints against one declared schema a format (pydantic).

A schema is a type: a `TypedDict`, a dataclass or a pydantic model that names every field that is read. What
does not fit becomes one line that names the file and the first field.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lookwhy.errors import LookwhyError

MAX_SHOWN = 60
"""Characters of a wrong value that a message shows."""


def checked(kind: Any, value: Any, expected: str, path: Path | str, remedy: str) -> Any:
    """The value as an object of a declared type.

    Args:
        kind: the schema: `dict[str, float]`, a TypedDict, a dataclass or a pydantic model.
        value: what `json.loads`, `yaml.safe_load` or `torch.load` returned.
        expected: what the value should be, for the message: "an official VQA questions file".
        path: file that holds the value.
        remedy: what the reader can do.

    Raises:
        LookwhyError: a field is missing or of another kind; the message names the first of them.

    Example:
        >>> checked(dict[str, int], {"a": 1}, "counts", "counts.json", "write it again")
        {'a': 1}
        >>> checked(dict[str, int], {"a": 1.5}, "counts", "n.json", "mend it")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        lookwhy.errors.LookwhyError: expected counts, found a: 1.5 (input should be a valid integer, ...
    """
    try:
        return _adapter(kind).validate_python(value)
    except (ValidationError, RecursionError) as error:
        raise LookwhyError(f"expected {expected}, found {_found(error)} in {path}; {remedy}") from error


@cache
def _adapter(kind: Any) -> Any:
    return TypeAdapter(kind)


def _found(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "values nested too deep"
    first, count = error.errors(include_url=False)[0], error.error_count()
    field = ".".join(map(str, first["loc"]))
    more = f", and {count - 1} more" if count > 1 else ""
    if first["type"] == "missing":
        return f"no {field}{more}"
    text = repr(first["input"])
    shown = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    if isinstance(first["input"], Mapping | list):
        shown = f"a {'list' if isinstance(first['input'], list) else 'dictionary'}"
    reason = first["msg"][:1].lower() + first["msg"][1:]
    return f"{field + ': ' if field else ''}{shown} ({reason}){more}"
