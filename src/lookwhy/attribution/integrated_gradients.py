"""Integrated gradients (Sundararajan et al. 2017, "Axiomatic attribution for deep networks").

The path runs straight from an input without information to the input itself: for the image from the gray
patch everywhere, for the words from embeddings of zero. With m steps and the midpoint rule::

    R(i) = (x_i - b_i) 1/m sum_k df(b + (k - 1/2)/m (x - b)) / dx_i        k = 1 .. m

Completeness: the sum of R over all pixels (or words) is f(x) - f(b), up to the error of the m steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lookwhy.attribution.base import images_of
from lookwhy.attribution.gradient import PixelMethod
from lookwhy.attribution.occlusion import patch_of
from lookwhy.attribution.word_gradient import WordMethod
from lookwhy.models.protocol import TokenModel
from lookwhy.towers.masks import PATCH_RGB
from lookwhy.towers.windows import sums_over_cells
from lookwhy.types import Explains, ImportanceMaps, Target, VQABatch


def midpoints(steps: int) -> Iterator[float]:
    """The middle of each of `steps` equal parts of [0, 1].

    Example:
        >>> list(midpoints(2))
        [0.25, 0.75]
    """
    return ((k + 0.5) / steps for k in range(steps))


class IntegratedGradients(PixelMethod):
    """Integrated gradients of the pixels, summed over each cell.

    Each step is a forward and a backward pass of the image network. The forward pass is shared by the
    questions about an image; nothing is stored.

    Args:
        grid: cells along each side of the map.
        steps: number of gradients along the path.
        patch_rgb: colour at the start of the path, 0-255, as red, green, blue.
        batch_size: number of questions that go through the network together on a CPU; on a GPU at least 64.
        explains: quantity of the answer whose gradient is taken.

    Example:
        >>> IntegratedGradients(grid=4, steps=8)(model, batch, target).signed
        True
    """

    name = "integrated_gradients"

    def __init__(
        self,
        grid: int = 16,
        steps: int = 32,
        patch_rgb: tuple[float, float, float] = PATCH_RGB,
        batch_size: int = 8,
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.steps, self.patch_rgb = grid, steps, patch_rgb
        self.batch_size, self.explains = batch_size, explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), signed.

        Raises:
            LookwhyError: the model is a black box, or the batch has no pixels.
        """
        images = images_of(batch, self.name)
        start = patch_of(self._pipeline(model), self.patch_rgb, images)[:, None, None]
        difference, total = images - start, images.new_zeros(images.shape)
        for share in midpoints(self.steps):
            on_path = replace(batch, images=start + share * difference)
            total += self.pixel_gradients(model, on_path, target, stored=False)
        values = sums_over_cells((total / self.steps * difference).sum(1), self.grid)
        return self._maps(batch, target, values, signed=True)


class WordIntegratedGradients(WordMethod):
    """Integrated gradients of the words, from embeddings of zero.

    Args:
        steps: number of gradients along the path.
        explains: quantity of the answer whose gradient is taken.

    Example:
        >>> WordIntegratedGradients(steps=8)(model, batch, target).values.shape
        torch.Size([3, 4])
    """

    name = "integrated_gradients"

    def __init__(self, steps: int = 32, explains: Explains = "probability") -> None:
        self.steps, self.explains = steps, explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, T), signed, valid up to each question's length.

        Raises:
            LookwhyError: see `WordGradient`.
        """
        view, embedded = self._parts(model, batch)
        total = sum(
            self._gradients(model, batch, target, view, share * embedded) for share in midpoints(self.steps)
        )
        return self._of_words(batch, target, (total / self.steps * embedded).sum(2))
