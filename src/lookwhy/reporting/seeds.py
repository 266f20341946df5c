"""Runs of one group (seeds of one config), read together: what is compared, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookwhy import store
from lookwhy.analysis.seeds import SeedDifference, paired_over_seeds, shared_seeds
from lookwhy.errors import LookwhyError
from lookwhy.reporting.groups import first_difference, run_settings
from lookwhy.reporting.page.html import run_names
from lookwhy.reporting.style import epoch_name
from lookwhy.types import AnalysisResult

_METHODS = ("image_methods", "question_methods")


@dataclass(frozen=True)
class SeedAnalysis:
    """Analyses of one epoch of all runs of a group.

    Attributes:
        group: name of the group.
        epoch: the analysed epoch.
        seeds: seed of each run; None where it is unknown.
        scalars: all scalars of each run: those of the analysis; at the last analysed epoch those of the
            training ("val/accuracy/overall"); points of the curves whose x is the same in all runs.
        first: analysis of the first run, without records and maps.
        question_ids: ids (N,) of the analysed questions.
    """

    group: str
    epoch: int
    seeds: tuple[int | None, ...]
    scalars: tuple[dict[str, float], ...]
    first: AnalysisResult
    question_ids: np.ndarray

    @property
    def by_seed(self) -> dict[int, dict[str, float]]:
        """Scalars of the runs whose seed is known, by seed."""
        pairs = zip(self.seeds, self.scalars, strict=True)
        return {seed: scalars for seed, scalars in pairs if seed is not None}

    @property
    def title(self) -> str:
        """Name, number of seeds, the seeds, and the epoch, in words."""
        known = [str(seed) for seed in self.seeds if seed is not None]
        listed = f" ({', '.join(known)})" if known else ""
        count = len(self.seeds)
        return f"{self.group}: {count} seed{'' if count == 1 else 's'}{listed}, {epoch_name(self.epoch)}"


@dataclass(frozen=True)
class SeedGroup:
    """Runs that differ only in their seed, or a single run.

    Attributes:
        name: name of the group; the folder's name of a run without one.
        runs: run folders.
        seeds: seed of each run; None where it is unknown.
        epochs: folders of each run's analyses by epoch.
    """

    name: str
    runs: tuple[Path, ...]
    seeds: tuple[int | None, ...]
    epochs: tuple[dict[int, Path], ...]

    def common_epochs(self) -> list[int]:
        """Epochs that all runs have analysed, in order.

        Raises:
            LookwhyError: there is none.
        """
        if found := sorted(set.intersection(*map(set, self.epochs))):
            return found
        raise LookwhyError(
            f"expected an epoch that all runs of the group {self.name} have analysed, found none; "
            "name runs whose analyses have a common epoch"
        )

    def choose(self, epoch: int | None) -> int:
        """The stated epoch, or without one the last, checked.

        Raises:
            LookwhyError: a run has no analysis of that epoch, or the runs end at different epochs.
        """
        for run, epochs in zip(self.runs, self.epochs, strict=True):
            if epoch is not None and epoch not in epochs:
                raise LookwhyError(
                    f"expected an analysed epoch of {run}, found --epoch {epoch}; it has "
                    f"{', '.join(map(epoch_name, epochs))} (untrained is -1)"
                )
        if epoch is not None:
            return epoch
        last = [max(epochs) for epochs in self.epochs]
        for run, other in zip(self.runs, last, strict=True):
            if other != last[0]:
                raise LookwhyError(
                    f"expected the same last epoch in all runs of the group {self.name}, found "
                    f"{epoch_name(last[0])} in {self.runs[0]} and {epoch_name(other)} in {run}; finish the "
                    f"shorter training, or give --epoch {self.common_epochs()[-1]}"
                )
        return last[0]

    def read(self, epoch: int) -> SeedAnalysis:
        """Read the analyses of one epoch.

        Raises:
            LookwhyError: a file cannot be read, or the runs were analysed on different questions or by
                different plans.
        """
        folders = [epochs[epoch] for epochs in self.epochs]
        results = [store.load_scalars(folder) for folder in folders]
        ids = [store.load_question_ids(folder) for folder in folders]
        for run, result, own in zip(self.runs, results, ids, strict=True):
            pair = f"{self.runs[0]} and {run}"
            if not _same_questions(results[0], ids[0], result, own):
                raise LookwhyError(
                    f"expected the seeds of the group {self.name} to be analysed on the same questions, "
                    f"found different ones in {pair}; analyse them on the same data, or name one of them"
                )
            if found := first_difference(results[0].manifest.get("plan"), result.manifest.get("plan")):
                name, one, other = found
                raise LookwhyError(
                    f"expected the seeds of the group {self.name} to be analysed by the same plan, found "
                    f"{_different('plan', name, one, other)} in {pair}; name runs of one plan only"
                )
        scalars = [result.summary | points for result, points in zip(results, _points(results), strict=True)]
        if all(epoch == max(epochs) for epochs in self.epochs):
            scalars = [one | _training(run) for one, run in zip(scalars, self.runs, strict=True)]
        return SeedAnalysis(self.name, epoch, self.seeds, tuple(scalars), results[0], ids[0])


def read_groups(runs: Sequence[Path]) -> list[SeedGroup]:
    """Groups of run folders, in the order of their first run; a run without a group is one by itself.

    Raises:
        LookwhyError: a run is named twice or has no analysis, or runs of one group have the same seed, no
            known seed, or other options that differ.
    """
    names, settings = run_names([*runs]), [run_settings(run) for run in runs]
    epochs = [store.stored_epochs(run) for run in runs]
    members: dict[tuple[str, int], list[int]] = {}
    for at, own in enumerate(settings):
        members.setdefault((own.group, -1) if own and own.group else ("", at), []).append(at)
    known = {group for group, _ in members}
    found = []
    for (group, _), places in members.items():
        alone = names[places[0]]
        name = group or (f"{alone} (no group)" if alone in known else alone)
        seeds = tuple(own.seed if (own := settings[at]) else None for at in places)
        folders = tuple(runs[at] for at in places)
        options = [own.options if (own := settings[at]) else {} for at in places]
        _check_members(name, folders, seeds, options)
        found.append(SeedGroup(name, folders, seeds, tuple(epochs[at] for at in places)))
    return found


@dataclass(frozen=True)
class PairedGroups:
    """Differences of a group from the first, paired by seed.

    Attributes:
        title: both groups with their epochs, the second minus the first.
        name: the same without the epochs.
        seeds: seeds that both have.
        differences: difference of each value by key; empty if they were not compared.
        note: why they were not compared, or what else differs between them; may be empty.
    """

    title: str
    name: str
    seeds: list[int]
    differences: dict[str, SeedDifference]
    note: str


def paired_groups(analyses: Sequence[SeedAnalysis]) -> list[PairedGroups]:
    """Each group minus the first, paired by seed where both were analysed on the same questions."""
    baseline, *others = analyses
    comparable = [one for one in others if not _obstacle(baseline, one)]
    found = paired_over_seeds(baseline.by_seed, {one.group: one.by_seed for one in comparable})
    pairs = []
    for one in others:
        epochs = [f"{side.group}, {epoch_name(side.epoch)}" for side in (one, baseline)]
        note = _obstacle(baseline, one) or _other_plan(baseline, one)
        pairs.append(
            PairedGroups(
                " minus ".join(epochs),
                f"{one.group} minus {baseline.group}",
                shared_seeds(baseline.by_seed, one.by_seed),
                found.get(one.group, {}),
                note,
            )
        )
    return pairs


def _check_members(
    name: str, runs: Sequence[Path], seeds: Sequence[int | None], options: Sequence[dict[str, Any]]
) -> None:
    if len(runs) < 2:
        return
    for at, (run, seed) in enumerate(zip(runs, seeds, strict=True)):
        if seed is None:
            raise LookwhyError(
                f"expected seed_everything in {run / 'config.yaml'}, found no number; train each run of "
                f"the group {name} with --seed_everything N, or name this run by itself"
            )
        if seed in seeds[:at]:
            raise LookwhyError(
                f"expected each seed of the group {name} once, found seed {seed} in "
                f"{runs[seeds.index(seed)]} and {run}; leave one of them out"
            )
    # Analyses are compared by their own plans, because a resumed training may have another one.
    trained = [{key: value for key, value in one.items() if key != "analysis"} for one in options]
    for run, own in zip(runs, trained, strict=True):
        if found := first_difference(trained[0], own):
            raise LookwhyError(
                f"expected runs of the group {name} that differ only in their seed, found "
                f"{_different('', *found)} in {runs[0]} and {run}; name runs of one config only, or train "
                "each config with a --group of its own"
            )


def _different(what: str, name: str, one: Any, other: Any) -> str:
    shown = [("nothing" if value is None else f"{value!r:.60}") for value in (one, other)]
    return f"{'.'.join(filter(None, [what, name]))} {shown[0]} and {shown[1]}"


def _same_questions(
    first: AnalysisResult, first_ids: np.ndarray, second: AnalysisResult, second_ids: np.ndarray
) -> bool:
    """Whether two analyses are of the same questions; different data sets share ids."""
    data = [(one.manifest.get("data") or {}).get("data_prepro_sha256") for one in (first, second)]
    return np.array_equal(first_ids, second_ids) and (None in data or data[0] == data[1])


def _points(results: Sequence[AnalysisResult]) -> list[dict[str, float]]:
    """Points of the curves that have the same, increasing x in all results, as "<key of the curve>/x=0.1"."""
    found: list[dict[str, float]] = [{} for _ in results]
    for key, curve in results[0].curves.items():
        x = curve["x"]
        others = [result.curves.get(key, {}).get("x") for result in results]
        if all(other == x for other in others) and all(a < b for a, b in zip(x, x[1:], strict=False)):
            for points, result in zip(found, results, strict=True):
                values = zip(x, result.curves[key]["y"], strict=True)
                points.update({f"{key}/x={place:g}": value for place, value in values})
    return found


def _training(run: Path) -> dict[str, float]:
    """The scalars of a finished training without those of its analyses."""
    return {key: one for key, one in store.load_metrics(run).items() if not key.startswith("analysis/")}


def _obstacle(first: SeedAnalysis, second: SeedAnalysis) -> str:
    """Why two groups cannot be paired; empty if they can."""
    if not shared_seeds(first.by_seed, second.by_seed):
        return f"{first.group} and {second.group} have no seed in common, so nothing is paired."
    if not _same_questions(first.first, first.question_ids, second.first, second.question_ids):
        return f"{first.group} and {second.group} were analysed on different questions, so nothing is paired."
    return ""


def _other_plan(first: SeedAnalysis, second: SeedAnalysis) -> str:
    """A warning about plans that differ in more than their lists of methods; else empty."""
    one, other = (
        {key: value for key, value in (side.first.manifest.get("plan") or {}).items() if key not in _METHODS}
        for side in (first, second)
    )
    if not (found := first_difference(one, other)):
        return ""
    return f"Their plans differ: {_different('plan', *found)}."
