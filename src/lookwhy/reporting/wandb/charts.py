"""W&B charts that overlay the runs of a dashboard: parts of speech, and curves of the failure predictor.

W&B draws a chart from the newest table that each run has logged under its key. Therefore key and title are
the same at every epoch and in every run, and each row names its run and epoch.
"""

from __future__ import annotations

import numpy as np
import wandb
from wandb.plot import CustomChart

from lookwhy.keys import parse
from lookwhy.reporting import reading, style
from lookwhy.types import AnalysisResult

CURVES = {
    "roc": ("ROC", "false positive rate", "true positive rate"),
    "risk_coverage": ("Risk by coverage", "coverage", "risk"),
    "calibration": ("Calibration", "predicted probability of being right", "share of right answers"),
}
"""Title and axes of each curve, by its name in the key."""

MOST_POINTS = 50
"""Points kept of a curve: W&B checks every cell of a table, and a panel has few pixels."""

WORDS = "most_important_words"
GROUP, SHARE, CHANCE = "part of speech", "P(most important)", "by chance"


def charts(result: AnalysisResult, run: str, epoch: int) -> dict[str, CustomChart]:
    """All charts of an analysis by key."""
    found = {
        f"{WORDS}/{method}": _words_chart(result, method, run, epoch)
        for method in reading.question_methods(result)
        if reading.groups(result)
    }
    for key, curve in result.curves.items():
        row, _ = parse(key)
        if row.measure not in CURVES:
            continue
        title, x, y = CURVES[row.measure]
        points = list(zip(curve["x"], curve["y"], curve.get("n", [None] * len(curve["x"])), strict=True))
        # Thinned evenly; both ends stay.
        kept = np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int)
        table = wandb.Table(columns=["run", "epoch", x, y, "questions"])
        for place in kept.tolist():
            table.add_data(run, epoch, *points[place])
        found[key] = wandb.plot.line(
            table, x, y, stroke="run", title=f"{title}: {style.feature_set_name(row.method).lower()}"
        )
    return found


def _words_chart(result: AnalysisResult, method: str, run: str, epoch: int) -> CustomChart:
    table = wandb.Table(columns=["run", "epoch", GROUP, SHARE, CHANCE, "words"])
    rows = {row.group: row for row in reading.words(result, method)}
    for group in reading.groups(result):
        if group in rows:
            row = rows[group]
            table.add_data(run, epoch, style.group_name(group), row.value, row.expected, row.n)
    title = f"{SHARE} by part of speech, {style.method_name(method).lower()}"
    return wandb.plot.bar(table, GROUP, SHARE, title=title)
