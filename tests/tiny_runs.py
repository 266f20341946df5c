"""Small real runs on the tiny shapes world."""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import Namespace

from lookwhy.cli.lightning import train
from lookwhy.data.datamodule import VQADataModule
from lookwhy.models import MCAN, SAN, DeeperLSTM, VQASystem

ROOT = Path(__file__).parent.parent


def methods(*names, **settings):
    """The option of `train.py` that sets the image methods, each with its settings by name."""
    listed = [
        {"class_path": f"lookwhy.attribution.{name}", "init_args": settings.get(name, {})} for name in names
    ]
    return plan_option("image_methods", listed)


def plan_option(name, value):
    """An option of the plan as one word without spaces."""
    return f"--analysis.plan.{name}={json.dumps(value, separators=(',', ':'))}"


MEASURED = [
    methods("GuidedBackprop", "Occlusion", "GradCAM", "RISE", "KernelSHAP", RISE={"samples": 20},
            KernelSHAP={"samples": 16, "cells": 2}),
    plan_option("faithfulness", {"masks": 20, "cells": 2, "curves": 3, "steps": 4}),
    plan_option("modality", {"questions": 2, "cells": 2, "evaluations": 4096}),
]  # fmt: skip
"""Options of a short training whose maps are judged."""


def train_options(world, *more, config="shapes"):
    """The options of `python train.py` for a short training on a tiny world."""
    sizes = {"embedding_size": 12, "hidden_size": 10}
    sizes |= {"attention_size": 8} if config == "shapes_san" else {"common_size": 16}
    return [
        f"--config={ROOT / 'configs' / config}.yaml", f"--data.folder={world}",
        f"--data.annotator_maps={world / 'annotators'}", f"--data.truth_masks={world / 'truth'}",
        "--trainer.accelerator=cpu",
        *(f"--model.head.init_args.{name}={size}" for name, size in sizes.items()),
        "--analysis.plan.num_questions=8", "--analysis.plan.num_examples=1", "--analysis.untrained=false",
        "--analysis.plan.bootstrap_samples=20", "--analysis.plan.faithfulness=null",
        *([methods("GuidedBackprop", "Occlusion")] if config == "shapes" else []), *more,
    ]  # fmt: skip


def small_config(folder, **sections):
    """Write configs/shapes.yaml into a folder, for a training of a second."""
    config = yaml.safe_load((ROOT / "configs/shapes.yaml").read_text())
    config["trainer"] |= {"accelerator": "cpu", "max_epochs": 1}
    config["model"]["head"]["init_args"] = {"hidden_size": 10}
    for name, settings in sections.items():
        config[name] |= settings
    (folder / "configs").mkdir()
    (folder / "configs/shapes.yaml").write_text(yaml.safe_dump(config))


def train_command(world, *more, config="shapes"):
    """The words of `python train.py ...`, to be run in a process of its own."""
    return [sys.executable, str(ROOT / "train.py"), *train_options(world, *more, config=config)]


def clean_environment(**more):
    """The environment without settings of W&B or of another run."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "LOOKWHY_RUN"))}
    return kept | more


def run(command, folder, **environment):
    """Run a command in a folder, as a user does."""
    words, options = [str(word) for word in command], {"cwd": folder, "env": clean_environment(**environment)}
    return subprocess.run(words, capture_output=True, text=True, timeout=240, **options)


@contextmanager
def leet(file, *options):
    """The JSON that `wandb leet inspect` prints of an offline run, to be read while it is printed."""
    wandb = str(Path(sys.executable).with_name("wandb"))
    command = [wandb, "leet", "inspect", *options, "--json", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout
        process.kill()


def make_data(world, **settings):
    options = {"folder": str(world), "batch_size": 32, "sampling": "shuffled"}
    options |= {"annotator_maps": str(world / "annotators"), "annotators": "simulated annotators"}
    options |= {"truth_masks": str(world / "truth")}
    return VQADataModule(**(options | settings))


def make_head(data, kind=DeeperLSTM, **settings):
    sizes = {"embedding_size": 12, "hidden_size": 10}
    own = {SAN: {"attention_size": 8, "regions": 9}, MCAN: {"common_size": 16, "regions": 9, "heads": 2}}
    sizes |= own.get(kind, {"common_size": 16})
    return kind(data.vocab_size, data.num_answers, data.image_dim, **(sizes | settings))


def make_trainer(folder, epochs, callbacks, **settings):
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    quiet = dict.fromkeys([*off, "use_distributed_sampler"], False) | {"num_sanity_val_steps": 0}
    options = quiet | {"accelerator": "cpu", "devices": 1, "default_root_dir": str(folder)} | settings
    return pl.Trainer(max_epochs=epochs, callbacks=callbacks, **options)


class Recorder(pl.Callback):
    """Records the losses of each epoch, and the accuracy and the random states after it."""

    pause = 0.0

    def __init__(self):
        self.losses, self.accuracies, self.states = [[]], [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses[-1].append(float(outputs["loss"]))
        time.sleep(self.pause)

    def on_train_epoch_end(self, trainer, pl_module):
        self.accuracies.append(float(trainer.callback_metrics.get("val/accuracy/overall", -1)))
        self.states.append(
            (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate())
        )  # noqa: NPY002
        self.losses.append([])


def make_checkpoint(world, run, epochs=10, **settings):
    pl.seed_everything(3)
    data = make_data(world, note="Shapes world; its annotators are simulated.", **settings)
    system = VQASystem(make_head(data), learning_rate=1e-2)
    trainer = make_trainer(run, epochs, [])
    trainer.fit(system, data)
    # Make it too sure of its answers: removing a cell or a word then changes tenths of a percent.
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
