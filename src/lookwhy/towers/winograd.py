"""3x3 convolutions of differences by Winograd's method: a quarter of the multiplications.

A convolution is linear: if its input changes by d, its output changes by the convolution of d. If d is zero
outside some rows and columns, only those rows and columns are read, and the result reaches one place further
on every side. This is the full convolution. Along one axis, with four inputs d and a kernel g of size three,
its six outputs are (Winograd 1980; Lavin & Gray 2016, the transpose of their F(4, 3))::

    y = B [(G g) * (A d)]          6 multiplications instead of 12

and in two dimensions 36 instead of 144 for a tile of 4x4 inputs::

    Y = B [(G g G') * (A D A')] B'

A and G evaluate d and g, read as polynomials, at six points. At each point the value of the product of the
polynomials is the product of their values. B computes the coefficients of the product, which are the
convolution. With C channels in and K out, the products become 36 matrix products, tiles x C times C x K. The
tiles of a map do not overlap, but their outputs overlap and are added. Tiles of 5x5 at seven points take 49
products instead of 225. Each map uses the tile size that covers it with fewer products.

With the usual points 0, 1, -1, 2, -2 and infinity, A, B and G contain small integers. This saves work if they
are written out as additions. Here they are matrix products, too, so other points cost the same. The points
below are more precise; they were found by a search among simple fractions. In single precision, the error of
4x4 tiles is about half of the error with the usual points. The error of 5x5 tiles is less than three times
that of 4x4 tiles (`tests/towers/test_winograd.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from lookwhy.towers import products
from lookwhy.towers.products import FixedMatrices, matrix_product

FEWEST_CHANNELS = 65 if products.HAS_FAST_ONEDNN else 32
"""With fewer channels, the transforms cost as much as the products save.

Where oneDNN has fast products, its direct convolutions are fast, too: in the backward pass through 64 to 64
channels at 224 x 224 they took 14.8 ms, and Winograd's method 25.9 ms (AMD EPYC with AVX-512).
"""
FEWEST_ON_GPU = 32
TILES_AT_ONCE = 192
"""Tiles in one call: few enough for a CPU's cache, and enough for the full speed of matrix products."""
COMPARED = 8
"""About so many places of each dimension are compared to see whether a weight has changed."""
AT = {
    4: (0, 5 / 8, -5 / 8, 3 / 2, -3 / 2),
    5: (1 / 4, -1 / 4, 7 / 8, -7 / 8, 7 / 4, -7 / 4),
}
"""Points of evaluation besides infinity, by the number of inputs along a tile's side."""


class Tiling(NamedTuple):
    """Division of a map into tiles: inputs along a tile's side, number of tiles down and across."""

    size: int
    down: int
    across: int

    @property
    def products(self) -> int:
        """Multiplications for one channel in and one out."""
        return self.down * self.across * (self.size + 2) ** 2


