"""Exact features of an image under every occlusion of a grid, recomputing only what changes.

Occlusion (Zeiler & Fergus 2014, section 4.2; Goyal et al. 2016, section 3, a 16x16 grid) runs a CNN on
grid * grid images that differ from one clean image in a single cell. In a stack of convolutions and poolings
such a change spreads slowly, so most outputs of most layers equal those of the clean image. `windows.py`
computes which outputs can change.

On a CPU, each cell has its own window (the part of a map that can change) in every layer. A 3x3 convolution
of many channels runs on the difference between changed and clean inputs, and the result is added to the clean
output (`winograd.py`). Any other layer runs on crops, all crops of one size in one call. On a GPU, and for a
small network, a thousand small copies would cost more time than they save, so all windows have one size
(`uniform_windows.py`). When the changes cover most of the map, or a layer mixes all places (flattening, a
global mean), the rest of the network runs on whole maps.
"""

from __future__ import annotations

import copy
import logging
from collections import defaultdict
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.errors import LookwhyError
from lookwhy.towers import devices, uniform_windows
from lookwhy.towers.windows import Box, Stage, cell_boxes, flat, stages_of, why_not
from lookwhy.towers.winograd import FullConvolutions, Scratch, Tiling, suits, tiling

_log = logging.getLogger(__name__)
# If the changes cover on average more than this share of a map, whole maps in large batches are as fast.
DENSE_FROM = 0.8
SMALL = 2**26
"""Multiplications of one forward pass below which windows of one size are faster on a CPU, too: 256 cells of
the shapes world's network (13 million) took 34 ms in place of 65, of a network with 60 million 83 ms in place
of 99, and with 184 million 138 ms in place of 119."""
Change = tuple[Box, Tensor]
"""Box where the map of an occluded image may differ from the clean map, and its values (h, w, C) there."""


def occluded_images(
    image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"], cells: slice
) -> Float[Tensor, "cells 3 H W"]:
    """A copy of the image for each cell, with that cell painted; cell r * grid + c is in row r, column c."""
    images, colour = image.repeat(len(range(grid * grid)[cells]), 1, 1, 1), fill.to(image)[:, None, None]
    for painted, (rows, columns) in zip(images, cell_boxes(image, grid)[cells], strict=True):
        painted[:, rows.start : rows.stop, columns.start : columns.stop] = colour
    return images


@torch.no_grad()
def plain_occlusion(
    cnn: nn.Module, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"] | None, batch: int = 16
) -> Float[Tensor, "cells *D"]:
    """The output of any network for every occluded image, computed on whole images in batches."""
    colour = image.new_zeros(3) if fill is None else fill.to(image)
    starts = range(0, grid * grid, batch)
    return torch.cat([cnn(occluded_images(image, grid, colour, slice(i, i + batch))) for i in starts])


