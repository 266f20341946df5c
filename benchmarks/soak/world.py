"""The small world that all attempts share: each works in a copy of its own, where every path is relative."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import torch
import yaml

from benchmarks.soak.attempts import ROOT, attempt

DATA, RUN, CKPT = "data", "runs/sound", "runs/sound/checkpoints/last.ckpt"
PLACES = {
    "world": DATA,
    "run": RUN,
    "ckpt": CKPT,
    "picture": "picture.png",
    "csv": "list.csv",
    "jsonl": "list.jsonl",
    "plan": "plan.yaml",
    "config": "config.yaml",
    "weights": "vgg16.pt",
}
"""A sound file or folder of every kind that a command reads, below the folder of the world."""
SHAPES = "prepare shapes --train-scenes 12 --val-scenes 4 --epochs 1 --out"
HEADS = {"embedding_size": 12, "hidden_size": 10, "common_size": 16}
PLAN = {"num_questions": 8, "num_examples": 1, "bootstrap_samples": 20}


def make_world(folder: Path) -> Path:
    """Write prepared data, a run of two analysed epochs, and one sound file of every kind."""
    folder.mkdir()
    done = attempt([*SHAPES.split(), DATA], folder)
    assert done.code == 0, done.err
    train = (
        f"train --config {ROOT}/configs/shapes.yaml --name sound --data.folder {DATA} --data.annotator_maps "
        f"{DATA}/annotators --data.truth_masks {DATA}/truth --trainer.max_epochs 2 --trainer.accelerator cpu --analysis.untrained false"
    ).split()
    train += [f"--model.head.init_args.{name}={size}" for name, size in HEADS.items()]
    train += [f"--analysis.plan.{name}={value}" for name, value in PLAN.items()]
    done = attempt(train, folder)
    assert done.code == 0, done.err
    shutil.rmtree(folder / RUN / "wandb", ignore_errors=True)
    pictures = sorted((folder / DATA / "images" / "shapes_val").glob("*.png"))
    shutil.copy(pictures[0], folder / "picture.png")
    rows = [(str(path.relative_to(folder)), "Is there a red cube?") for path in pictures[:2]]
    csv = "image,question\n" + "".join(f"{path},{question}\n" for path, question in rows)
    (folder / "list.csv").write_text(csv)
    lines = (json.dumps({"image": path, "question": question}) + "\n" for path, question in rows)
    (folder / "list.jsonl").write_text("".join(lines))
    small = {"num_questions": 4, "num_examples": 1, "bootstrap_samples": 20}
    (folder / "plan.yaml").write_text(yaml.safe_dump(small))
    shutil.copy(folder / RUN / "config.yaml", folder / "config.yaml")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, folder / "vgg16.pt")
    return folder


def copy_world(world: Path, to: Path) -> Path:
    """A copy of the world in a folder, to be spoilt; returns the copy's folder."""
    folder = Path(shutil.copytree(world, to / "world"))
    # Checkpoints and features name their files by absolute paths, which would lead to the original.
    checkpoint = torch.load(folder / CKPT, weights_only=True)
    torch.save(_moved(checkpoint, str(world), str(folder)), folder / CKPT)
    with h5py.File(folder / DATA / "data_img.h5", "a") as file:
        for name, value in file.attrs.items():
            if isinstance(value, str) and str(world) in value:
                file.attrs[name] = value.replace(str(world), str(folder))
    return folder


def _moved(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return type(value)((_moved(key, old, new), _moved(one, old, new)) for key, one in value.items())
    return [_moved(one, old, new) for one in value] if isinstance(value, list) else value


CONTENTS = {
    "empty": b"", "noise": bytes(range(256)) * 8, "text.txt": b"not what you want\n", "latin.json": b'{"a": "\xe9"}',
    "empty.json": b"{}", "list.json": b"[]", "deep.json": b"[" * 100_000, "null.json": b"null", "nan.json": b"[NaN]",
    "bom.json": b"\xef\xbb\xbf{}", "utf16.json": '{"questions": []}'.encode("utf-16"), "zip.zip": b"PK\x03\x04" + bytes(60),
    "[bold]x.csv": b"image,question\n", "pickle.pt": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.",
    "hdf.h5": b"\x89HDF\r\n\x1a\n" + bytes(500), "short.png": b"\x89PNG\r\n\x1a\n",
}  # fmt: skip
WRONG_FILES = {name: f"wrong/{name}" for name in (*CONTENTS, "folder", "dangling", "loop", "fifo", "missing")}
WRONG_FILES |= {"device": "/dev/null", "endless": "/dev/zero", "long name": "wrong/" + "x" * 300}
WRONG_FILES |= {"zero byte": "a\0b", "a picture": PLACES["picture"], "a checkpoint": CKPT}
WRONG_FILES |= {"a run": RUN, "questions": f"{DATA}/questions_val.json"}
"""Paths, below the world's folder, that no command can use, or not in most places."""


def make_wrong_files(folder: Path) -> None:
    """Make the files and folders below `wrong/`."""
    wrong = folder / "wrong"
    wrong.mkdir()
    for name, content in CONTENTS.items():
        (wrong / name).write_bytes(content)
    (wrong / "folder").mkdir()
    (wrong / "dangling").symlink_to("nowhere")
    (wrong / "loop").symlink_to("loop")
    os.mkfifo(wrong / "fifo")
