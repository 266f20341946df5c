"""The place of the image network in a model on boxes, whose features come from a file.

A detector found the boxes and their features elsewhere. So pixels cannot be turned into features here, and
methods that change pixels or take gradients at them cannot explain such a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.errors import LookwhyError, command
from lookwhy.towers.tower import Tower

BOXES = "boxes"
"""Name in the place of an image network in the stamp of features (`ImageTower.describe`)."""


class BoxTower(Tower):
    """A tower without a network: it refuses pixels in one line.

    Args:
        description: stamp of the features; {} if unknown.

    Example:
        >>> BoxTower().reads_pixels
        False
    """

    reads_pixels = False

    def __init__(self, description: Mapping[str, Any] | None = None) -> None:
        super().__init__(_NoNetwork())
        self._description = dict(description or {})

    def describe(self) -> dict[str, Any]:
        """The stamp of the features."""
        return self._description


class _NoNetwork(nn.Module):
    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Tensor:
        """Raise a LookwhyError."""
        raise no_network("pixels")


def no_network(found: str) -> LookwhyError:
    """Error for work that needs the image network behind features of boxes, which is not here."""
    return LookwhyError(
        f"expected features of boxes from data_img.h5, found {found}: their detector is not here, "
        f"so only questions of the prepared data can be explained; run {command('analyze')} CKPT"
    )
