"""Heads on regions: an image as a list of regions, the checks of their number, and the mask of empty ones.

Images have unequal numbers of boxes, so their features are padded with regions of zeros. With `mask_empty`, a
region that is zero in all channels is padding: it gets no attention, and the answers are those of the image
without it. The mask is a last column of the view, so that it goes where the view goes::

    view_i = [code of region i, 1]        view_padding = [any code, 0]
    attention = softmax over the regions with a 1; an image without any region has attention 0
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from lookwhy.errors import LookwhyError
from lookwhy.models.protocol import VQAHead
from lookwhy.types import Features


class RegionHead(VQAHead):
    """A head that reads an image region by region; its constructor has the settings image_dim and regions.

    Attributes:
        regions: number of regions, rows x columns of a grid.
        mask_empty: whether a region of zeros is padding, as in features of boxes. The zeros of a grid are
            features, such as those of a dark place after a ReLU.
    """

    regions: int
    mask_empty: bool = False

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
        return F.normalize(self._listed(features), dim=2)

    def marked(self, codes: Float[Tensor, "B M C"], features: Features) -> Float[Tensor, "B M Cv"]:
        """The view: codes of the regions, with `mask_empty` followed by 1, or by 0 for padding."""
        if not self.mask_empty:
            return codes
        is_region = (self._listed(features) != 0).any(2, keepdim=True)
        return torch.cat([codes, is_region.to(codes.dtype)], 2)

    def unmarked(
        self, view: Float[Tensor, "B M Cv"]
    ) -> tuple[Float[Tensor, "B M C"], Bool[Tensor, "B M"] | None]:
        """Codes of the regions in a view, and which of them are no padding; None: all are regions."""
        return (view[..., :-1], view[..., -1] > 0) if self.mask_empty else (view, None)

    def _listed(self, features: Features) -> Float[Tensor, "B M D"]:
        return features.reshape(len(features), -1, self.regions).transpose(1, 2)


def softmax_over(scores: Float[Tensor, "B M"], is_region: Bool[Tensor, "B M"] | None) -> Float[Tensor, "B M"]:
    """Softmax over the regions that are no padding; 0 for padding, and for all of an image without a region.

    Example:
        >>> softmax_over(torch.zeros(1, 3), torch.tensor([[True, True, False]]))
        tensor([[0.5000, 0.5000, 0.0000]])
    """
    if is_region is None:
        return scores.softmax(1)
    # A row without a region is NaN before the last step, which replaces all of it.
    return scores.masked_fill(~is_region, -torch.inf).softmax(1).masked_fill(~is_region, 0.0)
