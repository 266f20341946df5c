"""RISE (Petsiuk, Das & Saenko 2018, "RISE: Randomized input sampling for explanation of black-box models").

With N random masks M_i, each pixel kept with probability p::

    R(pixel) = 1 / (N p) sum_i f(image under M_i) M_i(pixel)

So a pixel is important if the answer's probability is high where the pixel is seen. A map has an offset (the
mean probability under all masks), which ranks do not see. The value of a cell is the mean over its pixels.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lookwhy.attribution.masked import MaskMethod
from lookwhy.models.pipeline import ModelParts
from lookwhy.towers.masks import Fill, SoftMasks
from lookwhy.types import Explains, Target


class RISE(MaskMethod):
    """Mean probability of the answer under random masks that show a cell.

    Args:
        grid: cells along each side of the map.
        samples: number of masks; 4,000 to 8,000 in the paper, for 224 x 224 pixels.
        cells: cells along each side of the small grid that a mask is enlarged from; 7 in the paper.
        kept: probability that a cell is kept; 0.5 in the paper.
        fill: what takes the place of hidden pixels. The paper uses black after normalisation, the mean pixel:
            `patch`.
        seed: seed of the masks, beside the image.
        explains: quantity of the answer; a black box gives only probabilities.

    Example:
        >>> RISE(grid=4, samples=20)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "rise"

    def __init__(
        self,
        grid: int = 16,
        samples: int = 1000,
        cells: int = 7,
        kept: float = 0.5,
        fill: Fill = "patch",
        seed: int = 0,
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.samples, self.cells, self.kept = grid, samples, cells, kept
        self.fill, self.seed, self.explains = fill, seed, explains
        _ = self.family

    @property
    def family(self) -> SoftMasks:
        """The masks."""
        return SoftMasks(self.samples, self.seed, self.cells, self.kept)

    def _weights(self, parts: ModelParts, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "cells S"]:
        shares = parts.mask_shares(image, self.family, self.grid).flatten(1).double().T
        without_whole = F.pad(shares, (1, 0))  # the whole image has no part in the sum
        weights: Tensor = without_whole / (self.samples * self.kept)
        return weights

    def _is_signed(self, target: Target) -> bool:
        # A mean of probabilities is never negative.
        return self.explains == "logit" or target.ndim == 2
