"""Gradient of the answer's probability with respect to the pixels (Simonyan et al. 2014; equation 2).

    R(pixel) = max over channels |d p(answer) / d pixel|

The importance of a cell is the mean of R over its pixels. Every ReLU passes the gradient if its input was
positive, as the true derivative does. Deconvnet and GuidedBackprop change only this rule.

The gradient passes back through the head, which differs by question and epoch, and then through the frozen
tower. The masks of the tower's backward pass depend on the image alone.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from lookwhy.attribution.base import Attributor, Needs, images_of, rows_by_image
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import as_explained, pipeline_of, score_of
from lookwhy.models.protocol import TokenModel, VQAHead
from lookwhy.towers import devices
from lookwhy.towers.relu_rules import Rule, plain, relu_rule
from lookwhy.types import (
    Domain,
    Explains,
    Features,
    Images,
    ImportanceMaps,
    Lengths,
    Target,
    Tokens,
    VQABatch,
)

Channels = Literal["max", "mean", "l2"]
Pool = Literal["mean", "max"]


class PixelMethod(Attributor):
    """Base of the methods that take gradients at the pixels.

    Subclasses set `grid`, `batch_size` and `explains`, and call `pixel_gradients`.
    """

    domain: Domain = "image"
    needs: Needs = "gradients"
    rule: Rule = staticmethod(plain)
    grid: int
    batch_size: int

    def check(self, model: TokenModel) -> None:
        """Raise an error for a black box, or (if the rule is not `plain`) a tower without ReLU modules."""
        network = pipeline_of(model, self.name).tower.network
        # Functional ReLUs get no rule: the map would be the plain gradient under this method's name.
        if self.rule is not plain and not any(isinstance(one, torch.nn.ReLU) for one in network.modules()):
            raise LookwhyError(
                f"expected nn.ReLU modules for {self.name}, found none in {type(network).__name__}; "
                "functional ReLUs cannot be given a backward rule: use modules, or the method Gradient"
            )

    def pixel_gradients(
        self, model: TokenModel, batch: VQABatch, target: Target, *, stored: bool = True
    ) -> Images:
        """Gradients at the pixels of each question's image, under this method's rule.

        Without `stored`, the tower's memory holds nothing of these images: for those that no other question,
        epoch or run needs.

        Raises:
            LookwhyError: see `__call__`.
        """
        pipeline, images = self._pipeline(model), images_of(batch, self.name)
        gradients = torch.empty_like(images)
        for part in self._parts(batch, pipeline.tower.has_own_backward):
            rows = torch.cat(part)
            counts = [len(of_image) for of_image in part]
            features, at_pixels = pipeline.tower.with_gradients(
                [images[of_image[0]] for of_image in part], counts, self.rule, stored=stored
            )
            with relu_rule(pipeline.head, self.rule):
                asked = batch.tokens[rows], batch.lengths[rows]
                given = gradients_at_features(pipeline.head, features, *asked, target[rows], self.explains)
            gradients[rows] = at_pixels(given)
        return gradients

    def _parts(self, batch: VQABatch, is_bounded: bool) -> list[list[Int64[Tensor, " R"]]]:
        """Rows of the questions that go through the network together, grouped by image.

        On a GPU these are many if the network's own backward pass bounds its memory; autograd does not.
        """
        parts: list[list[Int64[Tensor, " R"]]] = []
        on_gpu = devices.launches_are_dear(batch.tokens.device)
        size = max(self.batch_size, devices.QUESTIONS_ON_GPU) if on_gpu and is_bounded else self.batch_size
        for rows in (some for of_image in rows_by_image(batch) for some in of_image.split(size)):
            if not parts or sum(map(len, [*parts[-1], rows])) > size:
                parts.append([])
            parts[-1].append(rows)
        return parts


class Gradient(PixelMethod):
    """Magnitude of the pixel gradient, averaged over each cell of a grid.

    Args:
        grid: cells along each side of the map.
        channels: how the three channels of a pixel become one magnitude. The paper does not say; Simonyan
            et al. take the maximum.
        batch_size: number of questions that go through the network together on a CPU; on a GPU at least 192.
        pool: how the pixels of a cell become one value.
        explains: quantity of the answer whose gradient is taken.

    Example:
        >>> Gradient(grid=4)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "gradient"

    def __init__(
        self,
        grid: int = 16,
        channels: Channels = "max",
        batch_size: int = 8,
        pool: Pool = "mean",
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.channels, self.batch_size = grid, channels, batch_size
        self.pool, self.explains = pool, explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), unsigned.

        Raises:
            LookwhyError: the model is a black box, its tower has no ReLU module for this method's rule, or
                the batch has no pixels.
        """
        gradients = self.pixel_gradients(model, batch, target)
        values = magnitudes(gradients, self.grid, self.channels, self.pool)
        return self._maps(batch, target, values, signed=False)


def magnitudes(
    gradients: Images, grid: int, channels: Channels = "max", pool: Pool = "mean"
) -> Float[Tensor, "B G G"]:
    """Magnitude of the gradient at each pixel, pooled over each cell."""
    size = getattr(gradients.abs(), {"max": "amax", "mean": "mean", "l2": "norm"}[channels])
    pooled = F.adaptive_avg_pool2d if pool == "mean" else F.adaptive_max_pool2d
    return pooled(size(dim=1), grid)


def gradients_at_features(
    head: nn.Module,
    features: Features,
    tokens: Tokens,
    lengths: Lengths,
    target: Target,
    explains: Explains,
) -> Features:
    """Gradient of each question's answer at the features of its image."""
    leaf = features.detach().clone().requires_grad_()
    if isinstance(head, VQAHead):
        with torch.no_grad():  # the question does not depend on the features
            code = head.read(head.embed(tokens), lengths)
        logits = head.answer(head.look(leaf), code)
    else:
        logits = head(leaf, tokens, lengths)
    chosen = score_of(as_explained(logits, explains), target).sum()
    # Not .backward(): it would leave gradients in the parameters, and training would use them.
    # allow_unused: the gradient of a question-only model is zero, not an error.
    (given,) = torch.autograd.grad(chosen, leaf, allow_unused=True, materialize_grads=True)
    return given
