"""Occlusion, guided backpropagation and the word methods, beside Captum and beside a plain implementation.

    python -m benchmarks.attribution [--full] [--quick]

The functions run on one thread, in turn; the results are medians of process time. Captum's and the plain
occlusion take one forward pass for each cell. Without --full, only some of these passes are timed, and their
time is scaled to all cells.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import captum.attr
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from benchmarks.networks import FILL, GRID, head, picture, questions, small_vgg, vgg, width_of
from benchmarks.timing import Row, interleaved, print_rows
from lookwhy.attribution import IncrementalOcclusion, Occlusion, WordDrop, WordGradient
from lookwhy.data.heap import reused_memory
from lookwhy.models import Pipeline
from lookwhy.towers import Memory, Tower
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.incremental import occluded_images
from lookwhy.towers.relu_rules import guided
from lookwhy.types import VQABatch

PAIRS = 1374
"""Number of (question, image) pairs in the validation part of VQA-HAT, the data of the paper's Table 1."""
CELLS = GRID * GRID


def ratio(name: str, ours: float, theirs: float, bar: float, scale: str = "s") -> Row:
    """Ratio of the seconds of another implementation to ours."""
    factor = 1000 if scale == "ms" else 1
    measured = f"{theirs / ours:8.1f} x   ({factor * theirs:.4g} {scale} : {factor * ours:.4g} {scale})"
    return Row(name, measured, f">= {bar:g} x", theirs / ours >= bar)


def occlusion(cnn: nn.Sequential, image: Tensor, full: bool, repeats: int) -> tuple[list[Row], float]:
    """Ratios for the features of 256 occluded images, and Captum's seconds for them."""
    ours = IncrementalOcclusion(cnn, GRID, FILL)
    passes = 0

    def forward(x: Tensor) -> Tensor:
        nonlocal passes
        passes += len(x)
        return cnn(x)[:, 0]

    by_hand = captum.attr.Occlusion(forward)
    # A forward pass costs the same for any occlusion, so larger and fewer cells save time.
    cell = image.shape[1] // (GRID if full else 3)

    def with_captum() -> None:
        nonlocal passes
        passes = 0
        by_hand.attribute(image[None], (3, cell, cell), strides=(3, cell, cell), perturbations_per_eval=1)

    rows_last = image[None].contiguous(memory_format=torch.channels_last)[0]
    some = CELLS if full else 8

    def plainly(batch: int) -> None:
        with torch.no_grad():
            for start in range(0, some, batch):
                images = occluded_images(rows_last, GRID, FILL, slice(start, start + batch))
                cnn(images.contiguous(memory_format=torch.channels_last))

    batches = interleaved({str(batch): partial(plainly, batch) for batch in (1, 2, 4, 8)}, 1)
    best = int(min(batches, key=lambda batch: batches[batch]))
    times = interleaved(
        {"ours": lambda: ours(image), "captum": with_captum, "plain": lambda: plainly(best)}, repeats
    )
    captums, plains = times["captum"] * (CELLS + 1) / passes, times["plain"] * CELLS / some
    rows = [
        ratio("occlusion of an image, against Captum", times["ours"], captums, 14),
        ratio(f"the same, against plain batches of {best}", times["ours"], plains, 10),
    ]
    return rows, captums


@torch.no_grad()
def exactness(cnn: nn.Sequential, image: Tensor, every: int) -> list[Row]:
    """Largest difference to the features of the full forward pass, beside the rounding error of that pass."""
    ours = IncrementalOcclusion(cnn, GRID, FILL)(image)
    chosen = range(0, CELLS, every)
    images = torch.cat([occluded_images(image, GRID, FILL, slice(i, i + 1)) for i in chosen])
    single = torch.cat([cnn(one[None]) for one in images])
    double = cnn.double()
    exact = torch.cat([double(one[None].double()) for one in images])
    cnn.float()
    error = float((single - exact).abs().max())
    difference = float((ours[list(chosen)] - single).abs().max())
    measured = f"{difference / error:8.2f} x   ({difference:.2g} : {error:.2g}, {len(chosen)} cells)"
    return [
        Row(
            "largest difference to the full pass : its own error", measured, "<= 2 x", difference <= 2 * error
        )
    ]


def backwards(cnn: nn.Sequential, image: Tensor, repeats: int) -> list[Row]:
    """One guided backward pass from stored masks, beside Captum's guided backpropagation."""
    back, by_hand = BackwardPass(cnn), captum.attr.GuidedBackprop(cnn)
    packed = back.forward(image[None]).pack()
    features = packed["features"].shape[1]
    one = torch.zeros(1, features).index_fill_(1, torch.tensor([5]), 1.0)
    three = one.expand(3, -1)
    pixels = image[None].clone().requires_grad_()

    def ours(gradients: Tensor) -> Tensor:
        return back.backward(back.unpack(packed, image), gradients, guided, image)

    times = interleaved(
        {
            "ours": lambda: ours(one),
            "three": lambda: ours(three),
            "captum": lambda: by_hand.attribute(pixels, 5),
        },
        repeats,
    )
    cnn.double()
    exact, expected = BackwardPass(cnn), by_hand.attribute(image[None].double().requires_grad_(), 5)
    precise = image.double()
    found = exact.backward(exact.forward(precise[None]), one.double(), guided, precise)
    error = float((found - expected).abs().max() / expected.abs().max())
    cnn.float()
    return [
        ratio("guided backpropagation, one question, against Captum", times["ours"], times["captum"], 2.5),
        ratio("the same, of three questions about an image, each", times["three"] / 3, times["captum"], 3),
        Row("its difference to Captum's in float64, relative", f"{error:8.1e}", "<= 1e-10", error <= 1e-10),
    ]


