"""`data_img.h5`: image features by split, in the format of the original (VQA_LSTM_CNN).

The file is stamped with its tower (the image network) and its recipe (how an image file becomes pixels).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.data.image_files import check_images
from lookwhy.data.prepro import SPLITS
from lookwhy.data.room import create, room_to_close, take_room
from lookwhy.data.tables import FEATURES, check_shape, datasets
from lookwhy.errors import LookwhyError, command
from lookwhy.hdf5 import open_hdf5
from lookwhy.progress import progress, write_above
from lookwhy.schema import checked
from lookwhy.towers.image_tower import TowerDescription
from lookwhy.towers.precision import true_float32
from lookwhy.towers.recipe import ImageRecipe


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

    An interrupted extraction leaves `<out>.partial`; a call with the same tower and files continues it. The
    partial file of another tower or other files is set aside under a name of its own, and a call with those
    continues it.

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
    check_images(image_root, image_files)
    # The content of the weights counts, which has its own digest; their path may change.
    tower = {key: value for key, value in description.items() if key != "weights"}
    work = json.dumps({"tower": tower, "files": dict(image_files)}, sort_keys=True)
    stamp = hashlib.sha256(work.encode()).hexdigest()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_file(out, stamp)

    @true_float32()
    @torch.no_grad()
    def features_of(names: list[str]) -> Float[np.ndarray, "B *D"]:
        images = torch.stack([recipe.load(image_root / name) for name in names])
        return forward(images).float().cpu().numpy()

    with room_to_close(partial) as ballast, h5py.File(partial, "a") as file:
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
        take_room(file)
    desc = key.replace("images_", "features ")
    with progress(desc=desc, total=len(names), initial=done, unit="image") as bar:
        while done < len(names):
            some = names[done : done + batch_size]
            features = features_of(some)
            if key not in file:
                create(file, key, (len(names), *features.shape[1:]))
            file[key][done : done + len(some)] = features
            done += len(some)
            file[key].attrs["done"] = done
            file.flush()
            bar.update(len(some))


def _partial_file(out: Path, stamp: str) -> Path:
    """The file to write to: one of the same work if there is any; one of other work is set aside."""
    partial = out.with_name(f"{out.name}.partial")
    if partial.exists() and (other := _stamp_of(partial)) != stamp:
        aside = _aside(out, other or "damaged")
        os.replace(partial, aside)
        found = "features with other settings" if other else "a damaged file"
        write_above(f"{partial.name} held {found}; it is kept as {aside}: remove it if you do not need it")
    if not partial.exists() and _aside(out, stamp).exists():
        os.replace(_aside(out, stamp), partial)
    return partial


def _aside(out: Path, stamp: str) -> Path:
    return out.with_name(f"{out.name}.{stamp[:12]}.partial")


def _stamp_of(partial: Path) -> str:
    """Digest of the work that a partial file belongs to; empty if it is damaged."""
    try:
        with open_hdf5(partial) as file:
            return str(file.attrs.get("stamp", ""))
    except BlockingIOError as error:
        raise LookwhyError(
            f"expected to continue {partial}, found another process writing it; wait for its end or stop it"
        ) from error
    except (OSError, LookwhyError):  # a process that is killed may leave a file that libhdf5 cannot read
        return ""


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
                "expected features stamped with their image network and recipe, found no stamp in "
                f"{path}; a model trained on them answers questions, but its maps need that network: write "
                f"the features of a known one with {command('prepare')} features, or train without "
                "the analysis (--analysis.epochs '[]' --analysis.untrained false)"
            )
        text = file.attrs["description"]
    remedy = f"run {command('prepare')} features again"
    try:
        found = json.loads(text)
    except (TypeError, ValueError) as error:
        raise LookwhyError(
            f"expected the stamp of an image network in JSON, found {text!r:.60} in {path}; {remedy}"
        ) from error
    checked(TowerDescription, found, "the stamp of an image network", path, remedy)
    return found


def open_features(path: Path) -> h5py.File:
    """Open the file, and check that it holds features.

    Raises:
        LookwhyError: the file is missing, damaged or of another kind.
    """
    try:
        file = open_hdf5(path)
    except FileNotFoundError as error:
        raise LookwhyError(
            f"expected image features, found no file {path}; run {command('prepare')} first"
        ) from error
    except (OSError, RuntimeError) as error:
        found = "one cut off" if "truncated" in str(error) else "something else"
        raise LookwhyError(
            f"expected an HDF5 file, found {found} in {path}; run {command('prepare')} features again"
        ) from error
    remedy = (
        f"write them with {command('prepare')} features, or those of another network as images_train and "
        "images_test (M, D...), rows in the order of unique_img_train and unique_img_test"
    )
    try:
        for split in SPLITS:
            for name, data, column in datasets(file, FEATURES, split, path, remedy):
                check_shape(name, data, column, path, remedy)
    except LookwhyError:
        file.close()
        raise
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:  # of h5py, for damage
        file.close()
        raise LookwhyError(f"expected image features, found damage ({error}) in {path}; {remedy}") from error
    return file
