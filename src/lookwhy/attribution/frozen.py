"""What a frozen network makes of an image, kept: it is the same for every question, epoch and run."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.data.image_cache import ImageCache
from lookwhy.models.tower import ImageTower
from lookwhy.types import LookwhyError


def network_of(tower: nn.Module) -> nn.Module:
    """The layers of a tower."""
    return tower.cnn if isinstance(tower, ImageTower) else tower


class Kept:
    """image -> arrays that a frozen network made of it, under everything that they depend on.

    Args:
        folder: where they are kept.
        name: what they are.
        network: all its layers and weights are read, for they are part of the key.
        settings: the rest of the key, in plain types.
    """

    def __init__(self, folder: Path, name: str, network: nn.Module, **settings: object) -> None:
        self._folder, self._name = folder, name
        self._key = {"network": _fingerprint(network), **settings}
        self._caches: dict[tuple[int, ...], ImageCache] = {}
        self._full = False

    def get(self, image: Float[Tensor, "3 H W"]) -> dict[str, np.ndarray] | None:
        """The arrays of an image, read-only; None where there are none."""
        return self._cache(image).get(digest(image))

    def put(self, image: Float[Tensor, "3 H W"], arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the arrays of an image, as long as the disk takes them."""
        if self._full:
            return
        try:
            self._cache(image).put(digest(image), arrays)
        except LookwhyError as error:
            # A full disk costs time, not the training that this analysis is part of.
            warnings.warn(f"{self._name} are not kept from here on: {error}", stacklevel=2)
            self._full = True

    def _cache(self, image: Float[Tensor, "3 H W"]) -> ImageCache:
        # A file an image size, for the arrays of a file are of one shape.
        size = tuple(image.shape)
        if size not in self._caches:
            self._caches[size] = ImageCache(self._folder, self._name, {**self._key, "size": list(size)})
        return self._caches[size]


def digest(x: Tensor) -> str:
    """32 hexadecimal digits of a tensor's content, type and shape."""
    content = np.ascontiguousarray(x.detach().cpu().numpy())
    return hashlib.sha256(str((content.dtype, content.shape)).encode() + content.tobytes()).hexdigest()[:32]


def _fingerprint(network: nn.Module) -> str:
    found = hashlib.sha256(repr(network).encode())
    for name, value in sorted(network.state_dict().items()):
        found.update(f"{name} {digest(value)}".encode())
    return found.hexdigest()[:32]
