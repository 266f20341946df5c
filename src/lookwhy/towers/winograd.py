"""3x3 convolutions of differences by Winograd's method: a quarter of the multiplications.

A convolution is linear, so where its input changes by d its output changes by what d alone gives. Of a
difference that is zero outside some rows and columns, only those enter, and each reaches one place
further on every side: the full convolution. With four inputs d and a kernel g of three along one axis, the
six outputs that they reach are (Winograd 1980; Lavin & Gray 2016, the transpose of their F(4, 3))::

    y = B [(G g) * (A d)]          6 multiplications instead of 12

and in two dimensions 36 instead of 144 for a tile of 4x4 inputs::

    Y = B [(G g G') * (A D A')] B'

A and G evaluate d and g as polynomials at six points, where a product of polynomials is the product of the
values, and B finds its coefficients, which are the convolution. Over C channels in and K out the products
become 36 matrix products, tiles x C times C x K. Tiles of a map lie side by side, and the outputs that
neighbours share are added up. Tiles of 5x5 at seven points take 49 products instead of 225; the size is used
that covers a map with fewer.

The usual points 0, 1, -1, 2, -2 and infinity make A, B and G of small integers, which saves work where they
are written out as additions. Here they are matrix products, too, and points that lose less are free: those
below were found by search among simple fractions. In single precision 4x4 tiles err by half as much as with
the usual points, and 5x5 tiles by less than three times as much (`tests/attribution/test_winograd.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

FEWEST_CHANNELS = 32
"""With fewer, the transforms cost what the products save."""
TILES_AT_ONCE = 192
"""Few enough for their transforms to stay in a CPU's cache, enough for the products to be at full speed."""
AT = {
    4: (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2),
    5: (1 / 4, -1 / 4, 7 / 8, -7 / 8, 7 / 4, -7 / 4),
}
"""By inputs along a side of a tile: where the polynomials are evaluated, besides at infinity."""


class Tiling(NamedTuple):
    """How a map is cut: tiles of so many inputs a side, so many down and across."""

    size: int
    down: int
    across: int

    @property
    def products(self) -> int:
        """Multiplications for a channel in and one out."""
        return self.down * self.across * (self.size + 2) ** 2


