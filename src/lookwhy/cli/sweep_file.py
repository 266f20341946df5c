"""A W&B sweep file, read for the local loop: the combinations it stands for, and the command of each.

What is understood means what it means to `wandb agent` (docs.wandb.ai/models/sweeps/sweep-config-keys). The
rest is refused: a search that quietly does something else is none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lookwhy.errors import LookwhyError

METHODS = ("grid", "random")
GOALS = ("minimize", "maximize")
DEFAULT_COMMAND = ["${env}", "${interpreter}", "${program}", "${args}"]
_DISTRIBUTIONS = ("constant", "categorical", "uniform", "int_uniform", "log_uniform_values")
_KNOWN = {
    "program", "name", "project", "entity", "description", "method", "metric", "parameters", "command",
    "run_cap", "early_terminate",
}  # fmt: skip

Combination = dict[str, Any]


@dataclass(frozen=True)
class Sweep:
    """A sweep file.

    Attributes:
        path: the file.
        name: of the sweep; the file's stem where it names none.
        program: the script to run.
        command: its command, with W&B's macros.
        method: "grid" or "random".
        metric: name of what is optimised, as W&B knows it.
        maximise: whether more of it is better.
        parameters: settings of each parameter by its name, dots and all.
        run_cap: how many runs at most; None: no limit.
        stops_early: whether `wandb agent` would stop runs early, which the local loop does not.
    """

    path: Path
    name: str
    program: str
    command: list[str]
    method: str
    metric: str
    maximise: bool
    parameters: dict[str, dict[str, Any]]
    run_cap: int | None
    stops_early: bool

    def combinations(self, count: int | None, seed: int) -> list[Combination]:
        """The settings of each run, each once; the same for the same file, count and seed.

        Raises:
            LookwhyError: a random search without an end.
        """
        limit = min((n for n in (count, self.run_cap) if n is not None), default=None)
        if self.method == "grid":
            values = [_choices(spec) for spec in self.parameters.values()]
            every = (dict(zip(self.parameters, chosen, strict=True)) for chosen in itertools.product(*values))
            return list(itertools.islice(every, limit))
        if limit is None:
            raise LookwhyError(
                f"expected --count N for a random search, or run_cap in {self.path}, found neither; give one"
            )
        drawn = []
        for number in range(limit):
            # A generator for each run: with a higher --count the first ones stay what they were.
            generator = np.random.default_rng([seed, number])
            drawn.append({name: _draw(spec, generator) for name, spec in self.parameters.items()})
        return list({json.dumps(one, sort_keys=True, default=str): one for one in drawn}.values())

    def arguments(self, chosen: Combination) -> list[str]:
        """The command of one run, W&B's macros filled in."""
        filled = {
            "${env}": [],
            "${interpreter}": [sys.executable],
            "${program}": [self.program],
            "${args}": [f"--{name}={value}" for name, value in chosen.items()],
        }
        return [part for word in self.command for part in filled.get(word, [word])]

    def run_name(self, chosen: Combination, overrides: list[str]) -> str:
        """Name of the run of these settings: the same settings have the same one, whatever else is swept."""
        told = json.dumps([sorted(chosen.items()), overrides, self.command, self.program], default=str)
        return f"{self.stem}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    @property
    def stem(self) -> str:
        """The sweep's name as the beginning of a folder's: W&B lets it hold anything, slashes and all."""
        return re.sub(r"[^\w.-]+", "-", self.name).strip("-.") or "sweep"


