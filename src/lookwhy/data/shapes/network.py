"""The image network of the shapes world: a small VGG-style CNN, trained to name the thing at each place.

Four 3x3 convolutions with pooling reduce a 64x64 picture to a 3x3 grid, one cell for each place. A 1x1 layer
computes the features of each place. In training, a linear layer predicts the pair of shape and colour, the
size and the texture at every place. So each picture gives nine training examples. The features encode shape
and colour together, which questions such as "what color is the cube?" need. The linear layer is discarded
after training.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from lookwhy.data.heap import reused_memory
from lookwhy.data.official import image_name
from lookwhy.data.shapes.scene import COLORS, PLACES, SHAPES, SIZES, TEXTURES
from lookwhy.progress import progress
from lookwhy.towers.shapes_cnn import CHANNELS, RECIPE, build_shapes_cnn

PIXEL_SCALE = 64.0
"""Divisor of the pixel values, which reach +-128; it is part of the weights of the first layer."""

LEARNING_RATE = 3e-3
SPARSENESS = 0.03
"""Weight of the mean feature in the loss."""

PAIRS = len(SHAPES) * len(COLORS)
READINGS = PAIRS + 3
"""Number of logits at a place: each pair of shape and colour, nothing, large, striped."""
BATCH_SIZE = 64
HALVES = 2
"""Parts of a batch; a fixed number, so that the weights do not depend on the number of cores."""


@reused_memory()
def train_shapes_cnn(world: Path, seed: int, epochs: int = 4) -> nn.Sequential:
    """Train the network on the training scenes of a world that `generate_shapes_world` wrote.

    `seed` fixes the initial weights and the order of the scenes. The halves of a batch are computed beside
    each other, on any number of cores.
    """
    images, pairs, marks = _load_scenes(world)
    # Takes a quarter less time than channels first; results differ only by rounding.
    images = images.contiguous(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        cnn, reading = build_shapes_cnn(), nn.Conv2d(CHANNELS, READINGS, 1)
        for name, parameter in cnn.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
    cnn.to(memory_format=torch.channels_last)
    first = next(cnn.parameters())
    first.data.div_(PIXEL_SCALE)
    steps = epochs * -(-len(images) // BATCH_SIZE)
    # The first layer's weights are smaller by PIXEL_SCALE, so Adam's steps must be, too.
    rest = [*list(cnn.parameters())[1:], *reading.parameters()]
    rates = [LEARNING_RATE / PIXEL_SCALE, LEARNING_RATE]
    optimizer = torch.optim.Adam([{"params": [first]}, {"params": rest}], lr=LEARNING_RATE)
    # A cycle of 5 steps has a rise of 1, which OneCycleLR divides by 1 - 1.
    planned = max(steps, 6)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=planned, pct_start=0.2)
    weights, pooled_first = [first, *rest], _pooled_first(cnn)

    def gradients(rows: Int64[Tensor, " B"], places: int, things: int) -> tuple[float, list[Tensor]]:
        """Loss of some scenes of a batch, and its gradients."""
        features = pooled_first(images[rows]).view(-1, CHANNELS, PLACES, PLACES)
        loss = _reading_loss(reading(features), pairs[rows], marks[rows], places, things)
        # Sparse features differ between pictures; features that all pictures share are useless.
        loss = loss + SPARSENESS * features.sum() / (places * CHANNELS)
        return float(loss.detach()), list(torch.autograd.grad(loss, weights))

    bar, usual = progress(desc="training the image network", total=steps), torch.get_num_threads()
    with bar, ThreadPoolExecutor(HALVES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in range(epochs):
            for rows in torch.randperm(len(images), generator=generator).split(BATCH_SIZE):
                places, things = pairs[rows].numel(), int((pairs[rows] < PAIRS).sum())
                parts = pool.map(partial(gradients, places=places, things=things), rows.chunk(HALVES))
                losses, found = zip(*parts, strict=True)
                for parameter, halves in zip(weights, zip(*found, strict=True), strict=True):
                    parameter.grad = sum(halves[1:], halves[0])
                optimizer.step()
                schedule.step()
                bar.update()
                bar.set_postfix(loss=f"{sum(losses):.3f}")
    torch.set_num_threads(usual)  # for threads to come
    return cnn.to(memory_format=torch.contiguous_format).eval()


def _pooled_first(cnn: nn.Sequential) -> nn.Sequential:
    """The same layers with each ReLU after its pooling: the same results from a quarter of the numbers."""
    layers = list(cnn)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.MaxPool2d):
            layers[place - 1], layers[place] = layers[place], layers[place - 1]
    return nn.Sequential(*layers)


def _reading_loss(
    logits: Float[Tensor, "B R 3 3"],
    pairs: Int64[Tensor, "B 3 3"],
    marks: Float[Tensor, "B 2 3 3"],
    places: int,
    things: int,
) -> Float[Tensor, ""]:
    """Cross entropy of the pair at each place, and of size and texture at places with a thing.

    Sums are divided by the numbers of places and things in the whole batch.
    """
    named = F.cross_entropy(logits[:, : PAIRS + 1], pairs, reduction="sum") / places
    there = (pairs < PAIRS)[:, None].expand_as(marks)
    marked = F.binary_cross_entropy_with_logits(logits[:, PAIRS + 1 :][there], marks[there], reduction="sum")
    return named + marked / (things * marks.shape[1])


def _load_scenes(
    world: Path,
) -> tuple[Float[Tensor, "N 3 H W"], Int64[Tensor, "N 3 3"], Float[Tensor, "N 2 3 3"]]:
    """Pictures; the pair at each place (PAIRS if it is empty); whether its thing is large, and striped."""
    scenes = json.loads((world / "scenes_train.json").read_text())
    images = torch.stack(
        [RECIPE.load(world / "images" / image_name("shapes_train", int(i), ".png")) for i in scenes]
    )
    pairs = np.full((len(scenes), PLACES, PLACES), PAIRS)
    marks = np.zeros((len(scenes), 2, PLACES, PLACES), np.float32)
    for number, things in enumerate(scenes.values()):
        for thing in things:
            place = thing["row"], thing["column"]
            color = list(COLORS).index(thing["color"])
            pairs[(number, *place)] = SHAPES.index(thing["shape"]) * len(COLORS) + color
            marks[(number, 0, *place)] = thing["size"] == list(SIZES)[1]
            marks[(number, 1, *place)] = thing["texture"] == TEXTURES[1]
    return images, torch.from_numpy(pairs), torch.from_numpy(marks)
