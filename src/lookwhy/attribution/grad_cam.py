"""Grad-CAM and guided Grad-CAM (Selvaraju et al. 2017, "Grad-CAM: Visual explanations from deep networks").

With A_k the maps of the last convolutional layer (after its ReLU) and y the LOGIT of the answer::

    alpha_k = mean over places of dy / dA_k          R = ReLU(sum_k alpha_k A_k)

interpolated bilinearly to the grid. Guided Grad-CAM multiplies R, interpolated to the pixels, with the guided
gradient of each pixel.

A head on a grid of features (SAN, MCAN) has its last maps in front of it: A is that grid, and the image
network is not needed. On boxes, A holds the features of each box, alpha_k is the mean over the boxes of the
image, and R has a value a box. Many places of R are exactly zero: ties in a rank correlation.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lookwhy.attribution.base import Attributor, Needs, features_of, images_of, rows_by_image
from lookwhy.attribution.box_maps import cells_of_boxes
from lookwhy.attribution.gradient import PixelMethod, gradients_at_features, magnitudes
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import TokenModel
from lookwhy.towers.relu_rules import Rule, guided
from lookwhy.types import Domain, Explains, ImportanceMaps, Target, VQABatch


class GradCAM(Attributor):
    """Grad-CAM at the last maps of the image network, interpolated to the grid.

    Args:
        grid: cells along each side of the map.
        explains: quantity of the answer whose gradient is taken; the paper takes the logit.

    Example:
        >>> GradCAM(grid=4)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "grad_cam"
    domain: Domain = "image"
    needs: Needs = "gradients"
    explains_boxes = True

    def __init__(self, grid: int = 16, explains: Explains = "logit") -> None:
        self.grid, self.explains = grid, explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), unsigned: only evidence for the answer is kept.

        Raises:
            LookwhyError: the model is a black box; its image network has no maps of a ReLU to take, and its
                features are no grid; or the batch has no pixels.
        """
        pipeline = self._pipeline(model)
        cams = class_activations(pipeline, batch, target, self.explains)
        if batch.boxes is not None:
            is_box = ~batch.boxes.isnan().any(2)
            # The mean over all regions would be smaller for an image with more padding.
            mean_of_boxes = cams.flatten(1) * (is_box.shape[1] / is_box.sum(1, keepdim=True))
            of_boxes = mean_of_boxes.masked_fill(~is_box, torch.nan)
            cells = cells_of_boxes(batch.boxes, of_boxes, self.grid)
            return self._maps(batch, target, cells, signed=False, box_values=of_boxes)
        values = F.interpolate(cams[:, None], self.grid, mode="bilinear", align_corners=False)[:, 0]
        return self._maps(batch, target, values, signed=False)


class GuidedGradCAM(PixelMethod):
    """Guided backpropagation times Grad-CAM at each pixel; its magnitude, averaged over each cell.

    Args:
        grid: cells along each side of the map.
        batch_size: number of questions that go through the network together on a CPU; on a GPU at least 64.
        explains: quantity of the answer whose gradients are taken; the paper takes the logit.

    Example:
        >>> GuidedGradCAM(grid=4)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "guided_grad_cam"
    rule: Rule = staticmethod(guided)

    def __init__(self, grid: int = 16, batch_size: int = 8, explains: Explains = "logit") -> None:
        self.grid, self.batch_size, self.explains = grid, batch_size, explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), unsigned.

        Raises:
            LookwhyError: see `GradCAM` and `GuidedBackprop`.
        """
        size = images_of(batch, self.name).shape[2:]
        cams = class_activations(self._pipeline(model), batch, target, self.explains)
        shares = F.interpolate(cams[:, None], size, mode="bilinear", align_corners=False)
        gradients = self.pixel_gradients(model, batch, target)
        return self._maps(batch, target, magnitudes(shares * gradients, self.grid), signed=False)


def class_activations(
    pipeline: Pipeline, batch: VQABatch, target: Target, explains: Explains
) -> Float[Tensor, "B h w"]:
    """Grad-CAM of each question, on the grid of the last maps."""
    features = features_of(pipeline, batch, GradCAM.name)
    if features.ndim == 4:  # a head on a grid
        gradients = gradients_at_features(
            pipeline.head, features, batch.tokens, batch.lengths, target, explains
        )
        return _activations(gradients, features)
    images = images_of(batch, GradCAM.name)
    result: list[Tensor] = [torch.empty(0)] * len(batch)
    for rows in rows_by_image(batch):
        last = pipeline.tower.last_maps(images[rows[0]])
        maps = last.expand(len(rows), *last.shape).clone().requires_grad_()
        found = pipeline.tower.after_last_maps(maps)
        asked = batch.tokens[rows], batch.lengths[rows]
        given = gradients_at_features(pipeline.head, found, *asked, target[rows], explains)
        (gradients,) = torch.autograd.grad(found, maps, given)
        for row, cam in zip(rows.tolist(), _activations(gradients, maps.detach()), strict=True):
            result[row] = cam
    return torch.stack(result)


def _activations(gradients: Float[Tensor, "B K h w"], maps: Float[Tensor, "B K h w"]) -> Tensor:
    return torch.einsum("bk,bkhw->bhw", gradients.mean((2, 3)), maps).clamp(min=0)
