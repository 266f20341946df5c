"""Best values of a run so far; W&B itself keeps the last value under a metric's own name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lookwhy import store
from lookwhy.errors import LookwhyError
from lookwhy.keys import parse
from lookwhy.reporting import measures
from lookwhy.reporting.style import BASELINES

BEST = ("/best", "/best_epoch")
"""Endings of the keys of a best value and of its epoch."""
MAIN = {
    "faithfulness/correlation", "faithfulness/deletion_patch", "faithfulness/insertion_patch",
    "localisation/mass_accuracy", "localisation/pointing_game",
}  # fmt: skip
"""Measures of faithfulness and localisation that have a best value."""
_BETTER = {
    "accuracy": {"overall": 1.0, "answer_type": 1.0, "question_type": 1.0},
    "failure": {"accuracy": 1.0, "accuracy_gain": 1.0, "auroc": 1.0, "aurc": -1.0},
    "selective": {"auroc": 1.0, "aurc_soft": -1.0},
    "image": {"rank_correlation": 1.0, "mean_map": 1.0, "specificity": 1.0}
    | {one.key: one.sign for one in measures.IMAGE if one.key in MAIN},
}
"""Direction of each measure that can be better or worse, by domain."""


def direction(key: str) -> float | None:
    """1 if a higher value of this scalar is better, -1 if a lower one is, else None.

    None for counts, ends of intervals, baselines, controls, slices, and shares of parts of speech.
    """
    row, field = parse(key)
    if field != "value" or row.slice is not None or (row.domain == "image" and row.method in BASELINES):
        return None
    return _BETTER.get(row.domain, {}).get(row.measure)


class BestValues:
    """Best value of each scalar that can be better or worse, over epochs that are added in order.

    The untrained model does not compete, and the first of equals is best.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[float, int]] = {}

    def add(self, epoch: int, summary: Mapping[str, float]) -> None:
        """Let the scalars of one more epoch compete."""
        for key, value in summary.items() if epoch != store.UNTRAINED else ():
            sign = direction(key)
            if sign is not None and (key not in self._found or sign * value > sign * self._found[key][0]):
                self._found[key] = (value, epoch)

    def scalars(self) -> dict[str, float]:
        """`<key>/best` and `<key>/best_epoch` of each scalar."""
        return {
            f"{key}{name}": float(value)
            for key, found in self._found.items()
            for name, value in zip(BEST, found, strict=True)
        }


def best_values(summaries: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """`<key>/best` and `<key>/best_epoch` of scalars by epoch, see `BestValues`."""
    best = BestValues()
    for epoch in sorted(summaries):
        best.add(epoch, summaries[epoch])
    return best.scalars()


def read_summaries(run_folder: Path, last: int | None = None) -> dict[int, dict[str, float]]:
    """Stored scalars of a run's epochs up to `last`, by epoch; empty if none is stored.

    A run that was resumed from an earlier checkpoint has later epochs in its folder.

    Raises:
        LookwhyError: a stored summary.json is missing or damaged.
    """
    try:
        epochs = store.stored_epochs(run_folder)
    except LookwhyError:
        return {}
    return {
        epoch: store.load_summary(folder) for epoch, folder in epochs.items() if last is None or epoch <= last
    }
