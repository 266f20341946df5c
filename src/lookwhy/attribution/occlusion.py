"""Occlusion of image regions (Zeiler & Fergus 2014; "discrete derivatives" in section 3 of the paper).

The image is divided into a grid of 16x16 cells. One cell at a time is painted with the gray patch
(R, G, B) = (123.68, 116.779, 103.939), the mean pixel::

    R(cell) = p(answer | image) - p(answer | image with that cell painted over)

for the answer predicted from the whole image. The method works on any black box. For a `Pipeline`, the tower
computes the features of all occluded images once, and the head answers every question from them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.base import Attributor, Needs, images_of, rows_by_image
from lookwhy.models.pipeline import ModelParts, first_answer, parts_of, score_of
from lookwhy.models.protocol import TokenModel
from lookwhy.towers import devices
from lookwhy.towers.masks import PATCH_RGB
from lookwhy.towers.memory import AHEAD
from lookwhy.types import Domain, Explains, ImportanceMaps, Target, VQABatch


class Occlusion(Attributor):
    """Decrease of the answer's probability when a cell of the image is painted over.

    Args:
        grid: cells along each side of the image.
        patch_rgb: colour of the patch, 0-255, as red, green, blue.
        batch_size: number of occluded images that go through a black box together.
        explains: quantity of the answer whose decrease is measured; a black box gives only probabilities.

    Example:
        >>> Occlusion(grid=4)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "occlusion"
    domain: Domain = "image"
    needs: Needs = "scores"

    def __init__(
        self,
        grid: int = 16,
        patch_rgb: tuple[float, float, float] = PATCH_RGB,
        batch_size: int = 64,
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.patch_rgb, self.batch_size, self.explains = grid, patch_rgb, batch_size, explains

    @torch.no_grad()
    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), signed; `flips` counts cells.

        Raises:
            LookwhyError: the batch has no pixels.
        """
        images, parts = images_of(batch, self.name), parts_of(model, self.batch_size)
        # On a GPU nothing is read before the last image, so that the device does not wait for Python.
        values = images.new_zeros(len(batch), self.grid, self.grid)
        flips = torch.zeros(len(batch), dtype=torch.int64, device=images.device)
        fill = patch_of(parts, self.patch_rgb, images[0])
        # On a CPU a question's numbers do not depend on the other questions of the batch, to the last bit.
        together = devices.launches_are_dear(images.device)
        read = parts.read(batch.tokens, batch.lengths) if together else ()
        groups = rows_by_image(batch)
        on_device = torch.cat(groups).to(images.device).split([len(rows) for rows in groups])
        for number, rows in enumerate(on_device):
            for later in groups[number + 1 : number + 1 + AHEAD]:
                parts.read_ahead(images[later[0]], self.grid, fill)
            clean, occluded = parts.occluded(images[groups[number][0]], self.grid, fill)
            features, asked = torch.cat([clean[None], occluded]), tuple(one[rows] for one in read)
            if not together:
                asked = parts.read(batch.tokens[rows], batch.lengths[rows])
            (scores,) = parts.scores_of_parts(iter([features]), asked, self.explains)
            explained, answers = score_of(scores, target[rows]), first_answer(target[rows])
            decrease = explained[:, :1] - explained[:, 1:]
            values[rows] = decrease.unflatten(1, (self.grid, self.grid)).to(values.dtype)
            flips[rows] = (scores[:, 1:].argmax(2) != answers[:, None]).sum(1)
        return self._maps(batch, target, values, signed=True, flips=flips.cpu())


def patch_of(parts: ModelParts, rgb: tuple[float, float, float], like: Tensor) -> Float[Tensor, "3"]:
    """A colour in the input range of a model, with the type and device of `like`.

    Without a recipe it is 0, the mean of normalised pixels.
    """
    return parts.recipe.color(rgb).to(like) if parts.recipe else like.new_zeros(3)
