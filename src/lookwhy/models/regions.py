"""Heads on regions: an image as a list of regions, and the checks of their number."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lookwhy.errors import LookwhyError
from lookwhy.models.protocol import VQAHead
from lookwhy.types import Features


class RegionHead(VQAHead):
    """A head that reads an image region by region; its constructor has the settings image_dim and regions.

    Attributes:
        regions: number of regions, rows x columns of a grid.
    """

    regions: int

    def region_width(self) -> int:
        """Number of features of a region, from `settings`.

        Raises:
            LookwhyError: `image_dim` is no multiple of `regions`.
        """
        regions, image_dim = self.settings["regions"], self.settings["image_dim"]
        if regions < 1 or image_dim % regions:
            raise LookwhyError(
                "expected features of a grid, channels x rows x columns with regions = rows x columns, found "
                f"{image_dim} features for {regions} regions; set model.head.init_args.regions, or prepare "
                "the features with --layer pool5"
            )
        return int(image_dim // regions)

    def check_features(self, shape: tuple[int, ...]) -> None:
        """Raise an error for a grid with another number of regions: `look` would mix channels and regions."""
        if len(shape) == 3 and shape[1] * shape[2] != self.regions:
            raise LookwhyError(
                f"expected {shape[1] * shape[2]} regions for features of {' x '.join(map(str, shape))}, "
                f"found {self.regions}; set model.head.init_args.regions"
            )

    def regions_of(self, features: Features) -> Float[Tensor, "B M D"]:
        """L2-normalised features of each region, row-major, from a grid or flattened features."""
        grid = features.reshape(len(features), -1, self.regions).transpose(1, 2)
        return F.normalize(grid, dim=2)
