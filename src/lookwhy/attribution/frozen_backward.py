"""Gradients at the pixels through a frozen CNN, from what one forward pass leaves of an image: masks.

Backwards, a convolution needs its weights, a ReLU which of its inputs were positive, a max pooling which
input each output was. So once these are known of an image, the gradient of any answer to any question, at
any epoch, is one pass backwards, half the work of a pass there and back, and the weights being frozen it
takes no gradient of theirs. A bit for each unit of a ReLU and two bytes for each output of a pooling are
5 MB for an image in VGG-19.

The way back through a 3x3 convolution is itself one, of the flipped kernels: `winograd.py` does it with a
quarter of the multiplications. Any other layer that is linear (a mean, batch norm in eval mode, ...) has the
same gradient everywhere, and autograd gives it at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.attribution.relu_rules import Rule
from lookwhy.attribution.windows import flat, why_not
from lookwhy.attribution.winograd import FullConvolutions, Scratch, suits

Shape = tuple[int, ...]
Step = tuple[nn.Module, Shape, Shape]
"""A layer, and the shapes of one image before and after it."""


@dataclass
class Trace:
    """What a forward pass leaves of one image.

    Attributes:
        features: the network's output, (1, *D).
        active: for each ReLU, where its input was positive; maps as (1, H, W, C).
        chosen: for each max pooling, the place (row x W + column) of the input that became each output, as
            (1, h * w, C).
        places: of the largest map that is pooled, rows x columns.
    """

    features: Tensor
    active: list[Tensor]
    chosen: list[Tensor]
    places: int

    @staticmethod
    def join(traces: list[Trace], counts: list[int]) -> Trace:
        """The traces of several images, each as often as there are gradients at its features."""
        if len(traces) == 1:
            return traces[0]  # one for all of them

        def rows(name: str) -> list[Tensor]:
            kinds = zip(*(getattr(trace, name) for trace in traces), strict=True)
            return [
                torch.cat([x.expand(n, *x.shape[1:]) for x, n in zip(kind, counts, strict=True)])
                for kind in kinds
            ]

        features = torch.cat([trace.features for trace in traces])
        return Trace(features, rows("active"), rows("chosen"), traces[0].places)

    def pack(self) -> dict[str, np.ndarray]:
        """As plain arrays, a bit for each of `active` and as few bytes as hold each of `chosen`."""
        bits = [np.packbits(active.cpu().numpy()) for active in self.active]
        places = [chosen.cpu().numpy().ravel() for chosen in self.chosen]
        return {
            "features": self.features.cpu().numpy(),
            "active": np.concatenate([*bits, np.empty(0, np.uint8)]),
            "chosen": np.concatenate([*places, np.empty(0, np.int64)]).astype(
                np.uint16 if self.places <= 2**16 else np.uint32
            ),
        }


class FrozenBackward:
    """A frozen CNN that can be gone through backwards without going through it forwards again.

    Args:
        cnn: images (B, 3, H, W) to features (B, *D), in eval mode.

    Attributes:
        why_not: the reason why the network cannot be, empty if it can: it must be a sequence (nested or not)
            of convolutions, ReLU, pooling, batch norm, dropout, flattening and linear layers.
    """

    def __init__(self, cnn: nn.Module) -> None:
        self.why_not = why_not(cnn)
        self._layers = [] if self.why_not else [one for one in flat(cnn) if not _does_nothing(one)]
        self._full = FullConvolutions(Scratch(), transposed=True)
        self._steps: dict[Shape, list[Step]] = {}

    @torch.no_grad()
    def forward(self, image: Float[Tensor, "3 H W"]) -> Trace:
        """Features of an image and what the way back needs."""
        x, active, chosen, most = image[None], [], [], 0
        for layer in self._layers:
            if isinstance(layer, nn.ReLU):
                active.append(_rows(x) > 0)
                x = x.clamp(min=0)
            elif isinstance(layer, nn.MaxPool2d):
                most = max(most, x[0, 0].numel())
                x, places = F.max_pool2d(
                    x, layer.kernel_size, layer.stride, layer.padding, layer.dilation, return_indices=True
                )
                chosen.append(_rows(places).flatten(1, 2))
            else:
                x = layer(x)
        return Trace(x, active, chosen, most)

    def unpack(self, packed: dict[str, np.ndarray], image: Float[Tensor, "3 H W"]) -> Trace:
        """The trace of an image, from the arrays of `Trace.pack`."""
        active, chosen, most, bits, places = [], [], 0, packed["active"], packed["chosen"]
        for layer, shape, after in self._steps_of(image):
            size = prod(shape)
            if isinstance(layer, nn.ReLU):
                mine, bits = np.split(bits, [-(-size // 8)])
                mask = torch.from_numpy(np.unpackbits(mine, count=size)).to(image.device)
                active.append(mask.view(_rows_shape(shape)))
            elif isinstance(layer, nn.MaxPool2d):
                found, places = np.split(places, [prod(after)])
                most = max(most, shape[2] * shape[3])
                where = torch.from_numpy(found.astype(np.int64)).to(image.device)
                chosen.append(where.view(1, after[2] * after[3], after[1]))
        features = torch.from_numpy(packed["features"].copy()).to(image.device)
        return Trace(features, active, chosen, most)

    @torch.no_grad()
    def backward(
        self, trace: Trace, gradients: Float[Tensor, "Q *D"], rule: Rule, image: Float[Tensor, "3 H W"]
    ) -> Float[Tensor, "Q 3 H W"]:
        """Gradients at the pixels, from several at the features.

        Args:
            trace: of the image they are all of; or joined, a row for each of them.
            gradients: at the features.
            rule: what each ReLU lets through.
            image: only its shape counts.
        """
        active, chosen = list(trace.active), list(trace.chosen)
        # Maps as (Q, H, W, C), vectors as (Q, D); what the loop has of its own it may write to.
        g = _rows(gradients).clone()
        for number, (layer, shape, _) in reversed(list(enumerate(self._steps_of(image)))):
            if isinstance(layer, nn.ReLU):
                g = rule(active.pop(), g)
            elif isinstance(layer, nn.MaxPool2d):
                g = _unpooled(g, chosen.pop(), shape)
            elif isinstance(layer, nn.Linear):
                g = g @ layer.weight
            elif isinstance(layer, nn.Flatten):
                g = _rows(g.view(len(g), *shape[1:]))
            elif suits(layer) and g.device.type == "cpu":
                g = self._convolved(number, cast(nn.Conv2d, layer), g, shape)
            elif isinstance(layer, nn.Conv2d):
                g = _rows(_convolution_gradient(layer, shape, _planes(g)))
            else:
                g = _rows(_linear_gradient(layer, shape, _planes(g)))
        return _planes(g).clone()  # it may lie in the scratch

    def _convolved(
        self, number: int, layer: nn.Conv2d, g: Float[Tensor, "Q h w K"], shape: Shape
    ) -> Float[Tensor, "Q H W C"]:
        # In turn in two places: each convolution reads what the one before it has written.
        later = sum(suits(one) for one in self._layers[number + 1 :])
        made = self._full.of(number, layer, f"full {later % 2}")
        down, across = cast(tuple[int, int], layer.padding)
        # The full convolution reaches the margins, too, which are no inputs.
        return made(g)[:, down : down + shape[2], across : across + shape[3]]

    def _steps_of(self, image: Tensor) -> list[Step]:
        size = tuple(image.shape)
        if size not in self._steps:
            x, steps = torch.empty(1, *size, dtype=image.dtype, device="meta"), []
            for layer in self._layers:
                before = tuple(x.shape)
                # On the meta device nothing is computed but shapes.
                x = torch.func.functional_call(layer, _on_meta(layer), x)
                steps.append((layer, before, tuple(x.shape)))
            self._steps[size] = steps
        return self._steps[size]


def _does_nothing(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Identity, nn.Dropout))


def _on_meta(layer: nn.Module) -> dict[str, Tensor]:
    return {name: value.to("meta") for name, value in layer.state_dict(keep_vars=False).items()}


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) as (B, H, W, C), in memory, too; vectors as they are."""
    return x.permute(0, 2, 3, 1).contiguous() if x.ndim == 4 else x