def words(model: Pipeline, count: int, alone: int) -> list[Row]:
    """Word drop and word gradient of all questions at once, beside one question at a time."""
    batch = questions(count, width_of(model))
    target = torch.zeros(count, dtype=torch.int64)

    def one(row: int, tokens: Int64[Tensor, " L"]) -> VQABatch:
        assert batch.features is not None
        return VQABatch(
            question_ids=batch.question_ids[row : row + 1],
            tokens=tokens[None],
            lengths=torch.tensor([len(tokens)]),
            labels=batch.labels[:1],
            image_ids=batch.image_ids[row : row + 1],
            features=batch.features[row : row + 1],
        )

    @torch.no_grad()
    def drop_one_by_one() -> None:
        for row in range(alone):
            asked = batch.tokens[row, : batch.lengths[row]]
            for place in range(-1, len(asked)):
                left = torch.cat([asked[:place], asked[place + 1 :]]) if place >= 0 else asked
                single = one(row, left)
                model.head(single.features, single.tokens, single.lengths).double().softmax(1)

    def gradients_one_by_one() -> None:
        for row in range(alone):
            WordGradient()(model, one(row, batch.tokens[row, : batch.lengths[row]]), target[:1])

    times = interleaved(
        {
            "drop": lambda: WordDrop()(model, batch, target),
            "drop alone": drop_one_by_one,
            "gradient": lambda: WordGradient()(model, batch, target),
            "gradient alone": gradients_one_by_one,
        },
        1,
    )
    scale = count / alone
    return [
        ratio(
            f"word drop of {count:,} questions, against one by one",
            times["drop"],
            scale * times["drop alone"],
            10,
        ),
        ratio(
            "gradient of their words, against one by one",
            times["gradient"],
            scale * times["gradient alone"],
            10,
        ),
    ]


def epoch_from_cache(
    cnn: nn.Sequential, model: Pipeline, images: list[Tensor], pairs: int, captums: float, folder: Path
) -> list[Row]:
    """Occlusion of one epoch's pairs from stored features of the occluded images."""
    method = Occlusion(GRID)
    remembering = Pipeline(Tower(cnn, memory=Memory(folder)), model.head)
    batch = questions(pairs, width_of(model))
    target = torch.zeros(pairs, dtype=torch.int64)
    rounded = explain_all(method, remembering, batch, target, images)  # fills the cache
    start = time.process_time()
    explain_all(method, remembering, batch, target, images)
    spent = time.process_time() - start
    exact = explain_all(method, model, batch.to("cpu"), target, images[:1], 1)
    error = float((rounded[:1] - exact).abs().max() / exact.abs().max())
    all_pairs = spent / pairs * PAIRS
    return [
        ratio(
            f"occlusion of {PAIRS:,} pairs from the cache, against Captum", all_pairs, captums * PAIRS, 2000
        ),
        Row("error of a decrease by half precision : the largest", f"{error:8.1e}", "<= 1e-3", error <= 1e-3),
    ]


def explain_all(
    method: Occlusion, model: Pipeline, batch: VQABatch, target: Tensor, images: list[Tensor], count: int = 0
) -> Float[Tensor, "N G G"]:
    """The map of each question; successive questions are about successive images."""
    maps = []
    for row in range(count or len(batch)):
        single = VQABatch(
            question_ids=batch.question_ids[row : row + 1],
            tokens=batch.tokens[row : row + 1],
            lengths=batch.lengths[row : row + 1],
            labels=batch.labels[row : row + 1],
            image_ids=batch.image_ids[row : row + 1],
            images=images[row % len(images)][None],
        )
        maps.append(method(model, single, target[row : row + 1]).values)
    return torch.cat(maps)


def measure(options: argparse.Namespace) -> list[Row]:
    """All rows of the table."""
    cnn = small_vgg() if options.quick else vgg()
    image = picture(96 if options.quick else 224)
    model = Pipeline(cnn, head(128 if options.quick else 4096, options.quick))
    rows, captums = occlusion(cnn, image, options.full, options.repeats)
    # Measure now: later parts hold networks in float64.
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows.append(Row("peak memory of the three of them", f"{memory:8.2f} GB", "< 4 GB", memory < 4))
    rows += exactness(cnn, image, 64 if options.quick else 1 if options.full else 17)
    with tempfile.TemporaryDirectory() as folder:
        pictures = [picture(image.shape[1], seed) for seed in range(3)]
        pairs = 6 if options.quick else PAIRS if options.full else 60
        rows += epoch_from_cache(cnn, model, pictures, pairs, captums, Path(folder))
    rows += backwards(cnn, image, options.repeats + 2)
    rows += words(model, 30 if options.quick else PAIRS, 5 if options.quick else 60)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0 if every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attribution", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="time every cell of the slow implementations; takes an hour"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a small network, for which the bars mean nothing"
    )
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
    # An analysis uses freed memory again; here all ways do.
    with reused_memory():
        rows = measure(options)
    print_rows("Attribution, one thread", rows)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