def tiling(height: int, width: int) -> Tiling:
    """The tiling that covers a map with the fewest products."""
    return min(
        (Tiling(size, -(-height // size), -(-width // size)) for size in AT), key=lambda one: one.products
    )


def evaluate(size: int, coefficients: int) -> Float[Tensor, "points c"]:
    """Values of x^0, x^1, ... at the points of a tile size; at infinity, only the highest power counts."""
    at_infinity = torch.eye(coefficients, dtype=torch.float64)[-1:]
    finite = torch.tensor(AT[size], dtype=torch.float64)
    return torch.cat([torch.linalg.vander(finite, N=coefficients), at_infinity])


class Snapshot:
    """Tells whether a tensor has changed since it was seen, without reading all of it.

    PyTorch counts the changes of a tensor in place, but not those through `.data`: for these, some values are
    compared on a CPU.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._alias = tensor.detach()  # keeps the memory, so that no other tensor gets its address
        self._state, self._some = self._state_of(tensor), self._some_of(tensor).clone()

    def same(self, tensor: Tensor) -> bool:
        """Whether this is the same tensor, with the same values."""
        if self._state_of(tensor) != self._state:
            return False
        # A GPU would have to finish all its work before it could tell.
        return tensor.is_cuda or torch.equal(self._some_of(tensor), self._some)

    @staticmethod
    def _state_of(tensor: Tensor) -> tuple[object, ...]:
        version = 0 if tensor.is_inference() else tensor._version
        return tensor.data_ptr(), tensor.dtype, tensor.device, tensor.shape, tensor.stride(), version

    @staticmethod
    def _some_of(tensor: Tensor) -> Tensor:
        return tensor.detach()[tuple(slice(None, None, max(n // COMPARED, 1)) for n in tensor.shape)]


class Scratch:
    """Buffers that all layers share, so that loops allocate nothing large."""

    def __init__(self) -> None:
        self._buffers: dict[str, Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """A tensor with undefined content, valid until the same name is taken again."""
        buffer, size = self._buffers.get(name), prod(shape)
        kind = like.dtype, like.device
        if buffer is None or buffer.numel() < size or (buffer.dtype, buffer.device) != kind:
            buffer = self._buffers[name] = like.new_empty(size)
        return buffer[:size].view(shape)


def suits(layer: nn.Module, on_gpu: bool = False) -> bool:
    """Whether a layer is a convolution that Winograd's method computes, and faster than torch."""
    return (
        isinstance(layer, nn.Conv2d)
        and (_pair(layer.kernel_size), _pair(layer.stride), _pair(layer.dilation)) == ((3, 3), (1, 1), (1, 1))
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= (FEWEST_ON_GPU if on_gpu else FEWEST_CHANNELS)
    )


class _Transform:
    """A kernel's values at the points of one tile size, and the matrices to these points and back."""

    def __init__(self, taps: Float[Tensor, "K C 3 3"], size: int) -> None:
        a, g, b = (evaluate(size, n).to(taps.device) for n in (size, 3, size + 2))
        b = b.inverse()
        points = torch.einsum("pk,oikl,ql->pqoi", g, taps.detach().double(), g)
        self.size, self.outputs = size, len(taps)
        self.kernels = FixedMatrices(points.flatten(0, 1).to(taps.dtype).contiguous())
        self.into, self.out_of = torch.kron(a, a).to(taps.dtype), torch.kron(b, b).to(taps.dtype)


class FullConvolution:
    """Changes of a 3x3 convolution's outputs, from changes of its inputs.

    Inputs are (n, h, w, C), outputs are (n, h + 2, w + 2, K). Output (i, j) reads the inputs in rows
    i - 2 .. i and columns j - 2 .. j. If the convolution has padding p and the given inputs begin in its
    input row r, then output row i belongs to row r + i - 2 + p of the convolution's own output.

    Args:
        weight: weights of the convolution.
        scratch: buffers, which other layers may share.
        transposed: compute gradients at the inputs from gradients at the outputs instead.
        result: name of the result's buffer; the argument of a call must not be in the same buffer.
    """

    def __init__(
        self,
        weight: Float[Tensor, "K C 3 3"],
        scratch: Scratch,
        *,
        transposed: bool = False,
        result: str = "full",
    ) -> None:
        # nn.Conv2d computes a correlation: output i - k contains weight k times input i.
        self._taps = weight.detach().transpose(0, 1) if transposed else weight.detach().flip(2, 3)
        self._snapshot = Snapshot(weight)
        self._scratch, self._result = scratch, result
        self._made: dict[int, _Transform] = {}

    def is_of(self, weight: Float[Tensor, "K C 3 3"]) -> bool:
        """Whether this object was made from these weights (see `Snapshot`)."""
        return self._snapshot.same(weight)

    def __call__(self, d: Float[Tensor, "n h w C"], cut: Tiling | None = None) -> Float[Tensor, "n h2 w2 K"]:
        """Full convolution; the result is valid until the next call that uses the same buffer.

        Args:
            d: differences of the inputs, zero outside these rows and columns.
            cut: tiling that covers `d`; by default of 4x4 tiles. (For the few tiles of a single map, reading
                the larger kernel of 5x5 tiles costs more than these tiles save.)
        """
        n, h, w, channels = d.shape
        size, down, across = cut or Tiling(4, -(-h // 4), -(-w // 4))
        if size not in self._made:
            self._made[size] = _Transform(self._taps, size)
        made = self._made[size]
        # One more tile below and to the right, for the outputs of the last tiles.
        shape = n, down + 1, size, across + 1, size, made.outputs
        full = self._scratch.take(self._result, shape, d)
        full[:, down] = 0
        full[:, :, :, across] = 0
        if (h, w) != (down * size, across * size):
            padded = self._scratch.take("padded", (n, down * size, across * size, channels), d)
            padded[:, h:] = 0
            padded[:, :h, w:] = 0
            padded[:, :h, :w] = d
            d = padded
        tiles = d.view(n, down, size, across, size, channels)
        for maps, rows in _parts(n, down, across):
            found = self._tiles(made, tiles[maps, rows]).permute(2, 3, 0, 4, 1, 5)
            full[maps, rows, :, :across] = found[:, :, :size, :, :size]
            # The last two rows and columns of a tile's outputs are the next tile's first two.
            below, right = slice(rows.start + 1, rows.stop + 1), slice(1, across + 1)
            full[maps, rows, :, right, :2] += found[:, :, :size, :, size:]
            full[maps, below, :2, :across] += found[:, :, size:, :, :size]
            full[maps, below, :2, right, :2] += found[:, :, size:, :, size:]
        joined = full.view(n, (down + 1) * size, (across + 1) * size, shape[-1])
        return joined[:, : h + 2, : w + 2]

    def _tiles(
        self, made: _Transform, tiles: Float[Tensor, "m t size u size C"]
    ) -> Float[Tensor, "points points m t u K"]:
        take, (m, t, size, u, _, channels), outputs = self._scratch.take, tiles.shape, made.outputs
        count, points = m * t * u, (size + 2) ** 2
        first = take("tiles", (size, size, m, t, u, channels), tiles)
        first.copy_(tiles.permute(2, 4, 0, 1, 3, 5))
        into = matrix_product(made.into, first.view(size**2, -1))
        products = take("products", (points, count, outputs), tiles)
        made.kernels.multiply(into.view(points, count, channels), out=products)
        result = matrix_product(made.out_of, products.view(points, -1))
        return result.view(size + 2, size + 2, m, t, u, outputs)


class FullConvolutions:
    """The full convolutions of a network's layers, by layer number; made again if its weights change."""

    def __init__(self, scratch: Scratch, *, transposed: bool = False) -> None:
        self._scratch, self._transposed = scratch, transposed
        self._made: dict[int, FullConvolution] = {}

    def of(self, number: int, layer: nn.Module, result: str = "full") -> FullConvolution:
        """The FullConvolution of this layer (requires `suits(layer)`)."""
        assert isinstance(layer, nn.Conv2d)
        made = self._made.get(number)
        if made is None or not made.is_of(layer.weight):
            made = FullConvolution(layer.weight, self._scratch, transposed=self._transposed, result=result)
            self._made[number] = made
        return made


def _parts(maps: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Maps and rows of tiles that are processed together: several small maps, or some rows of a large one.

    The last rows come first: each part writes its rows, and then adds to the row below them.
    """
    if down * across <= TILES_AT_ONCE:
        step = TILES_AT_ONCE // (down * across)
        yield from ((slice(i, min(i + step, maps)), slice(0, down)) for i in range(0, maps, step))
    else:
        # Split evenly: each part rereads the whole kernel, so a small remainder is wasteful.
        step = -(-down // max(1, round(down * across / TILES_AT_ONCE)))
        for i in range(maps):
            yield from (
                (slice(i, i + 1), slice(r, min(r + step, down))) for r in reversed(range(0, down, step))
            )
