"""How much of a network's work an occluded cell changes: the most that incremental occlusion could save.

For each convolution the box of places whose values change is counted, with random weights:

    python -m benchmarks.affected
"""

from __future__ import annotations

import argparse

import torch
import torchvision
from torch import Tensor, nn

from lookwhy.towers.incremental import occluded_images

SIDE, GRID = 224, 16
LAYERS = {"vgg19": "features", "resnet18": "layer4", "resnet50": "layer4", "resnet101": "layer4"}


def share_of_work(network: nn.Module, cells: int) -> float:
    """Multiplications of convolutions inside the changed boxes over all of them, mean over `cells` cells."""
    work: list[tuple[int, Tensor]] = []

    def remember(module: nn.Conv2d, _: object, output: Tensor) -> None:
        places = (output[1:] != output[:1]).any(1)
        rows, columns = places.any(2).sum(1), places.any(1).sum(1)
        each = module.weight[0].numel() * output.shape[1]
        work.append((each * output[0, 0].numel(), each * (rows * columns).double().mean()))

    hooks = [one.register_forward_hook(remember) for one in network.modules() if isinstance(one, nn.Conv2d)]
    image = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    chosen = torch.linspace(0, GRID**2 - 1, cells).long()
    copies = occluded_images(image, GRID, torch.zeros(3), slice(0, GRID**2))[chosen]
    with torch.no_grad():
        network(torch.cat([image[None], copies]))
    for hook in hooks:
        hook.remove()
    return float(sum(changed for _, changed in work) / sum(whole for whole, _ in work))


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=8, help="cells that are occluded, evenly over the image")
    cells = parser.parse_args().cells
    print(f"{SIDE} x {SIDE} pixels, {GRID} x {GRID} cells, {cells} of them occluded")
    for name, last in LAYERS.items():
        torch.manual_seed(0)
        network = torchvision.models.get_model(name, weights=None).eval()
        names = [child for child, _ in network.named_children()]
        for child in names[names.index(last) + 1 :]:
            setattr(network, child, nn.Identity())
        share = share_of_work(network, cells)
        print(
            f"{name:<10} {share:6.1%} of the multiplications change: at most {1 / share:.1f} times less work"
        )


if __name__ == "__main__":
    main()
