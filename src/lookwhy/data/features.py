"""`data_img.h5`: image features by split, in the format of the original (VQA_LSTM_CNN).

The file is stamped with its tower (the image network) and its recipe (how an image file becomes pixels).
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.data.prepro import SPLITS
from lookwhy.errors import LookwhyError, command
from lookwhy.progress import progress, readable
from lookwhy.towers.recipe import ImageRecipe

ROOM_TO_CLOSE = 1 << 18
"""Bytes that HDF5 may write when it closes a file of features: names, attributes and buffers."""


def extract_features(
    forward: Callable[[Tensor], Tensor],
    description: dict[str, Any],
    recipe: ImageRecipe,
    image_root: Path,
    image_files: Mapping[str, list[str]],
    out: Path,
    *,
    batch_size: int = 16,
) -> None:
    """Write `images_train` and `images_test`, one float32 row (or grid) an image.

    An interrupted extraction leaves `<out>.partial`; a call with the same tower and files continues it.

    Args:
        forward: images in the recipe's range -> features.
        description: result of `ImageTower.describe()`, stored in the file as its stamp.
        recipe: how an image file becomes pixels.
        image_root: folder of the image files.
        image_files: paths below `image_root`, by split.
        out: the file to write.
        batch_size: images in one forward pass.

    Raises:
        LookwhyError: an image is missing or damaged, or another process is writing the same file.
    """
    _check_images(image_root, image_files)
    partial = out.with_name(f"{out.name}.partial")
    work = json.dumps({"tower": description, "files": dict(image_files)}, sort_keys=True)
    stamp = hashlib.sha256(work.encode()).hexdigest()
    if partial.exists() and not _continues(partial, stamp):
        partial.unlink()
    out.parent.mkdir(parents=True, exist_ok=True)

    @torch.no_grad()
    def features_of(names: list[str]) -> Float[np.ndarray, "B *D"]:
        images = torch.stack([recipe.load(image_root / name) for name in names])
        return forward(images).float().cpu().numpy()

    with _room_to_close(partial) as ballast, h5py.File(partial, "a") as file:
        try:
            file.attrs["stamp"] = stamp
            for split, names in image_files.items():
                _extract_split(file, f"images_{split}", names, features_of, batch_size)
        finally:
            ballast.truncate(0)
        # Only an incomplete file needs `stamp` and `done`.
        del file.attrs["stamp"]
        for split, names in image_files.items():
            del file[f"images_{split}"].attrs["done"]
            file[f"images_{split}"].attrs["files_sha256"] = _digest(names)
        known = {key: description[key] for key in ("arch", "layer", "weights", "weights_sha256")}
        known |= {"description": json.dumps(description), "recipe": recipe.name, "normalised": False}
        file.attrs.update(known | {"image_size": (recipe.height, recipe.width)})
    os.replace(partial, out)


def _extract_split(
    file: h5py.File, key: str, names: list[str], features_of: Callable[[list[str]], Any], batch_size: int
) -> None:
    done = 0
    if key in file:
        done = int(file[key].attrs.get("done", 0))
        _take_room(file)
    desc = key.replace("images_", "features ")
    with progress(desc=desc, total=len(names), initial=done, unit="image") as bar:
        while done < len(names):
            some = names[done : done + batch_size]
            features = features_of(some)
            if key not in file:
                _create(file, key, (len(names), *features.shape[1:]))
            file[key][done : done + len(some)] = features
            done += len(some)
            file[key].attrs["done"] = done
            file.flush()
            bar.update(len(some))


def _check_room(path: Path, size: int) -> None:
    """Raise an OSError if the disk has no room for more bytes in a file, before hours of work."""
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise OSError(errno.ENOSPC, f"{readable(free)} free where {readable(size)} are needed", str(path))


def _create(file: h5py.File, key: str, shape: tuple[int, ...]) -> None:
    """Create a dataset, with its room on the disk.

    HDF5 ends the process with a segmentation fault if a write or the closing of its file finds no room.
    """
    path = Path(file.filename)
    _check_room(path, 4 * math.prod(shape))
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    file.create_dataset(key, shape, np.float32, dcpl=layout)
    _take_room(file)


def _take_room(file: h5py.File) -> None:
    """Take the room on the disk that the datasets have in the file, so that no other file can."""
    file.flush()
    path = Path(file.filename)
    if hasattr(os, "posix_fallocate"):  # Linux
        with path.open("r+b") as same:
            os.posix_fallocate(same.fileno(), 0, path.stat().st_size)


@contextmanager
def _room_to_close(path: Path) -> Iterator[IO[bytes]]:
    """Hold a little more room until a file is to be closed; truncating what is yielded gives it back."""
    with tempfile.TemporaryFile(
        dir=path.parent
    ) as ballast:  # it has no name, so nothing is left after a kill
        try:
            ballast.write(bytes(ROOM_TO_CLOSE))
            ballast.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        yield ballast


def _check_images(root: Path, image_files: Mapping[str, list[str]]) -> None:
    """Look for every image first, so that hours of work are not lost at a missing one."""
    names = list(dict.fromkeys(name for names in image_files.values() for name in names))
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise LookwhyError(
            f"expected {len(names)} images under {root}, found no {missing[0]} ({len(missing)} missing); "
            "correct --images or fetch them"
        )


def _continues(partial: Path, stamp: str) -> bool:
    try:
        with h5py.File(partial, "r") as file:
            return bool(file.attrs.get("stamp") == stamp)
    except BlockingIOError as error:
        raise LookwhyError(
            f"expected to continue {partial}, found another process writing it; wait for its end or stop it"
        ) from error
    except OSError:
        return False


def read_features(path: Path) -> dict[str, Float[Tensor, "M *D"]]:
    """Read all features into memory, by split ("train", "test").

    Raises:
        LookwhyError: the file is missing, damaged or of another kind.
    """
    with open_features(path) as file:
        data = {split: file[f"images_{split}"].astype(np.float32) for split in SPLITS}
        return {split: torch.from_numpy(data[split][:]) for split in SPLITS}


def feature_shape(path: Path) -> tuple[int, ...]:
    """Shape of one image's features: (4096,) for fc7, (512,) pooled, (512, 7, 7) for a grid."""
    with open_features(path) as file:
        return tuple(int(side) for side in file["images_train"].shape[1:])


