"""The masks that one forward pass of images stores for all their backward passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from lookwhy.towers.relu_rules import Rule

IN_CACHE = 1 << 17
"""Values of maps that are processed together on a CPU; with their masks they stay in the cache of a core."""


@dataclass
class Trace:
    """Features and masks of images, one row each.

    Attributes:
        features: the network's output, (B, *D).
        active: for each ReLU, whether each input was positive; maps are (B, H, W, C). A `ReluPool` has these
            values only for the inputs that its pooling chose.
        chosen: for each max pooling, the place (row x W + column) of the input that became each output, as
            int64 (B, h * w, C). For each `ReluPool`, its place within its window, as uint8 (B, h, w, C).
    """

    features: Tensor
    active: list[Tensor]
    chosen: list[Tensor]

    @staticmethod
    def join(traces: list[Trace], counts: list[int]) -> Trace:
        """Join traces into one with a row for each gradient: image number i is repeated counts[i] times."""
        if len(counts) == 1:
            return traces[0]  # its single row serves all gradients

        def joined(kinds: list[tuple[Tensor, ...]]) -> list[Tensor]:
            return [_repeated(kind, counts) for kind in kinds]

        features = torch.cat([trace.features for trace in traces])
        active = joined([*zip(*(trace.active for trace in traces), strict=True)])
        return Trace(features, active, joined([*zip(*(trace.chosen for trace in traces), strict=True)]))

    @staticmethod
    def together(traces: list[Trace]) -> Trace:
        """The rows of all traces."""
        if len(traces) == 1:
            return traces[0]
        active, chosen = (
            [torch.cat(kind) for kind in zip(*(getattr(one, name) for one in traces), strict=True)]
            for name in ("active", "chosen")
        )
        return Trace(torch.cat([one.features for one in traces]), active, chosen)

    def of(self, owner: Int32[Tensor, " Q"]) -> Trace:
        """The given rows, one for each gradient."""
        return Trace(self.features[owner], [x[owner] for x in self.active], [x[owner] for x in self.chosen])

    def first(self, count: int) -> Trace:
        """The first rows."""
        return Trace(
            self.features[:count], [x[:count] for x in self.active], [x[:count] for x in self.chosen]
        )

    def pack(self) -> dict[str, np.ndarray]:
        """The trace as plain arrays: `active` as bits, `chosen` as bytes."""
        bits = [np.packbits(active.cpu().numpy()) for active in self.active]
        places = [chosen.cpu().numpy().ravel().view(np.uint8) for chosen in self.chosen]
        nothing = np.empty(0, np.uint8)
        return {
            "features": self.features.cpu().numpy(),
            "active": np.concatenate([*bits, nothing]),
            "chosen": np.concatenate([*places, nothing]),
        }


class ReluPool(nn.Module):
    """A ReLU and a max pooling over adjacent squares that do not overlap.

    Each input belongs to at most one output. So in the backward pass, the ReLU's rule gives the same result
    at the outputs of the pooling as at its inputs.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
        """The largest value of each window, or zero."""
        return F.max_pool2d(x.clamp(min=0), self.side)

    def trace(self, x: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """Result of `forward`, and as `rows`: whether each value is positive, and its place in its window."""
        width, side = x.shape[-1], self.side
        pooled, places = F.max_pool2d(x.clamp(min=0), side, return_indices=True)
        within = (places // width % side) * side + places % width % side
        return pooled, rows(pooled > 0), rows(within.to(torch.uint8))

    def back(
        self, g: Float[Tensor, "Q h w C"], chosen: Tensor, result: Float[Tensor, "Q H W C"]
    ) -> Float[Tensor, "Q H W C"]:
        """Write the gradient of each output to the input that became this output, in `result`."""
        (_, rows, columns, _), side = g.shape, self.side
        if result.shape[1:3] != (rows * side, columns * side):
            result.zero_()  # clears the margin that no window covers
        windows = (
            result[:, : rows * side, : columns * side]
            .unflatten(1, (rows, side))
            .unflatten(3, (columns, side))
        )
        for some in rows_in_cache(g):
            for place in range(side**2):
                # 1 where `chosen` is this place, else 0. Products with booleans take five times as long.
                here = (chosen[:, some] ^ place).clamp_(max=1).bitwise_xor_(1)
                torch.mul(g[:, some], here, out=windows[:, some, place // side, :, place % side])
        return result


def by_rule(rule: Rule, active: Tensor, g: Tensor) -> Tensor:
    """Gradient at the inputs of a ReLU, in the place of that at its outputs, by its rule."""
    if g.ndim != 4:
        return rule(active, g)
    # The same bytes as numbers: products with booleans take four times as long on a CPU.
    numbers = active.view(torch.uint8) if active.dtype == torch.bool else active
    for some in rows_in_cache(g):
        rule(numbers[:, some], g[:, some])
    return g


def rows_in_cache(maps: Float[Tensor, "Q h w C"]) -> Iterator[slice]:
    """Rows of maps that are processed together.

    PyTorch first copies a mask into the type of the values that it multiplies. On a CPU, the copy of a whole
    map's mask would leave the cache before it is read.
    """
    count, height, width, channels = maps.shape
    step = height if maps.is_cuda else max(IN_CACHE // max(count * width * channels, 1), 1)
    return (slice(start, start + step) for start in range(0, height, step))


def _repeated(parts: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """The rows of all parts, row number i counts[i] times."""
    if len(parts) == 1 and set(counts) == {1}:
        return parts[0]
    rows_of_images = (row for x in parts for row in x.split(1))
    return torch.cat([x.expand(n, *x.shape[1:]) for x, n in zip(rows_of_images, counts, strict=True)])


def merged(layers: list[nn.Module]) -> list[nn.Module]:
    """The layers, with a `ReluPool` for each ReLU and max pooling that it can replace."""
    result: list[nn.Module] = []
    for layer in layers:
        if result and isinstance(result[-1], nn.ReLU) and (side := _side_by_side(layer)):
            result[-1] = ReluPool(side)
        else:
            result.append(layer)
    return result


def _side_by_side(layer: nn.Module) -> int:
    """Side of a max pooling's windows if they are adjacent squares that do not overlap, else 0."""
    if not isinstance(layer, nn.MaxPool2d) or layer.ceil_mode:
        return 0
    side = _pair(layer.kernel_size)
    plain = (side, (0, 0), (1, 1)) == (_pair(layer.stride), _pair(layer.padding), _pair(layer.dilation))
    return int(side[0]) if plain and side[0] == side[1] and side[0] ** 2 <= 256 else 0


def traced(layer: nn.Module, x: Tensor, active: list[Tensor], chosen: list[Tensor]) -> Tensor:
    """The output of a layer; its masks, if it has any, are added to those of the layers before it."""
    if isinstance(layer, ReluPool):
        x, positive, within = layer.trace(x)
        active.append(positive)
        chosen.append(within)
    elif isinstance(layer, nn.ReLU):
        active.append(rows(x) > 0)
        x = x.clamp(min=0)
    elif isinstance(layer, nn.MaxPool2d):
        x, places = F.max_pool2d(
            x, layer.kernel_size, layer.stride, layer.padding, layer.dilation, return_indices=True
        )
        chosen.append(rows(places).flatten(1, 2))
    else:
        x = layer(x)
    return x


def rows(x: Tensor) -> Tensor:
    """Maps (B, C, H, W) as contiguous (B, H, W, C); vectors unchanged."""
    return x.permute(0, 2, 3, 1).contiguous() if x.ndim == 4 else x
