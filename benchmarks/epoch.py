"""Cost of the epochs of a config, and of the analysis after each: the real `train.py`, on one thread.

    python -m benchmarks.epoch --config configs/vqa_mini.yaml [options of train.py]

The first epoch is not counted, because its analysis stores the results that depend on the images alone. The
results are medians of the CPU seconds of the two other epochs.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import torch

from benchmarks.probes import EpochClock
from benchmarks.timing import Row, print_rows
from lookwhy import stopwatch, store
from lookwhy.cli.train import main as train

EPOCHS = 3
REST = "storing, drawing, logging and other work after validation"


def measure(arguments: Sequence[str]) -> list[Row]:
    """Train for some epochs with the analysis after each; return the medians of all but the first."""
    with tempfile.TemporaryDirectory(prefix="lookwhy-benchmark-") as folder:
        options = [*arguments, f"--trainer.max_epochs={EPOCHS}", "--trainer.accelerator=cpu"]
        options += [f"--analysis.epochs={list(range(EPOCHS))}", f"--runs={folder}", "--name=timed"]
        options += ["--analysis.untrained=false", "--trainer.callbacks+=benchmarks.probes.EpochClock"]
        with (
            mock.patch.dict(os.environ, {"WANDB_MODE": "offline"}),
            mock.patch.object(stopwatch, "clock", time.process_time),
            contextlib.redirect_stdout(sys.stderr),
        ):
            code = train(options)
        if code:
            raise SystemExit(code)
        manifests = [
            store.load(store.epoch_folder(Path(folder) / "timed", epoch)).manifest
            for epoch in range(1, EPOCHS)
        ]
    training, validation = (statistics.median(times[1:]) for times in zip(*EpochClock.epochs, strict=True))
    analysis = statistics.median(EpochClock.analyses[1:])
    parts = {
        name: statistics.median(one["seconds"].get(name, 0.0) for one in manifests)
        for name in manifests[-1]["seconds"]
        if ": " not in name  # a part of a part
    }
    parts[REST] = analysis - sum(parts.values())
    rows = [
        Row("training", f"{training:7.2f} s", "", True),
        Row("validation", f"{validation:7.2f} s", "", True),
    ]
    rows += [
        Row(f"  {name}", f"{value:7.2f} s", "", True)
        for name, value in sorted(parts.items(), key=lambda item: -item[1])
    ]
    share = analysis / (training + validation)
    rows.append(Row("analysis : epoch", f"{share:7.2f} x  ({analysis:.2f} s)", "<= 1 x", share <= 1))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 0 if the bar is met."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = measure(arguments)
    finally:
        torch.set_num_threads(threads)
    print_rows(f"An epoch of {' '.join(arguments)}, and the analysis after it, one thread", rows)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
