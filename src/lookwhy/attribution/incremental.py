"""Features of an image under every occlusion of a grid, exact, recomputing only what changes.

Occlusion (Zeiler & Fergus 2014, section 4.2; Goyal et al. 2016, section 3, a 16x16 grid) asks a CNN
about grid*grid images that differ from one clean image in a single cell. In a stack of convolutions and
poolings such a difference spreads slowly, so most outputs of most layers are those of the clean image.

Along one axis, output o of a layer with kernel k, stride s and padding p reads the inputs from o*s - p
up to, but not including, o*s - p + k. If the inputs [a, b) have changed, the outputs that may change are
those with o*s - p + k > a and o*s - p < b::

    outputs  [ max(0, floor((a + p - k) / s) + 1),  min(size, floor((b - 1 + p) / s) + 1) )  =  [c, d)
    inputs   [ c*s - p,  (d - 1)*s - p + k )

with k counted over the holes of a dilated kernel. The inputs needed are the clean ones, padded once
as the layer pads the whole map (0, or -inf for max pooling) and cropped, with the changed values laid
over; the layer then runs on the crop without padding, so borders are exact too. Rows and columns go
alike. Cells whose crops agree in size share one batched call. Once the changes cover most of the map, or
a layer mixes all places (flattening, a global mean), the rest of the network runs on whole maps.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from itertools import pairwise, product, takewhile
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from lookwhy.errors import LookwhyError

# Where the changes cover more than this share of a map on average, whole maps in large batches are as fast.
DENSE_FROM = 0.8
_WINDOWED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_POINTWISE = (nn.ReLU, nn.BatchNorm2d, nn.Dropout, nn.Identity)
_MIXING = (nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear)


def cell_edges(length: int, grid: int) -> list[int]:
    """Where the cells along an axis begin and end: cell i is the pixels [edges[i], edges[i + 1]).

    The edges are round(i * length / grid), halves to even, so any grid fits any length; cells differ by
    a pixel where it does not divide, and some are empty where there are more cells than pixels.
    """
    return [round(i * length / grid) for i in range(grid + 1)]


def occluded_images(
    image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"], cells: slice
) -> Float[Tensor, "cells 3 H W"]:
    """The image with each of some cells painted over; cell r * grid + c is in row r and column c."""
    images = image.repeat(len(range(grid * grid)[cells]), 1, 1, 1)
    for painted, (rows, columns) in zip(images, _cells(image, grid)[cells], strict=True):
        painted[:, rows.start : rows.stop, columns.start : columns.stop] = fill[:, None, None]
    return images


@torch.no_grad()
def plain_occlusion(
    cnn: nn.Module, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"] | None, batch: int = 16
) -> Float[Tensor, "cells *D"]:
    """The output of any network for every occluded image, by running it on all of them, some at once."""
    colour = image.new_zeros(3) if fill is None else fill.to(image)
    starts = range(0, grid * grid, batch)
    return torch.cat([cnn(occluded_images(image, grid, colour, slice(i, i + batch))) for i in starts])


class IncrementalOcclusion:
    """image -> the network's output for each of its grid * grid occlusions, row-major.

    Args:
        cnn: images (B, 3, H, W) to features (B, *D), already in eval mode. A sequence (nested or not) of
            convolutions, ReLU, pooling, batch norm, dropout, flattening and linear layers is recomputed
            where the image changes; any other network is run on every occluded image.
        grid: cells along each side, with the edges of `cell_edges`.
        fill: colour of the patch in the network's own input range; None: zeros.
        memory: bytes a batched call may take; on top come all cells' changes, kept between two layers.

    Attributes:
        incremental: whether only what changes is recomputed; settled when it is made.
        why_not: if not, the reason; otherwise empty.

    Raises:
        LookwhyError: the grid has no cells.
    """

    def __init__(
        self, cnn: nn.Module, grid: int = 16, fill: Float[Tensor, "3"] | None = None, memory: int = 2**28
    ) -> None:
        if grid < 1:
            raise LookwhyError(f"expected a grid of 1 or more cells a side, found {grid}; 16 is usual")
        self.cnn, self.grid, self.fill, self.memory = cnn, grid, fill, memory
        self.why_not = _why_not(cnn)
        self.incremental = not self.why_not
        self._layers = _flat(cnn) if self.incremental else []
        self._stages = _stages(self._layers)

    @torch.no_grad()
    def __call__(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "cells *D"]:
        """Features of the image, given in the network's own input range, with each cell painted over."""
        if not self.incremental:
            return plain_occlusion(self.cnn, image, self.grid, self.fill)
        colour = image.new_zeros(3) if self.fill is None else self.fill.to(image)
        clean, rest = image.permute(1, 2, 0).clone(), self._layers
        changes = [(box, colour.expand(*map(len, box), 3)) for box in _cells(image, self.grid)]
        for stage in self._stages:
            padded = stage.pad(clean)
            after = stage.run(padded[None].clone())[0]
            boxes = [stage.changed(box, after) for box, _ in changes]
            share = sum(len(rows) * len(columns) for rows, columns in boxes) / after[..., 0].numel()
            if share > DENSE_FROM * len(boxes):
                break
            changes = self._advance(stage, padded, after, changes, boxes)
            clean, rest = after, rest[len(stage.layers) :]
        return self._whole_maps(rest, clean, changes)

    def _advance(
        self, stage: _Stage, padded: Tensor, after: Tensor, changes: list[_Change], boxes: list[_Box]
    ) -> list[_Change]:
        """What a stage makes of each cell's changes, from the clean map before, padded, and after it."""
        results: list[_Change] = [((range(0), range(0)), after[:0, :0])] * len(changes)
        (top, left), (height, width, _) = stage.padding, padded.shape
        clean = padded[top : height - top, left : width - left]
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for cell, (rows, columns) in enumerate(boxes):
            if rows and columns:
                alike[len(rows), len(columns)].append(cell)
        for (h, w), cells in alike.items():
            values = stage.crop(padded, boxes[cells[0]]).numel() + h * w * after.shape[2]
            step = max(1, self.memory // (values * after.element_size()))
            for some in (cells[i : i + step] for i in range(0, len(cells), step)):
                crops = [_laid_over(clean, changes[i], stage.crop(padded, boxes[i])) for i in some]
                for i, output in zip(some, stage.run(torch.stack(crops)), strict=True):
                    results[i] = boxes[i], output
        return results

    def _whole_maps(self, layers: list[nn.Module], clean: Tensor, changes: list[_Change]) -> Tensor:
        """What the remaining layers make of each cell's whole map: the clean one, (H, W, C), changed."""
        x, largest = clean.permute(2, 0, 1)[None].clone(), clean.numel()
        for layer in layers:
            x = layer(x)
            largest = max(largest, x.numel())
        # What goes into a layer, what comes out, and as much again for its workspace.
        step = max(1, self.memory // (3 * largest * clean.element_size()))
        outputs = []
        for some in (changes[i : i + step] for i in range(0, len(changes), step)):
            x = torch.stack([_laid_over(clean, change, clean) for change in some]).permute(0, 3, 1, 2)
            outputs.append(nn.Sequential(*layers)(x))
        return torch.cat(outputs)


_Box = tuple[range, range]  # rows and columns of a map
_Change = tuple[_Box, Tensor]  # where an occluded image's map may differ from the clean one, values (h, w, C)


class _Stage(NamedTuple):
    """A layer that reads windows, or none (kernel 1), and the pointwise layers after it.

    Maps are (H, W, C) here: a crop is then copied in long runs, and convolutions are at their fastest.
    """

    layers: tuple[nn.Module, ...]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    def pad(self, clean: Tensor) -> Tensor:
        """A map with the margins that the layer would give it."""
        value = float("-inf") if isinstance(self.layers[0], nn.MaxPool2d) else 0.0
        down, across = self.padding
        return F.pad(clean, (0, 0, across, across, down, down), value=value)

    def changed(self, box: _Box, after: Tensor) -> _Box:
        """The outputs, of a map (H, W, C), that changed inputs may change: [c, d) above."""
        spans = []
        for a, size, k, s, p in zip(box, after.shape, self.kernel, self.stride, self.padding, strict=False):
            outputs = range(max(0, (a.start + p - k) // s + 1), min(size, (a.stop - 1 + p) // s + 1))
            spans.append(outputs if a else a)
        return spans[0], spans[1]

    def crop(self, padded: Tensor, outputs: _Box) -> Tensor:
        """The part of a padded map that some outputs read."""
        along = zip(outputs, self.kernel, self.stride, strict=True)
        rows, columns = (slice(o.start * s, (o.stop - 1) * s + k) for o, k, s in along)
        return padded[rows, columns]

    def run(self, maps: Float[Tensor, "n H W C"]) -> Float[Tensor, "n H2 W2 C2"]:
        """The layers on padded maps, or on crops of them, which they may write to."""
        x = maps.permute(0, 3, 1, 2)
        for layer in self.layers:
            x = layer(x)
        return x.permute(0, 2, 3, 1)


def _laid_over(clean: Tensor, change: _Change, crop: Tensor) -> Tensor:
    """A copy of a crop, which shares the clean map's memory, as the change would make it."""
    (rows, columns), values = change
    place = clean[rows.start : rows.stop, columns.start : columns.stop]
    before = place.clone()
    place.copy_(values)
    result = crop.clone()
    place.copy_(before)
    return result


def _stages(layers: list[nn.Module]) -> list[_Stage]:
    """The layers before the first that mixes all places, gathered into stages."""
    stages: list[_Stage] = []
    for layer in takewhile(lambda layer: not isinstance(layer, _MIXING), layers):
        if isinstance(layer, _WINDOWED):
            holes, kernel = _pair(getattr(layer, "dilation", 1)), _pair(layer.kernel_size)
            reach = holes[0] * (kernel[0] - 1) + 1, holes[1] * (kernel[1] - 1) + 1
            bare = copy.copy(layer)  # shares the weights
            bare.padding = (0, 0)
            stages.append(_Stage((bare,), reach, _pair(layer.stride), _pair(layer.padding)))
        elif stages:
            stages[-1] = stages[-1]._replace(layers=(*stages[-1].layers, layer))
        else:
            stages.append(_Stage((layer,)))
    return stages


def _flat(layer: nn.Module) -> list[nn.Module]:
    """The layers of a sequence, those of sequences in it included."""
    return [leaf for part in layer for leaf in _flat(part)] if isinstance(layer, nn.Sequential) else [layer]


def _why_not(layer: nn.Module) -> str:
    """Why a network, or a layer of it, cannot be recomputed in windows; empty if it can."""
    name = type(layer).__name__
    if layer._forward_hooks or layer._forward_pre_hooks:
        return f"{name} has hooks, which may change what it computes"
    # Not isinstance: a subclass may compute anything.
    if type(layer) is nn.Sequential:
        return next(filter(None, map(_why_not, layer)), "")
    if type(layer) not in (*_WINDOWED, *_POINTWISE, *_MIXING):
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


def _cells(image: Tensor, grid: int) -> list[_Box]:
    """Rows and columns of each cell of an image (3, H, W), row-major."""
    edges = (cell_edges(length, grid) for length in image.shape[1:])
    rows, columns = ([range(*pair) for pair in pairwise(along)] for along in edges)
    return list(product(rows, columns))
