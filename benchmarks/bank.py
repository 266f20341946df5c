"""Methods and measures beyond the paper's: from the mask bank, and beside running the image network again.

    python -m benchmarks.bank [--quick]

RISE and KernelSHAP of 1,000 masks each, faithfulness correlation and infidelity of 300 masks each, for 300
questions about 100 images. From the bank this costs reading and the head. The bank is filled by a network that
costs nothing and has as many features as fc7, because its cost does not depend on who filled it. Without the bank,
VGG-19 runs once for each mask of each image; some passes are timed and multiplied. The last rows are one question of
each method and measure, those of gradients through VGG-19. Process time, one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.networks import head, picture, questions, small_vgg, vgg
from benchmarks.timing import Row, interleaved, print_rows
from lookwhy.analysis import Faithfulness
from lookwhy.analysis.meter import FaithfulnessMeter
from lookwhy.analysis.modality import Modality, ModalityMeter
from lookwhy.attribution import (
    LIME,
    RISE,
    Attributor,
    GradCAM,
    GradientTimesInput,
    GuidedGradCAM,
    IntegratedGradients,
    KernelSHAP,
    SmoothGrad,
    WordIntegratedGradients,
    WordKernelSHAP,
    explaining,
)
from lookwhy.models import DeeperLSTM, Pipeline
from lookwhy.towers import Memory, Tower
from lookwhy.types import VQABatch

QUESTIONS, OF_AN_IMAGE = 300, 3
MINI = {"questions": 7_935, "batch": 250, "features": 512, "answers": 104, "words": 2_300}
"""Sizes of configs/vqa_mini.yaml."""


class Thin(nn.Module):
    """A network from an image to as many features as asked, without any weight."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool1d(images.flatten(1)[:, None], self.features)[:, 0]


