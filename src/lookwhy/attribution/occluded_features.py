"""Features of the occluded images, computed once per image and kept.

The tower is frozen, so what it makes of an occluded image depends on the image alone: not on the
question, the epoch or the run. Kept on disk, one file an image, in a folder named by everything that
the numbers depend on; a file is named by the content of the image. Nothing stale or foreign can match.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.attribution.incremental import IncrementalOcclusion


class OccludedFeatures:
    """image -> features of its occluded versions, from disk where they are kept.

    Args:
        tower: pixels -> features.
        grid: cells along each side of the image.
        fill: colour of the patch in the tower's own input range.
        folder: where to keep them; None keeps nothing.
    """

    def __init__(
        self, tower: nn.Module, grid: int, fill: Float[Tensor, "3"], folder: Path | None = None
    ) -> None:
        network = getattr(tower, "cnn", tower)
        self._occlude = IncrementalOcclusion(network, grid=grid, fill=fill)
        self.folder = folder / f"occluded-{_fingerprint(network, grid, fill)}" if folder else None

    def __call__(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "cells *D"]:
        """Features of the image with each cell painted over, row-major."""
        if self.folder is None:
            return self._occlude(image)
        path = self.folder / f"{_digest(image)}.npy"
        if path.is_file():
            return torch.from_numpy(np.load(path)).to(image.device)
        features = self._occlude(image)
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.save(file, features.cpu().numpy())
        os.replace(partial, path)
        return features


def _digest(x: Tensor) -> str:
    content = np.ascontiguousarray(x.detach().cpu().numpy())
    return hashlib.sha256(str((content.dtype, content.shape)).encode() + content.tobytes()).hexdigest()[:32]


def _fingerprint(network: nn.Module, grid: int, fill: Tensor) -> str:
    digest = hashlib.sha256(f"{network!r} grid={grid} fill={fill.tolist()}".encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {_digest(value)}".encode())
    return digest.hexdigest()[:16]
