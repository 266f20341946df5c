"""Training at VQA v1's size: overhead of a step, loading of batches, memory, and time to the first step.

    python -m benchmarks.training           takes six minutes and 2.3 GB of disk in a temporary folder
    python -m benchmarks.training --quick   takes seconds; tests on tiny data that the benchmark runs

The data are synthetic; the commands and classes are the real ones.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import torch

from benchmarks.probes import NUM_STEPS, Twin, feed
from benchmarks.synthetic import TINY, VQA_V1, write_dataset, write_official
from benchmarks.timing import Row, print_rows
from lookwhy.cli.train import main as train

ROOT = Path(__file__).parent.parent
GRIDS = (82_783, 512, 14, 14)
"""Shape of SAN's features of the training images, 33 GB."""
SMALL_MODEL = ["embedding_size=8", "hidden_size=8", "common_size=8"]


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table; return 0 if every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny data, to test that the benchmark runs")
    parser.add_argument("--folder", help="parent of the temporary folder")
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="lookwhy-benchmark-", dir=options.folder))
    try:
        write_dataset(folder / "data", TINY if options.quick else VQA_V1)
        step, rows = measure_step(folder, options.quick)
        for keep in ("auto", "ram"):
            rows += measure_feed(folder, keep, step, options.quick)
        rows += measure_grids(folder, options.quick)
        rows += measure_start(folder, options.quick)
    finally:
        shutil.rmtree(folder)
    print_rows("Training, tiny data: NOT A MEASUREMENT" if options.quick else "Training, VQA v1's size", rows)
    return 0 if options.quick or all(row.met for row in rows) else 1


def measure_step(folder: Path, quick: bool) -> tuple[float, list[Row]]:
    """Seconds of the bare step and of a step of the real fit: in turn, on one thread, in one process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with mock.patch.dict(os.environ, {"WANDB_MODE": "offline"}), contextlib.redirect_stdout(sys.stderr):
            train(_fit(folder, quick, "benchmarks.probes.Twin", 3 if quick else NUM_STEPS))
    finally:
        torch.set_num_threads(threads)
    fit, bare = (statistics.median(seconds[1:]) for seconds in (Twin.fit, Twin.bare))
    return bare, [
        Row("bare step (forward, backward, update), CPU seconds", f"{bare:.3f} s", "", True),
        Row("step of the fit / bare step", f"{fit / bare:.3f}", "<= 1.5", fit <= 1.5 * bare),
        Row("weights after both, bit for bit", "equal" if Twin.equal else "differ", "equal", Twin.equal),
    ]


def measure_feed(folder: Path, keep: str, step: float, quick: bool) -> list[Row]:
    """Loading of all training and validation questions, in its own process."""
    found = _feed(quick, str(folder / "data"), keep)
    median, worst = found["median"], found["worst"]
    name = f"features {keep}"
    return [
        Row(f"{name}: batches of the pass, h5py in it", f"{found['batches']}, no", "", True),
        Row(f"{name}: reading or mapping", f"{found['setup']:.2f} s", "", True),
        Row(f"{name}: feeding a batch, median", _ms(median), f"<= {_ms(0.05 * step)}", median <= 0.05 * step),
        Row(f"{name}: feeding, slowest batch", _ms(worst), f"<= {_ms(0.5 * step)}", worst <= 0.5 * step),
        Row(f"{name}: a validation batch of 1,000, median", _ms(found["validation"]), "", True),
        Row(f"{name}: peak memory", _gb(found["peak"]), "<= 4 GB", found["peak"] <= 4e9),
        Row(f"{name}: of it this process' own, at the end", _gb(found["own"]), "", True),
        Row(f"{name}: of it pages of files, at the end", _gb(found["files"]), "", True),
    ]


def measure_grids(folder: Path, quick: bool) -> list[Row]:
    """Loading of SAN's grids, which exceed the memory of many machines, from a sparse file."""
    shape = (TINY.train_images, 8, 3, 3) if quick else GRIDS
    data = folder / "data"
    (data / "data_img.h5").rename(folder / "vectors.h5")
    with h5py.File(data / "data_img.h5", "w") as file:
        for split, count in (("train", shape[0]), ("test", TINY.val_images if quick else VQA_V1.val_images)):
            # Only the last number is written; the file system returns zeros for the rest.
            rows = file.create_dataset(f"images_{split}", (count, *shape[1:]), np.float32, fill_time="never")
            rows[-1, -1, -1, -1] = 1
        size = (data / "data_img.h5").stat().st_size
    found = _feed(quick, str(data), "auto", "10")
    (folder / "vectors.h5").replace(data / "data_img.h5")
    return [
        Row(f"SAN's grids, {_gb(size)} mapped: feeding a batch", _ms(found["median"]), "", True),
        Row(
            "SAN's grids: memory of this process' own",
            _gb(found["own"]),
            "<= 4 GB",
            found["own"] <= 4e9,
        ),
    ]


def measure_start(folder: Path, quick: bool) -> list[Row]:
    """Wall-clock time from the start of `train.py` to the end of its first step; the file is in the cache."""
    questions, annotations = write_official(folder, TINY if quick else VQA_V1)
    official = [f"--data.val_questions={questions}", f"--data.val_annotations={annotations}"]
    starts = {"train.py": [], "train.py, official JSON": official}
    if quick:
        del starts["train.py"]  # the other start takes the same path and more
    rows = []
    for name, more in starts.items():
        runs = [_start(folder, quick, more) for _ in range(1 if quick else 3)]
        first, built, peak = (
            statistics.median(run[key] for run in runs) for key in ("first", "built", "peak")
        )
        each = ", ".join(f"{run['first']:.1f}" for run in runs)
        rows += [
            Row(f"{name}: start to first step", f"{first:.1f} s ({each})", "<= 15 s", first <= 15),
            Row(f"{name}: of it until its callbacks are built", f"{built:.1f} s", "", True),
            Row(f"{name}: peak memory of the first step", _gb(peak), "<= 4 GB", peak <= 4e9),
        ]
    return rows


def _start(folder: Path, quick: bool, more: list[str]) -> dict[str, float]:
    found = folder / "first_step.json"
    arguments = _fit(folder, quick, "benchmarks.probes.FirstStep", 1)
    arguments += [f"--trainer.callbacks.init_args.file={found}", *more]
    # One thread: on a busy machine with two cores, two threads wait for each other.
    environment = os.environ | {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    start = time.time()
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    result = json.loads(found.read_text())
    return {"first": result["clock"] - start, "built": result["built"] - start, "peak": result["peak"]}


def _fit(folder: Path, quick: bool, callback: str, steps: int) -> list[str]:
    """Arguments of train.py: the paper's config without the analysis."""
    arguments = [
        f"--config={ROOT / 'configs' / 'vqa_v1.yaml'}",
        f"--data.folder={folder / 'data'}",
        "--data.annotator_maps=null",
        "--analysis.untrained=false",
        "--analysis.epochs=[]",
        "--trainer.accelerator=cpu",
        f"--trainer.max_steps={steps}",
        "--trainer.limit_val_batches=0",
        f"--runs={folder / 'runs'}",
        f"--trainer.callbacks+={callback}",
    ]
    if quick:
        arguments += [f"--model.head.init_args.{size}" for size in SMALL_MODEL] + ["--trainer.logger=false"]
    return arguments


def _feed(quick: bool, *arguments: str) -> dict[str, float]:
    """Run `feed` in its own process, to measure its memory; the quick version runs it here."""
    if quick:
        return feed(*arguments)
    command = [sys.executable, "-m", "benchmarks.probes", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB"


if __name__ == "__main__":
    sys.exit(main())
