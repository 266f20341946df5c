"""The LightningCLI behind `train.py`; imported only when a training starts, because that takes seconds."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import pkgutil
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonargparse
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from lookwhy.analysis import AnalysisPlan
from lookwhy.callbacks import ImportanceCallback
from lookwhy.callbacks.checkpoints import AtomicCheckpointIO, run_checkpoints
from lookwhy.callbacks.progress import progress_bars
from lookwhy.callbacks.signals import StopOnSignal
from lookwhy.cli.errors import closest
from lookwhy.cli.interruption import end_interrupted, how_to_go_on
from lookwhy.cli.net import WRONG_INPUT, own_error, raised_by
from lookwhy.cli.results import failed_process, print_results, write_metrics
from lookwhy.cli.resume import check_checkpoint, find_checkpoint
from lookwhy.cli.run_callbacks import RunFolderConfig, ShareStart, place
from lookwhy.cli.run_folder import RUN_FOLDER, choose, give_back, is_first_process, requeued
from lookwhy.cli.run_logger import make_logger
from lookwhy.cli.trainer_settings import check_monitors, check_trainer
from lookwhy.cli.trust import import_trusted
from lookwhy.data.datamodule import VQADataModule
from lookwhy.errors import LookwhyError, command
from lookwhy.models.system import VQASystem
from lookwhy.reporting.wandb.environment import prepare_environment
from lookwhy.reporting.wandb.state import forget_lost

SUBCOMMANDS = ("fit", "validate", "test")
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of a full disk."""
STRICT = {"exit_on_error": False, "allow_abbrev": False}


class TrainCLI(LightningCLI):
    """The subcommands fit, validate and test of a `VQASystem`; every file goes into the run folder."""

    run_folder: Path

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the given arguments without Lightning's warning that `sys.argv` holds arguments as well.

        `sys.argv` must keep them: the strategy `ddp` starts further processes with that command line.
        """
        try:
            self.config = parser.parse_args(args)
        except jsonargparse.ArgumentError as error:
            known = self._parser(args[0])._option_string_actions
            raise LookwhyError(_refusal(str(error), known, args[0])) from error

    def instantiate_classes(self) -> None:
        """Turn what the parser and torch say about the settings of a class into one line."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, RuntimeError) as error:
            package = raised_by(error)
            if own_error(error) is not None or package not in ("jsonargparse", "torch"):
                raise
            text = str(error)
            if package == "torch":
                text = f"expected sizes that a model can have, found: {text}; correct model.head.init_args"
            raise LookwhyError(_refusal(text, (), str(self.subcommand))) from error

    def _parse_ckpt_path(self) -> None:
        """Take no options from the checkpoint: `_checkpoint` compares it with those that are given."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Subcommands of `train.py`: those of Lightning without predict."""
        offered = LightningCLI.subcommands()
        return {name: offered[name] for name in SUBCOMMANDS}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options that do not belong to trainer, model or data."""
        add = parser.add_argument
        add("--name", type=str, default="run", help="name of the run and its folder")
        add("--runs", type=str, default="runs", help="folder of all runs")
        add("--project", type=str, default="lookwhy", help="W&B project")
        add("--group", type=str | None, default=None, help="W&B group (default: the name)")
        tags = "W&B tags beside the model's class, the data's folder and the like, e.g. '[first, mine]'"
        add("--tags", type=list[str] | None, default=None, help=tags)
        trust = "modules of your own with the function of the image network; they are imported"
        add("--trust", type=list[str] | str, default=[], help=trust)
        parser.add_lightning_class_args(ImportanceCallback, "analysis")
        # The default is plain options, not objects: so config.yaml holds them all and can be trained from.
        parser.set_defaults({"analysis.plan": AnalysisPlan().describe()})
        for argument in ("vocab_size", "num_answers", "image_dim"):
            target = f"model.head.init_args.{argument}"
            parser.link_arguments(f"data.{argument}", target, apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")

    def before_instantiate_classes(self) -> None:
        """Import the modules that the user trusts."""
        trusted = self.config[self.subcommand].trust
        import_trusted([trusted] if isinstance(trusted, str) else trusted)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Make a trainer that writes into the run folder and logs to W&B there."""
        config = self._get(self.config, "trainer")
        check_trainer(config)
        options = self.config[self.subcommand]
        checkpoint = self._checkpoint(Path(options.runs), options.name, options.get("ckpt_path"))
        run = self.run_folder = choose(Path(options.runs), options.name, checkpoint)
        kwargs["default_root_dir"] = str(run)
        if config.get("logger") in (None, True) and not config.get("fast_dev_run"):
            sentence = prepare_environment(run)
            if is_first_process():
                print(sentence)
                forget_lost(run)
            kwargs["logger"] = make_logger(self.config[self.subcommand], run)
        self.trainer_defaults["callbacks"] += progress_bars(self._get(self.config_init, "trainer"))
        plugins = self._get(self.config_init, "trainer").get("plugins") or []
        kwargs["plugins"] = [*(plugins if isinstance(plugins, list) else [plugins]), AtomicCheckpointIO()]
        trainer = super().instantiate_trainer(**kwargs)
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                # By default, checkpoints go to a folder named after the logger's project and run id.
                callback.dirpath = str(run / "checkpoints")
        check_monitors(trainer, self.datamodule)
        # First the callbacks that may refuse the training, then those that write, checkpoints last.
        trainer.callbacks.sort(key=place)  # type: ignore[attr-defined]
        return trainer

    def _checkpoint(self, runs: Path, name: str, stated: str | None) -> Path | None:
        """The checkpoint to continue with, checked; None for a new training."""
        if stated and "://" in stated:  # Lightning reads addresses
            return None
        checkpoint = find_checkpoint(runs, name, stated) if stated else requeued(runs, name)
        if checkpoint is None:
            return None
        trainer, is_training = self._get(self.config, "trainer"), self.subcommand == "fit"
        limits = trainer.get("max_epochs"), trainer.get("max_steps", -1)
        check_checkpoint(checkpoint, self.model.head, self.datamodule, *limits, is_training)
        for config in (self.config, self.config_init):
            config[self.subcommand]["ckpt_path"] = str(checkpoint)
        return checkpoint


