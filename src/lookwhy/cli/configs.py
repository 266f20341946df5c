"""Training configs that come with lookwhy, by their names: `--config shapes`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lookwhy.errors import LookwhyError
from lookwhy.files import packaged_config, read_yaml

YAML = (".yaml", ".yml")
"""Endings of files that are checked as the value of any option, such as --analysis.plan."""


def with_packaged_configs(arguments: Sequence[str]) -> list[str]:
    """Replace each name of a packaged config by its path, in `--config shapes` and in `--config=shapes`.

    A file of the same name in the working directory takes precedence; a folder of that name does not. Files
    are checked here, because the parser of the options would follow aliases in them for ever.

    Raises:
        LookwhyError: neither a file nor a packaged config has the name, or a YAML file cannot be read.
    """
    found = []
    for previous, word in zip(["", *arguments], arguments, strict=False):
        option, equals, value = word.rpartition("=")
        is_config = previous in ("--config", "-c") or option == "--config"
        if is_config and not _is_file(value):
            word = f"{option}{equals}{_path(value)}"
        elif (is_config or value.endswith(YAML)) and os.path.isfile(value):
            name = option or previous
            read_yaml(Path(value), f"options in the YAML file of {name}", f"correct it, or {name}")
        found.append(word)
    return found


def _is_file(path: str) -> bool:
    """Whether a config can be read there; it may be a pipe, as in `--config <(command)`."""
    return os.path.exists(path) and not os.path.isdir(path)


def _path(name: str) -> str:
    folder = packaged_config("shapes").parent
    names = {path.stem for path in folder.glob("*.yaml")} - {
        "analysis",
        "analysis_full",
        "sweep",
    }  # these train nothing
    if name not in names:
        raise LookwhyError(
            f"expected a YAML file or one of {', '.join(sorted(names))}, found no file {name}; "
            "correct --config"
        )
    return str(folder / f"{name}.yaml")
