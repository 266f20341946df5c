"""Guided backpropagation through residual networks: from stored masks, and by autograd.

The functions run on one thread, in turn, with random weights; the results are medians of process time:

    python -m benchmarks.way_back
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.timing import interleaved
from lookwhy.towers import Memory, Tower
from lookwhy.towers.relu_rules import guided
from lookwhy.towers.torchvision_nets import build_network

SIDE = 224
NETWORKS = {"resnet18": "layer4", "resnet50": "layer4"}


def by_autograd(network: nn.Module) -> Tower:
    """A tower whose gradients go through autograd, as those of unknown networks do."""
    tower = Tower(network)
    tower.__dict__["_backward"] = None
    return tower


def at_pixels(tower: Tower, image: Tensor, given: Tensor) -> Tensor:
    """Gradients at the pixels for as many questions as there are given gradients."""
    return tower.with_gradients([image], [len(given)], guided)[1](given)


def main() -> None:
    """Print a row for each network and number of questions about one image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds")
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("milliseconds for all questions about an image; differences are relative to the largest gradient")
    print(f"{'network':<10} questions  autograd  masks (gain)  masks on disk (gain)  difference")
    for name, layer in NETWORKS.items():
        network = build_network(name, layer).requires_grad_(False)
        image = torch.rand(3, SIDE, SIDE)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            stored = Tower(network, memory=Memory(Path(folder)))
            towers = {"autograd": by_autograd(network), "masks": Tower(network), "on disk": stored}
            features = stored(image[None])
            for count in (1, 3, 8):
                given = torch.randn(count, *features.shape[1:])
                ways = {way: partial(at_pixels, tower, image, given) for way, tower in towers.items()}
                plain, ours = ways["autograd"](), ways["masks"]()
                taken = interleaved(ways, repeats)
                whole, masks, disk = (1000 * taken[way] for way in ways)
                print(
                    f"{name:<10} {count:9}  {whole:8.0f}  {masks:5.0f} ({whole / masks:.1f})  "
                    f"{disk:13.0f} ({whole / disk:.1f})  {(plain - ours).abs().max() / plain.abs().max():10.0e}"
                )


if __name__ == "__main__":
    main()
