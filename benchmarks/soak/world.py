"""The small world that all attempts share, and a copy of it for each attempt that may spoil it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
import yaml
from tiny_runs import run, train_command

from lookwhy.cli.prepare import main as prepare


def make_world(folder: Path) -> SimpleNamespace:
    """Data, a run of two analysed epochs, and one sound file of every kind that a command reads."""
    world = folder / "data"
    assert (
        prepare(["shapes", "--out", str(world), "--train-scenes", "12", "--val-scenes", "4", "--epochs", "1"])
        == 0
    )
    done = run(train_command(world, "--trainer.max_epochs=2", "--name=sound"), folder)
    assert done.returncode == 0, done.stderr
    pictures = sorted((world / "images" / "shapes_val").glob("*.png"))
    files = SimpleNamespace(
        folder=folder,
        world=world,
        run=folder / "runs" / "sound",
        ckpt=folder / "runs" / "sound" / "checkpoints" / "last.ckpt",
        picture=pictures[0],
        csv=folder / "list.csv",
        jsonl=folder / "list.jsonl",
        plan=folder / "plan.yaml",
        config=folder / "config.yaml",
        weights=folder / "vgg16.pt",
    )
    rows = [(path, "Is there a red cube?") for path in pictures[:2]]
    files.csv.write_text("image,question\n" + "".join(f"{path},{question}\n" for path, question in rows))
    files.jsonl.write_text(
        "".join(json.dumps({"image": str(path), "question": question}) + "\n" for path, question in rows)
    )
    files.plan.write_text(yaml.safe_dump({"num_questions": 4, "num_examples": 1, "bootstrap_samples": 20}))
    files.config.write_text((files.run / "config.yaml").read_text())
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, files.weights)
    return files
