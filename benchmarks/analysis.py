"""Cost of an analysis, part by part, beside the epoch that it follows, and the growth of this cost.

    python -m benchmarks.analysis [--full] [--quick] [--plot docs/performance.png]

The benchmark uses one thread and random data of the sizes of VQA v1 and VQA-HAT: 215,000 training questions,
1,374 (question, image) pairs, VGG-19 at 224 x 224, a 16 x 16 grid. An earlier analysis has stored the results
that depend on an image alone. Without --full, parts that cost the same for each pair are
timed on fewer pairs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.attribution import PAIRS
from benchmarks.networks import FILL, GRID, head, picture, questions, small_vgg, vgg
from benchmarks.timing import Row, print_rows
from lookwhy import stopwatch
from lookwhy.analysis import AnalysisPlan, run_analysis
from lookwhy.attribution import IncrementalOcclusion
from lookwhy.data.tokens import tokenize
from lookwhy.models import Pipeline
from lookwhy.towers import Memory, Tower
from lookwhy.types import AnalysisResult, VQABatch

TRAINING_QUESTIONS, BATCH = 215_000, 500
VALIDATION_QUESTIONS, EVALUATION_BATCH = 121_512, 1_000
Curve = list[tuple[int, float]]
"""Points of a curve: a count, and the seconds for it."""


class Store:
    """A model to explain, and pictures whose occluded features and masks are stored in a folder."""

    def __init__(self, cnn: nn.Sequential, small: bool, folder: Path, pictures: int) -> None:
        self.size = 96 if small else 224
        self.width = 128 if small else 4096
        self.model = Pipeline(Tower(cnn, memory=Memory(folder)), head(self.width, small))
        self.pictures = [picture(self.size, seed) for seed in range(pictures)]
        self.analyse(pictures, 1)  # stores the results that depend on the images alone

    def analyse(self, pairs: int, of_each_image: int) -> AnalysisResult:
        """Explain `pairs` questions, with `of_each_image` successive questions about each image."""
        plan = AnalysisPlan(num_examples=0)
        maps = np.random.default_rng(0).random((pairs, 3, GRID, GRID), np.float32)
        human = {row: maps[row] for row in range(pairs)}
        batches = self._batches(pairs, of_each_image)
        return run_analysis(self.model, batches, plan, human, words=tokenize)

    def _batches(self, pairs: int, of_each_image: int) -> Iterator[VQABatch]:
        asked = questions(pairs, self.width)
        for number, start in enumerate(range(0, pairs, of_each_image)):
            rows = torch.arange(start, min(start + of_each_image, pairs))
            image = self.pictures[number % len(self.pictures)]
            length = int(asked.lengths[rows].max())
            yield VQABatch(
                question_ids=asked.question_ids[rows],
                tokens=asked.tokens[rows, :length],
                lengths=asked.lengths[rows],
                labels=asked.labels[rows],
                image_ids=torch.full((len(rows),), number),
                features=asked.features[rows],  # type: ignore[index]
                images=image.expand(len(rows), -1, -1, -1),
                questions=["what color is the cat on the mat"] * len(rows),
                answers=[["blue"] * 10] * len(rows),
            )


def training_step(small: bool, repeats: int) -> float:
    """Median seconds of one training step with the recipe of the original project."""
    width = 128 if small else 4096
    model = head(width, small).train()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-4, alpha=0.99)
    asked = questions(BATCH, width)
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(asked.features, asked.tokens, asked.lengths), asked.labels)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 10.0)
        optimizer.step()
        times.append(time.process_time() - start)
    return sorted(times[1:])[repeats // 2]


@torch.no_grad()
def validation_batch(small: bool, repeats: int) -> float:
    """Median seconds to answer one batch of validation questions."""
    width = 128 if small else 4096
    model, asked = head(width, small), questions(EVALUATION_BATCH, width)
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        model(asked.features, asked.tokens, asked.lengths).argmax(1)
        times.append(time.process_time() - start)
    return sorted(times[1:])[repeats // 2]


def beside_the_epoch(store: Store, small_store: Store, pairs: int, small: bool) -> list[Row]:
    """Seconds of each part of an analysis of 1,374 pairs, and of the epoch."""
    steps = TRAINING_QUESTIONS // BATCH
    training = steps * training_step(small, 2 if small else 6)
    batches = -(-VALIDATION_QUESTIONS // EVALUATION_BATCH)
    validation = batches * validation_batch(small, 2)
    epoch = training + validation
    seconds = store.analyse(pairs, 1).manifest["seconds"]
    parts = {name: value * PAIRS / pairs for name, value in seconds.items() if ": " not in name}
    # The statistics cost differs from pair to pair and is the same for any network.
    parts["statistics"] = small_store.analyse(pairs if small else PAIRS, 1).manifest["seconds"]["statistics"]
    total = sum(parts.values())
    rows = [
        Row(f"training, {steps} steps of {BATCH} questions", f"{training:8.1f} s", "", True),
        Row(f"validation, {VALIDATION_QUESTIONS:,} questions answered", f"{validation:8.1f} s", "", True),
    ]
    for name, value in sorted(parts.items(), key=lambda item: -item[1]):
        rows.append(Row(f"  {name}", f"{value:8.1f} s", "", True))
    share = total / epoch
    rows.append(Row(f"analysis of {PAIRS:,} pairs : epoch", f"{share:8.2f} x", "<= 1 x", share <= 1))
    return rows


def growth(store: Store, small_store: Store, quick: bool) -> dict[str, Curve]:
    """Seconds by number of pairs, of cells and of questions about an image."""
    curves: dict[str, Curve] = {"Pairs (small network)": [], "Cells (VGG-19, first time)": [], "q": []}
    for pairs in (5, 10, 20) if quick else (100, 1_000, 10_000):
        start = time.process_time()
        small_store.analyse(pairs, 3)
        curves["Pairs (small network)"].append((pairs, time.process_time() - start))
    image, cnn = store.pictures[0], store.model.tower.network
    for grid in (4, 8) if quick else (8, 14, 16, 28):
        occlude = IncrementalOcclusion(cnn, grid, FILL)
        occlude(image)
        start = time.process_time()
        occlude(image)
        curves["Cells (VGG-19, first time)"].append((grid * grid, time.process_time() - start))
    for count in (1, 3, 10):
        times = []
        for _ in range(1 if quick else 3):
            start = time.process_time()
            store.analyse(count * 2, count)
            times.append((time.process_time() - start) / 2)
        curves["q"].append((count, statistics.median(times)))
    curves["Questions about an image (VGG-19)"] = curves.pop("q")
    return curves


def growth_rows(curves: dict[str, Curve]) -> list[Row]:
    """Compare the last point of each curve with the first: the growth must be linear or better."""
    rows = []
    for name, curve in curves.items():
        (first, start), (last, end) = curve[0], curve[-1]
        points = ", ".join(f"{count:,}: {seconds:.3g} s" for count, seconds in curve)
        more, longer = last / first, end / start
        rows.append(
            Row(name, f"{points}  ({more:.0f} x as many: {longer:.1f} x)", "linear", longer <= 1.1 * more)
        )
    return rows


def plot(curves: dict[str, Curve], path: Path) -> None:
    """Draw the curves side by side, on logarithmic axes, with a line of slope 1 through the first point."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(4 * len(curves), 3.4), layout="constrained")
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        counts, seconds = zip(*curve, strict=True)
        axis.plot(
            counts, [seconds[0] * count / counts[0] for count in counts], "--", color="0.6", label="linear"
        )
        axis.plot(counts, seconds, "o-", color="#0072B2", label="measured")
        axis.set(xscale="log", yscale="log", title=name, ylabel="CPU seconds, one thread")
        axis.set_xticks(counts, [f"{count:,}" for count in counts])
        # Label only one of two values that nearly agree: the labels would overlap.
        apart = 0.04 * math.log(max(seconds) / min(seconds) * counts[-1] / counts[0])
        shown = [
            value
            for i, value in enumerate(seconds)
            if all(abs(math.log(value / other)) > apart for other in seconds[:i])
        ]
        axis.set_yticks(shown, [f"{value:.3g}" for value in shown])
        axis.minorticks_off()
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Print the tables; return 0 if every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analysis", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all 1,374 pairs; takes a quarter of an hour")
    parser.add_argument(
        "--quick", action="store_true", help="a small network, for which the bars mean nothing"
    )
    parser.add_argument("--plot", type=Path, help="file for a picture of the growth of the cost")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(stopwatch, "clock", time.process_time),
    ):
        tiny = Store(small_vgg(), True, Path(folder) / "small", 3)
        store = tiny if options.quick else Store(vgg(), False, Path(folder), 2)
        pairs = 6 if options.quick else PAIRS if options.full else 60
        rows = beside_the_epoch(store, tiny, pairs, options.quick)
        print_rows("An analysis beside the epoch of VQA v1 that it follows, one thread", rows)
        curves = growth(store, tiny, options.quick)
    grown = growth_rows(curves)
    print_rows("How the cost grows, one thread", grown)
    if options.plot:
        plot(curves, options.plot)
    return 0 if all(row.met for row in (*rows, *grown)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
