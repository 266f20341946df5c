"""`data_img.h5`: image features by split, in the format of the original (VQA_LSTM_CNN).

The file is stamped with its tower (the image network) and its recipe (how an image file becomes pixels).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.data.decoding import decoded, features_of
from lookwhy.data.heap import reused_memory
from lookwhy.data.image_files import check_images
from lookwhy.data.partial_file import partial_file, rows_done
from lookwhy.data.prepro import SPLITS
from lookwhy.data.processes import Processes
from lookwhy.data.room import create, room_to_close, take_room
from lookwhy.data.tables import FEATURES, check_shape, datasets
from lookwhy.errors import LookwhyError, command
from lookwhy.hdf5 import open_hdf5
from lookwhy.progress import progress
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
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
    workers: int = 0,
    processes: Processes | None = None,
    begin: Callable[[], None] = lambda: None,
) -> None:
    """Write `images_train` and `images_test`, one float32 row (or grid) an image.

    An interrupted extraction leaves `<out>.partial`; a call with the same tower and files continues it. The
    partial file of another tower or other files is set aside under a name of its own, and a call with those
    continues it.

    Args:
        forward: images in the recipe's range, on the device -> features.
        description: result of `ImageTower.describe()`, stored in the file as its stamp.
        recipe: how an image file becomes pixels.
        image_root: folder of the image files.
        image_files: paths below `image_root`, by split.
        out: the file to write.
        batch_size: images in one forward pass; None: 16 on a CPU, 32 on a GPU.
        device: device that `forward` computes on.
        workers: processes that decode images; 0: this process decodes.
        processes: processes that share the work, each with this call; the file is the same as by one.
        begin: called when the images are known to exist and the work begins.

    Raises:
        LookwhyError: an image is missing or damaged, another process is writing the same file, or a process
            that shares the work was killed.
    """
    check_images(image_root, image_files)
    processes, device = processes or Processes(), torch.device(device)
    # The content of the weights counts, which has its own digest; their path may change.
    tower = {key: value for key, value in description.items() if key != "weights"}
    work = json.dumps({"tower": tower, "files": dict(image_files)}, sort_keys=True)
    stamp = hashlib.sha256(work.encode()).hexdigest()
    is_gpu = device.type == "cuda"
    batch_size = batch_size or (32 if is_gpu else 16)
    with processes.together(), reused_memory(), true_float32(), torch.no_grad(), _current(device):
        if processes.is_first:
            begin()
            out.parent.mkdir(parents=True, exist_ok=True)
            partial = partial_file(out, stamp)
        done = processes.from_first(rows_done(partial) if processes.is_first else None)
        todo = [
            names[start : start + batch_size]
            for split, names in image_files.items()
            for start in range(done.get(f"images_{split}", 0), len(names), batch_size)
        ]
        own = todo[processes.rank :: processes.count]
        # The workers start before the file is open, so that none of them outlives a kill with its lock.
        with decoded(image_root, own, recipe, workers, is_gpu) as images:
            found = features_of(forward, recipe, device, images)
            if processes.is_first:
                rows = processes.in_order(found, [len(names) for names in todo])
                _write(partial, stamp, description, recipe, image_files, rows)
                os.replace(partial, out)
            else:
                processes.send(found)


def _write(
    partial: Path,
    stamp: str,
    description: dict[str, Any],
    recipe: ImageRecipe,
    image_files: Mapping[str, list[str]],
    batches: Iterator[Float[np.ndarray, "B *D"]],
) -> None:
    """Write all features that are still missing in a partial file, and its stamps at the end."""
    with room_to_close(partial) as ballast, h5py.File(partial, "a") as file:
        try:
            file.attrs["stamp"] = stamp
            for split, names in image_files.items():
                _write_split(file, f"images_{split}", len(names), batches)
        finally:
            ballast.truncate(0)
        # Only an incomplete file needs `stamp` and `done`.
        del file.attrs["stamp"]
        for split, names in image_files.items():
            del file[f"images_{split}"].attrs["done"]
            file[f"images_{split}"].attrs["files_sha256"] = files_digest(names)
        known = {key: description[key] for key in ("arch", "layer", "weights", "weights_sha256")}
        known |= {"description": json.dumps(description), "recipe": recipe.name, "normalised": False}
        file.attrs.update(known | {"image_size": (recipe.height, recipe.width)})


def _write_split(file: h5py.File, key: str, count: int, batches: Iterator[Any]) -> None:
    done = 0
    if key in file:
        done = int(file[key].attrs.get("done", 0))
        take_room(file)
    desc = key.replace("images_", "features ")
    with progress(desc=desc, total=count, initial=done, unit="image") as bar:
        while done < count:
            features = next(batches)
            if key not in file:
                create(file, key, (count, *features.shape[1:]))
            file[key][done : done + len(features)] = features
            done += len(features)
            file[key].attrs["done"] = done
            file.flush()
            bar.update(len(features))


def _current(device: torch.device) -> AbstractContextManager[Any]:
    """Make a GPU the current one: memory is pinned for the current one, and takes a part of it."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


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
            if file[f"images_{split}"].attrs.get("files_sha256", files_digest(names)) != files_digest(names):
                raise LookwhyError(
                    f"expected images_{split} of the images of the questions, {names[0]} first, found others "
                    f"in {path}; run {command('prepare')} features again"
                )


def files_digest(names: list[str]) -> str:
    """Digest of the names of a split's images, in their order; a file of features is stamped with it."""
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