def read_sweep(path: Path) -> Sweep:
    """Read and check a sweep file.

    Raises:
        LookwhyError: no such file, not YAML, or something that the local loop does not do.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _wrong(path, "a YAML sweep file", " ".join(str(error).split())[:200]) from error
    if not isinstance(content, dict):
        raise _wrong(path, "the keys of a sweep file", repr(content)[:60])
    unknown = sorted(set(map(str, content)) - _KNOWN)
    if unknown:
        raise _wrong(path, f"keys out of {', '.join(sorted(_KNOWN))}", unknown[0])
    method = content.get("method")
    if method == "bayes":
        raise LookwhyError(
            f"expected method grid or random for a local sweep, found bayes in {path}; it needs W&B's "
            f"server: wandb sweep {path}, then wandb agent"
        )
    if method not in METHODS:
        raise _wrong(path, "method grid or random", repr(method))
    metric = content.get("metric")
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        raise _wrong(path, "metric: {name: .., goal: ..}", repr(metric)[:60])
    if metric.get("goal", "minimize") not in GOALS:
        raise _wrong(path, "metric.goal minimize or maximize", repr(metric["goal"]))
    run_cap = content.get("run_cap")
    if run_cap is not None and not (isinstance(run_cap, int) and run_cap > 0):
        raise _wrong(path, "run_cap of at least 1", repr(run_cap))
    return Sweep(
        path=path,
        name=str(content.get("name") or path.stem),
        program=str(content.get("program") or "train.py"),
        command=_command(content.get("command") or DEFAULT_COMMAND, path),
        method=method,
        metric=metric["name"],
        maximise=metric.get("goal", "minimize") == "maximize",
        parameters=_parameters(content.get("parameters"), method, path),
        run_cap=run_cap,
        stops_early="early_terminate" in content,
    )


def _command(command: Any, path: Path) -> list[str]:
    words = [str(word) for word in command] if isinstance(command, list) else []
    strange = next((word for word in words if word.startswith("${") and word not in DEFAULT_COMMAND), None)
    if strange or "${args}" not in words:
        raise _wrong(
            path, f"a command of words and {', '.join(DEFAULT_COMMAND)}", strange or repr(command)[:60]
        )
    return words


def _parameters(found: Any, method: str, path: Path) -> dict[str, dict[str, Any]]:
    if not isinstance(found, dict) or not found:
        raise _wrong(path, "parameters with their values", repr(found)[:60])
    for name, spec in found.items():
        if not isinstance(spec, dict):
            raise _wrong(path, f"values, value, or min and max of {name}", repr(spec)[:60])
        if "parameters" in spec:
            raise _wrong(path, f"{name}.<option> as a flat name", f"nested parameters of {name}")
        kind = _distribution(spec)
        if kind not in _DISTRIBUTIONS:
            raise _wrong(path, f"for {name} one of {', '.join(_DISTRIBUTIONS)}", kind)
        if method == "grid" and kind not in ("constant", "categorical"):
            raise _wrong(path, f"values of {name} for a grid", kind)
        _check(name, kind, spec, path)
    return {str(name): spec for name, spec in found.items()}


def _check(name: str, kind: str, spec: dict[str, Any], path: Path) -> None:
    if kind == "constant" and "value" not in spec:
        raise _wrong(path, f"value of {name}", "none")
    if kind == "categorical":
        values, shares = spec.get("values"), spec.get("probabilities")
        if not isinstance(values, list) or not values:
            raise _wrong(path, f"a list of values of {name}", repr(values)[:60])
        if shares is not None and not _are_shares(shares, len(values)):
            raise _wrong(
                path, f"one probability for each of the values of {name}, 1 in all", repr(shares)[:60]
            )
    if "uniform" in kind:
        low, high = spec.get("min"), spec.get("max")
        numbers = all(_is_number(end) for end in (low, high))
        if not numbers or low > high or (kind.startswith("log") and low <= 0):  # type: ignore[operator]
            raise _wrong(path, f"min and max of {name} as numbers, in order", f"{low!r} and {high!r}")
        if kind == "int_uniform" and not (isinstance(low, int) and isinstance(high, int)):
            raise _wrong(path, f"min and max of {name} as whole numbers", f"{low!r} and {high!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_shares(found: Any, count: int) -> bool:
    numbers = isinstance(found, list) and all(_is_number(share) and share >= 0 for share in found)
    return numbers and len(found) == count and math.isclose(sum(found), 1)


def _distribution(spec: dict[str, Any]) -> str:
    """What is drawn from, W&B's own defaults where the file leaves it out."""
    if "distribution" in spec:
        return str(spec["distribution"])
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical"
    if "min" in spec and "max" in spec:
        whole = isinstance(spec["min"], int) and isinstance(spec["max"], int)
        return "int_uniform" if whole else "uniform"
    return "none of values, value, min and max"


def _choices(spec: dict[str, Any]) -> list[Any]:
    return [spec["value"]] if _distribution(spec) == "constant" else list(spec["values"])


def _draw(spec: dict[str, Any], generator: np.random.Generator) -> Any:
    kind = _distribution(spec)
    if kind in ("constant", "categorical"):
        choices = _choices(spec)
        return choices[int(generator.choice(len(choices), p=spec.get("probabilities")))]
    low, high = spec["min"], spec["max"]
    if kind == "int_uniform":
        return int(generator.integers(low, high, endpoint=True))
    if kind == "log_uniform_values":
        return float(np.exp(generator.uniform(np.log(low), np.log(high))))
    return float(generator.uniform(low, high))


def _wrong(path: Path, expected: str, found: str) -> LookwhyError:
    return LookwhyError(f"expected {expected} in {path}, found {found}; see configs/sweep.yaml")
