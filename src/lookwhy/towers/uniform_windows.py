"""Windows of one size for all cells, computed in a few calls: for a GPU, where each call is expensive.

A window is the part of a map that the occlusion of one cell can change. A cell at the border changes less of
the map than a cell in the middle. Its window is moved inwards until it fits, and has clean values where
nothing changed. So the windows of all cells are one tensor. The inputs of the next layer are read from
this tensor and from the clean map, by one indexing operation each::

    input (i, j) of a cell  =  window[i - top, j - left]  if that lies in the window, else  clean[i, j]
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
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
        changed, starts, read = [], [], []
        for axis in (0, 1):
            spans = [stage.span(axis, one, after.shape[axis]) for one in self.changed[axis]]
            first = [min(span.start, after.shape[axis] - size[axis]) for span in spans]
            needed = [list(stage.needed(axis, range(f, f + size[axis]))) for f in first]
            changed.append(spans)
            starts.append(first)
            read.append(torch.tensor(needed, device=padded.device))
        rows, columns = read
        a_row = len(self.starts[1]) * (rows.shape[1] * columns.shape[1] * padded.shape[2] + after.numel())
        step = max(1, memory // (4 * a_row * padded.element_size()))
        outputs = []
        for some in (slice(i, i + step) for i in range(0, len(rows), step)):
            crops = self._read(padded, stage.padding, rows[some], columns, some)
            outputs.append(stage.run(crops.flatten(0, 1)).unflatten(0, crops.shape[:2]))
        return UniformWindows(torch.cat(outputs), (changed[0], changed[1]), (starts[0], starts[1]))

    def whole(self, clean: Float[Tensor, "H W C"], cells: slice) -> Float[Tensor, "m H W C"]:
        """Whole maps of some cells, numbered row by row."""
        across = len(self.starts[1])
        rows, columns = (
            torch.arange(side, device=clean.device).expand(len(starts), side)
            for side, starts in zip(clean.shape, self.starts, strict=False)
        )
        some = slice(cells.start // across, -(-cells.stop // across))
        maps = self._read(clean, (0, 0), rows[some], columns, some).flatten(0, 1)
        return maps[cells.start - some.start * across :][: cells.stop - cells.start]

    def _read(
        self,
        padded: Float[Tensor, "H W C"],
        padding: tuple[int, int],
        rows: Int64[Tensor, "r h"],
        columns: Int64[Tensor, "S w"],
        some: slice,
    ) -> Float[Tensor, "r S h w C"]:
        """Read rows and columns of the padded map, with each cell's changes, for some rows of the grid."""
        inside, places = [], []
        sides = (self.starts[0][some], self.starts[1])
        for starts, wanted, margin, side in zip(
            sides, (rows, columns), padding, self.values.shape[2:4], strict=True
        ):
            place = wanted - margin - torch.tensor(starts, device=wanted.device)[:, None]
            inside.append((place >= 0) & (place < side))
            places.append(place.clamp(0, side - 1))
        r, c = (torch.arange(len(place), device=place.device) for place in places)
        grid = r[:, None, None, None], c[None, :, None, None]
        at = places[0][:, None, :, None], places[1][None, :, None, :]
        changed = self.values[some][(*grid, *at)]
        clean = padded[rows[:, None, :, None], columns[None, :, None, :]]
        within = inside[0][:, None, :, None] & inside[1][None, :, None, :]
        return torch.where(within[..., None], changed, clean)


def painted(clean: Float[Tensor, "H W 3"], grid: int, colour: Float[Tensor, "3"]) -> UniformWindows:
    """Windows of an image with each cell painted over; an empty cell gets one clean pixel."""
    changed, starts, read, within = [], [], [], []
    for length in clean.shape[:2]:
        spans = cell_spans(length, grid)
        size = max(1, *map(len, spans))
        first = [min(span.start, length - size) for span in spans]
        pixels = torch.tensor([list(range(f, f + size)) for f in first], device=clean.device)
        edges = torch.tensor([(span.start, span.stop) for span in spans], device=clean.device)
        changed.append(spans)
        starts.append(first)
        read.append(pixels)
        within.append((pixels >= edges[:, :1]) & (pixels < edges[:, 1:]))
    seen = clean[read[0][:, None, :, None], read[1][None, :, None, :]]
    inside = within[0][:, None, :, None] & within[1][None, :, None, :]
    values = torch.where(inside[..., None], colour, seen)
    return UniformWindows(values, (changed[0], changed[1]), (starts[0], starts[1]))
