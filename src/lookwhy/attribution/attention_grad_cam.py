"""Grad-CAM at the attention of a transformer's last layer, in the place of the maps of a convolution.

With A_h the attention of head h in the last layer and y the logit of the answer::

    alpha_h = mean over rows and columns of dy / dA_h          R = max(mean over heads of alpha_h A_h, 0)

The importance of a token is its entry in the first token's row of R. This is the baseline of Chefer et al.
2021 ("Generic attention-model explainability", section 5, after Selvaraju et al. 2017).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.attribution.token_method import TokenMethod
from lookwhy.types import Domain, Explains


class _GradCAM(TokenMethod):
    def __init__(self, explains: Explains = "logit") -> None:
        self.explains = explains

    @staticmethod
    def rule(
        weights: Float[Tensor, "L H S S"], gradients: Float[Tensor, "L H S S"] | None
    ) -> Float[Tensor, " S"]:
        """Importance of each token for the first one."""
        assert gradients is not None
        return attention_grad_cam(weights, gradients)


class AttentionGradCAM(_GradCAM):
    """Grad-CAM at the last layer's attention, over the picture.

    Args:
        grid: cells along each side of the map.
        explains: quantity of the answer whose gradient is taken; the paper takes the logit.

    Example:
        >>> AttentionGradCAM(grid=4)(vilt, batch, target).values.shape  # doctest: +SKIP
        torch.Size([3, 4, 4])
    """

    name = "attention_grad_cam"
    domain: Domain = "image"

    def __init__(self, grid: int = 16, explains: Explains = "logit") -> None:
        super().__init__(explains)
        self.grid = grid


class WordAttentionGradCAM(_GradCAM):
    """Grad-CAM at the last layer's attention, over the words of the question.

    Args:
        explains: quantity of the answer whose gradient is taken; the paper takes the logit.

    Example:
        >>> WordAttentionGradCAM()(vilt, batch, target).values.shape  # doctest: +SKIP
        torch.Size([3, 5])
    """

    name = "attention_grad_cam"
    domain: Domain = "question"


def attention_grad_cam(
    weights: Float[Tensor, "L H S S"], gradients: Float[Tensor, "L H S S"]
) -> Float[Tensor, " S"]:
    """Importance of each token for the first one.

    Example:
        >>> attention = torch.tensor([[[[0.5, 0.5], [0.0, 1.0]]]])
        >>> attention_grad_cam(attention, torch.tensor([[[[-1.0, 5.0], [0.0, 0.0]]]]))
        tensor([0.5000, 0.5000])
    """
    alpha = gradients[-1].mean((1, 2))
    return torch.einsum("h,hs->s", alpha, weights[-1, :, 0]).div(len(alpha)).clamp(min=0)
