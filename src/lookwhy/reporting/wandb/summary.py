"""The best values of a run so far, beside the last ones, which W&B keeps under a metric's own name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from lookwhy import store
from lookwhy.errors import LookwhyError
from lookwhy.reporting.style import BASELINES

BEST, BEST_EPOCH = "best", "best_epoch"
_HIGHER, _LOWER = 1.0, -1.0
_AGREEMENT = ("rank_correlation", "mean_map", "specificity")


def direction(key: str) -> float | None:
    """1 where a higher value of this scalar is better, -1 where a lower one is; None where neither is.

    Neither: counts, ends of intervals, baselines, controls, and which words mattered.
    """
    parts = key.split("/")
    if parts[0] == "accuracy":
        return _HIGHER
    if parts[0] == "failure" and len(parts) == 3:
        return {"accuracy": _HIGHER, "auroc": _HIGHER, "aurc": _LOWER}.get(parts[2])
    if parts[0] == "image" and len(parts) == 3 and parts[1] not in BASELINES and parts[2] in _AGREEMENT:
        return _HIGHER
    return None


def best_values(summaries: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """`<key>/best` and `<key>/best_epoch` of each scalar that can be better or worse.

    Args:
        summaries: by epoch. The untrained model competes with none; of equal values the first is the best.
    """
    best: dict[str, tuple[float, int]] = {}
    for epoch in sorted(epoch for epoch in summaries if epoch != store.UNTRAINED):
        for key, value in summaries[epoch].items():
            sign = direction(key)
            if sign is not None and (key not in best or sign * value > sign * best[key][0]):
                best[key] = (value, epoch)
    values = {f"{key}/{BEST}": value for key, (value, _) in best.items()}
    return values | {f"{key}/{BEST_EPOCH}": float(epoch) for key, (_, epoch) in best.items()}


def read_summaries(run_folder: Path, last: int | None = None) -> dict[int, dict[str, float]]:
    """The stored scalars of a run's epochs up to `last`; nothing where none is stored.

    A run that goes on from an earlier checkpoint has epochs in its folder that it has not come to yet.
    """
    try:
        epochs = store.stored_epochs(run_folder)
    except LookwhyError:
        return {}
    return {
        epoch: json.loads((folder / "summary.json").read_text())
        for epoch, folder in epochs.items()
        if last is None or epoch <= last
    }
