"""Importance maps on a GPU: their cost beside other implementations, and their agreement with a CPU's."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks.gpu.clock import Clock, ms, tf32
from benchmarks.gpu.waits import recorded_waits
from benchmarks.networks import FILL, GRID, picture, questions, width_of
from benchmarks.timing import Row
from lookwhy import stopwatch
from lookwhy.attribution import GuidedBackprop, Occlusion, explaining
from lookwhy.attribution.base import Attributor, images_of
from lookwhy.models import Pipeline
from lookwhy.towers import Memory, Tower, winograd
from lookwhy.towers.incremental import plain_occlusion
from lookwhy.towers.precision import true_float32
from lookwhy.towers.relu_rules import guided, relu_rule
from lookwhy.towers.winograd import FullConvolution, Scratch
from lookwhy.types import VQABatch

IMAGES = 32
BARS = {"occlusion": 0.050, "one": 0.0012, "three": 0.0007, "cached": 0.002}
"""Most seconds that are accepted, on an H200."""


def batch_of(images: list[Tensor], of_each: int, width: int) -> VQABatch:
    """Questions with pixels, `of_each` about every image."""
    asked = questions(len(images) * of_each, width)
    numbers = torch.arange(len(images)).repeat_interleave(of_each)
    return VQABatch(
        question_ids=asked.question_ids,
        tokens=asked.tokens,
        lengths=asked.lengths,
        labels=asked.labels,
        image_ids=numbers,
        images=torch.stack(images)[numbers],
        questions=["what color is the cat on the mat"] * len(numbers),
        answers=[["blue"] * 10] * len(numbers),
    )


def below(name: str, seconds: float, key: str, peer: float | None = None) -> Row:
    """A row with a bar in seconds, and how many times faster than a peer this is."""
    ratio = f"   ({peer / seconds:.1f} x)" if peer else ""
    return Row(name, f"{ms(seconds)}{ratio}", f"<= {ms(BARS[key])}", seconds <= BARS[key])


def occlusion(clock: Clock, cnn: nn.Module, image: Tensor) -> list[Row]:
    """The features of 256 occluded images, beside plain forward passes and, if it is installed, Captum."""
    tower, fill = Tower(cnn), FILL.to(image)
    best, name = _best_plain(clock, cnn, image, fill)
    rows = []
    for by, function in _captum(cnn, image).items():
        peer = clock.once(function)
        rows.append(Row(f"occlusion of an image by Captum, {by}, float32", ms(peer), "", True))
        if peer < best:
            best, name = peer, f"Captum, {by}"
    with true_float32():
        ours = clock.median(lambda: tower.occluded(image, GRID, fill))
    rows.append(Row(f"occlusion of an image by the fastest other way ({name}), float32", ms(best), "", True))
    rows.append(below("occlusion of an image, float32", ours, "occlusion", best))
    with tf32():
        plain = clock.median(lambda: plain_occlusion(cnn, image, GRID, fill, GRID * GRID))
    rows.append(Row("the plain way in TF32, which no analysis uses", ms(plain), "", True))
    return rows


def _best_plain(clock: Clock, cnn: nn.Module, image: Tensor, fill: Tensor) -> tuple[float, str]:
    found = {}
    with true_float32():
        for size in (64, 256):
            found[f"plain passes of {size}"] = clock.median(
                partial(plain_occlusion, cnn, image, GRID, fill, size)
            )
    name = min(found, key=lambda one: found[one])
    return found[name], name


def _captum(cnn: nn.Module, image: Tensor) -> dict[str, Callable[[], object]]:
    try:
        import captum.attr
    except ImportError:
        return {}
    method, cell = captum.attr.Occlusion(lambda x: cnn(x)[:, 0]), image.shape[1] // GRID
    sides = {"sliding_window_shapes": (3, cell, cell), "strides": (3, cell, cell)}

    @true_float32()
    def attribute(size: int) -> object:
        return method.attribute(image[None], perturbations_per_eval=size, **sides)

    return {f"{size} at once": partial(attribute, size) for size in (32, 64, 128)}


def guided_backprop(clock: Clock, model: Pipeline, image_size: int) -> list[Row]:
    """Maps of 32 questions about as many images, and of three about each, beside autograd in one batch."""
    device, images = clock.device, [picture(image_size, seed) for seed in range(IMAGES)]
    width, method, network = width_of(model), GuidedBackprop(), model.tower.network
    asked = {of_each: batch_of(images, of_each, width).to(device) for of_each in (1, 3)}

    def by_autograd() -> Tensor:
        batch = asked[1]
        pixels = images_of(batch, "a peer").clone().requires_grad_()
        with relu_rule(network, guided):
            logits = model.head(network(pixels), batch.tokens, batch.lengths)
            (found,) = torch.autograd.grad(logits.softmax(1)[:, 0].sum(), pixels)
        return found

    with explaining(model):
        peer = clock.median(by_autograd) / IMAGES
        one, three = (clock.median(partial(_explain, method, model, asked[n])) / (n * IMAGES) for n in (1, 3))
    return [
        Row(f"autograd in one batch of {IMAGES} images, a question", ms(peer), "", True),
        below(f"guided backpropagation, {IMAGES} questions on {IMAGES} images, each", one, "one", peer),
        below("the same, 3 questions an image, each", three, "three", peer),
    ]


def _explain(method: Attributor, model: Pipeline, batch: VQABatch) -> Tensor:
    return method(model, batch, torch.zeros_like(batch.labels)).values


def from_the_cache(clock: Clock, model: Pipeline, image_size: int, pairs: int) -> list[Row]:
    """Occlusion of pairs whose occluded features are stored."""
    device, width = clock.device, width_of(model)
    images = [picture(image_size, seed) for seed in range(pairs)]
    batch = batch_of(images, 1, width).to(device)
    with tempfile.TemporaryDirectory() as folder, explaining(model):
        stored = Pipeline(Tower(model.tower.network, memory=Memory(Path(folder))), model.head)
        once = partial(_explain, Occlusion(GRID), stored, batch)
        seconds, parts = clock.median(once) / pairs, dict[str, float]()
        with recorded_waits() as waits:
            once()
        with stopwatch.recording(parts):
            own = time.thread_time()
            once()
            own = (time.thread_time() - own) / pairs
    return [
        below("occlusion of a pair from the cache", seconds, "cached"),
        # The rest of its time it waits for the device.
        Row("of it work of Python's thread", ms(own), "", True),
        Row("of it waiting for a file", ms(parts["reading"] / pairs), "", True),
        Row("waits for the GPU in such a pair", f"{len(waits) / pairs:.2f}", "", True),
    ]


def layouts(clock: Clock, cnn: nn.Module, image_size: int) -> list[Row]:
    """Plain forward passes in each order of the channels, with and without cuDNN's search: what could be faster."""
    images = torch.stack([picture(image_size, seed) for seed in range(IMAGES)]).to(clock.device)
    rows, before = [], torch.backends.cudnn.benchmark
    for name, form in (("channels first", torch.contiguous_format), ("channels last", torch.channels_last)):
        laid, network = images.contiguous(memory_format=form), cnn.to(memory_format=form)
        for search in (False, True):
            torch.backends.cudnn.benchmark = search
            with torch.no_grad(), true_float32():
                seconds = clock.median(partial(network, laid)) / IMAGES
            searched = "cuDNN's search" if search else "cuDNN's first choice"
            rows.append(
                Row(f"forward pass of {IMAGES} images, {name}, {searched}, each", ms(seconds), "", True)
            )
    torch.backends.cudnn.benchmark = before
    cnn.to(memory_format=torch.contiguous_format)
    return rows


