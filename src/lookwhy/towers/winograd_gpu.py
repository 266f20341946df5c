"""Gradients through 3x3 convolutions on a GPU by Winograd's method, F(4x4, 3x3), in true single precision.

A GPU has a third of the multiplications to do, so that the backward pass is faster than cuDNN's, whose choice
of a method also changes with the number of maps. Along one axis, with six inputs d and a kernel g of three,
the four outputs of a correlation are (Lavin & Gray 2016)::

    y = A' [(G g) * (B' d)]

with the matrices of `winograd.py`, whose full convolution is the transpose of this one, and the same points:
0, a, -a, b, -b and infinity. The transforms B' d and A' m are written out below. Each is one kernel; the
products in between are one batched matrix product. Much of a backward pass is the reading and writing of
maps, so the kernels also do what would read and write them once more: the first reads gradients through a
max pooling, and the second applies the rule of the ReLU before the convolution.

Needs Triton, which comes with PyTorch's CUDA builds for Linux.
"""

# mypy: allow-untyped-defs
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int32, UInt8
from torch import Tensor

from lookwhy.towers.winograd import AT, Snapshot, evaluate

TILE, POINTS = 4, 36
"""Outputs along a tile's side; products for each tile and pair of channels."""
AT_ONCE = 1 << 27
"""Most transformed values of one call: 512 MB."""
TILES, CHANNELS = 2, 64
"""Tiles and channels of one program of a kernel."""

_, _a, _, _b, _ = AT[TILE]
A, A2, A3 = (tl.constexpr(float(_a**power)) for power in (1, 2, 3))
B, B2, B3 = (tl.constexpr(float(_b**power)) for power in (1, 2, 3))
# Coefficients of the polynomials that are 1 at one of the points and 0 at the others.
AT_0, AT_0_SUM = (
    tl.constexpr(float(value)) for value in (1 / (_a * _b) ** 2, (_a**2 + _b**2) / (_a * _b) ** 2)
)
AT_A, AT_B = (tl.constexpr(float(1 / (2 * p**2 * (p**2 - q**2)))) for p, q in ((_a, _b), (_b, _a)))
SQUARES, SUM = (tl.constexpr(float(value)) for value in ((_a * _b) ** 2, _a**2 + _b**2))


@triton.jit
def _before(d0, d1, d2, d3, d4, d5):
    """B' d; constants come second, as Triton's interpreter wants them."""
    even_a, odd_a = d4 - d2 * B2, (d3 - d1 * B2) * A
    even_b, odd_b = d4 - d2 * A2, (d3 - d1 * A2) * B
    return (
        d0 - d2 * AT_0_SUM + d4 * AT_0,
        (even_a + odd_a) * AT_A,
        (even_a - odd_a) * AT_A,
        (even_b + odd_b) * AT_B,
        (even_b - odd_b) * AT_B,
        d1 * SQUARES - d3 * SUM + d5,
    )


@triton.jit
def _after(m0, m1, m2, m3, m4, m5):
    """A' m."""
    even_a, odd_a, even_b, odd_b = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return (
        m0 + even_a + even_b,
        odd_a * A + odd_b * B,
        even_a * A2 + even_b * B2,
        odd_a * A3 + odd_b * B3 + m5,
    )


