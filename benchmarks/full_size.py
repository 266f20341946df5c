"""VQA v2's size on one machine: prepare, train 500 steps, validate and analyse, by the commands that a user types.

    python -m benchmarks.full_size [--folder DIR] [--quick]

443,757 + 214,354 questions about 82,783 + 40,504 images, with random features of VGG-19's width. The analysed
images have pictures and true features. Takes half an hour on two cores and 5 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from benchmarks.gpu.runs import random_tower, write_pictures
from benchmarks.synthetic import ROWS_AT_ONCE
from benchmarks.timing import Row, print_rows
from lookwhy.analysis.plan import AnalysisPlan, select_questions
from lookwhy.data.prepro import Prepro, read_prepro
from lookwhy.towers.image_tower import ImageTower
from lookwhy.towers.precision import true_float32

ROOT = Path(__file__).parents[1]
MOST_MEMORY = 8e9
STEPS = 500
WORDS = ("red", "blue", "green", "small", "large", "left", "right", "old", "new", "round")


class Size(NamedTuple):
    """Counts of a data set, by split (train, val), and of the analysed images."""

    images: tuple[int, int]
    questions: tuple[int, int]
    analysed: int


VQA_V2, TINY = Size((82_783, 40_504), (443_757, 214_354), 40), Size((30, 20), (300, 100), 4)


def write_official(folder: Path, size: Size, seed: int = 0) -> None:
    """Write questions_<split>.json and annotations_<split>.json in the official format."""
    draw = np.random.default_rng(seed)
    for split, images, questions in zip(("train", "val"), size.images, size.questions, strict=True):
        subtype = f"{split}2014"
        # As in VQA, few answers are frequent and many are rare.
        chosen = np.minimum(draw.zipf(1.3, questions), 20_000).tolist()
        words = draw.integers(0, len(WORDS), (questions, 3)).tolist()
        ids = [{"question_id": 1000 * i + 1, "image_id": i % images + 1} for i in range(questions)]
        asked = [
            one | {"question": f"What {' '.join(WORDS[w] for w in three)} thing{i % 15_000} is this?"}
            for i, (one, three) in enumerate(zip(ids, words, strict=True))
        ]
        annotated = [
            one | {
                "question_type": "what", "answer_type": "other", "multiple_choice_answer": f"answer{answer}",
                "answers": [
                    {"answer": f"answer{answer if k < 7 else 1}", "answer_confidence": "yes", "answer_id": k + 1}
                    for k in range(10)
                ],
            }
            for one, answer in zip(ids, chosen, strict=True)
        ]  # fmt: skip
        known = {"data_type": "mscoco", "data_subtype": subtype}
        (folder / f"questions_{split}.json").write_text(json.dumps(known | {"questions": asked}))
        (folder / f"annotations_{split}.json").write_text(json.dumps(known | {"annotations": annotated}))


@torch.no_grad()
def write_features(folder: Path, prepro: Prepro, tower: ImageTower, plan: AnalysisPlan) -> None:
    """Write random features of all images, and the true ones of those that the plan analyses, with pictures."""
    draw = np.random.default_rng(0)
    width = tower(torch.zeros(1, 3, tower.recipe.height, tower.recipe.width)).shape[1]
    block = np.abs(draw.standard_normal((ROWS_AT_ONCE, width), np.float32))
    rows = select_questions(plan, prepro.test.question_ids, prepro.test.image_ids)
    places = np.unique(prepro.test.image_pos[rows])
    names = [prepro.test.image_files[place] for place in places]
    write_pictures([folder / "images" / name for name in names])
    with h5py.File(folder / "data_img.h5", "w") as file:
        for split, known in (("train", prepro.train), ("test", prepro.test)):
            count = len(known.image_files)
            data = file.create_dataset(f"images_{split}", (count, width), np.float32)
            for start in range(0, count, ROWS_AT_ONCE):
                data[start : start + ROWS_AT_ONCE] = block[: count - start]
        for place, name in zip(places, names, strict=True):
            with true_float32():
                pixels = tower.recipe.load(folder / "images" / name)[None]
                file["images_test"][place] = tower(pixels)[0].numpy()
        file.attrs["description"] = json.dumps(tower.describe())


def command(name: str, words: list[str]) -> tuple[list[Row], str]:
    """Run a command; rows with its seconds and its peak memory, and what it printed."""
    start = time.monotonic()
    environment = os.environ | {"WANDB_MODE": "offline"}
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0)
        printed = out.read()
    process.returncode = os.waitstatus_to_exitcode(status)  # so that Popen knows that it has ended
    if process.returncode:
        raise RuntimeError(f"{name} ended with exit code {process.returncode}")
    memory = 1024 * usage.ru_maxrss
    spent = f"{time.monotonic() - start:.0f} s ({usage.ru_utime + usage.ru_stime:.0f} s of CPU)"
    return [
        Row(name, spent, "", True),
        Row("  peak memory", f"{memory / 1e9:.2f} GB", f"<= {MOST_MEMORY / 1e9:g} GB", memory <= MOST_MEMORY),
    ], printed


def measure(folder: Path, quick: bool) -> list[Row]:
    """Write the data, run the commands, and return the table."""
    size = TINY if quick else VQA_V2
    write_official(folder, size)
    files = [
        f"--{s}-{kind}={folder / kind}_{s}.json"
        for s in ("train", "val")
        for kind in ("questions", "annotations")
    ]
    data = ["--images", str(folder / "images"), "--out", str(folder)]
    (folder / "images").mkdir()
    rows, _ = command("prepare.py questions", [str(ROOT / "data/prepare.py"), "questions", *files, *data])
    plan = AnalysisPlan(num_images=size.analysed, num_questions=None, num_examples=0)
    write_features(folder, read_prepro(folder), random_tower(folder, small=quick), plan)
    steps, clock = 8 if quick else STEPS, folder / "steps.json"
    words = [
        str(ROOT / "train.py"), "--config", str(ROOT / "configs/vqa_v2.yaml"), f"--data.folder={folder}",
        f"--runs={folder / 'runs'}", "--trainer.max_epochs=1", f"--data.steps_per_epoch={steps}",
        "--trainer.accelerator=cpu", "--analysis.untrained=false", "--analysis.epochs=[0]",
        f"--analysis.plan.num_images={size.analysed}", "--analysis.plan.num_questions=null",
        "--analysis.plan.num_examples=0", "--trainer.callbacks+=benchmarks.probes.StepClock",
        f"--trainer.callbacks.init_args.file={clock}",
    ]  # fmt: skip
    if quick:
        sizes = ("embedding_size", "hidden_size", "common_size")
        words += ["--trainer.logger=false", *(f"--model.head.init_args.{one}=8" for one in sizes)]
    trained, _ = command(f"train.py: {steps} steps, validation, analysis of {size.analysed} images", words)
    times = json.loads(clock.read_text())["times"]
    each = [b - a for a, b in zip(times, times[1:], strict=False)]
    median, worst = statistics.median(each), max(each)
    seconds = json.loads(next((folder / "runs").glob("*/analysis/epoch=000/manifest.json")).read_text())[
        "seconds"
    ]
    analysis = sum(value for name, value in seconds.items() if ": " not in name)
    return [
        *rows, *trained,
        Row("  a step of 500 questions, median", f"{median:.2f} s", "", True),
        Row("  the slowest step", f"{worst:.2f} s", "<= 5 x the median", worst <= 5 * median),
        Row("  the analysis", f"{analysis:.0f} s", "", True),
    ]  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0 if every bar is met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.full_size",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--folder", help="parent of the temporary folder")
    parser.add_argument("--quick", action="store_true", help="tiny data, to test that the benchmark runs")
    options = parser.parse_args(argv)
    # W&B's own process may still write when the training has ended.
    with tempfile.TemporaryDirectory(
        prefix="lookwhy-full-size-", dir=options.folder, ignore_cleanup_errors=True
    ) as folder:
        rows = measure(Path(folder), options.quick)
    title = "Tiny data: NOT A MEASUREMENT" if options.quick else "VQA v2's size, two cores"
    print_rows(title, rows)
    return 0 if options.quick or all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
