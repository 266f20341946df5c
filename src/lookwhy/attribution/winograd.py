"""3x3 convolutions of differences by Winograd's method: a quarter of the multiplications.

A convolution is linear, so where its input changes by d its output changes by what d alone gives. Of a
difference that is zero outside some rows and columns, only those enter, and each reaches one place
further on every side: the full convolution. With four inputs d and a kernel of three along one axis, the
six outputs that they reach are (Winograd 1980; Lavin & Gray 2016, the transpose of their F(4, 3))::

    y = B [(G g) * (A d)]          6 multiplications instead of 12

and in two dimensions 36 instead of 144 for a tile of 4x4 inputs::

    Y = B [(G g G') * (A D A')] B'

A and G evaluate d and g as polynomials at six points, where a product of polynomials is the product of the
values, and B finds its coefficients, which are the convolution. Over C channels in and K out the products
become 36 matrix products, tiles x C times C x K. Tiles of a map lie side by side, and the outputs that
neighbours share are added up.

The points are 0, 5/8, -5/8, 3/2, -3/2 and infinity. The usual 0, 1, -1, 2, -2 make A, B and G of small
integers, which saves work where they are written out as additions; here they are matrix products, too, and
points that lose less are free: in single precision the error is half that of the usual ones and twice that
of the direct sum (`tests/attribution/test_winograd.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

TILE = 4
POINTS = TILE + 2
FEWEST_CHANNELS = 32
"""With fewer, the transforms cost what the products save."""
TILES_AT_ONCE = 192
"""Few enough for their transforms to stay in a CPU's cache, enough for the products to be at full speed."""

_AT = torch.tensor([0, 5 / 8, -5 / 8, 3 / 2, -3 / 2], dtype=torch.float64)
"""Where the polynomials are evaluated, besides at infinity."""


def _evaluate(coefficients: int) -> Float[Tensor, "6 c"]:
    """Values at the six points of the polynomials x^0, x^1, ...; at infinity the highest alone counts."""
    at_infinity = torch.eye(coefficients, dtype=torch.float64)[-1:]
    return torch.cat([torch.linalg.vander(_AT, N=coefficients), at_infinity])


class Scratch:
    """Memory that all layers share, so that nothing large is allocated in a loop."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """A tensor with any content, valid until the same name is taken again."""
        kept, size = self._kept.get(name), prod(shape)
        if kept is None or kept.numel() < size or (kept.dtype, kept.device) != (like.dtype, like.device):
            kept = self._kept[name] = like.new_empty(size)
        return kept[:size].view(shape)


def suits(layer: nn.Module) -> bool:
    """Whether a layer is a convolution that `FullConvolution` can stand for, and is worth it."""
    return (
        isinstance(layer, nn.Conv2d)
        and (_pair(layer.kernel_size), _pair(layer.stride), _pair(layer.dilation)) == ((3, 3), (1, 1), (1, 1))
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= FEWEST_CHANNELS
    )


class FullConvolution:
    """(n, h, w, C) -> (n, h + 2, w + 2, K): what differences add to the outputs of a 3x3 convolution.

    Output (i, j) is what the inputs up to (i, j) in rows i - 2 .. i and columns j - 2 .. j give, so with
    padding p it belongs to row i - 2 + p of the convolution's own output, counted from the input's first row.

    Args:
        weight: of the convolution.
        scratch: shared with others.
        transposed: for gradients: from differences of the outputs to those of the inputs.
    """

    def __init__(
        self, weight: Float[Tensor, "K C 3 3"], scratch: Scratch, *, transposed: bool = False
    ) -> None:
        # A convolution layer correlates: input i meets weight k on the way to output i - k.
        self._made_of = weight.detach().clone()
        taps = weight.transpose(0, 1) if transposed else weight.flip(2, 3)
        a, g, b = (m.to(weight.device) for m in (_evaluate(TILE), _evaluate(3), _evaluate(POINTS).inverse()))
        points = torch.einsum("pk,oikl,ql->pqio", g, taps.detach().double(), g)
        self.kernel = points.flatten(0, 1).to(weight.dtype).contiguous()
        self._into = torch.kron(a, a).to(weight.dtype)
        self._out_of = torch.kron(b, b).to(weight.dtype)
        self._scratch = scratch

    def is_of(self, weight: Float[Tensor, "K C 3 3"]) -> bool:
        """Whether it was made of just these weights."""
        mine = self._made_of
        return (mine.dtype, mine.device) == (weight.dtype, weight.device) and torch.equal(mine, weight)

    def __call__(self, d: Float[Tensor, "n h w C"]) -> Float[Tensor, "n h2 w2 K"]:
        """Full convolution; the result is scratch, valid until the next call of any that shares it."""
        n, h, w, channels = d.shape
        down, across, outputs = -(-h // TILE), -(-w // TILE), self.kernel.shape[2]
        # One tile of room below and to the right, for what the last tiles reach.
        full = self._scratch.take("full", (n, down + 1, TILE, across + 1, TILE, outputs), d).zero_()
        if (h, w) != (down * TILE, across * TILE):
            padded = self._scratch.take("padded", (n, down * TILE, across * TILE, channels), d)
            padded[:, h:] = 0
            padded[:, :h, w:] = 0
            padded[:, :h, :w] = d
            d = padded
        tiles = d.view(n, down, TILE, across, TILE, channels)
        for maps, rows in _parts(n, down, across):
            found = self._tiles(tiles[maps, rows])
            # Rows and columns 4 and 5 of a tile's outputs are the next tile's 0 and 1.
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                place = full[maps, rows.start + i : rows.stop + i, :, j : across + j]
                some = found[i * TILE : (i + 1) * TILE, j * TILE : (j + 1) * TILE]
                place[:, :, : len(some), :, : some.shape[1]] += some.permute(2, 3, 0, 4, 1, 5)
        return full.view(n, (down + 1) * TILE, (across + 1) * TILE, outputs)[:, : h + 2, : w + 2]

    def _tiles(self, tiles: Float[Tensor, "m t 4 u 4 C"]) -> Float[Tensor, "6 6 m t u K"]:
        take, (m, t, _, u, _, channels), outputs = self._scratch.take, tiles.shape, self.kernel.shape[2]
        count = m * t * u
        first = take("tiles", (TILE, TILE, m, t, u, channels), tiles)
        first.copy_(tiles.permute(2, 4, 0, 1, 3, 5))
        into = take("points", (POINTS**2, count * channels), tiles)
        torch.mm(self._into, first.view(TILE**2, -1), out=into)
        products = take("products", (POINTS**2, count, outputs), tiles)
        torch.bmm(into.view(POINTS**2, count, channels), self.kernel, out=products)
        result = take("points", (POINTS**2, count * outputs), tiles)
        torch.mm(self._out_of, products.view(POINTS**2, -1), out=result)
        return result.view(POINTS, POINTS, m, t, u, outputs)


def _parts(maps: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Maps and rows of tiles to take at once: several whole maps where they are small, else some rows."""
    if down * across <= TILES_AT_ONCE:
        step = TILES_AT_ONCE // (down * across)
        yield from ((slice(i, min(i + step, maps)), slice(0, down)) for i in range(0, maps, step))
    else:
        step = max(1, TILES_AT_ONCE // across)
        for i in range(maps):
            yield from ((slice(i, i + 1), slice(r, min(r + step, down))) for r in range(0, down, step))
