"""Networks of the real sizes with random weights, which take as much time as trained weights, and questions."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.models import DeeperLSTM, Pipeline, VQAHead
from lookwhy.types import VQABatch

IMAGE_SIZE, GRID = 224, 16
FILL = torch.zeros(3)  # the patch is the mean pixel, which the recipe subtracts


def vgg(name: str = "vgg19") -> nn.Sequential:
    """VGG up to fc7, in eval mode and frozen."""
    torch.manual_seed(0)
    # Build without weights first: torchvision's random weights would take as long as a measurement.
    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    layers = nn.Sequential(network.features, network.avgpool, nn.Flatten(), network.classifier[:5])
    layers.to_empty(device="cpu")
    for layer in layers.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=(2 / fan_in) ** 0.5)
            nn.init.normal_(cast(Tensor, layer.bias), std=0.01)
        elif isinstance(layer, nn.Dropout):
            layer.inplace = False
    return layers.eval().requires_grad_(False)


def small_vgg() -> nn.Sequential:
    """A network of the same kind that takes milliseconds, for the quick mode."""
    torch.manual_seed(0)
    channels, layers = [3, 32, 32, 64, 64], []
    for before, after in zip(channels, channels[1:], strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if before == after else []
    network = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU()
    )
    return network.eval().requires_grad_(False)


def picture(size: int = IMAGE_SIZE, seed: int = 0) -> Float[Tensor, "3 H W"]:
    """Noise with the spread of a picture's pixels minus the mean pixel."""
    return 60 * torch.randn(3, size, size, generator=torch.Generator().manual_seed(seed))


def head(image_dim: int, small: bool = False) -> DeeperLSTM:
    """The untrained head of the original project."""
    torch.manual_seed(0)
    e, h, c = (20, 16, 32) if small else (200, 512, 1024)
    return DeeperLSTM(12_000, 1_000, image_dim, embedding_size=e, hidden_size=h, common_size=c).eval()


def questions(count: int, image_dim: int, seed: int = 0) -> VQABatch:
    """Random questions, as long as those of VQA v1, each about another image."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.normal(6.2, 2.0, count).round(), 2, 26).astype(np.int64)
    tokens = np.zeros((count, 26), np.int64)
    for row, length in enumerate(lengths):
        tokens[row, :length] = random.integers(1, 12_000, length)
    return VQABatch(
        question_ids=torch.arange(count),
        tokens=torch.from_numpy(tokens),
        lengths=torch.from_numpy(lengths),
        labels=torch.zeros(count, dtype=torch.int64),
        image_ids=torch.arange(count),
        features=torch.from_numpy(random.random((count, image_dim), np.float32)),
    )


def width_of(model: Pipeline) -> int:
    """Width of the image features."""
    assert isinstance(model.head, VQAHead)
    return int(model.head.settings["image_dim"])