def train(arguments: list[str]) -> int:
    """Parse, train and print the closing tables."""
    _quieten()
    start = ShareStart()
    try:
        cli = TrainCLI(
            VQASystem,
            VQADataModule,
            save_config_callback=RunFolderConfig,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=123,
            trainer_defaults={
                "use_distributed_sampler": False,  # the data module gives each process its questions
                "num_sanity_val_steps": 0,
                "callbacks": [*run_checkpoints(), start, StopOnSignal()],
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # checkpoints carry what they need themselves
            parser_kwargs=STRICT | dict.fromkeys(SUBCOMMANDS, STRICT),
            args=arguments,
        )
    except jsonargparse.ArgumentError as error:
        raise LookwhyError(_refusal(str(error), (), arguments[0])) from error
    except (SystemExit, KeyboardInterrupt) as stop:
        # Lightning turns an interrupt into exit code 1 after it has shut down.
        cause = stop.__context__ if isinstance(stop, SystemExit) else stop
        if not isinstance(cause, KeyboardInterrupt):
            raise
        run = os.environ.get(RUN_FOLDER)
        return end_interrupted(cause, Path(run) if run else None, start.trainer, arguments)
    except Exception as error:
        if own_error(error) and not start.is_past and os.environ.get("LOCAL_RANK", "0") != "0":
            raise SystemExit(WRONG_INPUT) from error  # the first process of this machine prints the line
        if isinstance(error, OSError) and error.errno in FULL and start.is_past:
            folder = Path(os.environ.get(RUN_FOLDER, ""))
            raise LookwhyError(
                f"expected room on the disk for {folder}, found {error.strerror}; make room"
                f"{how_to_go_on(folder, start.trainer, arguments)}"
            ) from error
        if failed := failed_process(error):
            raise failed from error
        raise
    finally:
        give_back(is_used=start.is_past)
    if cli.subcommand == "fit" and not start.is_past:  # all epochs were over, and only the end was missing
        cli.trainer.loggers = []
        cli.trainer.validate(cli.model, cli.datamodule, verbose=False)
    if cli.trainer.is_global_zero and cli.subcommand == "fit":
        write_metrics(cli.run_folder, cli.trainer)
        print_results(cli.run_folder, cli.trainer)
    return 0


def _refusal(text: str, known: Iterable[str], subcommand: str) -> str:
    """The line about a wrong option, with the name that was probably meant."""
    text = " ".join(text.split())
    text = re.sub(r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors: ", "", text)
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text.replace(" - Expected a <class 'NoneType'>", ""))
    text = re.sub(r" Given value type: jsonargparse\S+ Given value: .*", "", text)
    ways = (
        r"unrecognized arguments: (\S+)",
        r"class_path '([\w.]+)': Option '(\w+)' is not",
        r"not accept option '([\w.]+)'",  # in a YAML file
    )
    found = re.search("|".join(ways), text)
    if found and found[2]:
        known = inspect.signature(pkgutil.resolve_name(found[2])).parameters
    meant = closest(found[1] or found[3] or f"--{found[4]}", known) if found else ""
    return f"{text}{meant}; see {command('train')} {subcommand} --help"


def _quieten() -> None:
    """Silence Lightning's advertisements, and its warnings about choices that are made on purpose here."""
    logging.raiseExceptions = False  # on a full disk, each line of a log file would print a traceback
    for name in (
        "lightning_fabric.utilities.seed",
        "pytorch_lightning.utilities.rank_zero",
        "pytorch_lightning.accelerators.cuda",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*LeafSpec.*",
        ".*your dataloader is not resumable.*",  # StopOnSignal resumes it
        # Loader workers are not needed: a batch is an index into memory (see VQADataModule).
        ".*does not have many workers.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        # The accuracies are torchmetrics, which are already synchronised over the processes.
        r".*use `self.log\('val/accuracy.*sync_dist=True.*",
    ):
        warnings.filterwarnings("ignore", message=message)