def tiling(height: int, width: int) -> Tiling:
    """The tiling that covers a map with the fewest products."""
    return min(
        (Tiling(size, -(-height // size), -(-width // size)) for size in AT), key=lambda one: one.products
    )


def _evaluate(size: int, coefficients: int) -> Float[Tensor, "points c"]:
    """Values of x^0, x^1, ... at the points of a tile size; at infinity the highest power alone counts."""
    at_infinity = torch.eye(coefficients, dtype=torch.float64)[-1:]
    finite = torch.tensor(AT[size], dtype=torch.float64)
    return torch.cat([torch.linalg.vander(finite, N=coefficients), at_infinity])


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


class _Transform:
    """A kernel at the points of one tile size, and the matrices into the points and out of them."""

    def __init__(self, taps: Float[Tensor, "K C 3 3"], size: int) -> None:
        a, g, b = (_evaluate(size, n).to(taps.device) for n in (size, 3, size + 2))
        b = b.inverse()
        points = torch.einsum("pk,oikl,ql->pqio", g, taps.detach().double(), g)
        self.size = size
        self.kernel = points.flatten(0, 1).to(taps.dtype).contiguous()
        self.into, self.out_of = torch.kron(a, a).to(taps.dtype), torch.kron(b, b).to(taps.dtype)


class FullConvolution:
    """(n, h, w, C) -> (n, h + 2, w + 2, K): what differences add to the outputs of a 3x3 convolution.

    Output (i, j) is what the inputs up to (i, j) in rows i - 2 .. i and columns j - 2 .. j give, so with
    padding p it belongs to row i - 2 + p of the convolution's own output, counted from the input's first row.

    Args:
        weight: of the convolution.
        scratch: shared with others.
        transposed: for gradients: from differences of the outputs to those of the inputs.
        result: where in the scratch the result is; what is given must lie elsewhere.
    """

    def __init__(
        self,
        weight: Float[Tensor, "K C 3 3"],
        scratch: Scratch,
        *,
        transposed: bool = False,
        result: str = "full",
    ) -> None:
        self._weight = weight.detach().clone()
        # A convolution layer correlates: input i meets weight k on the way to output i - k.
        self._taps = self._weight.transpose(0, 1) if transposed else self._weight.flip(2, 3)
        self._scratch, self._result = scratch, result
        self._made: dict[int, _Transform] = {}

    def is_of(self, weight: Float[Tensor, "K C 3 3"]) -> bool:
        """Whether it was made of just these weights."""
        mine = self._weight
        return (mine.dtype, mine.device) == (weight.dtype, weight.device) and torch.equal(mine, weight)

    def __call__(self, d: Float[Tensor, "n h w C"], cut: Tiling | None = None) -> Float[Tensor, "n h2 w2 K"]:
        """Full convolution; the result is scratch, valid until the next call of any that uses its place.

        Args:
            d: differences.
            cut: a tiling that covers them; by default one of 4x4 tiles: a single map has too few tiles for
                the fewer products of 5x5 ones to make up for their larger kernel.
        """
        n, h, w, channels = d.shape
        size, down, across = cut or Tiling(4, -(-h // 4), -(-w // 4))
        if size not in self._made:
            self._made[size] = _Transform(self._taps, size)
        made = self._made[size]
        # One tile of room below and to the right, for what the last tiles reach.
        shape = n, down + 1, size, across + 1, size, made.kernel.shape[2]
        full = self._scratch.take(self._result, shape, d).zero_()
        if (h, w) != (down * size, across * size):
            padded = self._scratch.take("padded", (n, down * size, across * size, channels), d)
            padded[:, h:] = 0
            padded[:, :h, w:] = 0
            padded[:, :h, :w] = d
            d = padded
        tiles = d.view(n, down, size, across, size, channels)
        for maps, rows in _parts(n, down, across):
            found = self._tiles(made, tiles[maps, rows])
            # The last two rows and columns of a tile's outputs are the next tile's first two.
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                place = full[maps, rows.start + i : rows.stop + i, :, j : across + j]
                some = found[i * size : (i + 1) * size, j * size : (j + 1) * size]
                place[:, :, : len(some), :, : some.shape[1]] += some.permute(2, 3, 0, 4, 1, 5)
        joined = full.view(n, (down + 1) * size, (across + 1) * size, shape[-1])
        return joined[:, : h + 2, : w + 2]

    def _tiles(
        self, made: _Transform, tiles: Float[Tensor, "m t size u size C"]
    ) -> Float[Tensor, "points points m t u K"]:
        take, (m, t, size, u, _, channels), outputs = self._scratch.take, tiles.shape, made.kernel.shape[2]
        count, points = m * t * u, (size + 2) ** 2
        first = take("tiles", (size, size, m, t, u, channels), tiles)
        first.copy_(tiles.permute(2, 4, 0, 1, 3, 5))
        into = take("points", (points, count * channels), tiles)
        torch.mm(made.into, first.view(size**2, -1), out=into)
        products = take("products", (points, count, outputs), tiles)
        torch.bmm(into.view(points, count, channels), made.kernel, out=products)
        result = take("points", (points, count * outputs), tiles)
        torch.mm(made.out_of, products.view(points, -1), out=result)
        return result.view(size + 2, size + 2, m, t, u, outputs)


class FullConvolutions:
    """The full convolutions of a network's layers, by number, each made anew where its weights have changed.

    Args:
        scratch: shared by all.
        transposed: as of each.
    """

    def __init__(self, scratch: Scratch, *, transposed: bool = False) -> None:
        self._scratch, self._transposed = scratch, transposed
        self._made: dict[int, FullConvolution] = {}

    def of(self, number: int, layer: nn.Module, result: str = "full") -> FullConvolution:
        """That of a layer that `suits`."""
        assert isinstance(layer, nn.Conv2d)
        made = self._made.get(number)
        if made is None or not made.is_of(layer.weight):
            made = FullConvolution(layer.weight, self._scratch, transposed=self._transposed, result=result)
            self._made[number] = made
        return made


def _parts(maps: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Maps and rows of tiles to take at once: several whole maps where they are small, else some rows."""
    if down * across <= TILES_AT_ONCE:
        step = TILES_AT_ONCE // (down * across)
        yield from ((slice(i, min(i + step, maps)), slice(0, down)) for i in range(0, maps, step))
    else:
        # Evenly: every part reads all of the kernel, and a small last one would read it for little.
        step = -(-down // max(1, round(down * across / TILES_AT_ONCE)))
        for i in range(maps):
            yield from ((slice(i, i + 1), slice(r, min(r + step, down))) for r in range(0, down, step))
