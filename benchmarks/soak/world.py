"""The small world that all attempts share, and a copy of it for each attempt that may spoil it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
import yaml

ROOT = Path(__file__).parents[2]


def make_world(folder: Path) -> SimpleNamespace:
    """Data, a run of two analysed epochs, and one sound file of every kind that a command reads."""
    world = folder / "data"
    sizes = ["--train-scenes=12", "--val-scenes=4", "--epochs=1"]
    _run("data/prepare.py", "shapes", f"--out={world}", *sizes)
    heads = {"embedding_size": 12, "hidden_size": 10, "common_size": 16}
    plan = {"num_questions": 8, "num_examples": 1, "bootstrap_samples": 20}
    _run(
        "train.py", f"--config={ROOT / 'configs/shapes.yaml'}", "--name=sound", f"--runs={folder / 'runs'}",
        f"--data.folder={world}", f"--data.annotator_maps={world / 'annotators'}", "--trainer.max_epochs=2",
        "--trainer.accelerator=cpu", "--analysis.untrained=false",
        *(f"--model.head.init_args.{name}={size}" for name, size in heads.items()),
        *(f"--analysis.plan.{name}={value}" for name, value in plan.items()),
    )  # fmt: skip
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


def _run(script: str, *words: str) -> None:
    subprocess.run([sys.executable, str(ROOT / script), *words], check=True, capture_output=True)
