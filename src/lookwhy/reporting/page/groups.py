"""Groups of runs that differ only in their seed; the page shows a group as one curve with its spread."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lookwhy.analysis.statistics import mean_over_runs
from lookwhy.reporting.groups import run_settings
from lookwhy.reporting.page.numbers import Json, short

_T_INTERVAL = "95% t interval over runs"
_RANGE = "from the smaller to the larger of two runs"


def groups_of_runs(folders: list[Path], runs: list[Json]) -> list[Json]:
    """Mean and spread of each group that has at least two of the runs; empty without such a group.

    The group of a run is the option `group` in its config.yaml, by default its name. A group also holds runs
    of other settings, e.g. those of a sweep: only runs that differ in nothing but `MAY_DIFFER` are averaged.
    The first run of each seed counts: a repetition says nothing about the spread over seeds.
    A folder without config.yaml belongs to no group. `runs` holds results of `numbers_of_run`.

    Raises:
        LookwhyError: a config.yaml that is not YAML.
    """
    members: dict[tuple[str, str], dict[str, int]] = {}
    for at, folder in enumerate(folders):
        if described := _group_settings_seed(folder):
            *key, seed = described
            members.setdefault((key[0], key[1]), {}).setdefault(seed, at)
    found = [(group, [*runs_of.values()]) for (group, _), runs_of in members.items() if len(runs_of) > 1]
    names = [group for group, _ in found]
    groups = [
        # Two groups of the same name are distinguished by the names of their first runs.
        group_of_runs(group if names.count(group) == 1 else f"{group}, {runs[at[0]]['name']} ...", at, runs)
        for group, at in found
    ]
    # Runs without a common epoch have no mean: they are shown one by one.
    return [group for group in groups if group["measures"] or group["accuracy"]]


def group_of_runs(name: str, members: list[int], runs: list[Json]) -> Json:
    """Mean and spread over some of `runs`, in the same form as a run; `members` holds their indices."""
    own = [runs[at] for at in members]
    measures: Json = {}
    for (measure, method), curves in _collect(run["measures"] for run in own).items():
        by_epoch = _collect({epoch: {"": value} for epoch, value, *_ in curve} for curve in curves)
        points = [[at, *_spread(values)] for (at, _), values in sorted(by_epoch.items()) if len(values) > 1]
        if points:
            measures.setdefault(measure, {})[method] = points
    levels: Json = {measure: {} for measure in own[0]["levels"]}
    for (measure, method), values in _collect(run["levels"] for run in own).items():
        levels[measure][method] = short(float(np.mean(values)))
    accuracy: dict[int, Json] = {}
    for (epoch, key), values in _collect(run["accuracy"] for run in own).items():
        if len(values) > 1:
            accuracy.setdefault(epoch, {})[key] = _spread(values)
    found = {
        "name": name,
        "members": members,
        "band": _band(len(own), measures),
        "measures": measures,
        "levels": levels,
        "accuracy": accuracy,
    }
    return found | {key: own[0][key] for key in ("annotators", "types", "counts", "questions")}


def _group_settings_seed(folder: Path) -> tuple[str, str, str] | None:
    found = run_settings(folder)
    if found is None or not (group := found.group or found.name):
        return None
    return group, json.dumps(found.options, sort_keys=True, default=str), str(found.seed)


def _collect(nested: Iterable[dict[Any, Json]]) -> dict[tuple[Any, str], list[Any]]:
    """Defined values of several nested dictionaries by outer and inner key."""
    found: dict[tuple[Any, str], list[Any]] = {}
    for one in nested:
        for outer, inner, value in ((o, i, v) for o, values in one.items() for i, v in values.items()):
            if value is not None:
                found.setdefault((outer, inner), []).append(value)
    return found


def _spread(values: list[float]) -> list[Any]:
    return [*(short(one) for one in mean_over_runs(np.array(values))), len(values)]


def _band(runs: int, measures: Json) -> str:
    if runs == 2:
        return _RANGE
    counts = {point[4] for methods in measures.values() for points in methods.values() for point in points}
    return f"{_T_INTERVAL}, or {_RANGE} where only two have a value" if 2 in counts else _T_INTERVAL
