"""Occlusion of image regions (Zeiler & Fergus 2014; "discrete derivatives" in the paper, section 3).

The image is divided into a grid of 16x16 cells; one cell at a time is painted with the gray patch
(R, G, B) = (123.68, 116.779, 103.939), the mean pixel::

    R(cell) = p(answer | image) - p(answer | image with that cell painted over)

for the answer predicted from the whole image. Works on any black box. A `Pipeline`, whose tower is
frozen, is looked into: the features of the occluded images are computed once per image and kept, and
only the head answers again.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhy.attribution.base import Attributor, Explains, Needs, images_of, rows_by_image
from lookwhy.attribution.incremental import occluded_images
from lookwhy.attribution.occluded_features import OccludedFeatures
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import VQAModel
from lookwhy.types import Domain, ImportanceMaps, VQABatch

PATCH_RGB = (123.68, 116.779, 103.939)


class Occlusion(Attributor):
    """Decrease of the answer's probability when a cell of the image is painted over.

    Args:
        grid: cells along each side of the image.
        patch_rgb: colour of the patch, 0-255, as red, green, blue.
        cache: folder to keep occluded features in; None: the analysis decides.
        batch_size: occluded images sent through a black box at once.
        explains: what of the answer falls; a black box tells probabilities alone.
    """

    name = "occlusion"
    domain: Domain = "image"
    needs: Needs = "scores"

    def __init__(
        self,
        grid: int = 16,
        patch_rgb: tuple[float, float, float] = PATCH_RGB,
        cache: str | None = None,
        batch_size: int = 64,
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.patch_rgb, self.cache, self.batch_size = grid, patch_rgb, cache, batch_size
        self.explains = explains
        self._features: tuple[nn.Module, OccludedFeatures] | None = None

    @torch.no_grad()
    def __call__(self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]) -> ImportanceMaps:
        """Maps (B, grid, grid), signed; flips counts cells.

        Raises:
            LookwhyError: the batch holds no pixels.
        """
        images = images_of(batch, self.name)
        values = torch.zeros(len(batch), self.grid, self.grid)
        flips = torch.zeros(len(batch), dtype=torch.int64)
        for rows in rows_by_image(batch):
            whole, occluded = self._scores(model, images[rows[0]], batch.tokens[rows], batch.lengths[rows])
            answers = target[rows]
            before = whole.gather(1, answers[:, None])
            after = occluded.gather(2, answers[:, None, None].expand(-1, occluded.shape[1], 1))[..., 0]
            values[rows] = (before - after).unflatten(1, (self.grid, self.grid)).float().cpu()
            flips[rows] = (occluded.argmax(2) != answers[:, None]).sum(1).cpu()
        return self._maps(batch, target, values, signed=True, flips=flips)

    def _scores(
        self,
        model: VQAModel,
        image: Float[Tensor, "3 H W"],
        tokens: Int64[Tensor, "Q T"],
        lengths: Int64[Tensor, " Q"],
    ) -> tuple[Float[Tensor, "Q A"], Float[Tensor, "Q cells A"]]:
        """Scores of some questions about one image: whole, and with each cell painted over."""
        if isinstance(model, Pipeline):
            clean, occluded = self._occluded_features(model, image)(image)
            logits = model.logits_of_pairs(torch.cat([clean[None], occluded]), tokens, lengths)
            return self._explained(logits[:, 0]), self._explained(logits[:, 1:])
        whole_rows, occluded_rows = [], []
        for question, length in zip(tokens, lengths, strict=True):
            whole_rows.append(self._black_box_scores(model, image[None], question[None], length[None])[0])
            occluded_rows.append(self._black_box(model, image, question, length))
        return torch.stack(whole_rows), torch.stack(occluded_rows)

    def _black_box(
        self,
        model: VQAModel,
        image: Float[Tensor, "3 H W"],
        question: Int64[Tensor, " T"],
        length: Int64[Tensor, ""],
    ) -> Float[Tensor, "cells A"]:
        fill = self._fill(model, image)
        cells = self.grid**2
        parts = []
        for start in range(0, cells, self.batch_size):
            some = occluded_images(image, self.grid, fill, slice(start, min(start + self.batch_size, cells)))
            count = len(some)
            parts.append(
                self._black_box_scores(model, some, question.expand(count, -1), length.expand(count))
            )
        return torch.cat(parts)

    def _occluded_features(self, model: Pipeline, image: Tensor) -> OccludedFeatures:
        # Kept while the same tower is explained: fingerprinting the tower reads all its weights.
        if self._features is None or self._features[0] is not model.tower:
            folder = Path(self.cache) if self.cache else None
            fill = self._fill(model.tower, image)
            store = OccludedFeatures(model.tower, self.grid, fill, folder, self.remember)
            self._features = (model.tower, store)
        return self._features[1]

    def _fill(self, model: object, image: Tensor) -> Float[Tensor, "3"]:
        """The patch in the model's input range.

        A model that states no recipe is taken to be fed pixels less the mean pixel, where it is 0.
        """
        recipe = getattr(model, "recipe", None)
        if recipe is None:
            return torch.zeros(3, dtype=image.dtype, device=image.device)
        return recipe.color(self.patch_rgb).to(image)
