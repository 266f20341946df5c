"""Atomic writes and checksums of files, and the paths of packaged configurations."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lookwhy.errors import LookwhyError, option

MAX_YAML_VALUES = 100_000
"""Largest number of values in a YAML file, each alias replaced by what it stands for."""


@contextmanager
def writing(what: str, path: Path, remedy: str = "") -> Iterator[None]:
    """Turn an error of the operating system into one line: expected `what`, found a reason at `path`."""
    try:
        yield
    except OSError as error:
        remedy = remedy or f"give another {option('out')}"
        raise LookwhyError(f"expected {what}, found {error.strerror or error} at {path}; {remedy}") from error


def make_folder(path: Path) -> Path:
    """Make a folder to write to, or raise a LookwhyError before work that could take hours."""
    with writing("a folder to write to", path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def regular(path: Path) -> Path:
    """The path itself; an OSError for a pipe or a device, for which a reader could wait for ever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "a pipe or a device", str(path))
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name in the same folder; rename it to `path` on success, remove it on any error."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder where a file is to be written", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_yaml(path: Path, expected: str, remedy: str) -> Any:
    """The content of a YAML file, in plain types.

    Args:
        path: the file.
        expected: what it should be, for the message: "a YAML file with a plan".
        remedy: what the reader can do.

    Raises:
        LookwhyError: the file does not exist, is no YAML in UTF-8, is nested too deep, or has aliases that
            stand for more than `MAX_YAML_VALUES` values ("billion laughs"), or for themselves.
    """
    import yaml  # it takes a moment to import

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = regular(path).read_text(encoding="utf-8")
        if _values(yaml.compose(text, loader), {}) > MAX_YAML_VALUES:
            raise ValueError(f"aliases that stand for more than {MAX_YAML_VALUES} values")
        return yaml.load(text, loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        found = " ".join(str(error).split())[:300]
        raise LookwhyError(f"expected {expected}, found none in {path} ({found}); {remedy}") from error


def _values(node: Any, known: dict[int, int]) -> int:
    """Number of values of a YAML node when each alias is replaced by what it stands for."""
    if id(node) not in known:
        known[id(node)] = MAX_YAML_VALUES + 1  # an alias inside of its own value
        value = node.value if node is not None else ""
        parts = [] if isinstance(value, str) else value
        flat = [one for part in parts for one in (part if isinstance(part, tuple) else (part,))]
        known[id(node)] = 1 + sum(_values(one, known) for one in flat)
    return known[id(node)]


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packaged_config(name: str) -> Path:
    """Path of a packaged configuration such as `shapes`; relative if it is below the current folder."""
    path = (Path(__file__).parent / "configs" / f"{name}.yaml").resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
