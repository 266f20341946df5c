"""Importance of boxes as a map over cells, which is compared with annotators and masks.

The importance of a cell is::

    R(cell) = sum over boxes of R(box) x share of the cell's area that the box covers

A cell without a box gets 0. Boxes may overlap, and their values add up.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.errors import LookwhyError, command
from lookwhy.types import VQABatch


def cells_of_boxes(
    boxes: Float[Tensor, "B R 4"], values: Float[Tensor, "B R"], grid: int
) -> Float[Tensor, "B G G"]:
    """Sum over boxes of value times the share of each cell that the box covers.

    Args:
        boxes: x1, y1, x2, y2, relative to the image (0..1); NaN for padding, which counts as nothing.
        values: importance of each box; that of padding is ignored.
        grid: cells along each side.

    Example:
        >>> left_half = torch.tensor([[[0.0, 0.0, 0.5, 1.0]]])
        >>> cells_of_boxes(left_half, torch.tensor([[3.0]]), 2)
        tensor([[[3., 0.],
                 [3., 0.]]])
    """
    is_box = ~boxes.isnan().any(2)
    x1, y1, x2, y2 = (boxes.nan_to_num().to(values.dtype) * grid).unbind(2)
    starts = torch.arange(grid, device=boxes.device, dtype=values.dtype)

    def shares(low: Float[Tensor, "B R"], high: Float[Tensor, "B R"]) -> Float[Tensor, "B R G"]:
        ends = torch.minimum(high[..., None], starts + 1)
        return (ends - torch.maximum(low[..., None], starts)).clamp(min=0)

    known = values.masked_fill(~is_box, 0.0)
    return torch.einsum("br,bry,brx->byx", known, shares(y1, y2), shares(x1, x2))


def boxes_of(batch: VQABatch, method: str) -> Float[Tensor, "B R 4"]:
    """The boxes of a batch.

    Raises:
        LookwhyError: its features are not those of boxes.
    """
    if batch.boxes is None:
        raise LookwhyError(
            f"expected features of boxes for {method}, found others; write them with {command('prepare')} "
            "boxes, or take Occlusion"
        )
    return batch.boxes
