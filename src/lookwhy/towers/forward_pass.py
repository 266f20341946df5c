"""The forward pass of a frozen network; on a CPU convolutions and pooling stay in oneDNN's own layout.

PyTorch reads and writes each map in its own layout (channel by channel), in which pooling is slow: it takes
more than half of the time of a small network. In oneDNN's layout a convolution and its ReLU are one call,
too. The same kernels multiply in the same order, so that results are mostly equal to the last bit.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.towers.windows import flat, why_not


def forward_pass(network: nn.Module, images: Float[Tensor, "B 3 H W"]) -> Any:
    """The network's result for images, which stay as they are.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval()
        >>> with torch.no_grad():
        ...     forward_pass(network, torch.rand(2, 3, 6, 6)).shape
        torch.Size([2, 32])
    """
    if not _suits(network, images):
        return network(images.clone())  # the network may work in place
    x, layers = images.to_mkldnn(), flat(network)
    joined = False  # whether this layer is a ReLU that the convolution before it has computed
    for layer, after in zip(layers, [*layers[1:], None], strict=True):
        if x.is_mkldnn and not _stays_in_layout(layer):
            x = x.to_dense()
        if x.is_mkldnn and isinstance(layer, nn.Conv2d):
            joined = isinstance(after, nn.ReLU)
            x = _convolution(layer, x, "relu" if joined else "none")
        elif joined:
            joined = False
        elif x.is_mkldnn and isinstance(layer, nn.ReLU):
            x = torch.relu(x)  # not in place
        else:
            x = layer(x)
    return x.to_dense() if x.is_mkldnn else x


def _suits(network: nn.Module, images: Tensor) -> bool:
    """Whether nothing but float32 on a CPU is asked for, and the network begins with a convolution."""
    weight = next(network.parameters(), None)
    return (
        (images.device.type, images.dtype) == ("cpu", torch.float32)
        and weight is not None
        and weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and not why_not(network)
        and not any("forward" in vars(module) for module in network.modules())
        and isinstance(flat(network)[0], nn.Conv2d)
    )


def _stays_in_layout(layer: nn.Module) -> bool:
    if isinstance(layer, nn.MaxPool2d):
        return layer.dilation in (1, (1, 1))
    return isinstance(layer, (nn.Conv2d, nn.ReLU, nn.Dropout, nn.Identity))


def _convolution(layer: nn.Conv2d, x: Tensor, then: str) -> Tensor:
    """The convolution in oneDNN's layout, and the function `then` ("relu" or "none") of its result."""
    how = (layer.padding, layer.stride, layer.dilation, layer.groups)
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, layer.weight, layer.bias, *how, then, [], "")
    return result