WINDOWS = ((64, 34), (128, 24), (256, 20), (512, 14))
"""Channels, and the side of the windows that the occlusion of a cell changes there, in each part of VGG-19."""


@torch.no_grad()
def convolutions(clock: Clock, windows: int) -> list[Row]:
    """A 3x3 convolution of all windows of an occlusion: by cuDNN in both layouts, and by Winograd's method."""
    rows = []
    for channels, side in WINDOWS:
        layer = nn.Conv2d(channels, channels, 3, bias=False).to(clock.device)
        maps = torch.randn(windows, channels, side, side, device=clock.device)
        last = maps.to(memory_format=torch.channels_last)
        full = FullConvolution(layer.weight, Scratch())
        ways = {
            "channels first": partial(layer, maps),
            "channels last": partial(layer.to(memory_format=torch.channels_last), last),
            "Winograd": partial(full, last.permute(0, 2, 3, 1)),
        }
        with true_float32(), mock.patch.object(winograd, "TILES_AT_ONCE", 1 << 15):
            times = ", ".join(f"{name} {ms(clock.median(way))}" for name, way in ways.items())
        rows.append(
            Row(f"convolution of {windows} windows, {channels} channels, {side} x {side}", times, "", True)
        )
    return rows


def agreement(
    clock: Clock, model: Pipeline, methods: list[Attributor], image_size: int, count: int
) -> list[Row]:
    """Smallest Spearman correlation of magnitudes between this device's maps and the CPU's, by method."""
    batch = batch_of([picture(image_size, seed) for seed in range(count)], 1, width_of(model))
    rows = []
    with explaining(model):
        features = model.features(images_of(batch, "features").to(clock.device)).cpu()
        here = [_explain(method, model, batch.to(clock.device)) for method in methods]
        model.cpu()
        expected = model.features(images_of(batch, "features"))
        there = [_explain(method, model, batch) for method in methods]
        model.to(clock.device)
    difference = float((features - expected).abs().max() / expected.abs().max())
    rows.append(
        Row(
            "features: largest difference to the CPU's, relative",
            f"{difference:.1e}",
            "<= 1e-5",
            difference <= 1e-5,
        )
    )
    for method, ours, cpus in zip(methods, here, there, strict=True):
        pairs = zip(ours.flatten(1).abs(), cpus.flatten(1).abs(), strict=True)
        lowest = min(float(spearmanr(one, other).statistic) for one, other in pairs)
        name = (
            f"{method.name.replace('_', ' ')}: lowest Spearman correlation with the CPU's map, {count} images"
        )
        rows.append(Row(name, f"{lowest:.6f}", "> 0.9999", lowest > 0.9999))
    return rows
