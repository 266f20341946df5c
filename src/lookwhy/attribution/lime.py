"""LIME for images (Ribeiro, Singh & Guestrin 2016, '"Why should I trust you?"').

A linear model of the score on coalitions z of coarse cells (1: kept), fitted by ridge regression::

    min over w, b of  sum_z pi(z) (f(z) - b - w z)^2 + alpha |w|^2
    pi(z) = exp(-d(z)^2 / width^2)        d(z) = 1 - sqrt(kept cells / all cells), the cosine distance from 1

The weight w of a cell is its importance. Each coalition keeps each cell with probability 1/2; the whole image
is the first sample, as in the authors' code. If all coalitions are enumerated, there is no sampling error.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.masked import CoalitionMethod
from lookwhy.errors import LookwhyError
from lookwhy.towers.masks import Coalitions, Fill
from lookwhy.types import Explains


class LIME(CoalitionMethod):
    """Weights of a local linear model of the score.

    Args:
        grid: cells along each side of the map.
        samples: number of coalitions; all of them if that is as many.
        cells: coarse cells along each side. The paper takes superpixels, which differ by image.
        width: width of the kernel; 0.25 in the authors' code for images.
        alpha: strength of the ridge penalty; 1 in the authors' code.
        fill: what takes the place of removed cells.
        seed: seed of the coalitions, beside the image.
        explains: quantity of the answer; a black box gives only probabilities.

    Example:
        >>> LIME(grid=4, samples=20, cells=2)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "lime"

    def __init__(
        self,
        grid: int = 16,
        samples: int = 1000,
        cells: int = 7,
        width: float = 0.25,
        alpha: float = 1.0,
        fill: Fill = "patch",
        seed: int = 0,
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.samples, self.cells, self.width = grid, samples, cells, width
        self.alpha, self.fill, self.seed, self.explains = alpha, fill, seed, explains
        if not (width > 0 and alpha >= 0):
            raise LookwhyError(f"expected width above 0 and alpha from 0, found {width} and {alpha}")
        self._check_settings()

    @property
    def family(self) -> Coalitions:
        """The coalitions, each cell kept with probability 1/2."""
        return Coalitions(self.samples, self.seed, self.cells, "uniform")

    def _of_coalitions(self, kept: Float[Tensor, "M players"]) -> Float[Tensor, "players S"]:
        kept = torch.cat([torch.ones_like(kept[:1]), kept])
        proximity = kernel(kept.mean(1), self.width)
        if self.family.is_complete:
            proximity[0] = 0  # the whole image is one of all coalitions
        # The intercept is not penalised: it drops out if all variables are centred.
        centred = kept - proximity @ kept / proximity.sum()
        weighted = centred * proximity[:, None]
        penalty = self.alpha * torch.eye(kept.shape[1], dtype=kept.dtype)
        return torch.linalg.solve(centred.T @ weighted + penalty, weighted.T)


def kernel(kept: Float[Tensor, " M"], width: float) -> Float[Tensor, " M"]:
    """Proximity of coalitions to the whole image, from the share of the cells that they keep."""
    return torch.exp(-((1 - kept.sqrt()) ** 2) / width**2)
