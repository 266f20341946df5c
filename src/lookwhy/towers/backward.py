"""Gradients at the pixels through a frozen CNN, from masks that one forward pass stores for an image.

In the backward pass a convolution needs its weights. A ReLU needs to know which of its inputs were positive,
and a max pooling needs to know which input became each output. With these masks the gradient of any answer to
any question, at any epoch, takes one backward pass. It needs no new forward pass and no gradients of the
frozen weights. The masks have one bit for each unit of a ReLU and one byte for each output of a pooling: 3 MB
for an image in VGG-19.

The backward pass of a 3x3 convolution is a convolution with the flipped kernels: `winograd.py` does it with a
quarter of the multiplications. That of a batch norm in eval mode multiplies each channel by a number. The
derivative of any other linear layer (a mean, for example) does not depend on the input, so autograd computes
it for an input of zeros. The backward pass of a sum, which ends a residual block, gives the same gradient to
both of its summands, and where a value was read twice, the two gradients are added.

Most units of a network are in its first layers, where moving data costs more than arithmetic. So if the
windows of a pooling do not overlap, the rule of the preceding ReLU is applied at the outputs of the pooling,
which are a quarter of the units (`ReluPool`). In the last layers, reading the weights takes the most time,
so all gradients go through these layers together. In the first layers, only as many gradients go together as
fit in a CPU's cache.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from math import prod
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

from lookwhy.towers import devices
from lookwhy.towers.layer_gradients import (
    BYTES_A_VALUE,
    Shape,
    Step,
    convolution_gradient,
    linear_gradient,
    norm_gradient,
    planes,
    rows_shape,
    unpooled,
)
from lookwhy.towers.operations import Sum, plan_of
from lookwhy.towers.products import few_rows_product
from lookwhy.towers.relu_rules import Rule
from lookwhy.towers.trace import ReluPool, Trace, by_rule, merged, rows, traced
from lookwhy.towers.windows import POINTWISE
from lookwhy.towers.winograd import FullConvolutions, Scratch, suits

_log = logging.getLogger(__name__)
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether Triton runs its kernels on a CPU, to test them."""
Waiting = dict[int, Tensor]
"""Gradients at the values that layers have still to go back through, by their number (see `Operation`)."""
AT_ONCE = 1 << 22
"""Largest number of input values of a layer that are processed together on a CPU."""


