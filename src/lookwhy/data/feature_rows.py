"""Image features for training: mapped from their file, in RAM, or on the GPU.

A contiguous HDF5 dataset is one block of numbers in its file. The block can be mapped into memory without
reading, converting or copying it. All processes share the pages of the map, and the file may be larger than
RAM. Taking a row from the map costs the same as from RAM.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from lookwhy.data.features import open_features, read_features
from lookwhy.data.mapped_file import MappedFile
from lookwhy.data.prepro import SPLITS
from lookwhy.data.shared_copy import has_company, shared_copy
from lookwhy.errors import LookwhyError, command

Keep = Literal["auto", "ram", "mapped"]
COMFORTABLE = 0.5
"""Share of the free memory that features may take; the rest is for the model and for other processes."""
CHECKED_AT_ONCE = 256
"""Rows checked at once: 4 MB of fc7, which fit into a processor's cache."""


@dataclass(eq=False)
class FeatureRows:
    """Features of one split, by row.

    Attributes:
        rows: all features, in RAM, mapped or on a device.
        offset: first byte of the features in that file.
        is_checked: whether all rows are known to be finite.
        device: device of the batches; `rows` may lie on it, or stay in RAM.
        name: dataset and file, for error lines.
        image_files: image of each row, for error lines; empty if unknown.
    """

    rows: Float[Tensor, "M *D"]
    source: MappedFile | None = None
    offset: int = 0
    is_checked: bool = False
    device: torch.device = torch.device("cpu")
    name: str = "the features"
    image_files: Sequence[str] = ()

    def take(self, positions: Int64[Tensor, " B"]) -> Float[Tensor, "B *D"]:
        """The given rows, on the device of the batches.

        Raises:
            LookwhyError: the mapped file has been changed, or a row is not finite.
        """
        if self.source is not None:
            self.source.prepare(self.offset, self.rows.nbytes // max(1, len(self.rows)), positions)
        taken = self.gather(self.rows, positions.to(self.rows.device, non_blocking=True))
        if not self.is_checked:
            self._refuse_not_finite(taken, positions)
        return taken.to(self.device, non_blocking=True)

    @property
    def is_on_device(self) -> bool:
        """Whether the features lie on the device of the batches."""
        return self.rows.device == self.device

    def gather(self, table: Shaped[Tensor, "M *D"], rows: Int64[Tensor, " B"]) -> Shaped[Tensor, "B *D"]:
        """Rows of a table, in pinned memory if a copy to a GPU follows: it waits for nothing."""
        pinned = self.device.type == "cuda" and table.device.type == "cpu"
        shape = (len(rows), *table.shape[1:])
        out = torch.empty(shape, dtype=table.dtype, pin_memory=True) if pinned else None
        return torch.index_select(table, 0, rows, out=out)

    def check_finite(self) -> None:
        """Check all rows, in the order of the file.

        Raises:
            LookwhyError: a row holds NaN or an infinite value.
        """
        if not self.is_checked:
            numbers = torch.arange(len(self.rows)).split(CHECKED_AT_ONCE)
            for rows, some in zip(self.rows.split(CHECKED_AT_ONCE), numbers, strict=True):
                self._refuse_not_finite(rows, some)
                if self.source is not None:
                    self.source.release()
        self.is_checked = True

    def _refuse_not_finite(self, rows: Float[Tensor, "B *D"], numbers: Int64[Tensor, " B"]) -> None:
        # The sum of each row comes first, because it needs no copy of the rows. A sum of finite values may
        # overflow, so the values of a suspect row are tested one by one.
        for suspect in (~torch.isfinite(rows.flatten(1).sum(1))).nonzero().flatten().tolist():
            values, row = rows[suspect], int(numbers[suspect])
            if not bool(torch.isfinite(values).all()):
                found = "NaN" if bool(values.isnan().any()) else "an infinite value"
                image = f" ({self.image_files[row]})" if row < len(self.image_files) else ""
                raise LookwhyError(
                    f"expected finite image features, found {found} in row {row}{image} of {self.name}; "
                    f"write the features of that image anew ({command('prepare')} features)"
                )


def load_features(
    path: Path,
    keep: Keep = "auto",
    free: int | None = None,
    image_files: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, FeatureRows]:
    """Load or map the features of both splits ("train", "test").

    Features in RAM, or in a map that is read ahead, are checked here. Rows of a larger file are checked when
    they are taken.

    Args:
        path: data_img.h5.
        keep: `mapped`, `ram`, or `auto`: mapped if the file allows it, else in RAM.
        free: bytes of free memory; by default the result of `free_memory`.
        image_files: image of each row, by split, to be named in error lines.

    Raises:
        LookwhyError: the file is missing, damaged or of another kind, does not fit, cannot be mapped, or
            holds a row that is not finite.
    """
    free = free_memory() if free is None else free
    with open_features(path) as file:
        data = [file[f"images_{split}"] for split in SPLITS]
        nbytes = sum(4 * one.size for one in data)
        layouts = [(_offset(one), one.shape) for one in data]
    mappable = all(offset is not None for offset, _ in layouts)
    keep = "mapped" if keep == "auto" and mappable else keep
    if keep == "mapped" and not mappable:
        raise LookwhyError(
            f"expected contiguous, uncompressed float32 features to map, found others in {path}; write them "
            "anew (h5repack -f NONE -l CONTI) or set data.features to ram"
        )
    if keep != "mapped" and nbytes > free:
        remedy = "set data.features to mapped" if mappable else "write them anew (h5repack -f NONE -l CONTI)"
        raise LookwhyError(
            f"expected features that fit in the {free / 1e9:.1f} GB of free memory, found "
            f"{nbytes / 1e9:.1f} GB{'' if mappable else ' that cannot be mapped'} in {path}; {remedy}"
        )
    found: dict[str, FeatureRows] = {}
    if keep == "mapped":
        source = MappedFile(path, read_ahead=nbytes < COMFORTABLE * free)
        for split, (offset, shape) in zip(SPLITS, layouts, strict=True):
            rows = source.map(offset, shape) if offset else torch.empty(shape)
            found[split] = FeatureRows(rows, source, offset or 0)
    elif has_company():
        shapes = {f"images_{split}": shape for split, (_, shape) in zip(SPLITS, layouts, strict=True)}
        copy, starts = shared_copy(path, shapes)
        for split, (name, shape) in zip(SPLITS, shapes.items(), strict=True):
            rows = copy.map(starts[name], shape) if np.prod(shape) else torch.empty(shape)
            found[split] = FeatureRows(rows, copy, starts[name])
    else:
        found = {split: FeatureRows(rows) for split, rows in read_features(path).items()}
    for split, one in found.items():
        one.name = f"images_{split} in {path}"
        one.image_files = (image_files or {}).get(split, ())
        if one.source is None or one.source.is_read_ahead:
            one.check_finite()
    return found


def place_features(
    features: dict[str, FeatureRows], device: torch.device, free: int | None = None
) -> dict[str, FeatureRows]:
    """Copy the features to a device if they fit; otherwise prepare fast copies of batches.

    Features that take less than half of the device's free memory are copied to it. Then each batch needs only
    its row indices to be copied. Other features stay, and `take` gathers batches in pinned memory, which is
    copied asynchronously. `free` is the device's free memory in bytes, by default as CUDA reports it.
    """
    if device.type != "cuda" and free is None:
        return features
    free = torch.cuda.mem_get_info(device)[0] if free is None else free
    if sum(one.rows.nbytes for one in features.values()) < COMFORTABLE * free:
        for one in features.values():
            one.check_finite()  # on the CPU, once: a check on the device would make each batch wait
        return {
            split: FeatureRows(one.rows.to(device), is_checked=True, device=device)
            for split, one in features.items()
        }
    if device.type == "cuda":
        for one in features.values():
            one.device = device
    return features


def free_memory() -> int:
    """Bytes of memory for new data: the available memory on Linux, within the limit of the container.

    Other systems do not report it. There the result is the whole memory, so that nothing is refused too soon.
    """
    memory = sys.maxsize
    if hasattr(os, "sysconf"):  # Windows has none
        memory = int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError, IndexError):
        memory = 1024 * int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0])
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory


def _offset(data: h5py.Dataset) -> int | None:
    """First byte of a dataset in its file; 0 if it is empty, None if it cannot be mapped."""
    if data.size == 0:
        return 0
    if data.chunks is not None or data.dtype != np.dtype("<f4") or np.dtype("<f4") != np.float32:
        return None
    offset = data.id.get_offset()
    # PyTorch needs numbers aligned to their size.
    return None if offset is None or offset % 4 else int(offset)
