"""The outputs of a layer that can change if some of its inputs change, for common types of layers.

Along one axis, output o of a layer with kernel k, stride s and padding p reads the inputs from o*s - p
up to, but not including, o*s - p + k. If the inputs [a, b) change, the outputs that may change are
those with o*s - p + k > a and o*s - p < b::

    outputs  [ max(0, floor((a + p - k) / s) + 1),  min(size, floor((b - 1 + p) / s) + 1) )  =  [c, d)
    inputs   [ c*s - p,  (d - 1)*s - p + k )

where k includes the holes of a dilated kernel. To compute these outputs, the clean map is padded once as the
layer pads it (0, or -inf for max pooling) and cropped to the inputs that are read. The changed values are
written over the crop. The layer then runs on the crop without padding, so borders are exact, too. The rules
for rows and for columns are the same.
"""

from __future__ import annotations

import copy
from itertools import pairwise, product, takewhile
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
POINTWISE = (nn.ReLU, nn.BatchNorm2d, nn.Dropout, nn.Identity)
MIXING = (nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear)

Box = tuple[range, range]
"""Rows and columns of a map."""


def cell_edges(length: int, grid: int) -> list[int]:
    """Edges of the cells along an axis: cell i is the pixels [edges[i], edges[i + 1]).

    The edges are round(i * length / grid), with half rounded to even, so any grid fits any length. The sizes
    of cells differ by a pixel if the grid does not divide the length. Some cells are empty if there are more
    cells than pixels.
    """
    return [round(i * length / grid) for i in range(grid + 1)]


def cell_spans(length: int, grid: int) -> list[range]:
    """The pixels of each cell along an axis."""
    return [range(*pair) for pair in pairwise(cell_edges(length, grid))]


def cell_boxes(image: Float[Tensor, "3 H W"], grid: int) -> list[Box]:
    """Rows and columns of each cell of an image, row-major."""
    rows, columns = (cell_spans(length, grid) for length in image.shape[1:])
    return list(product(rows, columns))


def membership(length: int, grid: int, like: Tensor) -> Float[Tensor, "G L"]:
    """1 where a pixel along an axis belongs to a cell, else 0; with the type and device of `like`."""
    result = like.new_zeros(grid, length)
    for cell, pixels in zip(result, cell_spans(length, grid), strict=True):
        cell[pixels.start : pixels.stop] = 1
    return result


def sums_over_cells(values: Float[Tensor, "B H W"], grid: int) -> Float[Tensor, "B G G"]:
    """Sum of the values in each cell; each pixel belongs to one cell."""
    rows, columns = (membership(length, grid, values) for length in values.shape[1:])
    return torch.einsum("gh,bhw,kw->bgk", rows, values, columns)


class Stage(NamedTuple):
    """A layer that reads windows (kernel 1 for a pointwise layer), and the pointwise layers after it.

    Maps are (H, W, C), because then crops are copied in long runs and convolutions are fastest.
    """

    layers: tuple[nn.Module, ...]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    def pad(self, clean: Float[Tensor, "H W C"]) -> Float[Tensor, "H2 W2 C"]:
        """Add the layer's own padding to a map."""
        value = float("-inf") if isinstance(self.layers[0], nn.MaxPool2d) else 0.0
        down, across = self.padding
        return F.pad(clean, (0, 0, across, across, down, down), value=value)

    def changed(self, box: Box, after: Tensor) -> Box:
        """Part of the map `after` that can change if `box` changes: [c, d) in the module's docstring."""
        return self.span(0, box[0], after.shape[0]), self.span(1, box[1], after.shape[1])

    def span(self, axis: int, inputs: range, size: int) -> range:
        """Outputs that can change if `inputs` change, along an axis with `size` outputs; empty if none."""
        k, s, p = self.kernel[axis], self.stride[axis], self.padding[axis]
        if not inputs:
            return inputs
        return range(max(0, (inputs.start + p - k) // s + 1), min(size, (inputs.stop - 1 + p) // s + 1))

    def needed(self, axis: int, outputs: range) -> range:
        """Padded inputs that `outputs` read, along an axis."""
        s = self.stride[axis]
        return range(outputs.start * s, (outputs.stop - 1) * s + self.kernel[axis])

    def crop(self, padded: Float[Tensor, "H2 W2 C"], outputs: Box) -> Float[Tensor, "h w C"]:
        """Part of a padded map that `outputs` read."""
        rows, columns = (self.needed(axis, outputs[axis]) for axis in (0, 1))
        return padded[rows.start : rows.stop, columns.start : columns.stop]

    def run(self, maps: Float[Tensor, "n H W C"], first: int = 0) -> Float[Tensor, "n H2 W2 C2"]:
        """Run the layers from number `first` on, on padded maps or crops; they may write to `maps`."""
        x = maps.permute(0, 3, 1, 2)
        for layer in self.layers[first:]:
            x = layer(x)
        return x.permute(0, 2, 3, 1)


def stages_of(layers: list[nn.Module]) -> list[Stage]:
    """The layers before the first one that mixes all places, grouped into stages."""
    stages: list[Stage] = []
    for layer in takewhile(lambda layer: not isinstance(layer, MIXING), layers):
        if isinstance(layer, WINDOWED):
            holes, kernel = _pair(getattr(layer, "dilation", 1)), _pair(layer.kernel_size)
            reach = holes[0] * (kernel[0] - 1) + 1, holes[1] * (kernel[1] - 1) + 1
            bare = copy.copy(layer)  # shares the weights
            bare.padding = (0, 0)
            stages.append(Stage((bare,), reach, _pair(layer.stride), _pair(layer.padding)))
        elif stages:
            stages[-1] = stages[-1]._replace(layers=(*stages[-1].layers, layer))
        else:
            stages.append(Stage((layer,)))
    return stages


def flat(layer: nn.Module) -> list[nn.Module]:
    """The layers of a sequence, including those of nested sequences."""
    return [leaf for part in layer for leaf in flat(part)] if isinstance(layer, nn.Sequential) else [layer]


def why_not(layer: nn.Module) -> str:
    """The reason why a network or layer cannot be recomputed in windows; empty if it can."""
    name = type(layer).__name__
    if layer._forward_hooks or layer._forward_pre_hooks:
        return f"{name} has hooks, which may change what it computes"
    # Not isinstance: a subclass may compute anything.
    if type(layer) is nn.Sequential:
        return next(filter(None, map(why_not, layer)), "")
    if type(layer) not in (*WINDOWED, *POINTWISE, *MIXING):
        return f"{name} is not a layer known to be computable in windows"
    obstacles = {
        "padding by name": isinstance(getattr(layer, "padding", 0), str),
        "padding other than zeros": getattr(layer, "padding_mode", "zeros") != "zeros",
        "ceil_mode": getattr(layer, "ceil_mode", False),
        "return_indices": getattr(layer, "return_indices", False),
        "means that leave padding out": not getattr(layer, "count_include_pad", True),
        "training mode on": isinstance(layer, (nn.BatchNorm2d, nn.Dropout)) and layer.training,
        "no running statistics": isinstance(layer, nn.BatchNorm2d) and layer.running_mean is None,
    }
    return next((f"{name} has {obstacle}" for obstacle, found in obstacles.items() if found), "")
