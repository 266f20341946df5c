"""Gradients at the inputs of single layers of a frozen network, from gradients at their outputs."""

from __future__ import annotations

from math import prod
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.towers.products import matrix_product
from lookwhy.towers.trace import rows

BYTES_A_VALUE = 16
"""On a GPU: a layer's input and output, a copy, and the convolution's workspace, in float32."""

Shape = tuple[int, ...]
Step = tuple[nn.Module, Shape, Shape]
"""A layer, and the shapes of one image before and after it."""


def planes(x: Tensor) -> Tensor:
    """Maps (B, H, W, C) as (B, C, H, W); vectors unchanged."""
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def rows_shape(shape: Shape) -> Shape:
    """The shape that `rows` gives."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def unpooled(g: Float[Tensor, "Q h w C"], chosen: Tensor, shape: Shape) -> Float[Tensor, "Q H W C"]:
    """Move the gradient of each output to the input that became this output."""
    _, channels, height, width = shape
    result = g.new_zeros(len(g), height * width, channels)
    places = chosen.expand(len(g), *chosen.shape[1:])
    return result.scatter_add_(1, places, g.flatten(1, 2)).view(len(g), height, width, channels)


def convolution_gradient(layer: nn.Conv2d, shape: Shape, g: Tensor) -> Tensor:
    """Gradient at the input of a convolution."""
    if g.device.type == "cpu" and (layer.kernel_size, layer.padding, layer.groups) == ((1, 1), (0, 0), 1):
        return _product_gradient(layer, shape, g)
    # Autograd would compute the output first. torch.nn.grad.conv2d_input is five times slower on such maps.
    stride, padding, dilation = (
        cast(tuple[int, int], x) for x in (layer.stride, layer.padding, layer.dilation)
    )
    left_out = [
        side - ((size - 1) * s - 2 * p + d * (k - 1) + 1)
        for side, size, s, p, d, k in zip(
            shape[2:], g.shape[2:], stride, padding, dilation, layer.kernel_size, strict=True
        )
    ]
    columns = layer.in_channels * prod(layer.kernel_size)
    if g.device.type == "cpu" and layer.groups == 1 and columns < layer.out_channels:
        # As in the first layer of most networks: a product of matrices, and nine shifted additions.
        flat = rows(g).flatten(1, 2)
        weight = layer.weight.flatten(1).t()
        settings = shape[2:], layer.kernel_size, dilation, padding, stride
        # One at a time: a product is nine times as large as the gradient that it is added up to.
        return torch.cat([F.fold(matrix_product(weight, one.t())[None], *settings) for one in flat])
    return F.conv_transpose2d(g, layer.weight, None, stride, padding, left_out, layer.groups, dilation)


def _product_gradient(layer: nn.Conv2d, shape: Shape, g: Tensor) -> Tensor:
    """Gradient at the input of a 1x1 convolution: a product of matrices, at the places that it reads."""
    g = rows(g)
    found = matrix_product(g.flatten(0, 2), layer.weight.flatten(1)).view(*g.shape[:3], -1)
    if layer.stride != (1, 1):
        down, across = layer.stride
        every, found = found, g.new_zeros(len(g), *rows_shape(shape)[1:])
        found[:, ::down, ::across] = every
    return planes(found)


def norm_gradient(layer: nn.BatchNorm2d, g: Float[Tensor, "Q H W C"]) -> Float[Tensor, "Q H W C"]:
    """Gradient at the input of a batch norm in eval mode, which takes the place of `g`."""
    assert layer.running_var is not None
    scale = (layer.running_var + layer.eps).rsqrt()
    return g.mul_(scale if layer.weight is None else scale * layer.weight)


def linear_gradient(layer: nn.Module, shape: Shape, g: Tensor) -> Tensor:
    """Gradient at the input of a linear layer, which does not depend on the values of the input."""
    with torch.enable_grad():
        x = g.new_zeros(len(g), *shape[1:]).requires_grad_()
        (found,) = torch.autograd.grad(layer(x), x, g)
    return found