class IncrementalOcclusion:
    """Function from an image to the network's outputs for its grid * grid occlusions, row-major.

    Args:
        cnn: images (B, 3, H, W) to features (B, *D), already in eval mode. A sequence (nested or not) of
            convolutions, ReLU, pooling, batch norm, dropout, flattening and linear layers is recomputed only
            where the image changes; any other network runs on every occluded image.
        grid: cells along each side, with the edges of `windows.cell_edges`.
        fill: colour of the patch in the network's own input range; None: zeros.
        memory: number of bytes for one batched call; None: as the device allows. More memory holds the
            changes of all cells between two layers and, on a CPU, the transformed weights of 3x3
            convolutions: nine times the weights' size.

    Attributes:
        incremental: whether only the changes are recomputed.
        why_not: the reason if `incremental` is False; otherwise empty.

    Raises:
        LookwhyError: the grid has no cells.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten()).eval()
        >>> IncrementalOcclusion(network, grid=2)(torch.rand(3, 6, 6)).shape
        torch.Size([4, 128])
    """

    def __init__(
        self,
        cnn: nn.Module,
        grid: int = 16,
        fill: Float[Tensor, "3"] | None = None,
        memory: int | None = None,
    ) -> None:
        self.cnn, self.grid, self.fill = cnn, _checked(grid), fill
        self._memory = memory
        self.why_not = why_not(cnn)
        self.incremental = not self.why_not
        if self.why_not:
            _log.warning("occlusion runs the whole network for each cell: %s", self.why_not)
        self._layers = flat(cnn) if self.incremental else []
        self._stages = stages_of(self._layers)
        self._scratch = Scratch()
        self._full = FullConvolutions(self._scratch)
        self._is_small: dict[torch.Size, bool] = {}

    def memory(self, device: torch.device) -> int:
        """Number of bytes for one batched call on a device."""
        return devices.working_memory(device) if self._memory is None else self._memory

    def on(self, grid: int, fill: Float[Tensor, "3"] | None) -> IncrementalOcclusion:
        """The same network with another grid and colour; both objects share all large buffers."""
        other = copy.copy(self)
        other.grid, other.fill = _checked(grid), fill
        return other

    def __call__(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "cells *D"]:
        """Features of the image, in the network's own input range, with each cell painted over."""
        return self.clean_and_occluded(image)[1]

    @torch.no_grad()
    def clean_and_occluded(
        self, image: Float[Tensor, "3 H W"]
    ) -> tuple[Float[Tensor, "*D"], Float[Tensor, "cells *D"]]:
        """Features of the image itself, and of all its occlusions, with the same rounding."""
        if not self.incremental:
            occluded = plain_occlusion(self.cnn, image, self.grid, self.fill)
            return self.cnn(image[None].clone())[0], occluded
        colour = image.new_zeros(3) if self.fill is None else self.fill.to(image)
        clean = image.permute(1, 2, 0).clone()
        if devices.launches_are_dear(image.device) or self._is_small_for(clean):
            return self._uniform(clean, colour)
        rest = self._layers
        changes = [(box, colour.expand(*map(len, box), 3)) for box in cell_boxes(image, self.grid)]
        for number, stage in enumerate(self._stages):
            if suits(stage.layers[0]):
                clean, changes = self._by_differences(number, stage, clean, changes)
            else:
                padded = stage.pad(clean)
                after = stage.run(padded[None].clone())[0]
                boxes = [stage.changed(box, after) for box, _ in changes]
                share = sum(len(rows) * len(columns) for rows, columns in boxes) / after[..., 0].numel()
                if share > DENSE_FROM * len(boxes):
                    break
                clean, changes = after, self._by_crops(stage, padded, after, changes, boxes)
            rest = rest[len(stage.layers) :]
        return self._finish(
            rest,
            clean,
            lambda some: torch.stack([_laid_over(clean, c, clean) for c in changes[some]]),
            self.memory(image.device),
        )

    def _is_small_for(self, clean: Tensor) -> bool:
        """Whether a forward pass of images of this size takes fewer multiplications than `SMALL`."""
        size = clean.shape
        if size not in self._is_small:
            total = 0
            for stage in self._stages:
                clean = stage.run(stage.pad(clean)[None].clone())[0]
                weight = getattr(stage.layers[0], "weight", None)
                total += 0 if weight is None else clean.numel() * weight[0].numel()
                if total >= SMALL:
                    break
            self._is_small[size] = total < SMALL
        return self._is_small[size]

    def _by_differences(
        self, number: int, stage: Stage, clean: Tensor, changes: list[Change]
    ) -> tuple[Tensor, list[Change]]:
        """The clean map after a stage with a 3x3 convolution, and each cell's changes after it.

        With padding p, row r of the convolution's output is row r + 2 - p of the full convolution's output.
        """
        full, (down, across) = self._full.of(number, stage.layers[0]), stage.padding
        # Use a direct convolution here: an error in the clean map would reach every cell.
        before = stage._replace(layers=stage.layers[:1]).run(stage.pad(clean)[None])[0]
        after = stage.run(before[None].clone(), first=1)[0]
        boxes = [stage.changed(box, after) for box, _ in changes]
        results = _nothing(len(changes), after)
        alike: dict[Tiling, list[int]] = defaultdict(list)
        for cell, (rows, columns) in enumerate(boxes):
            if rows and columns:
                alike[tiling(*map(len, changes[cell][0]))].append(cell)
        for cut, cells in alike.items():
            size, t, u = cut
            values = size**2 * (t * u * clean.shape[2] + (t + 1) * (u + 1) * after.shape[2])
            for some in _chunks(cells, self.memory(clean.device) // (values * clean.element_size())):
                shape = len(some), t * size, u * size, clean.shape[2]
                d = self._scratch.take("differences", shape, clean).zero_()
                for of_cell, cell in zip(d, some, strict=True):
                    box, changed = changes[cell]
                    torch.sub(changed, _at(clean, box), out=of_cell[: len(box[0]), : len(box[1])])
                found = full(d, cut)
                for of_cell, cell in zip(found, some, strict=True):
                    (rows, columns), (out_rows, out_columns) = changes[cell][0], boxes[cell]
                    top, left = out_rows.start - rows.start + 2 - down, out_columns.start - columns.start
                    left += 2 - across
                    added = of_cell[top : top + len(out_rows), left : left + len(out_columns)]
                    summed = (added + _at(before, boxes[cell]))[None]
                    results[cell] = boxes[cell], stage.run(summed, first=1)[0]
        return after, results

    def _by_crops(
        self, stage: Stage, padded: Tensor, after: Tensor, changes: list[Change], boxes: list[Box]
    ) -> list[Change]:
        """Each cell's changes after a stage, from the clean maps before it (padded) and after it."""
        results = _nothing(len(changes), after)
        (top, left), (height, width, _) = stage.padding, padded.shape
        clean = padded[top : height - top, left : width - left]
        alike: dict[tuple[int, int], list[int]] = defaultdict(list)
        for cell, (rows, columns) in enumerate(boxes):
            if rows and columns:
                alike[len(rows), len(columns)].append(cell)
        for (h, w), cells in alike.items():
            values = stage.crop(padded, boxes[cells[0]]).numel() + h * w * after.shape[2]
            for some in _chunks(cells, self.memory(after.device) // (values * after.element_size())):
                crops = [_laid_over(clean, changes[i], stage.crop(padded, boxes[i])) for i in some]
                for i, output in zip(some, stage.run(torch.stack(crops)), strict=True):
                    results[i] = boxes[i], output
        return results

    def _uniform(self, clean: Tensor, colour: Tensor) -> tuple[Tensor, Tensor]:
        rest, windows = self._layers, uniform_windows.painted(clean, self.grid, colour)
        memory = self.memory(clean.device)
        for stage in self._stages:
            padded = stage.pad(clean)
            after = stage.run(padded[None].clone())[0]
            size = windows.size_after(stage, after)
            if size[0] * size[1] > DENSE_FROM * after[..., 0].numel():
                break
            windows = windows.advance(stage, padded, after, memory)
            clean, rest = after, rest[len(stage.layers) :]
        return self._finish(rest, clean, lambda some: windows.whole(clean, some), memory)

    def _finish(
        self,
        layers: list[nn.Module],
        clean: Tensor,
        whole: Callable[[slice], Float[Tensor, "m H W C"]],
        memory: int,
    ) -> tuple[Float[Tensor, "*D"], Float[Tensor, "cells *D"]]:
        """Outputs of the remaining layers for the clean map and all cells; `whole` gives some cells' maps."""
        x, largest = clean.permute(2, 0, 1)[None].clone(), clean.numel()
        for layer in layers:
            x = layer(x)
            largest = max(largest, x.numel())
        # Factor 3: a layer's input, its output and its workspace.
        step, cells = max(1, memory // (3 * largest * clean.element_size())), self.grid**2
        parts = [slice(start, min(start + step, cells)) for start in range(0, cells, step)]
        outputs = []
        for some in parts:
            # The clean map is in the same call, so that unchanged outputs are equal to the last bit.
            maps = torch.cat([whole(some), clean[None]]).permute(0, 3, 1, 2)
            outputs.append(nn.Sequential(*layers)(maps))
        return outputs[0][-1], torch.cat([one[:-1] for one in outputs])


def _checked(grid: int) -> int:
    if grid < 1:
        raise LookwhyError(f"expected a grid of 1 or more cells a side, found {grid}; 16 is usual")
    return grid


def _nothing(count: int, after: Tensor) -> list[Change]:
    """An empty change for each cell."""
    return [((range(0), range(0)), after[:0, :0])] * count


def _chunks(cells: list[int], size: int) -> list[list[int]]:
    step = max(1, size)
    return [cells[i : i + step] for i in range(0, len(cells), step)]


def _at(clean: Tensor, box: Box) -> Tensor:
    """View of some rows and columns of a map."""
    rows, columns = box
    return clean[rows.start : rows.stop, columns.start : columns.stop]


def _laid_over(clean: Tensor, change: Change, crop: Tensor) -> Tensor:
    """Copy of `crop`, a view of the clean map, with the change applied; the clean map stays as it was."""
    box, values = change
    place = _at(clean, box)
    before = place.clone()
    place.copy_(values)
    result = crop.clone()
    place.copy_(before)
    return result
