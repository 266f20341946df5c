"""Row indices of the questions of each batch, for each process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

Sampling = Literal["with_replacement", "shuffled"]


class TrainBatches(Sampler[Tensor]):
    """Row indices of each training batch of an epoch; they depend only on seed, epoch and rank.

    So a resumed run draws the same batches as an uninterrupted run, independent of the global random state.
    Every rank gets the same number of batches.

    Attributes:
        start: number of batches to leave out in the next epoch, because a resumed training has seen them.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        sampling: Sampling,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        steps: int | None = None,
    ) -> None:
        self.rows, self.batch_size, self.sampling = rows, batch_size, sampling
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.steps = steps or -(-rows // (batch_size * world_size))
        self.epoch = self.start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this at the start of each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Tensor]:
        random = np.random.default_rng([self.seed, self.epoch])
        if self.sampling == "with_replacement":
            order = random.integers(self.rows, size=len(self) * self.batch_size * self.world_size)
        else:
            order = random.permutation(self.rows)
        # Shares differ by one question at most, and np.array_split gives every rank len(self) batches.
        share = order[self.rank :: self.world_size]
        start, self.start = self.start, 0
        for batch in np.array_split(share, len(self))[start:]:
            yield torch.from_numpy(batch)


def evaluation_batches(rows: int, batch_size: int, rank: int = 0, world_size: int = 1) -> list[Tensor]:
    """Row indices of each evaluation batch of a rank; each question is on exactly one rank."""
    share = torch.arange(rows)[rank::world_size]
    return list(share.split(batch_size)) if len(share) else []
