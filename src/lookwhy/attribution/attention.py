"""Attention of a model that has attention layers, as a map over image regions.

Attention is a step of the forward pass, not an explanation of its result. It is the same for every answer,
and the model can attend to a region that does not matter to the answer. Compare it with the other methods,
which explain the answer.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from lookwhy.attribution.base import Attributor, Needs, features_of, rows_by_image
from lookwhy.attribution.box_maps import cells_of_boxes
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import pipeline_of
from lookwhy.models.protocol import TokenModel, VQAHead
from lookwhy.types import Domain, ImportanceMaps, Target, VQABatch


@runtime_checkable
class AttendingHead(Protocol):
    """A `VQAHead` that attends to image regions on a square grid, row-major, in one or more hops."""

    def attend(self, view: Tensor, code: Tensor) -> Tensor:
        """Attention (B, hops, regions); the sum over the regions is one."""
        ...


class Attention(Attributor):
    """Attention of one hop, interpolated bilinearly to the grid; attention to boxes is drawn by `box_maps`.

    Args:
        grid: cells along each side of the map.
        hop: number of the attention layer; -1 is the last, next to the answer.

    Example:
        >>> Attention(grid=4)(attending_model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "attention"
    domain: Domain = "image"
    # Needs the head's attention, not only its scores.
    needs: Needs = "gradients"
    explains_boxes = True

    def __init__(self, grid: int = 16, hop: int = -1) -> None:
        self.grid, self.hop = grid, hop

    @torch.no_grad()
    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), unsigned.

        Raises:
            LookwhyError: the head has no attention, lacks that hop or has no square grid; or the batch has
                neither features nor pixels.
        """
        pipeline = self._pipeline(model)
        head = cast(Any, pipeline.head)
        features = features_of(pipeline, batch, self.name)
        values = torch.zeros(len(batch), self.grid, self.grid)
        of_boxes = None if batch.boxes is None else batch.boxes.new_full(batch.boxes.shape[:2], torch.nan)
        for rows in rows_by_image(batch):
            view = head.look(features[rows[:1].to(features.device)])
            codes = head.read(head.embed(batch.tokens[rows]), batch.lengths[rows])
            views = view.expand(len(rows), *view.shape[1:])
            found = head.attend(views, codes)
            hops, side = found.shape[1], math.isqrt(found.shape[2])
            is_laid_out = of_boxes is not None or side * side == found.shape[2]
            if not -hops <= self.hop < hops or not is_laid_out:
                raise LookwhyError(
                    f"expected attention over a square grid with a hop {self.hop}, found {hops} hops over "
                    f"{found.shape[2]} regions; set `hop` between 0 and {hops - 1}"
                )
            if of_boxes is not None:
                of_boxes[rows] = found[:, self.hop].to(of_boxes)
                continue
            square = found[:, self.hop].unflatten(1, (side, side))[:, None]
            scaled = F.interpolate(square, self.grid, mode="bilinear", align_corners=False)
            values[rows] = scaled[:, 0].float().cpu()
        text = "the question; attention is the same for every answer"
        if batch.boxes is not None and of_boxes is not None:
            of_boxes[batch.boxes.isnan().any(2)] = torch.nan
            values = cells_of_boxes(batch.boxes, of_boxes, self.grid)
        return self._maps(batch, target, values, signed=False, target_text=text, box_values=of_boxes)

    def check(self, model: TokenModel) -> None:
        """Raise a LookwhyError for a black box, or a head without attention."""
        head = pipeline_of(model, self.name).head
        if not (isinstance(head, VQAHead) and isinstance(head, AttendingHead)):
            raise LookwhyError(
                f"expected a head that attends, found {type(head).__name__}; take "
                f"{type(self).__name__} out of image_methods, or train lookwhy.models.SAN or MCAN"
            )
