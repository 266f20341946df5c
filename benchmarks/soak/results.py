"""Results of a command, compared file by file: byte-identical, but for documented exceptions."""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch


def differences(expected: dict[str, str], found: dict[str, str]) -> str:
    """The results that differ from those of undisturbed work, as a sentence; "" if none does."""
    missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    other = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    parts = {"missing": missing, "not expected": more, "different": other}
    return "; ".join(f"{what}: {', '.join(names[:4])}" for what, names in parts.items() if names)


NOT_RESULTS = re.compile(r"(^|/)(\.|wandb/|config\.yaml$|metrics\.json$)")
"""Hidden files (partial files of a killed process), W&B's own files (times), and the options and times of a run."""
NOT_COMPARED = ("seconds", "checkpoint_sha256")
"""Keys of JSON: what an analysis took, and the checkpoint, which holds the paths of its copy of the world."""
CHECKPOINT_DIGEST = re.compile(r"-[0-9a-f]{10}\b")
"""Part of the names of explanations that depends on the same."""


def digests(folder: Path, place: Path) -> dict[str, str]:
    """Digest of each file below a folder: of its bytes, but of the content of HDF5, checkpoints and JSON.

    Free space in HDF5 files depends on how often they were opened; a checkpoint holds the options of its run. The
    place is the working folder, whose path is left out of JSON.
    """
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {
        CHECKPOINT_DIGEST.sub("", name): _digest(folder / name, place)
        for name in names
        if not NOT_RESULTS.search(name)
    }


def _digest(path: Path, place: Path) -> str:
    known = hashlib.sha256()
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            file.visititems(partial(_add_dataset, known))
    elif path.suffix == ".ckpt":
        _add(known, {k: v for k, v in torch.load(path, weights_only=True).items() if k in CHECKPOINT})
    elif path.suffix == ".json":
        value = json.loads(CHECKPOINT_DIGEST.sub("", path.read_text().replace(str(place), "")))
        for key in NOT_COMPARED if isinstance(value, dict) else ():
            value.pop(key, None)
        _add(known, value)
    else:
        known.update(path.read_bytes())
    return known.hexdigest()


CHECKPOINT = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers")


def _add(known: "hashlib._Hash", value: object) -> None:
    if isinstance(value, torch.Tensor):
        known.update(f"{value.dtype}{tuple(value.shape)}".encode() + value.numpy().tobytes())
    elif isinstance(value, dict):
        for key in value:
            known.update(repr(key).encode())
            _add(known, value[key])
    elif isinstance(value, list | tuple):
        for one in value:
            _add(known, one)
    else:
        known.update(repr(value).encode())


def _add_dataset(known: "hashlib._Hash", name: str, found: h5py.HLObject) -> None:
    known.update(repr((name, sorted((key, str(value)) for key, value in found.attrs.items()))).encode())
    if isinstance(found, h5py.Dataset):
        values = np.asarray(found[()])
        known.update(repr((found.shape, str(found.dtype))).encode())
        known.update(repr(values.tolist()).encode() if values.dtype.kind == "O" else values.tobytes())
