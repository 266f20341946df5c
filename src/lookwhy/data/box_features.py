"""Features of boxes as `data_img.h5`: a row of padded boxes an image, and where they lie.

`images_<split>` is (M, D, 1, R) float32, zero past the last box of an image; `boxes_<split>` is (M, R, 4),
x1, y1, x2, y2 relative to the image, NaN there. A head reads the row as a grid of 1 x R regions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from lookwhy.data.box_formats import BoxRecord, RecordPlace, find_records, image_key, read_record
from lookwhy.data.features import files_digest, open_features
from lookwhy.data.prepro import SPLITS, Prepro, SplitQuestions
from lookwhy.data.room import create, room_to_close
from lookwhy.errors import LookwhyError, command
from lookwhy.files import atomic_path
from lookwhy.progress import progress
from lookwhy.towers.boxes import BOXES

NOWHERE = RecordPlace(Path(), 0, 0)
"""Place of an image that the sources lack."""


class WrittenBoxes(NamedTuple):
    """Sizes of a file of features of boxes.

    Attributes:
        images: images of both splits.
        width: features of a box.
        regions: largest number of boxes of an image, which is the `regions` of a head.
        fewest: smallest number.
    """

    images: int
    width: int
    regions: int
    fewest: int


def write_boxes(
    sources: Sequence[Path], prepro: Prepro, folder: Path, most: int | None = None
) -> WrittenBoxes:
    """Write `data_img.h5` beside the questions of a folder; the file is complete or unchanged.

    Args:
        sources: tsv files, npz files and folders of npz files (`lookwhy.data.box_formats`).
        prepro: questions of the folder.
        folder: folder of data_prepro.h5, to write to.
        most: boxes of an image that are kept, the first ones; None: all.

    Raises:
        LookwhyError: an image has no boxes, or a source has another form.
        OSError: the disk has no room.

    Example:
        >>> write_boxes([Path("trainval_36.tsv")], read_prepro(folder), folder)  # doctest: +SKIP
        WrittenBoxes(images=123287, width=2048, regions=36, fewest=36)
    """
    found, keys = find_records(sources), {split: _keys(getattr(prepro, split)) for split in SPLITS}
    files = {split: getattr(prepro, split).image_files for split in SPLITS}
    places: dict[str, list[RecordPlace]] = {}
    for split in SPLITS:
        chosen = [next((found[key] for key in some if key in found), NOWHERE) for some in keys[split]]
        missing = [name for name, one in zip(files[split], chosen, strict=True) if not one.boxes]
        if missing:
            raise LookwhyError(
                f"expected boxes of {len(chosen)} images of unique_img_{split}, found none of {missing[0]} "
                f"({len(missing)} missing) in {', '.join(map(str, sources))}; add its tsv line or npz file"
            )
        places[split] = chosen
    counts = [place.boxes for some in places.values() for place in some]
    regions = min(max(counts), most or max(counts))
    image_root = folder / prepro.image_root if prepro.image_root else None
    with atomic_path(folder / "data_img.h5") as partial:
        width, fewest = _write(partial, sources, places, files, regions, image_root)
    return WrittenBoxes(len(counts), width, regions, fewest)


def _write(
    partial: Path,
    sources: Sequence[Path],
    places: Mapping[str, list[RecordPlace]],
    files: Mapping[str, list[str]],
    regions: int,
    image_root: Path | None,
) -> tuple[int, int]:
    """Write the file; returns the features of a box and the smallest number of boxes."""
    digest, fewest = hashlib.sha256(), regions

    def read(split: str, row: int) -> BoxRecord:
        return read_record(places[split][row], lambda: _size(image_root, files[split][row]))

    width = read(next(split for split in SPLITS if places[split]), 0).features.shape[1]
    total = sum(map(len, places.values()))
    with h5py.File(partial, "w") as file, room_to_close(partial) as ballast:
        try:
            for split, some in places.items():
                create(file, f"images_{split}", (len(some), width, 1, regions))
                create(file, f"boxes_{split}", (len(some), regions, 4))
            with progress(desc="writing boxes", total=total, unit="image") as bar:
                for split, row in ((one, row) for one in places for row in range(len(places[one]))):
                    record = read(split, row)
                    boxes, features = record.boxes[:regions], record.features[:regions]
                    if not len(boxes) or features.shape[1] != width:
                        raise LookwhyError(
                            f"expected boxes with {width} features each for {files[split][row]}, found "
                            f"{len(boxes)} with {features.shape[1]} in {places[split][row].path}; correct it"
                        )
                    file[f"images_{split}"][row] = _padded(features, regions, 0.0).T[:, None]
                    file[f"boxes_{split}"][row] = _padded(boxes, regions, np.nan)
                    digest.update(record.source)
                    fewest = min(fewest, len(boxes))
                    bar.update()
        finally:
            ballast.truncate(0)
        for split in places:
            file[f"images_{split}"].attrs["files_sha256"] = files_digest(files[split])
        known = {"arch": BOXES, "layer": BOXES, "weights": BOXES, "weights_sha256": digest.hexdigest()}
        description = known | {"recipe": {}, "normalised": False}
        description["sources"] = [str(one.absolute()) for one in sources]
        file.attrs.update({**known, "description": json.dumps(description), "normalised": False})
    return width, fewest


def _padded(rows: Float[np.ndarray, "n C"], count: int, value: float) -> Float[np.ndarray, "R C"]:
    return np.pad(rows, ((0, count - len(rows)), (0, 0)), constant_values=value)


def _keys(split: SplitQuestions) -> list[tuple[str, str]]:
    """Keys under which the sources may have each image: that of its file, and that of its id."""
    texts = split.image_id_texts or [""] * len(split.image_ids)
    ids = dict(zip(split.image_pos.tolist(), zip(texts, split.image_ids.tolist(), strict=True), strict=True))
    keys = []
    for place, file in enumerate(split.image_files):
        text, number = ids.get(place, ("", -1))  # no question asks about some images
        keys.append((image_key(file), image_key(text or str(number))))
    return keys


def _size(image_root: Path | None, name: str) -> tuple[int, int] | None:
    """Width and height of an image file."""
    try:
        with Image.open((image_root or Path()) / name) as image:
            return image.size
    except OSError:
        return None


def read_boxes(path: Path) -> dict[str, Float[Tensor, "M R 4"]]:
    """Read where the boxes of all images lie, by split ("train", "test"); {} for features of other regions.

    Raises:
        LookwhyError: the file is missing, damaged or of another kind, or has boxes for other rows.
    """
    found: dict[str, Float[Tensor, "M R 4"]] = {}
    with open_features(path) as file:
        for split in SPLITS:
            images = file[f"images_{split}"]
            if f"boxes_{split}" not in file:
                continue
            boxes = file[f"boxes_{split}"]
            if boxes.shape[:2] != (images.shape[0], images.shape[-1]):
                raise LookwhyError(
                    f"expected boxes_{split} for {images.shape[0]} images of {images.shape[-1]} regions, "
                    f"found {boxes.shape} in {path}; run {command('prepare')} boxes again"
                )
            found[split] = torch.from_numpy(boxes[:].astype(np.float32))
    return found
