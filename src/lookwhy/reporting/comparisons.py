"""Paired differences of runs, epochs and methods, for the report page."""

from __future__ import annotations

from pathlib import Path

from lookwhy import store
from lookwhy.analysis.paired import Comparison, between_analyses, between_methods
from lookwhy.reporting.style import epoch_name
from lookwhy.types import AnalysisResult


def since_untrained(result: AnalysisResult, run: Path) -> Comparison | None:
    """Differences of an analysis from that of the untrained model of its run; None if the run has none."""
    folder, epoch = store.epoch_folder(run, store.UNTRAINED), result.manifest.get("epoch")
    if epoch in (None, store.UNTRAINED) or not folder.is_dir():
        return None
    title = f"{epoch_name(epoch)} minus {epoch_name(store.UNTRAINED)}"
    return Comparison(title, between_analyses(store.load(folder).records, result.records))


def compare(runs: dict[str, Path]) -> list[Comparison]:
    """Compute paired differences of runs (each against the first), epochs (last against first), methods."""
    ends, epochs_of = {}, {name: store.stored_epochs(run) for name, run in runs.items()}
    for name, epochs in epochs_of.items():
        ends[name] = [(epoch, store.load(epochs[epoch]).records) for epoch in (min(epochs), max(epochs))]
    baseline, *others = ends
    base_epoch, base_records = ends[baseline][1]
    found = []
    for name in others:
        epoch, records = ends[name][1]
        title = f"{name}, {epoch_name(epoch)}, minus {baseline}, {epoch_name(base_epoch)}"
        found.append(Comparison(title, between_analyses(base_records, records)))
    for name, ((first, before), (last, after)) in ends.items():
        if first != last:
            title = f"{name}: {epoch_name(last)} minus {epoch_name(first)}"
            found.append(Comparison(title, between_analyses(before, after)))
        # Analyses of this version hold the tests of their methods.
        is_tested = any(key.startswith("paired/") for key in store.load_summary(epochs_of[name][last]))
        if not is_tested and (methods := between_methods(after)):
            found.append(Comparison(f"{name}, {epoch_name(last)}: methods against each other", methods))
    return found
