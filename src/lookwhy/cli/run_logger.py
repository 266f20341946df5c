"""The W&B run of a training: its id, group, tags and configuration."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from lookwhy import __version__
from lookwhy.cli.run_folder import is_first_process
from lookwhy.data.datamodule import VQADataModule
from lookwhy.files import sha256_file
from lookwhy.reporting.wandb.environment import StartError, after_breakdown, go_offline
from lookwhy.reporting.wandb.state import run_id

LONGEST_TAG = 64
"""Largest number of characters of a tag that W&B accepts."""


class RunLogger(WandbLogger):
    """A W&B logger that goes on offline when the server refuses the run or does not answer in time.

    Lightning starts a run before it sets up data and model. This logger lets that pass, so that a training
    that is refused starts no run.
    """

    _is_asked = False

    def __getstate__(self) -> dict[str, Any]:
        """State for a process of the strategy ddp_spawn, for which Lightning's logger starts the run."""
        self._is_asked = True
        return super().__getstate__()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started at the second call: on the server, or else offline.

        Raises:
            AttributeError: at the first call, by which Lightning looks whether there is a run to start.
        """
        if not self._is_asked:
            self._is_asked = True
            raise AttributeError("experiment")
        try:
            return super().experiment
        except StartError as error:
            self._wandb_init["mode"] = "offline"
            print(go_offline(error), flush=True)
            return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers; if W&B's service has broken down, the run is started again and goes on."""
        try:
            super().log_metrics(metrics, step)
        except Exception as error:
            self._restart(error)
            super().log_metrics(metrics, step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the W&B run, so that what its service says comes before the closing tables."""
        super().finalize(status)
        try:
            if self._experiment is not None:
                self._experiment.finish()
        except Exception as error:
            print(after_breakdown(error, "the run ends there"), flush=True)

    def _restart(self, error: Exception) -> None:
        print(after_breakdown(error, "the run goes on"), flush=True)
        self._experiment = None
        self._wandb_init["reinit"] = "create_new"  # otherwise W&B would return the run that broke down


def make_logger(options: Namespace, run: Path) -> WandbLogger:
    """Make a logger; all trainings in one run folder continue the same W&B run, even offline."""
    # Only the first process logs, and only it may store the id.
    settings: dict[str, Any] = {"id": run_id(run) if is_first_process() else None, "tags": tags(options)}
    settings["group"] = options.get("group") or os.environ.get("WANDB_RUN_GROUP") or options.name
    logger = RunLogger(name=run.name, project=options.project, save_dir=str(run), **settings)
    # Lightning always passes this argument, and W&B warns about any value of it.
    logger._wandb_init.pop("anonymous", None)
    if os.environ.get("WANDB_SWEEP_ID"):
        # The sweep agent has chosen project and id, and W&B warns about any other value.
        logger._wandb_init |= {"project": None, "id": None}
    return logger


def tags(options: Namespace) -> list[str]:
    """Tags to filter runs by: model, data, simulated annotators, question-only, and the user's own."""
    head, data = options.model.head, options.data
    found = [head.class_path.rpartition(".")[2], Path(data.folder).name]
    if data.get("annotator_maps") and "simulated" in data.annotators:
        found.append("simulated annotators")
    if head.get("init_args.use_image") is False:
        found.append("question-only")
    asked = [*(options.get("tags") or ()), *os.environ.get("WANDB_TAGS", "").split(",")]
    return list(dict.fromkeys(tag.strip()[:LONGEST_TAG] for tag in (*found, *asked) if tag.strip()))


def describe(config: Path, data: VQADataModule) -> dict[str, Any]:
    """Configuration of a W&B run: the options in config.yaml, fingerprints of the data, and versions."""
    packages = ("torch", "pytorch-lightning", "wandb", "numpy")
    options: dict[str, Any] = yaml.safe_load(config.read_text())
    return options | {
        "data_fingerprint": {
            "data_prepro_sha256": sha256_file(data.folder / "data_prepro.h5"),
            "train_questions": len(data.prepro.train.question_ids),
            "val_questions": len(data.prepro.test.question_ids),
            "tower": data.describe()["tower"],
        },
        "versions": {"lookwhy": __version__, "python": platform.python_version()}
        | {name: version(name) for name in packages},
    }