class Work:
    """The methods and measures of some questions, three about each image."""

    def __init__(self, model: Pipeline, features: int, images: int, size: int, masks: int) -> None:
        self.model = model
        count = images * OF_AN_IMAGE
        self.batch: VQABatch = questions(count, features)
        self.batch.image_ids = torch.arange(count) // OF_AN_IMAGE
        self.batch.features = None
        pictures = torch.stack([picture(size, seed) for seed in range(images)])
        self.batch.images = pictures[self.batch.image_ids]
        self.target = torch.zeros(count, dtype=torch.int64)
        self.methods: list[RISE | KernelSHAP] = [RISE(samples=masks), KernelSHAP(samples=masks)]
        self.settings = Faithfulness(masks=masks * 3 // 10, curves=0)
        self.masks = 2 * masks + 2 * self.settings.masks

    def run(self) -> None:
        """Explain and measure all questions."""
        with explaining(self.model):
            maps = [method(self.model, self.batch, self.target) for method in self.methods]
            meter = FaithfulnessMeter(self.model, self.settings, grid=16)
            meter.measure_images(maps, self.methods, self.batch, self.target)


def seconds_of(work: Work, repeats: int) -> float:
    """Seconds for 300 questions, from a full bank."""
    work.run()  # fills the bank
    return interleaved({"": work.run}, repeats)[""] * QUESTIONS / len(work.batch)


def of_a_question(work: Work, model: Pipeline, image: torch.Tensor, repeats: int) -> dict[str, float]:
    """Seconds of one question, of each method and measure."""
    batch, target = work.batch.take(torch.arange(1)), work.target[:1]
    assert batch.images is not None
    seen = replace(batch, images=image[None])
    masks, is_small = work.methods[0].samples, work.masks < 1000
    methods: list[tuple[Attributor, Pipeline, VQABatch]] = [
        *((method, work.model, batch) for method in (*work.methods, LIME(samples=masks), WordKernelSHAP())),
        *((method, model, seen) for method in (GradCAM(), GuidedGradCAM(), GradientTimesInput())),
        (IntegratedGradients(steps=2 if is_small else 32), model, seen),
        (SmoothGrad(samples=2 if is_small else 16), model, seen),
        (WordIntegratedGradients(), work.model, replace(batch, features=work.model.features(batch.images))),
    ]
    with explaining(work.model), explaining(model):
        calls: dict[str, Callable[[], object]] = {
            type(method).__name__: partial(method, of, about, target) for method, of, about in methods
        }
        maps = [method(work.model, batch, target) for method in work.methods]

        def judge() -> None:
            meter = FaithfulnessMeter(work.model, work.settings, grid=16)
            meter.measure_images(maps, work.methods, batch, target)

        def share() -> None:
            words = [["word"] * int(batch.lengths[0])]
            ModalityMeter(work.model, Modality(fills=["patch"])).measure(batch, words)

        return interleaved(calls | {"correlation and infidelity": judge, "T-SHAP, one fill": share}, repeats)


def epoch_of(model: DeeperLSTM, sizes: dict[str, int]) -> float:
    """Seconds of an epoch's training steps, without loading and logging."""
    optimiser = torch.optim.RMSprop(model.parameters(), 1e-4)
    batch = questions(sizes["batch"], sizes["features"])
    batch.tokens = batch.tokens.clamp(max=sizes["words"])
    steps = -(-sizes["questions"] // sizes["batch"])
    model.train()

    def step() -> None:
        assert batch.features is not None
        optimiser.zero_grad()
        F.cross_entropy(model(batch.features, batch.tokens, batch.lengths), batch.labels).backward()
        optimiser.step()

    step()
    start = time.process_time()
    for _ in range(steps):
        step()
    spent = time.process_time() - start
    model.eval()
    return spent


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0 if every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bank", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, for which the bars mean nothing")
    quick = parser.parse_args(argv).quick
    torch.set_num_threads(1)
    images, size, masks, repeats = (2, 96, 110, 1) if quick else (10, 224, 1000, 3)
    network = small_vgg() if quick else vgg()
    image, some = picture(size), torch.ones(4, size, size)

    def again() -> None:
        Tower(network).masked(image, some, torch.zeros(3), 4)

    a_pass = interleaved({"": again}, repeats)[""] / 4
    rows = []
    with tempfile.TemporaryDirectory(prefix="lookwhy-benchmark-") as folder:
        features = 128 if quick else 4096

        def work_of(model: DeeperLSTM, features: int, name: str) -> Work:
            tower = Tower(Thin(features), memory=Memory(Path(folder) / name))
            return Work(Pipeline(tower, model), features, images, size, masks)

        work = work_of(head(features, quick), features, "published")
        banked = seconds_of(work, repeats)
        rerun = a_pass * work.masks * QUESTIONS / OF_AN_IMAGE
        stored = sum(path.stat().st_size for path in Path(folder).rglob("*.npz")) / images / 2**20
        sizes = MINI | ({"questions": 500} if quick else {})
        make: Callable[[], DeeperLSTM] = lambda: DeeperLSTM(  # noqa: E731
            sizes["words"], sizes["answers"], sizes["features"], 200, 256, common_size=512
        )
        mini = work_of(make().eval(), sizes["features"], "mini")
        mini.batch.tokens = mini.batch.tokens.clamp(max=sizes["words"])
        small = seconds_of(mini, repeats)
        seconds = of_a_question(
            work, Pipeline(Tower(network, memory=Memory(images=1)), work.model.head), image, 1
        )
        epoch = epoch_of(make(), sizes)
    each = f"{work.masks:,} masks an image"
    rows = [
        Row(
            f"RISE, KernelSHAP, faithfulness ({each}) of 300 questions: VGG-19 again : bank",
            f"{rerun / banked:8.0f} x   ({rerun:.4g} s : {banked:.3g} s)",
            ">= 100 x",
            rerun / banked >= 100,
        ),
        Row("the bank of an image on disk, fc7", f"{stored:8.1f} MB", "", True),
        Row(
            "the same with the sizes of vqa_mini : the steps of an epoch there",
            f"{small / epoch:8.2f} x   ({small:.3g} s : {epoch:.3g} s)",
            "<= 1 x",
            small <= epoch,
        ),
    ]
    seconds["deletion or insertion of a map, 16 steps"] = 17 * a_pass
    rows += [
        Row(f"  {name}, a question", f"{1000 * value:8.4g} ms", "", True) for name, value in seconds.items()
    ]
    print_rows("Mask bank, one thread", rows)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
