"""Gradient of the answer's probability with respect to the pixels (Simonyan et al. 2014; equation 2).

    R(pixel) = max over channels |d p(answer) / d pixel|

and the mean of R over each cell of the grid. Every ReLU passes the gradient where its input was
positive: the true derivative. The two papers that change the rule of the ReLU (Zeiler & Fergus;
Springenberg et al.) share everything else with this file.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from lookwhy.attribution.base import Attributor, Explains, Needs, differentiable, images_of
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import VQAModel
from lookwhy.types import Domain, ImportanceMaps, VQABatch

Channels = Literal["max", "mean", "l2"]
Pool = Literal["mean", "max"]


class Gradient(Attributor):
    """Magnitude of the pixel gradient, averaged over the cells of a grid.

    Args:
        grid: cells along each side of the map.
        channels: how the three channels of a pixel become one magnitude. The paper does not say;
            `max` is Simonyan's.
        pool: how the pixels of a cell become one value.
        batch_size: questions sent through the network at once; bounds memory.
        explains: what of the answer the gradient is of.
    """

    name = "gradient"
    domain: Domain = "image"
    needs: Needs = "gradients"

    def __init__(
        self,
        grid: int = 16,
        channels: Channels = "max",
        batch_size: int = 8,
        pool: Pool = "mean",
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.channels, self.batch_size, self.pool = grid, channels, batch_size, pool
        self.explains = explains

    def rule(self, model: Pipeline) -> AbstractContextManager[None]:
        """The backward rule of the ReLUs, as a context."""
        return nullcontext()

    def __call__(self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]) -> ImportanceMaps:
        """Maps (B, grid, grid), unsigned.

        Raises:
            LookwhyError: the model is not a `Pipeline`, or the batch holds no pixels.
        """
        pipeline = differentiable(model, self.name)
        images = images_of(batch, self.name)
        parts = []
        for rows in torch.arange(len(batch), device=images.device).split(self.batch_size):
            gradients = self.pixel_gradients(
                pipeline, images[rows], batch.tokens[rows], batch.lengths[rows], target[rows]
            )
            pool = F.adaptive_avg_pool2d if self.pool == "mean" else F.adaptive_max_pool2d
            parts.append(pool(self._magnitude(gradients), self.grid))
        values = torch.cat(parts).float().cpu()
        return self._maps(batch, target, values, signed=False)

    def pixel_gradients(
        self,
        model: Pipeline,
        images: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
        target: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B 3 H W"]:
        """Gradients of what is explained of the target answers, under this method's rule for ReLUs."""
        pixels = images.detach().clone().requires_grad_()
        with self.rule(model):
            scores = self._explained(model(pixels, tokens, lengths))
            chosen = scores.gather(1, target[:, None]).sum()
            # Not .backward(): that would leave gradients in the parameters that training then uses.
            (gradients,) = torch.autograd.grad(chosen, pixels)
        return gradients

    def _magnitude(self, gradients: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W"]:
        if self.channels == "max":
            return gradients.abs().amax(1)
        return gradients.abs().mean(1) if self.channels == "mean" else gradients.norm(dim=1)
