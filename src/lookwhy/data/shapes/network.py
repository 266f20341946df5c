"""The image network of the shapes world: a small VGG-style CNN, trained to name what stands where.

Four 3x3 convolutions with pooling bring a 64x64 picture to a 3x3 grid, one cell a place; a 1x1 layer
gives each place its features. Training hangs a linear reading of shape x colour, size and texture on
every place, so each picture counts as nine examples and the features hold shape AND colour together:
what a question such as "what color is the cube?" needs. The reading is thrown away afterwards.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from lookwhy.data.official import image_name
from lookwhy.data.shapes.scene import COLORS, PLACES, SHAPES, SIZES, TEXTURES
from lookwhy.towers.shapes_cnn import CHANNELS, RECIPE, build_shapes_cnn

PIXEL_SCALE = 64.0
"""Pixels of the recipe reach +-128: divided by this inside the first layer's weights."""

LEARNING_RATE = 3e-3
SPARSENESS = 0.03
"""Weight of the mean activity of the features in the loss."""

PAIRS = len(SHAPES) * len(COLORS)
READINGS = PAIRS + 1 + 1 + 1
"""Logits read from a place: each shape x colour pair or nothing, large, striped."""


def train_shapes_cnn(world: Path, seed: int, epochs: int = 4, progress: bool = True) -> nn.Sequential:
    """Train the network on the training scenes of a generated world; deterministic by seed.

    Args:
        world: folder that `generate_shapes_world` wrote.
        seed: of initialisation and order.
        epochs: passes over the scenes.
        progress: show a bar where stderr is a terminal.
    """
    images, pairs, marks = _load_scenes(world)
    # A quarter less time than with channels first; what is learned is the same but for rounding.
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
    batch_size = 64
    steps = epochs * -(-len(images) // batch_size)
    # The first layer's weights are small by PIXEL_SCALE, and Adam's steps must be, too.
    rest = [*list(cnn.parameters())[1:], *reading.parameters()]
    rates = [LEARNING_RATE / PIXEL_SCALE, LEARNING_RATE]
    optimizer = torch.optim.Adam([{"params": [first]}, {"params": rest}], lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=0.2)
    bar = tqdm(total=steps, desc="training the image network", disable=None if progress else True)
    with bar:
        for _ in range(epochs):
            for rows in torch.randperm(len(images), generator=generator).split(batch_size):
                features = cnn(images[rows]).view(-1, CHANNELS, PLACES, PLACES)
                loss = _reading_loss(reading(features), pairs[rows], marks[rows])
                # Sparse features differ from picture to picture; what they share a head cannot use.
                loss = loss + SPARSENESS * features.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
                bar.set_postfix(loss=f"{float(loss.detach()):.3f}")
    return cnn.to(memory_format=torch.contiguous_format).eval()


def _reading_loss(
    logits: Float[Tensor, "B R 3 3"], pairs: Int64[Tensor, "B 3 3"], marks: Float[Tensor, "B 2 3 3"]
) -> Float[Tensor, ""]:
    """Cross entropy of what stands at each place; of size and texture where something stands."""
    named = F.cross_entropy(logits[:, : PAIRS + 1], pairs)
    there = (pairs < PAIRS)[:, None].expand_as(marks)
    return named + F.binary_cross_entropy_with_logits(logits[:, PAIRS + 1 :][there], marks[there])


def _load_scenes(
    world: Path,
) -> tuple[Float[Tensor, "N 3 H W"], Int64[Tensor, "N 3 3"], Float[Tensor, "N 2 3 3"]]:
    """Pictures, the pair at each place (PAIRS where nothing stands), and large/striped at each place."""
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