@triton.jit
def _one(maps, chosen, row, column, height, width, channels, c, inside, SIDE: tl.constexpr):
    """Gradients at one place of a map, or, through a max pooling, at one of its inputs."""
    inside = inside & ((row >= 0) & (row < height) & (column >= 0) & (column < width))[:, None]
    if SIDE == 1:
        return tl.load(maps + ((row * width + column) * channels)[:, None] + c[None, :], inside, 0.0)
    at = (((row // SIDE) * (width // SIDE) + column // SIDE) * channels)[:, None] + c[None, :]
    place = tl.load(chosen + at, inside, 255)
    is_chosen = place.to(tl.int32) == (row % SIDE * SIDE + column % SIDE)[:, None]
    return tl.load(maps + at, inside & is_chosen, 0.0)


@triton.jit
def _row(maps, chosen, row, left, height, width, channels, c, inside, SIDE: tl.constexpr):
    """B' of six inputs of a row."""
    return _before(
        _one(maps, chosen, row, left, height, width, channels, c, inside, SIDE),
        _one(maps, chosen, row, left + 1, height, width, channels, c, inside, SIDE),
        _one(maps, chosen, row, left + 2, height, width, channels, c, inside, SIDE),
        _one(maps, chosen, row, left + 3, height, width, channels, c, inside, SIDE),
        _one(maps, chosen, row, left + 4, height, width, channels, c, inside, SIDE),
        _one(maps, chosen, row, left + 5, height, width, channels, c, inside, SIDE),
    )


@triton.jit
def _store_points(out, step, inside, v0, v1, v2, v3, v4, v5):
    """Six values of a column of points, which lie six points apart."""
    tl.store(out, v0, inside)
    tl.store(out + 6 * step, v1, inside)
    tl.store(out + 12 * step, v2, inside)
    tl.store(out + 18 * step, v3, inside)
    tl.store(out + 24 * step, v4, inside)
    tl.store(out + 30 * step, v5, inside)


@triton.jit(do_not_specialize=["height", "width", "down", "across", "tiles", "margin"])
def _into(
    maps, chosen, owner, out, height, width, down, across, tiles, channels, margin,
    SIDE: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Maps (n, height, width, channels) to (36, tiles, channels): B' d B of each tile.

    With a SIDE, the maps are the outputs of a max pooling over such squares, and `chosen` has its places.
    """
    tile = tl.program_id(0) * TILES + tl.arange(0, TILES)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (tile < tiles)[:, None] & (c < channels)[None, :]
    of_map = tile // (down * across)
    place = tile % (down * across)
    top, left = place // across * 4 - margin, place % across * 4 - margin
    size = (height // SIDE) * (width // SIDE) * channels
    start = maps + (of_map * size)[:, None]
    places = chosen
    if SIDE > 1:
        places = chosen + (tl.load(owner + of_map, tile < tiles, 0) * size)[:, None]
        height, width = height // SIDE * SIDE, width // SIDE * SIDE
    a0, a1, a2, a3, a4, a5 = _row(start, places, top, left, height, width, channels, c, inside, SIDE)
    b0, b1, b2, b3, b4, b5 = _row(start, places, top + 1, left, height, width, channels, c, inside, SIDE)
    c0, c1, c2, c3, c4, c5 = _row(start, places, top + 2, left, height, width, channels, c, inside, SIDE)
    d0, d1, d2, d3, d4, d5 = _row(start, places, top + 3, left, height, width, channels, c, inside, SIDE)
    e0, e1, e2, e3, e4, e5 = _row(start, places, top + 4, left, height, width, channels, c, inside, SIDE)
    f0, f1, f2, f3, f4, f5 = _row(start, places, top + 5, left, height, width, channels, c, inside, SIDE)
    step = tiles * channels
    to = out + (tile * channels)[:, None] + c[None, :]
    a0, b0, c0, d0, e0, f0 = _before(a0, b0, c0, d0, e0, f0)
    _store_points(to, step, inside, a0, b0, c0, d0, e0, f0)
    a1, b1, c1, d1, e1, f1 = _before(a1, b1, c1, d1, e1, f1)
    _store_points(to + step, step, inside, a1, b1, c1, d1, e1, f1)
    a2, b2, c2, d2, e2, f2 = _before(a2, b2, c2, d2, e2, f2)
    _store_points(to + 2 * step, step, inside, a2, b2, c2, d2, e2, f2)
    a3, b3, c3, d3, e3, f3 = _before(a3, b3, c3, d3, e3, f3)
    _store_points(to + 3 * step, step, inside, a3, b3, c3, d3, e3, f3)
    a4, b4, c4, d4, e4, f4 = _before(a4, b4, c4, d4, e4, f4)
    _store_points(to + 4 * step, step, inside, a4, b4, c4, d4, e4, f4)
    a5, b5, c5, d5, e5, f5 = _before(a5, b5, c5, d5, e5, f5)
    _store_points(to + 5 * step, step, inside, a5, b5, c5, d5, e5, f5)


@triton.jit
def _column(products, step, inside):
    """A' of six products, which lie six points apart."""
    return _after(
        tl.load(products, inside, 0.0),
        tl.load(products + 6 * step, inside, 0.0),
        tl.load(products + 12 * step, inside, 0.0),
        tl.load(products + 18 * step, inside, 0.0),
        tl.load(products + 24 * step, inside, 0.0),
        tl.load(products + 30 * step, inside, 0.0),
    )


@triton.jit
def _store(to, y, active, inside, CLAMP: tl.constexpr, MASK: tl.constexpr):
    if CLAMP:
        y = tl.maximum(y, 0.0)
    if MASK:
        y = tl.where(tl.load(active, inside, 0) != 0, y, 0.0)
    tl.store(to, y, inside)


@triton.jit
def _store_row(
    out, active, row, left, height, width, channels, c, inside, m0, m1, m2, m3, m4, m5,
    CLAMP: tl.constexpr, MASK: tl.constexpr,
):  # fmt: skip
    y0, y1, y2, y3 = _after(m0, m1, m2, m3, m4, m5)
    inside = inside & (row < height)[:, None]
    at = ((row * width + left) * channels)[:, None] + c[None, :]
    to, active = out + at, active + at
    _store(to, y0, active, inside & (left < width)[:, None], CLAMP, MASK)
    _store(to + channels, y1, active + channels, inside & (left + 1 < width)[:, None], CLAMP, MASK)
    _store(to + 2 * channels, y2, active + 2 * channels, inside & (left + 2 < width)[:, None], CLAMP, MASK)
    _store(to + 3 * channels, y3, active + 3 * channels, inside & (left + 3 < width)[:, None], CLAMP, MASK)


@triton.jit(do_not_specialize=["height", "width", "down", "across", "tiles"])
def _out_of(
    products, active, owner, out, height, width, down, across, tiles, channels,
    CLAMP: tl.constexpr, MASK: tl.constexpr, TILES: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Products (36, tiles, channels) to maps (n, height, width, channels): A' m A and a rule."""
    tile = tl.program_id(0) * TILES + tl.arange(0, TILES)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside = (tile < tiles)[:, None] & (c < channels)[None, :]
    of_map, place = tile // (down * across), tile % (down * across)
    top, left = place // across * 4, place % across * 4
    step = tiles * channels
    at = products + (tile * channels)[:, None] + c[None, :]
    a0, a1, a2, a3 = _column(at, step, inside)
    b0, b1, b2, b3 = _column(at + step, step, inside)
    c0, c1, c2, c3 = _column(at + 2 * step, step, inside)
    d0, d1, d2, d3 = _column(at + 3 * step, step, inside)
    e0, e1, e2, e3 = _column(at + 4 * step, step, inside)
    f0, f1, f2, f3 = _column(at + 5 * step, step, inside)
    to = out + (of_map * height * width * channels)[:, None]
    if MASK:
        active += (tl.load(owner + of_map, tile < tiles, 0) * height * width * channels)[:, None]
    _store_row(to, active, top, left, height, width, channels, c, inside, a0, b0, c0, d0, e0, f0, CLAMP, MASK)
    _store_row(
        to, active, top + 1, left, height, width, channels, c, inside, a1, b1, c1, d1, e1, f1, CLAMP, MASK
    )
    _store_row(
        to, active, top + 2, left, height, width, channels, c, inside, a2, b2, c2, d2, e2, f2, CLAMP, MASK
    )
    _store_row(
        to, active, top + 3, left, height, width, channels, c, inside, a3, b3, c3, d3, e3, f3, CLAMP, MASK
    )


class Pooling(NamedTuple):
    """A max pooling over squares that do not overlap, between the convolution and the given gradients."""

    side: int
    chosen: UInt8[Tensor, "B h w K"]


class ReluRule(NamedTuple):
    """The rule of a ReLU whose outputs are the convolution's inputs."""

    clamps: bool
    active: Bool[Tensor, "B H W C"] | None


class GradientAtInput:
    """Gradients at the inputs of a 3x3 convolution of stride 1, from gradients at its outputs.

    Args:
        weight: weights of the convolution.
        padding: rows and columns of zeros that the convolution adds on each side, the same for both axes.
    """

    def __init__(self, weight: Float[Tensor, "K C 3 3"], padding: int) -> None:
        self._snapshot, self.margin = Snapshot(weight), 2 - padding
        g = evaluate(TILE, 3).to(weight.device)
        # A gradient is the correlation with the kernels turned by half a turn.
        points = torch.einsum("pk,oikl,ql->pqoi", g, weight.detach().double().flip(2, 3), g)
        self._kernels = points.flatten(0, 1).to(weight.dtype).contiguous()

    def is_of(self, weight: Float[Tensor, "K C 3 3"]) -> bool:
        """Whether this object was made from these weights."""
        return self._snapshot.same(weight)

    def __call__(
        self,
        g: Float[Tensor, "n h w K"],
        owner: Int32[Tensor, " n"],
        size: Sequence[int],
        pooling: Pooling | None = None,
        rule: ReluRule | None = None,
    ) -> Float[Tensor, "n H W C"]:
        """Gradients at the inputs.

        Args:
            g: gradients at the outputs, or at the outputs of a pooling after them; contiguous.
            owner: for each of them, the row of `chosen` and `active` that belongs to it.
            size: rows and columns of the convolution's outputs.
            pooling: the pooling, if there is one.
            rule: the rule to apply to the result, if there is one.
        """
        (height, width), (inputs, outputs) = size, self._kernels.shape[1:]
        rows, columns = height + 2 * self.margin - 2, width + 2 * self.margin - 2
        down, across = -(-rows // TILE), -(-columns // TILE)
        result = g.new_empty(len(g), rows, columns, outputs)
        step = max(1, AT_ONCE // (POINTS * down * across * max(inputs, outputs)))
        side, chosen = pooling or (1, g)
        clamps, active = rule or (False, None)
        mask = result if active is None else active.view(torch.uint8)
        rule_of = {"CLAMP": clamps, "MASK": active is not None}
        sizes = {"TILES": TILES, "CHANNELS": CHANNELS}
        for some, own, out in zip(g.split(step), owner.split(step), result.split(step), strict=True):
            tiles = len(some) * down * across
            into, before, after = (
                g.new_empty(POINTS, tiles, inputs),
                -(-inputs // CHANNELS),
                -(-outputs // CHANNELS),
            )
            programs = -(-tiles // TILES)
            _into[programs, before](
                some,
                chosen,
                own,
                into,
                height,
                width,
                down,
                across,
                tiles,
                inputs,
                self.margin,
                SIDE=side,
                **sizes,
            )
            products = torch.bmm(into, self._kernels)
            _out_of[programs, after](
                products, mask, own, out, rows, columns, down, across, tiles, outputs, **rule_of, **sizes
            )
        return result
