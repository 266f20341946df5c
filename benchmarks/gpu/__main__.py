"""Everything that a GPU should speed up, in one table: maps, features, training, analyses, and the CPU's numbers.

    python -m benchmarks.gpu [--device cuda] [--quick] [--only PART ...]

Takes about four minutes and 2 GB of disk in a temporary folder. Needs no network; Captum is a peer if it is
installed. Networks have their real sizes and random weights; the bars are those of an H200.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.__main__ import machine
from benchmarks.gpu import maps, runs
from benchmarks.gpu.clock import Clock
from benchmarks.networks import head, picture, small_vgg, vgg
from benchmarks.synthetic import Size
from benchmarks.timing import Row, print_rows
from lookwhy.attribution import (
    LIME,
    RISE,
    Deconvnet,
    GradCAM,
    Gradient,
    GradientTimesInput,
    GuidedBackprop,
    GuidedGradCAM,
    IntegratedGradients,
    KernelSHAP,
    Occlusion,
    SmoothGrad,
)
from lookwhy.models import Pipeline

FULL = Size(1_900, 100, 215_375, 300, 4096, 12_602, 1_000)
SMALL = Size(6, 3, 40, 6, 128, 50, 30)
SMALL_SIDE = 32
SMALL_HEAD = {"embedding_size": 8, "hidden_size": 8, "common_size": 8}


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0 if every bar is met."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="device to measure (cuda)")
    parser.add_argument("--quick", action="store_true", help="small sizes, for which the bars mean nothing")
    parser.add_argument(
        "--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="parts to measure"
    )
    options = parser.parse_args(argv)
    device, start = torch.device(options.device), time.monotonic()
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no GPU that PyTorch can use: nothing is measured")
        return 2
    warnings.filterwarnings("ignore")
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{card}; {machine()}", flush=True)
    clock, rows = Clock(device, 1 if options.quick else 5), list[Row]()
    with tempfile.TemporaryDirectory(prefix="lookwhy-gpu-", ignore_cleanup_errors=True) as folder:
        for part in options.only:
            for measure in PARTS[part](clock, options.quick, Path(folder)):
                found = _rows_of(measure)
                # At once, because a machine may be lent for minutes only.
                print("".join(f"{row.name}: {row.measured}\n" for row in found), end="", flush=True)
                rows += found
    title = "small sizes: NOT A MEASUREMENT" if options.quick else f"On one {card}"
    print_rows(f"{title}, {time.monotonic() - start:.0f} s", rows)
    return 0 if options.quick or all(row.met for row in rows) else 1


Measure = Callable[[], list[Row]]


def _rows_of(measure: Measure) -> list[Row]:
    """The rows of a measurement; one that says why, if it failed, so that the others are not lost."""
    try:
        return measure()
    except Exception as error:
        traceback.print_exc()
        function = measure.func if isinstance(measure, partial) else measure
        return [Row(function.__name__, f"failed: {type(error).__name__}", "measured", False)]


def _maps(clock: Clock, quick: bool, folder: Path) -> Iterator[Measure]:
    cnn, size = (small_vgg(), SMALL_SIDE) if quick else (vgg(), 224)
    model = Pipeline(cnn, head(128 if quick else 4096, quick)).to(clock.device)
    yield partial(maps.occlusion, clock, cnn, picture(size).to(clock.device))
    yield partial(maps.guided_backprop, clock, model, size)
    yield partial(maps.from_the_cache, clock, model, size, 4 if quick else 100)


def _agreement(clock: Clock, quick: bool, folder: Path) -> Iterator[Measure]:
    cnn, size = (small_vgg(), SMALL_SIDE) if quick else (vgg(), 224)
    model = Pipeline(cnn, head(128 if quick else 4096, quick)).to(clock.device)
    # Few samples where a GPU computes each as it computes the others: a CPU takes long.
    methods = [
        GuidedBackprop(), Gradient(), Deconvnet(), Occlusion(), GradCAM(), GuidedGradCAM(), GradientTimesInput(),
        IntegratedGradients(), SmoothGrad(samples=4), RISE(samples=64, cells=4),
        LIME(samples=64, cells=4), KernelSHAP(samples=64, cells=4),
    ]  # fmt: skip
    yield partial(maps.agreement, clock, model, methods, size, 2)


def _layouts(clock: Clock, quick: bool, folder: Path) -> Iterator[Measure]:
    network = (small_vgg() if quick else vgg()).to(clock.device)
    yield partial(maps.convolutions, clock, 4 if quick else 256)
    yield partial(maps.layouts, clock, network, SMALL_SIDE if quick else 224)


def _runs(clock: Clock, quick: bool, folder: Path) -> Iterator[Measure]:
    data = runs.Data(folder, SMALL if quick else FULL, quick)
    more = [f"--model.head.init_args.{name}={size}" for name, size in SMALL_HEAD.items()] if quick else []
    yield partial(runs.features, clock, data)
    yield partial(runs.training, clock, data, 4 if quick else 3_000, more)
    if clock.device.type == "cuda":
        yield partial(runs.training, clock, data, 600, ["--model.cuda_graph=false"])
    yield partial(runs.analyses, clock, data, SMALL_HEAD if quick else {})


PARTS: dict[str, Callable[[Clock, bool, Path], Iterator[Measure]]] = {
    "maps": _maps,
    "agreement": _agreement,
    "layouts": _layouts,
    "runs": _runs,
}


if __name__ == "__main__":
    raise SystemExit(main())