class BackwardPass:
    """Backward pass of a frozen CNN from a stored `Trace`, without a new forward pass.

    Args:
        cnn: images (B, 3, H, W) to features (B, *D), in eval mode.

    Attributes:
        why_not: the reason why this network is not supported; empty if it is supported. A supported network
            consists of convolutions, ReLU, pooling, batch norm, dropout, flattening and linear layers: a
            sequence (nested or not), or a network of torchvision, in which residual blocks add results.
    """

    def __init__(self, cnn: nn.Module) -> None:
        plan = plan_of(cnn)
        self.why_not = plan.why_not
        self._layers = [one.layer for one in plan.operations]
        self._reads = [one.reads for one in plan.operations]
        if plan.is_sequence:
            self._layers = merged(self._layers)
            self._reads = self._reads[: len(self._layers)]
        self._scratch = Scratch()
        self._full = FullConvolutions(self._scratch, transposed=True)
        self._steps: dict[Shape, list[Step]] = {}
        self._kernels: Any = None
        self._has_no_kernels = not plan.is_sequence

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Trace:
        """Features of images, and the masks for the backward pass."""
        if (found := self._by_kernels("forward", images)) is not None:
            return cast(Trace, found)
        active, chosen, values = list[Tensor](), list[Tensor](), {0: images}
        last = {read: number for number, reads in enumerate(self._reads) for read in reads}
        for number, (layer, reads) in enumerate(zip(self._layers, self._reads, strict=True)):
            x, *others = (values[read] for read in reads)
            # Values that no later layer reads are freed.
            values = {one: value for one, value in values.items() if last[one] > number}
            values[number + 1] = x + others[0] if others else traced(layer, x, active, chosen)
        return Trace(values[len(self._layers)], active, chosen)

    def unpack(self, packed: Mapping[str, np.ndarray], image: Float[Tensor, "3 H W"]) -> Trace:
        """The trace of an image, from the arrays of `Trace.pack`."""
        active, chosen, bits, places = [], [], packed["active"], packed["chosen"]
        for layer, before, after in self._steps_of(image):
            if isinstance(layer, (nn.ReLU, ReluPool)):
                shape = before if isinstance(layer, nn.ReLU) else after
                mine, bits = np.split(bits, [-(-prod(shape) // 8)])
                mask = torch.from_numpy(np.unpackbits(mine, count=prod(shape))).to(image.device)
                active.append(mask.view(rows_shape(shape)))
            if isinstance(layer, ReluPool):
                within, places = np.split(places, [prod(after)])
                chosen.append(torch.from_numpy(within.copy()).to(image.device).view(rows_shape(after)))
            elif isinstance(layer, nn.MaxPool2d):
                found, places = np.split(places, [8 * prod(after)])
                where = torch.from_numpy(found.copy().view(np.int64)).to(image.device)
                chosen.append(where.view(1, after[2] * after[3], after[1]))
        features = torch.from_numpy(packed["features"].copy()).to(image.device)
        return Trace(features, active, chosen)

    @torch.no_grad()
    def backward(
        self,
        trace: Trace,
        gradients: Float[Tensor, "Q *D"],
        rule: Rule,
        image: Float[Tensor, "3 H W"],
        owner: Int32[Tensor, " Q"] | None = None,
    ) -> Float[Tensor, "Q 3 H W"]:
        """Gradients at the pixels, from gradients at the features.

        Args:
            trace: trace of the image, or a trace with one row per gradient (see `Trace.join`).
            gradients: gradients at the features.
            rule: backward rule of every ReLU.
            image: any image of the same shape; its values are not read.
            owner: row of the trace for each gradient, if the trace has a row for each image.
        """
        if owner is not None:
            found = self._by_kernels("backward", gradients, trace, rule, self._steps_of(image), owner)
            if found is not None:
                return cast(Tensor, found)
            trace = trace.of(owner)
        # Clone: the loop below writes in place.
        steps, found = self._steps_of(image), rows(gradients).clone()
        return self._back(steps, trace.active, trace.chosen, {len(steps): found}, rule)

    def _back(
        self, steps: list[Step], active: list[Tensor], chosen: list[Tensor], waiting: Waiting, rule: Rule
    ) -> Float[Tensor, "Q 3 H W"]:
        """Backward pass through these layers, from the last. Maps are (Q, H, W, C), vectors (Q, D)."""
        active, chosen, waiting = list(active), list(chosen), dict(waiting)
        at_once = _at_once(waiting[len(steps)].device)
        for number, (layer, shape, _) in reversed(list(enumerate(steps))):
            most = max(at_once // prod(shape), 1)
            if len(waiting[number + 1]) > most:
                return self._in_parts(steps[: number + 1], active, chosen, waiting, rule, most)
            g = waiting.pop(number + 1)
            if isinstance(layer, ReluPool):
                g = by_rule(rule, active.pop(), g)
                result = self._scratch.take("pooled", (len(g), *rows_shape(shape)[1:]), g)
                g = layer.back(g, chosen.pop(), result)
            elif isinstance(layer, nn.ReLU):
                g = by_rule(rule, active.pop(), g)
            elif isinstance(layer, nn.MaxPool2d):
                g = unpooled(g, chosen.pop(), shape)
            elif isinstance(layer, nn.Linear) and g.ndim == 2:
                g = few_rows_product(g, layer.weight)
            elif isinstance(layer, nn.Flatten):
                g = rows(g.view(len(g), *shape[1:]))
            elif suits(layer) and g.device.type == "cpu":
                g = self._convolved(number, cast(nn.Conv2d, layer), g, shape)
            elif isinstance(layer, nn.Conv2d):
                g = rows(convolution_gradient(layer, shape, planes(g)))
            elif isinstance(layer, nn.BatchNorm2d):
                g = norm_gradient(layer, g)
            elif not isinstance(layer, Sum):
                g = rows(linear_gradient(layer, shape, planes(g)))
            for read in self._reads[number]:
                if read in waiting:
                    waiting[read].add_(g)
                else:
                    # The next layer may write to g, which may be a shared buffer: other layers need a copy.
                    waiting[read] = g if read == number else g.clone()
        return planes(waiting[0]).clone()  # it may be a shared buffer

    def images_at_once(self, image: Float[Tensor, "3 H W"]) -> int:
        """Number of such images that one forward pass takes; bounds the memory."""
        largest = max([prod(shape) for _, *shapes in self._steps_of(image) for shape in shapes], default=1)
        return max(_at_once(image.device) // largest, 1)

    def _in_parts(
        self,
        steps: list[Step],
        active: list[Tensor],
        chosen: list[Tensor],
        waiting: Waiting,
        rule: Rule,
        most: int,
    ) -> Float[Tensor, "Q 3 H W"]:
        last = len(steps)
        waiting = {**waiting, last: waiting[last].clone()}  # each part overwrites the shared buffers

        def part(x: Tensor, start: int) -> Tensor:
            return x if len(x) == 1 else x[start : start + most]

        return torch.cat(
            [
                self._back(
                    steps,
                    [part(x, start) for x in active],
                    [part(x, start) for x in chosen],
                    {read: g[start : start + most] for read, g in waiting.items()},
                    rule,
                )
                for start in range(0, len(waiting[last]), most)
            ]
        )

    def _convolved(
        self, number: int, layer: nn.Conv2d, g: Float[Tensor, "Q h w K"], shape: Shape
    ) -> Float[Tensor, "Q H W C"]:
        # Alternate between two buffers: each convolution reads the result of the one before it.
        later = sum(suits(one) for one in self._layers[number + 1 :])
        made = self._full.of(number, layer, f"full {later % 2}")
        down, across = cast(tuple[int, int], layer.padding)
        # The full convolution also returns gradients of the padding; cut them off.
        return made(g)[:, down : down + shape[2], across : across + shape[3]]

    def _by_kernels(self, name: str, x: Tensor, *arguments: Any) -> object:
        """A pass by the kernels of `backward_gpu.py`; None where they cannot run."""
        if self._has_no_kernels or x.dtype != torch.float32 or not (x.is_cuda or INTERPRETED):
            return None
        try:
            if self._kernels is None:
                from lookwhy.towers.backward_gpu import GpuPasses

                self._kernels = GpuPasses(self._layers)
            return getattr(self._kernels, name)(x, *arguments)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # no Triton, no C compiler, ...
            self._has_no_kernels = True
            _log.warning(
                "gradients take longer, without Triton's kernels (%s): %.200s", type(error).__name__, error
            )
            return None

    def _steps_of(self, image: Tensor) -> list[Step]:
        size = tuple(image.shape)
        if size not in self._steps:
            values, steps = [torch.empty(1, *size, dtype=image.dtype, device="meta")], list[Step]()
            for layer, reads in zip(self._layers, self._reads, strict=True):
                given = tuple(values[one] for one in reads)
                values.append(_shape_after(layer, given))
                steps.append((layer, tuple(given[0].shape), tuple(values[-1].shape)))
            self._steps[size] = steps
        return self._steps[size]


def _at_once(device: torch.device) -> int:
    on_gpu = devices.launches_are_dear(device)
    return devices.working_memory(device) // BYTES_A_VALUE if on_gpu else AT_ONCE


def _shape_after(layer: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    """The result of a layer on the meta device, which has a shape and no values.

    There, ReLU and max pooling would import PyTorch's compiler, which takes two seconds.
    """
    x = given[0]
    if isinstance(layer, (*POINTWISE, Sum)):
        return x
    if isinstance(layer, (nn.MaxPool2d, ReluPool)):
        one = layer(torch.zeros(1, 1, *x.shape[2:], dtype=x.dtype))
        return x.new_empty(*x.shape[:2], *one.shape[2:])
    weights = {name: value.to("meta") for name, value in layer.state_dict(keep_vars=False).items()}
    return torch.func.functional_call(layer, weights, given)
