"""Forward and backward pass of a frozen network on a GPU, with kernels that do the work of several layers.

A convolution with the ReLU and pooling after it is two calls on the way forwards (`relu_gpu.py`), and three
on the way back (`winograd_gpu.py`). Other layers run as in `backward.py`. The masks have one row for each
image; a gradient has an owner, the row of its image.
"""

from __future__ import annotations

from math import prod
from typing import TypeGuard, cast

import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn import functional as F

from lookwhy.towers import devices
from lookwhy.towers.layer_gradients import (
    BYTES_A_VALUE,
    Step,
    convolution_gradient,
    linear_gradient,
    planes,
    rows_shape,
    unpooled,
)
from lookwhy.towers.relu_gpu import relu_pool
from lookwhy.towers.relu_rules import Rule, deconv, guided, plain
from lookwhy.towers.trace import ReluPool, Trace, rows, traced
from lookwhy.towers.winograd import suits
from lookwhy.towers.winograd_gpu import GradientAtInput, Pooling, ReluRule

RULES: dict[Rule, tuple[bool, bool]] = {plain: (False, True), deconv: (True, False), guided: (True, True)}
"""For each rule, whether it removes negative gradients, and gradients where the input was not positive."""
LEAST_SIDE = 28
"""Maps from this side on go forwards through convolutions as through transposed ones.

cuDNN chooses Fourier transforms for these, and slower products for the others: 32 maps of 256 channels and
56 x 56 took 1.3 ms and 2.8 ms on an H200, with the same precision. Smaller maps are faster the usual way.
"""


class GpuPasses:
    """The passes of one network.

    Args:
        layers: its layers, with `ReluPool` in place of a ReLU and a max pooling.
    """

    def __init__(self, layers: list[nn.Module]) -> None:
        self._layers = layers
        self._made: dict[int, GradientAtInput] = {}

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Trace:
        """Features of images, and the masks for the backward pass."""
        x, active, chosen, number = images, list[Tensor](), list[Tensor](), 0
        while number < len(self._layers):
            layer, later = self._layers[number], self._layers[number + 1 : number + 2]
            number += 1
            if isinstance(layer, nn.Conv2d) and later and isinstance(later[0], (nn.ReLU, ReluPool)):
                side = later[0].side if isinstance(later[0], ReluPool) else 1
                x, positive, within = relu_pool(_without_bias(layer, x).contiguous(), layer.bias, side)
                number += 1
                active.append(positive)
                chosen += [within] * (side > 1)
            else:
                x = traced(layer, x, active, chosen)
        return Trace(x, active, chosen)

    def backward(
        self,
        gradients: Float[Tensor, "Q *D"],
        trace: Trace,
        rule: Rule,
        steps: list[Step],
        owner: Int32[Tensor, " Q"],
    ) -> Float[Tensor, "Q 3 H W"]:
        """Gradients at the pixels, from gradients at the features."""
        largest = max([prod(shape) for _, *shapes in steps for shape in shapes], default=1)
        most = max(devices.working_memory(gradients.device) // BYTES_A_VALUE // largest, 1)
        parts = zip(rows(gradients).clone().split(most), owner.split(most), strict=True)
        return torch.cat([self._back(steps, trace, g, rule, own) for g, own in parts])

    def _back(
        self, steps: list[Step], trace: Trace, g: Tensor, rule: Rule, owner: Int32[Tensor, " Q"]
    ) -> Float[Tensor, "Q 3 H W"]:
        """Backward pass through these layers, from the last. Maps are (Q, H, W, C), vectors (Q, D)."""
        active, chosen, pooling, is_ruled = list(trace.active), list(trace.chosen), None, False
        for number, (layer, shape, after) in reversed(list(enumerate(steps))):
            before = steps[number - 1][0] if number else None
            if isinstance(layer, (nn.ReLU, ReluPool)):
                positive = active.pop()
                g, is_ruled = g if is_ruled else rule(positive[owner], g), False
                if isinstance(layer, ReluPool):
                    if _is_ours(before):
                        pooling = Pooling(layer.side, chosen.pop())
                    else:
                        result = g.new_empty(len(g), *rows_shape(shape)[1:])
                        g = layer.back(g, chosen.pop()[owner], result)
            elif _is_ours(layer):
                ruled = None
                if isinstance(before, (nn.ReLU, ReluPool)) and rule in RULES:
                    clamps, masks = RULES[rule]
                    ruled, is_ruled = ReluRule(clamps, active[-1] if masks else None), True
                g = self._gradient(number, layer)(g.contiguous(), owner, after[2:], pooling, ruled)
                pooling = None
            elif isinstance(layer, nn.MaxPool2d):
                g = unpooled(g, chosen.pop()[owner], shape)
            elif isinstance(layer, nn.Linear) and g.ndim == 2:
                g = g @ layer.weight
            elif isinstance(layer, nn.Flatten):
                g = rows(g.view(len(g), *shape[1:]))
            elif isinstance(layer, nn.Conv2d):
                g = rows(convolution_gradient(layer, shape, planes(g)))
            else:
                g = rows(linear_gradient(layer, shape, planes(g)))
        return planes(g)

    def _gradient(self, number: int, layer: nn.Conv2d) -> GradientAtInput:
        made = self._made.get(number)
        if made is None or not made.is_of(layer.weight):
            padding = cast(tuple[int, int], layer.padding)
            made = self._made[number] = GradientAtInput(layer.weight, padding[0])
        return made


def _is_ours(layer: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a convolution that `GradientAtInput` can go back through."""
    if not isinstance(layer, nn.Conv2d) or not suits(layer, on_gpu=True):
        return False
    down, across = cast(tuple[int, int], layer.padding)
    return down == across <= 2


def _without_bias(layer: nn.Conv2d, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H2 W2"]:
    """A convolution without its bias."""
    if _is_ours(layer) and min(x.shape[2:]) >= LEAST_SIDE:
        turned = layer.weight.transpose(0, 1).flip(2, 3).contiguous()
        margin = 2 - cast(tuple[int, int], layer.padding)[0]
        return F.conv_transpose2d(x, turned, None, padding=margin)
    return F.conv2d(x, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
