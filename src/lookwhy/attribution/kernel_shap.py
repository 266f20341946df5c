"""KernelSHAP (Lundberg & Lee 2017, "A unified approach to interpreting model predictions").

The Shapley values of coarse cells: the importance of a cell is the mean, over all orders in which the cells
may appear, of what the score gains when the cell appears. They minimise::

    sum_z pi(z) (f(z) - f(nothing) - phi z)^2      pi(z) = (M - 1) / (C(M, s) s (M - s)), s kept cells of M
    under  sum of phi = f(image) - f(nothing)

With all coalitions enumerated the values are exact. Else coalitions are drawn by their kernel weight, each
with its complement, which removes half of the variance's terms.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.masked import CoalitionMethod
from lookwhy.towers.masks import Coalitions, Fill
from lookwhy.types import Explains


class KernelSHAP(CoalitionMethod):
    """Shapley values of coarse cells of the image.

    Their sum is the score of the image minus that of the image without any cell.

    Args:
        grid: cells along each side of the map.
        samples: number of coalitions; all of them, and exact values, if that is as many.
        cells: coarse cells along each side: 3 has 512 coalitions.
        fill: what takes the place of removed cells.
        seed: seed of the coalitions, beside the image.
        explains: quantity of the answer; a black box gives only probabilities.

    Example:
        >>> KernelSHAP(grid=4, samples=16, cells=2)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "kernel_shap"

    def __init__(
        self,
        grid: int = 16,
        samples: int = 1000,
        cells: int = 7,
        fill: Fill = "patch",
        seed: int = 0,
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.samples, self.cells = grid, samples, cells
        self.fill, self.seed, self.explains = fill, seed, explains
        self._check_settings()

    @property
    def family(self) -> Coalitions:
        """All coalitions, or a sample; the first keeps no cell."""
        return Coalitions(self.samples, self.seed, self.cells, "shapley")

    def _of_coalitions(self, kept: Float[Tensor, "M players"]) -> Float[Tensor, "players S"]:
        if self.family.is_complete:
            return torch.cat([torch.zeros(kept.shape[1], 1, dtype=kept.dtype), exact_weights(kept)], dim=1)
        return regression_weights(kept)


def exact_weights(kept: Float[Tensor, "M players"]) -> Float[Tensor, "players M"]:
    """Weights of the scores of all coalitions in the Shapley value of each player.

    A coalition of s players that holds the player counts (s - 1)! (M - s)! / M!, one that does not counts
    -s! (M - s - 1)! / M!.
    """
    players, size = kept.shape[1], kept.sum(1, keepdim=True)

    def log_factorial(count: Tensor) -> Tensor:
        return torch.lgamma(count + 1)

    whole = log_factorial(torch.tensor(float(players), dtype=kept.dtype))
    with_player = torch.exp(log_factorial((size - 1).clamp(min=0)) + log_factorial(players - size) - whole)
    without = torch.exp(log_factorial(size) + log_factorial((players - size - 1).clamp(min=0)) - whole)
    return torch.where(kept > 0, with_player, -without).T


def regression_weights(kept: Float[Tensor, "M players"]) -> Float[Tensor, "players S"]:
    """Weights of the scores in the constrained regression on drawn coalitions.

    The first score is that of the whole image, the second that of the coalition without any cell. The others
    are drawn by their kernel weight, so all count the same.
    """
    players = kept.shape[1]
    none, drawn = kept[0], kept[1:]
    assert not none.any()
    # The last player's value follows from the constraint, so the others are free.
    free = drawn[:, :-1] - drawn[:, -1:]
    solve = torch.linalg.pinv(free)  # (players - 1, M - 1)
    # free phi = f(z) - f(nothing) - z_last (f(image) - f(nothing))
    last = drawn[:, -1]
    of_image, of_none = -solve @ last, -solve @ (1 - last)
    rows = torch.cat([of_image[:, None], of_none[:, None], solve], dim=1)
    total = torch.zeros(len(kept) + 1, dtype=kept.dtype)
    total[0], total[1] = 1, -1
    return torch.cat([rows, (total - rows.sum(0))[None]]) if players > 1 else total[None]
