"""Base of the methods that read importance from the scores of many masked images (RISE, LIME, KernelSHAP).

The masks belong to the image (`lookwhy.towers.masks`), so the network's features under them are computed once
an image and stored. Each importance is a weighted sum of the scores: a method is a matrix of weights.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.base import Attributor, Needs, images_of, rows_by_image
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import AskedQuestions, ModelParts, parts_of, score_of
from lookwhy.models.protocol import TokenModel
from lookwhy.towers.masks import Coalitions, Fill, MaskFamily
from lookwhy.types import Domain, Explains, ImportanceMaps, Target, VQABatch

ON_BLACK_BOX = 64
"""Number of masked images that go through a black box together."""


class MaskMethod(Attributor):
    """A linear function of the scores under the masks of one family; works on any black box.

    Subclasses set `grid`, `fill` and `explains`, and implement `family` and `_weights`.
    """

    domain: Domain = "image"
    needs: Needs = "scores"
    grid: int
    fill: Fill

    @property
    @abstractmethod
    def family(self) -> MaskFamily:
        """The masks."""

    @abstractmethod
    def _weights(self, parts: ModelParts, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "cells S"]:
        """Weight of each score for each cell of the map; the first score is that of the whole image."""

    @torch.no_grad()
    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid).

        Raises:
            LookwhyError: the batch has no pixels.
        """
        images, parts = images_of(batch, self.name), parts_of(model, ON_BLACK_BOX)
        values = torch.zeros(len(batch), self.grid, self.grid, dtype=torch.float64, device=images.device)
        read = parts.read(batch.tokens, batch.lengths)
        for rows in rows_by_image(batch):
            image, asked = images[rows[0]], tuple(one[rows] for one in read)
            (scores,) = scores_under_masks(
                parts, image, [self.family], self.fill, asked, target[rows], self.explains
            )
            found = self._relative(scores) @ self._weights(parts, image).to(scores).T
            values[rows] = found.unflatten(1, (self.grid, self.grid))
        return self._maps(batch, target, values, signed=self._is_signed(target))

    def _relative(self, scores: Float[Tensor, "Q S"]) -> Float[Tensor, "Q S"]:
        """The scores that the weights are for."""
        return scores

    def _is_signed(self, target: Target) -> bool:
        return True


class CoalitionMethod(MaskMethod):
    """Base of LIME and KernelSHAP: importance of p x p coarse cells, each shared equally by cells of the map.

    Subclasses add `cells`, `samples` and `seed`, and implement `_of_coalitions`.
    """

    cells: int
    samples: int
    seed: int

    @property
    @abstractmethod
    def family(self) -> Coalitions:
        """The coalitions."""

    @abstractmethod
    def _of_coalitions(self, kept: Float[Tensor, "M players"]) -> Float[Tensor, "players S"]:
        """Weights of the scores for each coarse cell; the first score is that of the whole image."""

    def _weights(self, parts: ModelParts, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "cells S"]:
        kept = torch.from_numpy(self.family.kept(image)).double()
        return shared_by_cells(self._of_coalitions(kept), self.cells, self.grid)

    def _relative(self, scores: Float[Tensor, "Q S"]) -> Float[Tensor, "Q S"]:
        # The weights of a cell add up to 0. Without the offset, a model that ignores the image gets a map of
        # zeros; with it, a map of rounding errors, which has ranks.
        return scores - scores[:, :1]

    def _check_settings(self) -> None:
        """Refuse a grid that is too coarse, and too few samples for a regression."""
        if not 1 < self.cells <= self.grid:
            raise LookwhyError(
                f"expected cells from 2 to {self.grid}, the grid of the map, found {self.cells} for "
                f"{type(self).__name__}; correct cells"
            )
        if self.samples < 2 * self.cells**2 and not self.family.is_complete:
            raise LookwhyError(
                f"expected samples of at least {2 * self.cells**2}, two for each of {self.cells} x "
                f"{self.cells} cells, found {self.samples} for {type(self).__name__}; raise samples or lower "
                "cells"
            )


@torch.no_grad()
def scores_under_masks(
    parts: ModelParts,
    image: Float[Tensor, "3 H W"],
    families: Sequence[MaskFamily],
    fill: Fill,
    read: AskedQuestions,
    target: Target,
    explains: Explains = "probability",
) -> list[Float[Tensor, "Q S"]]:
    """For each family, score of each question's answer for the whole image, and then under each mask.

    `read` holds the questions as `read` of the model returned them.
    """
    some = chain.from_iterable(parts.under_masks(image, family, fill) for family in families)
    scores = parts.scores_of_parts(some, read, explains)
    joined = torch.cat([score_of(one, target).double() for one in scores], dim=1)
    return [*joined.split([1 + family.size for family in families], dim=1)]


def shared_by_cells(values: Float[Tensor, "players S"], cells: int, grid: int) -> Float[Tensor, "cells S"]:
    """Values of coarse cells, each divided equally among the cells of the map whose centres it holds."""
    places = (torch.arange(grid) * 2 + 1) * cells // (2 * grid)
    holder = (places[:, None] * cells + places).flatten()
    return values[holder] / holder.bincount(minlength=len(values))[holder][:, None].to(values)
