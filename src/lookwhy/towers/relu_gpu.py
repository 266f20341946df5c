"""A bias, a ReLU and a max pooling in one pass over the maps of a GPU, with the masks of the backward pass.

Needs Triton, which comes with PyTorch's CUDA builds for Linux.
"""

# mypy: allow-untyped-defs
from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

PLACES, CHANNELS = 64, 32
"""Places and channels of one program."""


@triton.jit(do_not_specialize=["height", "width"])
def _relu_pool(
    maps, bias, out, active, chosen, height, width, channels,
    SIDE: tl.constexpr, PLACES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    rows, columns = height // SIDE, width // SIDE
    place = tl.program_id(0) * PLACES + tl.arange(0, PLACES)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    n = tl.program_id(2)
    row, column = place // columns, place % columns
    inside = (c < channels)[:, None] & (place < rows * columns)[None, :]
    start = maps + ((n * channels + c) * height * width)[:, None]
    at = start + (row * SIDE * width + column * SIDE)[None, :]
    added = tl.load(bias + c, c < channels, 0.0)[:, None]
    best, where = tl.maximum(tl.load(at, inside, 0.0) + added, 0.0), tl.zeros((CHANNELS, PLACES), tl.int32)
    for i in tl.static_range(1, SIDE * SIDE):
        value = tl.maximum(tl.load(at + (i // SIDE) * width + i % SIDE, inside, 0.0) + added, 0.0)
        where = tl.where(value > best, i, where)
        best = tl.maximum(best, value)
    tl.store(out + ((n * channels + c) * rows * columns)[:, None] + place[None, :], best, inside)
    # The masks have the channels last: turn the block, so that they are written in long runs.
    last = ((n * rows * columns + place) * channels)[:, None] + c[None, :]
    turned = (place < rows * columns)[:, None] & (c < channels)[None, :]
    tl.store(active + last, tl.trans((best > 0).to(tl.uint8)), turned)
    if SIDE > 1:
        tl.store(chosen + last, tl.trans(where.to(tl.uint8)), turned)


def relu_pool(
    maps: Float[Tensor, "B C H W"], bias: Float[Tensor, " C"] | None, side: int
) -> tuple[Float[Tensor, "B C h w"], Bool[Tensor, "B h w C"], UInt8[Tensor, "B h w C"]]:
    """The largest value of each square of maps plus a bias, or zero; whether it is positive; and its place.

    Args:
        maps: outputs of a convolution without its bias, contiguous.
        bias: its bias.
        side: side of the squares; with 1 there is no pooling, and no place either.
    """
    count, channels, height, width = maps.shape
    rows, columns = height // side, width // side
    out = maps.new_empty(count, channels, rows, columns)
    active = torch.empty(count, rows, columns, channels, dtype=torch.bool, device=maps.device)
    chosen = torch.empty_like(active, dtype=torch.uint8) if side > 1 else active.view(torch.uint8)
    added = maps.new_zeros(channels) if bias is None else bias
    programs = -(-rows * columns // PLACES), -(-channels // CHANNELS), count
    _relu_pool[programs](
        maps, added, out, active.view(torch.uint8), chosen, height, width, channels,
        SIDE=side, PLACES=PLACES, CHANNELS=CHANNELS,
    )  # fmt: skip
    return out, active, chosen
