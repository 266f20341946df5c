"""Where Grad-CAM cuts an image network: behind the last ReLU whose output is still maps."""

from __future__ import annotations

from itertools import takewhile

from torch import nn

from lookwhy.errors import LookwhyError
from lookwhy.towers.windows import MIXING, flat


def split_at_last_maps(network: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """The layers up to the last ReLU before a layer that mixes all places, and the layers after it.

    Raises:
        LookwhyError: the network is no sequence of layers, or none of its maps comes from a ReLU.

    Example:
        >>> front, rest = split_at_last_maps(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()))
        >>> len(front), len(rest)
        (2, 1)
    """
    layers = flat(network)
    before = takewhile(lambda layer: not isinstance(layer, MIXING), layers)
    cuts = [number + 1 for number, layer in enumerate(before) if isinstance(layer, nn.ReLU)]
    if not cuts or not isinstance(network, nn.Sequential):
        raise LookwhyError(
            "expected an image network that is an nn.Sequential with an nn.ReLU after its convolutions, "
            f"found {type(network).__name__}; Grad-CAM needs the maps of that ReLU"
        )
    return nn.Sequential(*layers[: cuts[-1]]), nn.Sequential(*layers[cuts[-1] :])
