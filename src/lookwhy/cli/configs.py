"""Training configs that come with lookwhy, by their names: `--config shapes`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lookwhy.errors import LookwhyError
from lookwhy.files import packaged_config

_NO_TRAINING = {"analysis", "sweep"}


def with_packaged_configs(arguments: Sequence[str]) -> list[str]:
    """Replace each name of a packaged config by its path, in `--config shapes` and in `--config=shapes`.

    A file of the same name in the working directory wins.

    Raises:
        LookwhyError: neither a file nor a packaged config has the name.
    """
    found, previous = [], ""
    for word in arguments:
        option, equals, value = word.rpartition("=")
        is_config = previous in ("--config", "-c") or option == "--config"
        if is_config and not os.path.exists(value):
            word = f"{option}{equals}{_path(value)}"
        found.append(word)
        previous = word
    return found


def _path(name: str) -> Path:
    folder = packaged_config("shapes").parent
    packaged = {path.stem: path for path in folder.glob("*.yaml") if path.stem not in _NO_TRAINING}
    if name not in packaged:
        raise LookwhyError(
            f"expected a YAML file or one of {', '.join(sorted(packaged))}, found no file {name}; "
            "correct --config"
        )
    return packaged[name]
