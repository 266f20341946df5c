"""Settings of a run from its config.yaml: its group, its seed, and the options that runs of a group share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lookwhy.errors import LookwhyError

MAY_DIFFER = ("seed_everything", "name", "runs", "project", "group", "tags", "ckpt_path", "weights_only")
"""Options of config.yaml in which runs of one group may differ."""


class RunSettings(NamedTuple):
    """Settings of a run.

    Attributes:
        group: the option --group; empty without one.
        name: the option --name; empty without one.
        seed: seed of the training, --seed_everything; None where it is unknown.
        options: all other options, by name.
    """

    group: str
    name: str
    seed: int | None
    options: dict[str, Any]


def run_settings(run: Path) -> RunSettings | None:
    """Settings of a run folder; None without a config.yaml that holds options.

    Raises:
        LookwhyError: the file is not YAML.
    """
    path = run / "config.yaml"
    if not path.is_file():
        return None
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LookwhyError(
            f"expected YAML in {path}, found {str(error).splitlines()[0]}; remove the file, or restore it"
        ) from error
    if not isinstance(options, dict):
        return None
    seed = options.get("seed_everything")
    return RunSettings(
        str(options.get("group") or ""),
        str(options.get("name") or ""),
        # `seed_everything: true` or false names no seed, though Python counts both as whole numbers.
        seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        {key: value for key, value in options.items() if key not in MAY_DIFFER},
    )


def first_difference(first: Any, second: Any, at: str = "") -> tuple[str, Any, Any] | None:
    """Name and both values of the first option in which two settings differ; None if they are equal.

    Example:
        >>> first_difference({"plan": {"grid": 16}}, {"plan": {"grid": 14}})
        ('plan.grid', 16, 14)
    """
    if isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys([*first, *second]):
            name = f"{at}.{key}" if at else str(key)
            if found := first_difference(first.get(key), second.get(key), name):
                return found
        return None
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return next((found for n, pair in pairs if (found := first_difference(*pair, f"{at}[{n}]"))), None)
    return None if first == second else (at, first, second)
