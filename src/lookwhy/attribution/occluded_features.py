"""Features of the occluded images, computed once per image and kept.

The tower is frozen, so what it makes of an occluded image depends on the image alone: not on the
question, the epoch or the run. Kept are the clean features in single precision and each occluded one's
difference to them in half, 2 MB an image for fc7 and 16x16 cells. A difference is small where the features
are not, and is rounded relative to itself: `make bench` prints what that does to a probability's decrease.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.attribution.frozen import Kept, network_of
from lookwhy.attribution.incremental import IncrementalOcclusion
from lookwhy.attribution.recent import Recent
from lookwhy.attribution.stopwatch import part


class OccludedFeatures:
    """image -> features of it and of its occluded versions, from disk where they are kept.

    Args:
        tower: pixels -> features.
        grid: cells along each side of the image.
        fill: colour of the patch in the tower's own input range.
        folder: where to keep them; None: not on disk, and nothing is rounded.
        remember: of how many images they are held in memory then.
    """

    def __init__(
        self,
        tower: nn.Module,
        grid: int,
        fill: Float[Tensor, "3"],
        folder: Path | None = None,
        remember: int = 0,
    ) -> None:
        network = network_of(tower)
        self._occlude = IncrementalOcclusion(network, grid=grid, fill=fill)
        self._recent = Recent(self._occlude.clean_and_occluded, remember)
        self._kept: Kept | None = None
        if folder is not None:
            self._kept = Kept(folder, "occluded-features", network, grid=grid, fill=fill.tolist())

    def __call__(
        self, image: Float[Tensor, "3 H W"]
    ) -> tuple[Float[Tensor, "*D"], Float[Tensor, "cells *D"]]:
        """Features of the image, and of it with each cell painted over, row-major."""
        if self._kept is None:
            with part("network"):
                return self._recent(image)
        with part("reading"):
            found = self._kept.get(image)
        if found is not None:
            clean, differences = (torch.from_numpy(np.array(found[key])) for key in ("clean", "differences"))
        else:
            with part("network"):
                clean, occluded = self._occlude.clean_and_occluded(image)
            differences = (occluded - clean).half()
            if not differences.isfinite().all():
                return clean, occluded  # beyond half precision's range: computed each time
            arrays = {"clean": clean.cpu().numpy(), "differences": differences.cpu().numpy()}
            self._kept.put(image, arrays)
        # Also the first time as they will be read: an analysis does not depend on what was kept before it.
        clean = clean.to(image.device)
        return clean, clean + differences.to(image)
