"""Families of masks for an image, drawn from the image itself: the same in every run, epoch and process.

A mask keeps a pixel (1), replaces it (0) or mixes both. The features of a masked image depend on the mask and
the image alone. So `Tower.under_masks` computes them once, and methods and measures that need thousands of
masked images (RISE, LIME, KernelSHAP, infidelity, faithfulness correlation) then cost only the head, for any
question at any epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from lookwhy.errors import LookwhyError
from lookwhy.towers import devices
from lookwhy.towers.memory import digest_of, digest_of_image
from lookwhy.towers.recipe import CAFFE_MEAN_BGR, ImageRecipe
from lookwhy.towers.windows import membership

PATCH_RGB = CAFFE_MEAN_BGR[::-1]
"""Colour of the gray patch, the mean pixel (Goyal et al. 2016), 0-255."""
Fill = Literal["patch", "blur"]
"""Replacement of removed pixels: the gray patch, or the blurred image."""
BLUR, BLUR_SIDE = 5.0, 224
"""Standard deviation in pixels of the Gaussian of `blur`, for images of `BLUR_SIDE` pixels (Petsiuk 2018)."""
MOST_ENUMERATED = 16
"""Largest number of cells of which all coalitions may be enumerated: 65,536."""


_copies: ContextVar[Mapping[str, str]] = ContextVar("copies", default={})  # noqa: B039


@contextmanager
def copies_of(originals: Sequence[Float[Tensor, "3 H W"]], copies: Sequence[Tensor]) -> Iterator[None]:
    """Draw for changed copies of images the masks of the images themselves.

    A comparison of maps of both then has no difference by other masks.
    """
    digests = {digest_of(copy): digest_of(one) for one, copy in zip(originals, copies, strict=True)}
    token = _copies.set(digests)
    try:
        yield
    finally:
        _copies.reset(token)


@dataclass(frozen=True)
class MaskFamily(ABC):
    """Random masks of one kind; the settings, the image and the seed fix every mask.

    Attributes:
        count: number of draws, in most families the number of masks.
        seed: seed beside the image.
    """

    count: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise LookwhyError(f"expected at least 1 mask, found {self.count}; raise the number of masks")

    @property
    def size(self) -> int:
        """Number of masks."""
        return self.count

    @abstractmethod
    def masks(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "N H W"]:
        """Masks of an image, 1 where a pixel stays."""

    def describe(self) -> dict[str, object]:
        """The family in plain types, as a key of `Memory`."""
        return {"family": type(self).__name__, **asdict(self)}

    def shares(self, image: Float[Tensor, "3 H W"], grid: int) -> Float[Tensor, "N G G"]:
        """Share of each cell of a grid that each mask keeps, 0..1."""
        means = [membership(length, grid, image) for length in image.shape[1:]]
        rows, columns = (one / one.sum(1, keepdim=True) for one in means)
        return torch.einsum("gh,nhw,kw->ngk", rows, self.masks(image), columns)

    def _random(self, image: Float[Tensor, "3 H W"]) -> np.random.Generator:
        digest = digest_of_image(image)
        return np.random.default_rng([self.seed, int(_copies.get().get(digest, digest), 16)])


@dataclass(frozen=True)
class SoftMasks(MaskFamily):
    """Masks of RISE (Petsiuk et al. 2018, section 3.2): small random grids, enlarged bilinearly and shifted.

    Attributes:
        cells: cells along each side of the small grid; 7 in the paper.
        kept: probability that a cell is kept; 0.5 in the paper.

    Example:
        >>> SoftMasks(count=2).masks(torch.rand(3, 16, 16)).shape
        torch.Size([2, 16, 16])
    """

    cells: int = 7
    kept: float = 0.5

    def masks(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "N H W"]:
        """Masks (N, H, W) from 0 to 1, on the image's device."""
        random, (height, width) = self._random(image), image.shape[1:]
        small = (random.random((self.count, 1, self.cells, self.cells)) < self.kept).astype(np.float32)
        sides = [-(-length // self.cells) for length in (height, width)]
        down, right = (random.integers(side, size=self.count).tolist() for side in sides)
        size = [(self.cells + 1) * side for side in sides]
        masks = image.new_empty(self.count, height, width)
        for start in range(0, self.count, 64):  # bounds the memory
            some = torch.from_numpy(small[start : start + 64]).to(image)
            large = F.interpolate(some, size, mode="bilinear", align_corners=False)[:, 0]
            for at, one in enumerate(large, start):
                masks[at] = one[down[at] : down[at] + height, right[at] : right[at] + width]
        return masks


@dataclass(frozen=True)
class Coalitions(MaskFamily):
    """Subsets of the cells of a coarse grid. All of them, each once, if `count` suffices for it.

    Attributes:
        cells: cells along each side of the grid.
        drawn: `uniform` keeps each cell with probability 1/2. `shapley` draws the number of kept cells with
            the weights of KernelSHAP (Lundberg & Lee 2017), and after each subset comes its complement.

    Example:
        >>> Coalitions(count=16, cells=2).kept(torch.rand(3, 8, 8)).sum().item()
        32
    """

    cells: int = 7
    drawn: Literal["uniform", "shapley"] = "uniform"

    @property
    def players(self) -> int:
        """Number of cells."""
        return self.cells**2

    @property
    def is_complete(self) -> bool:
        """Whether the family holds all coalitions, each once."""
        return self.players <= MOST_ENUMERATED and self.count >= 2**self.players

    @property
    def size(self) -> int:
        """Number of masks."""
        return 2**self.players if self.is_complete else self.count

    def describe(self) -> dict[str, object]:
        """The family in plain types: all coalitions are the same family, however they would be drawn."""
        if self.is_complete:
            return {"family": "Coalitions", "cells": self.cells}
        return super().describe()

    def kept(self, image: Float[Tensor, "3 H W"]) -> Bool[np.ndarray, "N players"]:
        """Whether each coalition keeps each cell, row-major. The first keeps none, except if `uniform`."""
        if self.is_complete:
            return all_coalitions(self.players)
        random = self._random(image)
        if self.drawn == "uniform":
            return random.random((self.count, self.players)) < 0.5
        return shapley_coalitions(self.players, self.count, random)

    def shown(self, image: Float[Tensor, "3 H W"]) -> Bool[Tensor, "N p p"]:
        """Whether each mask shows each cell, on the image's device."""
        kept = devices.upload(self.kept(image), image.device)
        return kept.unflatten(1, (self.cells, self.cells))

    def masks(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "N H W"]:
        """Masks (N, H, W) of 0 and 1, on the image's device."""
        return pixels_of(self.shown(image), image)


@dataclass(frozen=True)
class CellOrders(MaskFamily):
    """The image while its cells appear one by one, in random orders; `count` is the number of orders.

    The first mask shows nothing. Then come, order by order, those of the first 1, 2, ... cells. The whole
    image is no mask of the family.

    Example:
        >>> CellOrders(count=3, cells=2).size
        10
    """

    cells: int = 4

    @property
    def size(self) -> int:
        """Number of masks."""
        return 1 + self.count * (self.cells**2 - 1)

    def orders(self, image: Float[Tensor, "3 H W"]) -> Int64[np.ndarray, "R cells"]:
        """Cells in the order in which they appear."""
        return self._random(image).random((self.count, self.cells**2)).argsort(1)

    def shown(self, image: Float[Tensor, "3 H W"]) -> Bool[Tensor, "N p p"]:
        """Whether each mask shows each cell, on the image's device."""
        ranks = self.orders(image).argsort(1)
        shown = ranks[:, None] < np.arange(1, self.cells**2)[:, None]
        kept = np.concatenate([np.zeros((1, self.cells**2), bool), shown.reshape(-1, self.cells**2)])
        return devices.upload(kept, image.device).unflatten(1, (self.cells, self.cells))

    def masks(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "N H W"]:
        """Masks (N, H, W) of 0 and 1, on the image's device."""
        return pixels_of(self.shown(image), image)


@dataclass(frozen=True)
class Squares(MaskFamily):
    """Masks that remove one square at a random place (Yeh et al. 2019, "square removal").

    Attributes:
        smallest: shortest side of a square, as a share of the image's shorter side.
        largest: longest side.

    Example:
        >>> float(Squares(count=1).masks(torch.rand(3, 16, 16)).mean()) < 1
        True
    """

    smallest: float = 0.125
    largest: float = 0.5

    def masks(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "N H W"]:
        """Masks (N, H, W) of 0 and 1, on the image's device."""
        random, (height, width) = self._random(image), image.shape[1:]
        sides = random.uniform(self.smallest, self.largest, self.count) * min(height, width)
        masks = image.new_ones(self.count, height, width)
        for mask, side in zip(masks, np.maximum(sides.round().astype(int), 1).tolist(), strict=True):
            top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
            mask[top : top + side, left : left + side] = 0
        return masks


def all_coalitions(players: int) -> Bool[np.ndarray, "M players"]:
    """All subsets of the players, from none to all; bit i of a subset's number is player i."""
    return (np.arange(2**players)[:, None] >> np.arange(players)) % 2 == 1


def shapley_coalitions(
    players: int, count: int, random: np.random.Generator
) -> Bool[np.ndarray, "M players"]:
    """The empty subset, and subsets drawn with the weights of KernelSHAP, each with its complement."""
    sizes = np.arange(1, players)
    # The kernel (M - 1) / (C(M, s) s (M - s)), summed over the C(M, s) subsets of s players.
    weights = 1 / (sizes * (players - sizes))
    drawn = random.choice(sizes, size=count // 2, p=weights / weights.sum())
    ranks = random.random((len(drawn), players)).argsort(1).argsort(1)
    subsets = ranks < drawn[:, None]
    pairs = np.stack([subsets, ~subsets], axis=1).reshape(-1, players)
    return np.concatenate([np.zeros((1, players), bool), pairs])[:count]


def pixels_of(kept: Bool[Tensor, "M p p"], image: Float[Tensor, "3 H W"]) -> Float[Tensor, "M H W"]:
    """Masks of 0 and 1 for the pixels of an image, from the kept cells of a grid."""
    rows, columns = (membership(length, kept.shape[1], image) for length in image.shape[1:])
    return torch.einsum("ph,npq,qw->nhw", rows, kept.to(image), columns)


def masked_images(
    image: Float[Tensor, "3 H W"],
    masks: Float[Tensor, "M H W"],
    instead: Float[Tensor, "3"] | Float[Tensor, "3 H W"],
) -> Float[Tensor, "M 3 H W"]:
    """Copies of an image under masks: 1 keeps a pixel, 0 replaces it by a colour or another image's pixel."""
    other = instead if instead.ndim == 3 else instead[:, None, None]
    shares = masks[:, None]
    return image * shares + other * (1 - shares)


def fill_of(
    image: Float[Tensor, "3 H W"], recipe: ImageRecipe | None, fill: Fill
) -> Float[Tensor, "3"] | Float[Tensor, "3 H W"]:
    """The colour or the image whose pixels take the place of removed ones; without a recipe gray is 0."""
    if fill == "patch":
        return recipe.color(PATCH_RGB).to(image) if recipe else image.new_zeros(3)
    from torchvision.transforms.functional import gaussian_blur  # takes a moment to import

    sigma = BLUR * min(image.shape[1:]) / BLUR_SIDE
    width = 2 * min(max(1, round(4 * sigma)), min(image.shape[1:]) - 1) + 1  # padding must fit
    return gaussian_blur(image, [width, width], [sigma, sigma])