def _planes(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def _rows_shape(shape: Shape) -> Shape:
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _unpooled(g: Float[Tensor, "Q h w C"], chosen: Tensor, shape: Shape) -> Float[Tensor, "Q H W C"]:
    """Each output's gradient, at the input that it was."""
    _, channels, height, width = shape
    result = g.new_zeros(len(g), height * width, channels)
    places = chosen.expand(len(g), *chosen.shape[1:])
    return result.scatter_add_(1, places, g.flatten(1, 2)).view(len(g), height, width, channels)


def _convolution_gradient(layer: nn.Conv2d, shape: Shape, g: Tensor) -> Tensor:
    # Not autograd, which would compute the output first.
    stride, padding, dilation = (
        cast(tuple[int, int], x) for x in (layer.stride, layer.padding, layer.dilation)
    )
    left_out = [
        side - ((size - 1) * s - 2 * p + d * (k - 1) + 1)
        for side, size, s, p, d, k in zip(
            shape[2:], g.shape[2:], stride, padding, dilation, layer.kernel_size, strict=True
        )
    ]
    return F.conv_transpose2d(g, layer.weight, None, stride, padding, left_out, layer.groups, dilation)


def _linear_gradient(layer: nn.Module, shape: Shape, g: Tensor) -> Tensor:
    """Gradient at the input of a layer that is linear, so that any input will do."""
    with torch.enable_grad():
        x = g.new_zeros(len(g), *shape[1:]).requires_grad_()
        (found,) = torch.autograd.grad(layer(x), x, g)
    return found
