"""Gradient-weighted attention of Chefer et al. 2021, for a single stream of self-attention.

"Generic attention-model explainability for interpreting bi-modal and encoder-decoder transformers",
section 3. With A_l the attention of layer l and y the logit of the answer::

    C_l = mean over heads of max(dy / dA_l * A_l, 0)          R_l = R_(l-1) + C_l . R_(l-1)          R_0 = I

The importance of a token is its entry in the first token's row of R after the last layer, as in the authors'
code for VisualBERT.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.token_method import TokenMethod
from lookwhy.types import Domain, Explains


class _Relevance(TokenMethod):
    def __init__(self, explains: Explains = "logit") -> None:
        self.explains = explains

    @staticmethod
    def rule(
        weights: Float[Tensor, "L H S S"], gradients: Float[Tensor, "L H S S"] | None
    ) -> Float[Tensor, " S"]:
        """Importance of each token for the first one."""
        assert gradients is not None
        return relevance(weights, gradients)


class AttentionRelevance(_Relevance):
    """Relevance by gradient-weighted attention over the picture.

    Args:
        grid: cells along each side of the map.
        explains: quantity of the answer whose gradient is taken; the paper takes the logit.

    Example:
        >>> AttentionRelevance(grid=4)(vilt, batch, target).values.shape  # doctest: +SKIP
        torch.Size([3, 4, 4])
    """

    name = "attention_relevance"
    domain: Domain = "image"

    def __init__(self, grid: int = 16, explains: Explains = "logit") -> None:
        super().__init__(explains)
        self.grid = grid


class WordAttentionRelevance(_Relevance):
    """Relevance by gradient-weighted attention over the words of the question.

    Args:
        explains: quantity of the answer whose gradient is taken; the paper takes the logit.

    Example:
        >>> WordAttentionRelevance()(vilt, batch, target).values.shape  # doctest: +SKIP
        torch.Size([3, 5])
    """

    name = "attention_relevance"
    domain: Domain = "question"


def relevance(weights: Float[Tensor, "L H S S"], gradients: Float[Tensor, "L H S S"]) -> Float[Tensor, " S"]:
    """Importance of each token for the first one.

    Example:
        >>> attention = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]]]])
        >>> relevance(attention, torch.tensor([[[[-1.0, 3.0], [0.0, 0.0]]]]))
        tensor([1.0000, 1.5000])
    """
    row = torch.eye(weights.shape[-1], dtype=weights.dtype)[0]
    for layer in (weights * gradients).clamp(min=0).mean(1).flip(0):
        row = row + row @ layer
    return row
