"""Gradient of the answer's probability with respect to the pixels (Simonyan et al. 2014; equation 2).

    R(pixel) = max over channels |d p(answer) / d pixel|

and the mean of R over each cell of the grid. Every ReLU passes the gradient where its input was
positive: the true derivative. The two papers that change the rule of the ReLU (Zeiler & Fergus;
Springenberg et al.) share everything else with this file.

The way back leads through the head, which differs with the question and the epoch, and through the frozen
CNN, which needs nothing but the image's own masks for it (`frozen_backward.py`). A network that this is not
known for goes through autograd.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from lookwhy.attribution.base import (
    Attributor,
    Explains,
    Needs,
    differentiable,
    images_of,
    rows_by_image,
)
from lookwhy.attribution.relu_rules import Rule, expect_relu_modules, plain, relu_rule
from lookwhy.attribution.trace import Trace
from lookwhy.attribution.traces import Traces
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
        cache: folder to keep what the frozen network leaves of each image in; None: the analysis decides.
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
        cache: str | None = None,
    ) -> None:
        self.grid, self.channels, self.batch_size, self.pool = grid, channels, batch_size, pool
        self.explains, self.cache = explains, cache
        self._traces: Traces | None = None

    def __call__(self, model: VQAModel, batch: VQABatch, target: Int64[Tensor, " B"]) -> ImportanceMaps:
        """Maps (B, grid, grid), unsigned.

        Raises:
            LookwhyError: the model is not a `Pipeline`, or has no ReLU that this method's rule could be
                given to; or the batch holds no pixels.
        """
        pipeline = differentiable(model, self.name)
        if self.rule is not plain:
            expect_relu_modules(pipeline, self.name)
        images = images_of(batch, self.name)
        values = torch.zeros(len(batch), self.grid, self.grid)
        traces = self._traces_of(pipeline)
        for some in self._parts(batch):
            rows = torch.cat(some)
            asked = batch.tokens[rows], batch.lengths[rows], target[rows]
            if traces.possible:
                # The weights are read once for all questions of a part, whichever images they are about.
                counts = [len(of_image) for of_image in some]
                found = [traces(images[of_image[0]]) for of_image in some]
                pairs = zip(found, counts, strict=True)
                features = torch.cat([one.features.expand(n, *one.features.shape[1:]) for one, n in pairs])
                at_features = self._gradients(pipeline.head, features, *asked)
                trace = Trace.join(found, counts)
                gradients = traces.backward(trace, at_features, self.rule, images[rows[0]])
            else:
                gradients = self.pixel_gradients(pipeline, images[rows], *asked)
            pool = F.adaptive_avg_pool2d if self.pool == "mean" else F.adaptive_max_pool2d
            values[rows] = pool(self._magnitude(gradients), self.grid).float().cpu()
        return self._maps(batch, target, values, signed=False)

    def pixel_gradients(
        self,
        model: Pipeline,
        images: Float[Tensor, "B 3 H W"],
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
        target: Int64[Tensor, " B"],
    ) -> Float[Tensor, "B 3 H W"]:
        """Gradients of what is explained of the target answers, under this method's rule, by autograd."""
        return self._gradients(model, images, tokens, lengths, target)

    def _parts(self, batch: VQABatch) -> list[list[Int64[Tensor, " R"]]]:
        """The questions by image, as many images together as have no more questions than a batch."""
        parts: list[list[Int64[Tensor, " R"]]] = []
        room = 0
        for rows in (some for of_image in rows_by_image(batch) for some in of_image.split(self.batch_size)):
            if len(rows) > room:
                parts.append([])
                room = self.batch_size
            parts[-1].append(rows)
            room -= len(rows)
        return parts

    def _gradients(
        self,
        network: nn.Module,
        inputs: Tensor,
        tokens: Int64[Tensor, "B T"],
        lengths: Int64[Tensor, " B"],
        target: Int64[Tensor, " B"],
    ) -> Tensor:
        """At the inputs of a model, or of a head: pixels or features, and questions, to logits."""
        leaf = inputs.detach().clone().requires_grad_()
        with relu_rule(network, self.rule):
            scores = self._explained(network(leaf, tokens, lengths))
            chosen = scores.gather(1, target[:, None]).sum()
            # Not .backward(): that would leave gradients in the parameters that training then uses.
            # A question-only model does not read the image: its gradient there is zero, and not an error.
            (gradients,) = torch.autograd.grad(chosen, leaf, allow_unused=True, materialize_grads=True)
        return gradients

    def _traces_of(self, model: Pipeline) -> Traces:
        if self._traces is None or not self._traces.are_of(model.tower):
            folder = Path(self.cache) if self.cache else None
            self._traces = Traces(model.tower, folder, self.remember)
        return self._traces

    def _magnitude(self, gradients: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B H W"]:
        if self.channels == "max":
            return gradients.abs().amax(1)
        return gradients.abs().mean(1) if self.channels == "mean" else gradients.norm(dim=1)
