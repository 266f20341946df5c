"""Gradient times input (Shrikumar et al. 2016, "Not just a black box"), for the image and for the words.

    R(pixel) = sum over channels (x - patch) dp(answer)/dx        R(cell) = sum over its pixels
    R(word)  = e . dp(answer)/de                                  e: the word's embedding

To first order, R is what the answer gains from this pixel over the gray patch, or from this word over a zero
embedding. It is the integral of `IntegratedGradients` with one step, taken at the input itself.
"""

from __future__ import annotations

from lookwhy.attribution.base import images_of
from lookwhy.attribution.gradient import PixelMethod
from lookwhy.attribution.occlusion import patch_of
from lookwhy.attribution.word_gradient import WordMethod
from lookwhy.models.protocol import TokenModel
from lookwhy.towers.masks import PATCH_RGB
from lookwhy.towers.windows import sums_over_cells
from lookwhy.types import Explains, ImportanceMaps, Target, VQABatch


class GradientTimesInput(PixelMethod):
    """Gradient times the difference of each pixel from the gray patch, summed over each cell.

    Args:
        grid: cells along each side of the map.
        patch_rgb: colour that stands for "no image", 0-255, as red, green, blue.
        batch_size: number of questions that go through the network together on a CPU; on a GPU at least 64.
        explains: quantity of the answer whose gradient is taken.

    Example:
        >>> GradientTimesInput(grid=4)(model, batch, target).signed
        True
    """

    name = "gradient_times_input"

    def __init__(
        self,
        grid: int = 16,
        patch_rgb: tuple[float, float, float] = PATCH_RGB,
        batch_size: int = 8,
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.patch_rgb, self.batch_size, self.explains = grid, patch_rgb, batch_size, explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), signed.

        Raises:
            LookwhyError: the model is a black box, or the batch has no pixels.
        """
        images = images_of(batch, self.name)
        difference = images - patch_of(self._pipeline(model), self.patch_rgb, images)[:, None, None]
        gradients = self.pixel_gradients(model, batch, target)
        values = sums_over_cells((gradients * difference).sum(1), self.grid)
        return self._maps(batch, target, values, signed=True)


class WordGradientTimesInput(WordMethod):
    """Gradient at each word's embedding times the embedding.

    Args:
        explains: quantity of the answer whose gradient is taken.

    Example:
        >>> WordGradientTimesInput()(model, batch, target).values.shape
        torch.Size([3, 4])
    """

    name = "gradient_times_input"

    def __init__(self, explains: Explains = "probability") -> None:
        self.explains = explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, T), signed, valid up to each question's length.

        Raises:
            LookwhyError: see `WordGradient`.
        """
        view, embedded = self._parts(model, batch)
        gradients = self._gradients(model, batch, target, view, embedded)
        return self._of_words(batch, target, (gradients * embedded).sum(2))
