"""Attention rollout (Abnar and Zuidema 2020, "Quantifying attention flow in transformers", section 3).

With A_l the attention of layer l, averaged over its heads, and the identity for the residual connection::

    R_l = (A_l + I) / 2 . R_(l-1)          R_0 = I

The importance of a token is its entry in the first token's row of R after the last layer. Rollout follows the
attention only: it is the same for every answer, and does not know which heads matter.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.token_method import TokenMethod
from lookwhy.types import Domain


class _Rollout(TokenMethod):
    depends_on_answer = False

    @staticmethod
    def rule(
        weights: Float[Tensor, "L H S S"], gradients: Float[Tensor, "L H S S"] | None = None
    ) -> Float[Tensor, " S"]:
        """Importance of each token for the first one."""
        return rollout(weights)


class AttentionRollout(_Rollout):
    """Attention rollout over the picture.

    Args:
        grid: cells along each side of the map.

    Example:
        >>> AttentionRollout(grid=4)(vilt, batch, target).values.shape  # doctest: +SKIP
        torch.Size([3, 4, 4])
    """

    name = "attention_rollout"
    domain: Domain = "image"

    def __init__(self, grid: int = 16) -> None:
        self.grid = grid


class WordAttentionRollout(_Rollout):
    """Attention rollout over the words of the question.

    Example:
        >>> WordAttentionRollout()(vilt, batch, target).values.shape  # doctest: +SKIP
        torch.Size([3, 5])
    """

    name = "attention_rollout"
    domain: Domain = "question"


def rollout(weights: Float[Tensor, "L H S S"]) -> Float[Tensor, " S"]:
    """Importance of each token for the first one.

    Example:
        >>> rollout(torch.tensor([[[[0.5, 0.5], [0.0, 1.0]]]]))
        tensor([0.7500, 0.2500])
    """
    row = torch.eye(weights.shape[-1], dtype=weights.dtype)[0]
    for layer in weights.mean(1).flip(0):  # the row of the product, from the last layer down
        row = (row @ layer + row) / 2
    return row
