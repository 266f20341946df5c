"""Windows of one size for all cells, computed in a few calls: for a GPU, where each call is expensive.

A window is the part of a map that the occlusion of one cell can change. A cell at the border changes less of
the map than a cell in the middle. Its window is moved inwards until it fits, and has clean values where
nothing changed. So the windows of all cells are one tensor. The inputs of the next layer are read from
this tensor and from the clean map, by one indexing operation each::

    input (i, j) of a cell  =  window[i - top, j - left]  if that lies in the window, else  clean[i, j]
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from lookwhy.towers.windows import Stage, cell_spans


class UniformWindows(NamedTuple):
    """Windows of a grid's cells into one map; the grid has R rows and S columns.

    Attributes:
        values: content of the window of each cell.
        changed: for each row of the grid, the rows of the map that may have changed; the same for columns.
        starts: for each row of the grid, the first row of its windows; the same for columns.
    """

    values: Float[Tensor, "R S h w C"]
    changed: tuple[list[range], list[range]]
    starts: tuple[list[int], list[int]]

    def size_after(self, stage: Stage, after: Float[Tensor, "H W C"]) -> tuple[int, int]:
        """Number of rows and columns of the windows into the map after a stage."""
        rows, columns = (
            max(len(stage.span(axis, one, after.shape[axis])) for one in self.changed[axis])
            for axis in (0, 1)
        )
        return rows, columns

    def advance(
        self, stage: Stage, padded: Float[Tensor, "H W C"], after: Float[Tensor, "H2 W2 C2"], memory: int
    ) -> UniformWindows:
        """Windows into the map after a stage, from the clean maps before it (padded) and after it."""
        size = self.size_after(stage, after)
        changed, starts, needed = [], [], []
        for axis in (0, 1):
            spans = [stage.span(axis, one, after.shape[axis]) for one in self.changed[axis]]
            first = [min(span.start, after.shape[axis] - size[axis]) for span in spans]
            needed.append([stage.needed(axis, range(f, f + size[axis])) for f in first])
            changed.append(spans)
            starts.append(first)
        rows, columns = self._places(needed, stage.padding, padded.device)
        a_row = len(self.starts[1]) * (
            rows.read.shape[1] * columns.read.shape[1] * padded.shape[2] + after.numel()
        )
        step = max(1, memory // (4 * a_row * padded.element_size()))
        outputs = []
        for some in (slice(i, i + step) for i in range(0, len(rows.read), step)):
            crops = self._read(padded, rows, columns, some)
            outputs.append(stage.run(crops.flatten(0, 1)).unflatten(0, crops.shape[:2]))
        return UniformWindows(torch.cat(outputs), (changed[0], changed[1]), (starts[0], starts[1]))

    def whole(self, clean: Float[Tensor, "H W C"], cells: slice) -> Float[Tensor, "m H W C"]:
        """Whole maps of some cells, numbered row by row."""
        across = len(self.starts[1])
        needed = [[range(side)] * len(starts) for side, starts in zip(clean.shape, self.starts, strict=False)]
        some = slice(cells.start // across, -(-cells.stop // across))
        maps = self._read(clean, *self._places(needed, (0, 0), clean.device), some).flatten(0, 1)
        return maps[cells.start - some.start * across :][: cells.stop - cells.start]

    def _places(
        self, needed: Sequence[Sequence[range]], padding: tuple[int, int], device: torch.device
    ) -> tuple[Places, Places]:
        """Places of the needed rows and columns of a padded map, in it and in these windows."""
        down, across = (
            _places_along(tuple(starts), side, tuple(ranges), margin, device)
            for starts, side, ranges, margin in zip(
                self.starts, self.values.shape[2:4], needed, padding, strict=True
            )
        )
        return down, across

    def _read(
        self, padded: Float[Tensor, "H W C"], rows: Places, columns: Places, some: slice
    ) -> Float[Tensor, "r S h w C"]:
        """Read rows and columns of the padded map, with each cell's changes, for some rows of the grid."""
        r = torch.arange(len(rows.read), device=padded.device)[some] - some.start
        c = torch.arange(len(columns.read), device=padded.device)
        grid = r[:, None, None, None], c[None, :, None, None]
        at = rows.within[some][:, None, :, None], columns.within[None, :, None, :]
        changed = self.values[some][(*grid, *at)]
        clean = padded[rows.read[some][:, None, :, None], columns.read[None, :, None, :]]
        inside = rows.inside[some][:, None, :, None] & columns.inside[None, :, None, :]
        return torch.where(inside[..., None], changed, clean)


class Places(NamedTuple):
    """Places that windows of outputs read along an axis, for each of R rows (or columns) of the grid.

    Attributes:
        read: places in the padded map.
        inside: whether a place lies in the window of the layer's inputs.
        within: the place in that window; its first or last place if it lies outside.
    """

    read: Int64[Tensor, "R h"]
    inside: Bool[Tensor, "R h"]
    within: Int64[Tensor, "R h"]


@lru_cache(maxsize=256)
def _places_along(
    starts: tuple[int, ...], side: int, needed: tuple[range, ...], margin: int, device: torch.device
) -> Places:
    """Places along one axis; kept, because each copy of numbers to a GPU waits for all that it was given."""
    read = torch.tensor([list(one) for one in needed], device=device)
    within = read - margin - torch.tensor(starts, device=device)[:, None]
    return Places(read, (within >= 0) & (within < side), within.clamp(0, side - 1))


def painted(clean: Float[Tensor, "H W 3"], grid: int, colour: Float[Tensor, "3"]) -> UniformWindows:
    """Windows of an image with each cell painted over; an empty cell gets one clean pixel."""
    down, across = (_cells_along(length, grid, clean.device) for length in clean.shape[:2])
    seen = clean[down.read[:, None, :, None], across.read[None, :, None, :]]
    inside = down.inside[:, None, :, None] & across.inside[None, :, None, :]
    values = torch.where(inside[..., None], colour, seen)
    return UniformWindows(values, (down.spans, across.spans), (down.starts, across.starts))


class _Cells(NamedTuple):
    spans: list[range]
    starts: list[int]
    read: Int64[Tensor, "R h"]
    inside: Bool[Tensor, "R h"]


@lru_cache(maxsize=64)
def _cells_along(length: int, grid: int, device: torch.device) -> _Cells:
    spans = cell_spans(length, grid)
    size = max(1, *map(len, spans))
    starts = [min(span.start, length - size) for span in spans]
    pixels = torch.tensor([list(range(f, f + size)) for f in starts], device=device)
    edges = torch.tensor([(span.start, span.stop) for span in spans], device=device)
    return _Cells(spans, starts, pixels, (pixels >= edges[:, :1]) & (pixels < edges[:, 1:]))
