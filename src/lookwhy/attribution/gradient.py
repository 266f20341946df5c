"""Gradient of the answer's probability with respect to the pixels (Simonyan et al. 2014; equation 2).

    R(pixel) = max over channels |d p(answer) / d pixel|

and the mean of R over each cell of the grid. Every ReLU passes the gradient where its input was positive: the
true derivative. The two papers that change the rule of the ReLU (Zeiler & Fergus; Springenberg et al.) share
everything else with this file.

The way back leads through the head, which differs with the question and the epoch, and through the frozen
tower, which needs only the image for it.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from lookwhy.attribution.base import Attributor, Needs, images_of, rows_by_image
from lookwhy.models.pipeline import Pipeline, as_explained
from lookwhy.models.protocol import VQAModel
from lookwhy.towers.relu_rules import Rule, expect_relu_modules, plain, relu_rule
from lookwhy.types import Domain, Explains, ImportanceMaps, VQABatch

Channels = Literal["max", "mean", "l2"]
Pool = Literal["mean", "max"]


class Gradient(Attributor):
    """Magnitude of the pixel gradient, averaged over the cells of a grid.

    Args:
        grid: cells along each side of the map.
        channels: how the three channels of a pixel become one magnitude. The paper does not say; `max` is
            Simonyan's.
        batch_size: number of questions that go through the network together; bounds memory.
        pool: how the pixels of a cell become one value.
        explains: quantity of the answer whose gradient is taken.

    Example:
        >>> Gradient(grid=4)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "gradient"
    domain: Domain = "image"
    needs: Needs = "gradients"
    rule: Rule = staticmethod(plain)

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

    def __call__(self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]) -> ImportanceMaps:
        """Maps (B, grid, grid), unsigned.

        Raises:
            LookwhyError: the model is a black box, or has no ReLU that this method's rule could be given to;
                or the batch holds no pixels.
        """
        gradients = self.pixel_gradients(model, batch, target).abs()
        if self.channels == "max":
            sizes = gradients.amax(1)
        else:
            sizes = gradients.mean(1) if self.channels == "mean" else gradients.norm(dim=1)
        pool = F.adaptive_avg_pool2d if self.pool == "mean" else F.adaptive_max_pool2d
        return self._maps(batch, target, pool(sizes, self.grid), signed=False)

    def check(self, model: VQAModel) -> None:
        """Refuse a black box, and a network without ReLU modules where the rule is not the plain one."""
        super().check(model)
        if self.rule is not plain:
            assert isinstance(model, Pipeline)
            expect_relu_modules(model, self.name)

    def pixel_gradients(
        self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]
    ) -> Float[Tensor, "B 3 H W"]:
        """Gradients at the pixels of each question's image, under this method's rule.

        Raises:
            LookwhyError: as in a call.
        """
        pipeline, images = self._pipeline(model), images_of(batch, self.name)
        gradients = torch.empty_like(images)
        for part in self._parts(batch):
            rows = torch.cat(part)
            features, at_pixels = pipeline.tower.with_gradients(
                [images[of_image[0]] for of_image in part], [len(of_image) for of_image in part], self.rule
            )
            asked = batch.tokens[rows], batch.lengths[rows], target[rows]
            gradients[rows] = at_pixels(self._at_features(pipeline, features, *asked))
        return gradients

    def _at_features(
        self,
        pipeline: Pipeline,
        features: Float[Tensor, "Q *D"],
        tokens: Int64[Tensor, "Q T"],
        lengths: Int64[Tensor, " Q"],
        target: Int64[Tensor, " Q"],
    ) -> Float[Tensor, "Q *D"]:
        """Gradients of the target answers at the features."""
        leaf = features.detach().clone().requires_grad_()
        with relu_rule(pipeline.head, self.rule):
            scores = as_explained(pipeline.head(leaf, tokens, lengths), self.explains)
            chosen = scores.gather(1, target[:, None]).sum()
            # Not .backward(): that would leave gradients in the parameters that training then uses.
            # A question-only model does not read the image: its gradient there is zero, and not an error.
            (gradients,) = torch.autograd.grad(chosen, leaf, allow_unused=True, materialize_grads=True)
        return gradients

    def _parts(self, batch: VQABatch) -> list[list[Int64[Tensor, " R"]]]:
        """The questions by image; a part has as many images as have no more questions than a batch."""
        parts: list[list[Int64[Tensor, " R"]]] = []
        room = 0
        for rows in (some for of_image in rows_by_image(batch) for some in of_image.split(self.batch_size)):
            if len(rows) > room:
                parts.append([])
                room = self.batch_size
            parts[-1].append(rows)
            room -= len(rows)
        return parts