def check_files(path: Path, image_files: Mapping[str, list[str]]) -> None:
    """Refuse features that belong to other images than these, or to these in another order.

    Files of the original project carry no file list and are accepted unchecked.

    Raises:
        LookwhyError: the features of a split belong to other images.
    """
    with open_features(path) as file:
        for split, names in image_files.items():
            if file[f"images_{split}"].attrs.get("files_sha256", _digest(names)) != _digest(names):
                raise LookwhyError(
                    f"expected images_{split} of the images of the questions, {names[0]} first, found others "
                    f"in {path}; run {command('prepare')} features again"
                )


def _digest(names: list[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def is_stamped(path: Path) -> bool:
    """Whether the file carries the stamp of its tower; the original's own files do not."""
    with open_features(path) as file:
        return "description" in file.attrs


def read_description(path: Path) -> dict[str, Any]:
    """Read the stamp of the file: the `ImageTower.describe()` of the network that made the features.

    Raises:
        LookwhyError: the file has no stamp, such as the original's own files.
    """
    with open_features(path) as file:
        if "description" not in file.attrs:
            raise LookwhyError(
                f"expected features stamped with their tower and recipe, found no stamp in {path}; "
                f"explanations need the network behind the features: run {command('prepare')} features"
            )
        return json.loads(file.attrs["description"])


def open_features(path: Path) -> h5py.File:
    """Open the file, and check that it holds features.

    Raises:
        LookwhyError: the file is missing, damaged or of another kind.
    """
    try:
        file = h5py.File(path)
        is_whole = "images_train" in file and "images_test" in file
    except FileNotFoundError as error:
        raise LookwhyError(
            f"expected image features, found no file {path}; run {command('prepare')} first"
        ) from error
    except (OSError, RuntimeError) as error:
        found = "one cut off" if "truncated" in str(error) else "something else"
        raise LookwhyError(
            f"expected an HDF5 file, found {found} in {path}; run {command('prepare')} features again"
        ) from error
    if not is_whole:
        file.close()
        raise LookwhyError(
            f"expected images_train and images_test, found at most one of them in {path}; "
            f"run {command('prepare')} features again"
        )
    return file
