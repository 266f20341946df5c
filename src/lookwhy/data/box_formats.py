"""Files of bottom-up features (Anderson et al. 2018): boxes of an image and a vector of features for each.

``tsv``  https://github.com/peteanderson80/bottom-up-attention: a line an image, without a header, with the
         fields image_id, image_w, image_h, num_boxes, boxes, features separated by tabs. `boxes` and
         `features` are base64 of float32, (n, 4) and (n, D).
``npz``  a file an image, named by its id or like the image (`42.npz`, `COCO_val2014_000000000042.jpg.npz`),
         with the features (n, D), or (D, n) as in OpenVQA, and the boxes (n, 4).

Boxes are x1, y1, x2, y2, in pixels, or relative to the image if none is above 1.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lookwhy.data.image_files import SUFFIXES
from lookwhy.errors import LookwhyError
from lookwhy.progress import BYTES, progress

FIELDS = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
NAMES = {
    "features": ("features", "x", "feature", "feat", "image_feat"),
    "boxes": ("boxes", "bbox", "bboxes"),
    "width": ("image_w", "image_width", "img_w", "width"),
    "height": ("image_h", "image_height", "img_h", "height"),
}
"""Names of the arrays in npz files."""
_COCO = re.compile(r"(?:COCO_\w+_|abstract_\w+_)?(\d+)\Z")
REMEDY = "correct the file, or take it out of the sources"


class RecordPlace(NamedTuple):
    """Place of an image's boxes in the sources: the file, the first byte of its line, and how many they are.

    The line of an npz file is the whole file.
    """

    path: Path
    start: int
    boxes: int


class BoxRecord(NamedTuple):
    """Boxes of one image, relative (0..1), with their features; and the bytes that they were read from."""

    boxes: Float[np.ndarray, "n 4"]
    features: Float[np.ndarray, "n D"]
    source: bytes


def image_key(name: str) -> str:
    """Key of an image: the number at the end of an official name, or of a number; else the name's stem.

    Example:
        >>> image_key("train2014/COCO_train2014_000000000042.jpg"), image_key("42"), image_key("cat7.png")
        ('42', '42', 'cat7')
    """
    stem = Path(name).name
    while Path(stem).suffix.lower() in (".npz", *SUFFIXES):
        stem = Path(stem).stem
    found = _COCO.match(stem)
    return str(int(found[1])) if found else stem


def find_records(sources: Sequence[Path]) -> dict[str, RecordPlace]:
    """Find the records of all images in tsv files and in folders of npz files, by `image_key`.

    Nothing but their places stays in memory. If an image occurs twice, its first record counts.

    Raises:
        LookwhyError: a source is missing or holds no record, or a record has another form.
    """
    found: dict[str, RecordPlace] = {}
    for source in sources:
        if not source.exists():
            raise LookwhyError(f"expected a tsv file or a folder of npz files, found no {source}; correct it")
        if source.is_file() and source.suffix != ".npz":
            places = _places_in_tsv(source)
        else:
            files = sorted(source.rglob("*.npz")) if source.is_dir() else [source]
            bar = progress(files, f"reading {source.name}", unit="file")
            places = [(path.name, RecordPlace(path, 0, _count(path))) for path in bar]
        if not places:
            raise LookwhyError(
                f"expected a tsv file or a folder of npz files, found none of them in {source}; correct it"
            )
        for name, place in places:
            found.setdefault(image_key(name), place)
    return found


def read_record(place: RecordPlace, size_of_image: Callable[[], tuple[int, int] | None]) -> BoxRecord:
    """Read the boxes of one image with their features; boxes without any feature are left out.

    Args:
        place: place of the record.
        size_of_image: width and height of the image file, for a record that does not state them; None if the
            file cannot be read.

    Raises:
        LookwhyError: the record has another form, a value is not finite, or a box has a negative side.
    """
    where = str(place.path) if place.path.suffix == ".npz" else f"{place.path}, byte {place.start}"
    if place.path.suffix == ".npz":
        source = place.path.read_bytes()
        boxes, features, size = _arrays(io.BytesIO(source), place.path)
    else:
        with place.path.open("rb") as file:
            file.seek(place.start)
            source = file.readline()
        boxes, features, size = _fields_of(source, where)
    if not (np.isfinite(boxes).all() and np.isfinite(features).all()):
        raise LookwhyError(f"expected finite numbers, found others in {where}; {REMEDY}")
    if boxes.max(initial=0) > 1:
        size = size or size_of_image()
        if size is None:
            raise LookwhyError(
                f"expected image_w and image_h with boxes in pixels, found neither in {where} nor an image; "
                "add them, or name the folder of the images in data_prepro.json (image_root)"
            )
        boxes = boxes / np.tile(np.array(size, np.float64), 2)
    if (wrong := (boxes[:, 2:] < boxes[:, :2]).any(1)).any():
        first = np.round(boxes[wrong.argmax()], 3).tolist()
        raise LookwhyError(f"expected boxes x1, y1, x2, y2 with x1 <= x2, found {first} in {where}; {REMEDY}")
    kept = (features != 0).any(1)  # a region of zeros is padding, see `models.regions`
    return BoxRecord(boxes.clip(0, 1).astype(np.float32)[kept], features[kept], source)


def _places_in_tsv(path: Path) -> list[tuple[str, RecordPlace]]:
    places, start = [], 0
    options = {**BYTES, "total": os.path.getsize(path)}
    with path.open("rb") as file, progress(desc=f"reading {path.name}", **options) as bar:
        # Not the csv module: it limits a field to 128 kB.
        for number, line in enumerate(file, start=1):
            fields = line.split(b"\t", 5)
            is_header = number == 1 and fields[0] == FIELDS[0].encode()
            if line.strip() and not is_header:
                if len(fields) != len(FIELDS) or not fields[3].strip().isdigit():
                    raise LookwhyError(
                        f"expected {', '.join(FIELDS)} between tabs, found {len(fields)} fields in line "
                        f"{number} of {path}; {REMEDY}"
                    )
                name = fields[0].decode(errors="replace").strip()
                places.append((name, RecordPlace(path, start, int(fields[3]))))
            start += len(line)
            bar.update(len(line))
    return places


def _fields_of(
    line: bytes, where: str
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n D"], tuple[int, int]]:
    """Boxes, features, and width and height of the image in one line."""
    fields = line.split(b"\t")
    try:
        width, height, count = (int(float(one)) for one in fields[1:4])
        boxes, features = (np.frombuffer(base64.b64decode(one), "<f4") for one in fields[4:6])
        found = f"{len(boxes)} and {len(features)} numbers for {count} boxes of {width} x {height} pixels"
        fits = width > 0 and height > 0 and len(boxes) == 4 * count
        if fits and (count == 0 or (len(features) and len(features) % count == 0)):
            return boxes.reshape(count, 4), features.reshape(count, -1 if count else 0), (width, height)
    except (ValueError, binascii.Error) as error:
        found = str(error)
    raise LookwhyError(
        f"expected boxes (n, 4) and features (n, D) as base64 of float32, found {found} in {where}; {REMEDY}"
    )


def _count(path: Path) -> int:
    """Number of boxes in one npz file; its features are not read."""
    with path.open("rb") as file:
        held = _held(file, path, ("boxes",))
        return len(held["boxes"]) if "boxes" in held and held["boxes"].ndim else len(_arrays(file, path)[0])


def _arrays(
    file: io.BufferedIOBase, path: Path
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n D"], tuple[int, int] | None]:
    """Boxes, features, and width and height of the image, if stated, in one npz file."""
    held = _held(file, path, tuple(NAMES))
    if {"boxes", "features"} <= held.keys():
        boxes, features = held["boxes"], held["features"]
        if boxes.ndim == features.ndim == 2 and boxes.shape[1] == 4 and len(boxes) in features.shape:
            features = features if len(features) == len(boxes) else features.T
            sides = [int(held[side]) for side in ("width", "height") if side in held]
            size = (sides[0], sides[1]) if len(sides) == 2 else None
            return boxes.astype(np.float32), features.astype(np.float32), size
    found = ", ".join(f"{kind} {array.shape}" for kind, array in held.items()) or "neither"
    raise LookwhyError(
        f"expected {' or '.join(NAMES['boxes'][:2])} (n, 4) and {' or '.join(NAMES['features'][:2])} (n, D), "
        f"found {found} in {path}; {REMEDY}"
    )


def _held(file: io.BufferedIOBase, path: Path, kinds: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of an npz file by kind; one that it lacks is absent."""
    file.seek(0)
    try:
        with np.load(file) as arrays:
            names = {kind: next((name for name in NAMES[kind] if name in arrays), None) for kind in kinds}
            return {kind: arrays[name] for kind, name in names.items() if name is not None}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise LookwhyError(f"expected an npz file, found another ({error}) in {path}; {REMEDY}") from error
