"""Box drop: occlusion (Zeiler & Fergus 2014) for a model on boxes, where a whole region is taken out.

The importance of a box is::

    R(box) = p(answer | all boxes of the image) - p(answer | all boxes but this one)

for the answer predicted from all boxes. The head reads the image as if the detector had not found the box:
its region becomes padding, without attention, and no other feature takes its place.
"""

from __future__ import annotations

import torch

from lookwhy.attribution.base import Attributor, Needs, features_of, rows_by_image
from lookwhy.attribution.box_maps import boxes_of, cells_of_boxes
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import first_answer, pipeline_of, score_of
from lookwhy.models.protocol import TokenModel
from lookwhy.models.regions import RegionHead
from lookwhy.types import Domain, Explains, ImportanceMaps, Target, VQABatch


class BoxDrop(Attributor):
    """Decrease of the answer's probability when a box is taken out of the image.

    Args:
        grid: cells along each side of the map that is made from the boxes.
        explains: quantity of the answer whose decrease is measured.

    Example:
        >>> BoxDrop(grid=4)(model_on_boxes, batch_of_boxes, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "box_drop"
    domain: Domain = "image"
    # Needs the head and the mask of its regions, not only the scores.
    needs: Needs = "gradients"
    explains_boxes = True

    def __init__(self, grid: int = 16, explains: Explains = "probability") -> None:
        self.grid, self.explains = grid, explains

    @torch.no_grad()
    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), signed, made from `box_values`; `flips` counts boxes.

        Raises:
            LookwhyError: the head cannot take a region out, or the features are not those of boxes.
        """
        pipeline, boxes = self._pipeline(model), boxes_of(batch, self.name)
        features = features_of(pipeline, batch, self.name)
        values = features.new_full(boxes.shape[:2], torch.nan)
        flips = torch.zeros(len(batch), dtype=torch.int64)
        for rows in rows_by_image(batch):
            (places,) = torch.where(~boxes[rows[0]].isnan().any(1))
            views = pipeline.look(features[rows[:1].to(features.device)]).repeat(1 + len(places), 1, 1)
            # The mark of a region is the last column of the view (`RegionHead.marked`).
            views[torch.arange(1, len(views), device=views.device), places, -1] = 0.0
            # Question by question: the codes of 100 boxes without one of them are 20 MB.
            for row in rows.tolist():
                code = pipeline.read(batch.tokens[row : row + 1], batch.lengths[row : row + 1])[0]
                codes = code.expand(len(views), *code.shape[1:])
                scores = pipeline.scores_of_codes(views, codes, self.explains)[None]
                explained = score_of(scores, target[row : row + 1])[0]
                values[row, places] = (explained[0] - explained[1:]).to(values.dtype)
                answer = first_answer(target[row : row + 1])
                flips[row] = (scores[0, 1:].argmax(1) != answer).sum().cpu()
        cells = cells_of_boxes(boxes, values, self.grid)
        return self._maps(batch, target, cells, signed=True, flips=flips, box_values=values)

    def check(self, model: TokenModel) -> None:
        """Raise a LookwhyError for a model whose head cannot take a region out."""
        head = pipeline_of(model, self.name).head
        if not (isinstance(head, RegionHead) and head.mask_empty):
            raise LookwhyError(
                f"expected a head on boxes with mask_empty true for {type(self).__name__}, found "
                f"{type(head).__name__}; take Occlusion for a grid, or train SAN or MCAN on features of boxes"
            )
