"""SmoothGrad (Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise").

    R = mean over samples of dp(answer)/dx at x + noise,   noise ~ N(0, (share (max x - min x))^2)

and from this mean gradient the magnitude of each pixel and cell, as in `Gradient`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lookwhy.attribution.base import images_of, rows_by_image
from lookwhy.attribution.gradient import PixelMethod, magnitudes
from lookwhy.models.protocol import TokenModel
from lookwhy.towers.memory import digest_of
from lookwhy.types import Explains, ImportanceMaps, Target, VQABatch


class SmoothGrad(PixelMethod):
    """Magnitude of the mean gradient over noisy copies of the image, averaged over each cell.

    Each sample is a forward and a backward pass of the image network. The noise is drawn by image, so it is
    the same for all questions about an image, at every epoch and in every run.

    Args:
        grid: cells along each side of the map.
        samples: number of noisy copies.
        noise: standard deviation of the noise, as a share of the range of the image's values.
        seed: seed of the noise.
        batch_size: number of questions that go through the network together on a CPU; on a GPU at least 64.
        explains: quantity of the answer whose gradient is taken.

    Example:
        >>> SmoothGrad(grid=4, samples=3)(model, batch, target).values.shape
        torch.Size([3, 4, 4])
    """

    name = "smooth_grad"

    def __init__(
        self,
        grid: int = 16,
        samples: int = 16,
        noise: float = 0.1,
        seed: int = 0,
        batch_size: int = 8,
        explains: Explains = "probability",
    ) -> None:
        self.grid, self.samples, self.noise, self.seed = grid, samples, noise, seed
        self.batch_size, self.explains = batch_size, explains

    def __call__(self, model: TokenModel, batch: VQABatch, target: Target) -> ImportanceMaps:
        """Maps (B, grid, grid), unsigned.

        Raises:
            LookwhyError: the model is a black box, or the batch has no pixels.
        """
        images = images_of(batch, self.name)
        firsts = [int(rows[0]) for rows in rows_by_image(batch)]
        place = {int(batch.image_ids[row]): number for number, row in enumerate(firsts)}
        of_image = [place[image_id] for image_id in batch.image_ids.tolist()]
        draws = [torch.Generator().manual_seed(self._seed(images[row])) for row in firsts]
        total = torch.zeros_like(images)
        for _ in range(self.samples):
            noise = torch.stack([torch.randn(images.shape[1:], generator=draw) for draw in draws]).to(images)
            spread = self.noise * (images.flatten(1).amax(1) - images.flatten(1).amin(1))[:, None, None, None]
            noisy = replace(batch, images=images + spread * noise[of_image])
            total += self.pixel_gradients(model, noisy, target, stored=False)
        return self._maps(batch, target, magnitudes(total / self.samples, self.grid), signed=False)

    def _seed(self, image: Tensor) -> int:
        """A seed that depends on the image's content and on this method's seed."""
        return (int(digest_of(image)[:12], 16) + self.seed) % 2**48
