"""Small real runs on the tiny shapes world."""

import json
import os
import sys
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import pytorch_lightning as pl
import yaml
from jsonargparse import Namespace

from lookwhy.cli.lightning import train
from lookwhy.data.datamodule import VQADataModule
from lookwhy.models import SAN, DeeperLSTM, VQASystem

ROOT = Path(__file__).parent.parent


def train_command(world, *more):
    """The words of `python train.py ...`, to be run in a process of its own."""
    sizes = ["embedding_size=12", "hidden_size=10", "common_size=16"]
    return [
        sys.executable, str(ROOT / "train.py"), "--config", str(ROOT / "configs" / "shapes.yaml"),
        f"--data.folder={world}", f"--data.annotator_maps={world / 'annotators'}",
        *(f"--model.head.init_args.{size}" for size in sizes), "--trainer.accelerator=cpu",
        "--analysis.plan.num_questions=8", "--analysis.plan.num_examples=1", "--analysis.untrained=false",
        "--analysis.plan.bootstrap_samples=20", *more,
    ]  # fmt: skip


def clean_environment(**more):
    """The environment without settings of W&B or of another run."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "LOOKWHY_RUN"))}
    return kept | more


def make_data(world, **settings):
    options = {
        "folder": str(world),
        "batch_size": 32,
        "sampling": "shuffled",
        "annotator_maps": str(world / "annotators"),
        "annotators": "simulated annotators",
    }
    return VQADataModule(**(options | settings))


def make_head(data, kind=DeeperLSTM, **settings):
    sizes = {"embedding_size": 12, "hidden_size": 10}
    sizes |= {"attention_size": 8, "regions": 9} if kind is SAN else {"common_size": 16}
    return kind(data.vocab_size, data.num_answers, data.image_dim, **(sizes | settings))


def make_trainer(folder, epochs, callbacks, **settings):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "accelerator": "cpu",
        "devices": 1,
        "use_distributed_sampler": False,
    }
    return pl.Trainer(
        default_root_dir=str(folder), max_epochs=epochs, callbacks=callbacks, **(quiet | settings)
    )


def make_checkpoint(world, run, epochs=10):
    pl.seed_everything(3)
    data = make_data(world, note="Shapes world; its annotators are simulated.")
    system = VQASystem(make_head(data), learning_rate=1e-2)
    trainer = make_trainer(run, epochs, [])
    trainer.fit(system, data)
    # Surer than it has any right to be: what is taken away is then seen in tenths of a percent.
    system.head.classify.weight.data.mul_(4)
    path = run / "checkpoints" / "last.ckpt"
    trainer.save_checkpoint(path)
    return path


def parse_only(arguments):
    """The resolved options of `train.py`, as `--print_config` prints them."""
    with redirect_stdout(StringIO()) as printed, suppress(SystemExit):
        train([*arguments, "--print_config"])
    options = {arguments[0]: yaml.safe_load(printed.getvalue())}
    return json.loads(json.dumps(options), object_hook=lambda one: Namespace(**one))
