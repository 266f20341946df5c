"""Occlusion of image regions (Zeiler & Fergus 2014; "discrete derivatives" in section 3 of the paper).

The image is divided into a grid of 16x16 cells. One cell at a time is painted with the gray patch
(R, G, B) = (123.68, 116.779, 103.939), the mean pixel::

    R(cell) = p(answer | image) - p(answer | image with that cell painted over)

for the answer predicted from the whole image. The method works on any black box. For a `Pipeline`, the tower
computes the features of all occluded images once, and the head answers every question from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lookwhy.attribution.base import Attributor, Needs, images_of, rows_by_image
from lookwhy.models.pipeline import ModelParts, Pipeline, first_answer, parts_of, score_of
from lookwhy.models.protocol import TokenModel
from lookwhy.towers import devices
from lookwhy.towers.masks import PATCH_RGB
from lookwhy.towers.memory import AHEAD
from lookwhy.types import Domain, Explains, ImportanceMaps, Target, VQABatch

IMAGES_TOGETHER = 8
"""Most images in one call of the head on a GPU."""
SPACE = 8
"""Memory that the head may need for a question, as a multiple of its image's features."""


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
        for rows, scores in self._scores(parts, batch, images):
            explained, answers = score_of(scores, target[rows]), first_answer(target[rows])
            decrease = explained[:, :1] - explained[:, 1:]
            values[rows] = decrease.unflatten(1, (self.grid, self.grid)).to(values.dtype)
            flips[rows] = (scores[:, 1:].argmax(2) != answers[:, None]).sum(1)
        return self._maps(batch, target, values, signed=True, flips=flips.cpu())

    def _scores(
        self, parts: ModelParts, batch: VQABatch, images: Float[Tensor, "B 3 H W"]
    ) -> Iterator[tuple[Int64[Tensor, " Q"], Float[Tensor, "Q cells1 A"]]]:
        """Rows of questions, and their scores of the whole image and of each version with a cell painted."""
        groups = rows_by_image(batch)
        starts = [0, *accumulate(map(len, groups))]
        every = torch.cat(groups).to(images.device)
        found = self._features(parts, images, [int(rows[0]) for rows in groups])
        if not (devices.launches_are_dear(images.device) and isinstance(parts, Pipeline)):
            # A question's numbers do not depend on the other questions of the batch, to the last bit.
            for number, features in enumerate(found):
                rows = every[starts[number] : starts[number + 1]]
                asked = parts.read(batch.tokens[rows], batch.lengths[rows])
                yield rows, next(parts.scores_of_parts(iter([features]), asked, self.explains))
            return
        # On a GPU the calls of the head cost more than their work, so some images share them.
        read, memory = parts.read(batch.tokens, batch.lengths), devices.working_memory(images.device)
        image_of = torch.repeat_interleave(torch.tensor([*map(len, groups)])).to(images.device)
        first, waiting = 0, list[Float[Tensor, "cells1 *D"]]()
        for number, features in enumerate(found, 1):
            waiting.append(features)
            some = slice(starts[first], starts[number])
            used = SPACE * features.nbytes * (1 + some.stop - some.start)
            if used >= memory or len(waiting) == IMAGES_TOGETHER or number == len(groups):
                rows, owner = every[some], image_of[some] - first
                asked = tuple(one[rows] for one in read)
                yield rows, parts.scores_of_images(torch.stack(waiting), owner, asked, self.explains)
                first, waiting = number, []

    def _features(
        self, parts: ModelParts, images: Float[Tensor, "B 3 H W"], firsts: list[int]
    ) -> Iterator[Float[Tensor, "cells1 *D"]]:
        """Features of the images in these rows, whole and with each cell painted over."""
        # On the CPU: the memory's key reads its values, and would wait for a GPU at each image.
        fill = patch_of(parts, self.patch_rgb, images[0]).cpu()
        for number, row in enumerate(firsts, 1):
            for later in firsts[number : number + AHEAD]:
                parts.read_ahead(images[later], self.grid, fill)
            clean, occluded = parts.occluded(images[row], self.grid, fill)
            yield torch.cat([clean[None], occluded])


def patch_of(parts: ModelParts, rgb: tuple[float, float, float], like: Tensor) -> Float[Tensor, "3"]:
    """A colour in the input range of a model, with the type and device of `like`.

    Without a recipe it is 0, the mean of normalised pixels.
    """
    return parts.recipe.color(rgb).to(like) if parts.recipe else like.new_zeros(3)
