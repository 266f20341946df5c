"""The LightningCLI behind `train.py`; imported only when something is to be trained."""

from __future__ import annotations

import json
import logging
import math
import os
import warnings
from pathlib import Path
from typing import Any

import jsonargparse
import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import WandbLogger
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.callbacks import ImportanceCallback
from lookwhy.callbacks.progress import progress_bars
from lookwhy.cli.run_logger import describe, is_first_process, make_logger
from lookwhy.data.datamodule import VQADataModule
from lookwhy.files import atomic_path
from lookwhy.models.system import VQASystem
from lookwhy.reporting.terminal.tables import print_tables, report_console
from lookwhy.reporting.wandb.environment import prepare_environment
from lookwhy.reporting.wandb.state import forget_lost
from lookwhy.reporting.wandb.summary import best_values, read_summaries
from lookwhy.types import LookwhyError

METRICS = "metrics.json"
"""File that a finished training leaves in its run folder: the last and best values by their W&B names."""
RUN_FOLDER = "LOOKWHY_RUN_FOLDER"
"""Name of the environment variable that hands the run folder to the processes that Lightning starts."""

_OWN_ERROR = f"{LookwhyError.__module__}.{LookwhyError.__name__}: "
_LOST_CONNECTION = ("Connection reset by peer", "Connection closed by peer", "Broken pipe")
"""Words in an error that a process gets when it waits for one that has ended (gloo)."""


class RunFolderConfig(SaveConfigCallback):
    """Saves config.yaml in the run's own folder (the logger's is shared by all runs)."""

    def save_config(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write every resolved option; a resumed run replaces the file by its own."""
        if stage != "fit" or not trainer.is_global_zero:
            return
        path = Path(trainer.default_root_dir) / "config.yaml"
        self.parser.save(self.config, path, skip_none=False, overwrite=True, multifile=False)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_hyperparams(describe(path, trainer.datamodule))  # type: ignore[attr-defined]


class TrainCLI(LightningCLI):
    """fit, validate and test of a `VQASystem`, with the run folder as the one place for everything."""

    run_folder: Path

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the given arguments.

        Lightning's own method warns when `sys.argv` holds arguments as well. They must stay there: the
        strategy `ddp` starts every further process with the command line in `sys.argv`.
        """
        self.config = parser.parse_args(args)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """What `train.py` can do; the rest of Lightning's subcommands have no meaning here."""
        offered = LightningCLI.subcommands()
        return {name: offered[name] for name in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options beside those of trainer, model and data."""
        parser.add_argument("--name", type=str, default="run", help="name of the run and its folder")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all runs")
        parser.add_argument("--project", type=str, default="lookwhy", help="W&B project")
        parser.add_argument("--group", type=str | None, default=None, help="W&B group (default: the name)")
        parser.add_argument(
            "--tags",
            type=list[str] | None,
            default=None,
            help="W&B tags beside the model's class, the data's folder and the like, e.g. '[first, mine]'",
        )
        parser.add_lightning_class_args(ImportanceCallback, "analysis")
        # As options, not as objects: config.yaml must hold what was used, and train again as it is.
        parser.set_defaults({"analysis.plan": AnalysisPlan().describe()})
        for argument in ("vocab_size", "num_answers", "image_dim"):
            target = f"model.head.init_args.{argument}"
            parser.link_arguments(f"data.{argument}", target, apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.seed")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """A trainer that writes into the run folder, and logs to W&B there."""
        config = self._get(self.config, "trainer")
        run = self._run_folder()
        self.run_folder = run
        kwargs |= {"default_root_dir": str(run)}
        if config.get("logger") in (None, True) and not config.get("fast_dev_run"):
            sentence = prepare_environment(run)
            if is_first_process():
                print(sentence)
                forget_lost(run)
            kwargs["logger"] = make_logger(self.config[self.subcommand], run)
        self.trainer_defaults["callbacks"] += progress_bars(self._get(self.config_init, "trainer"))
        trainer = super().instantiate_trainer(**kwargs)
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                # Or the logger would decide, and put them under its own project and run id.
                callback.dirpath = str(run / "checkpoints")
        return trainer

    def _run_folder(self) -> Path:
        """runs/<name>; a resumed run's own; or the next free name, so that nothing is overwritten.

        Only the first process claims a folder. torchrun and Slurm start all processes at once, without the
        environment variable: the others then take the name as given, and write nothing.
        """
        if RUN_FOLDER in os.environ:
            return Path(os.environ[RUN_FOLDER])
        checkpoint = self._get(self.config, "ckpt_path")
        wanted = Path(self._get(self.config, "runs")) / self._get(self.config, "name")
        if "WANDB_SWEEP_ID" in os.environ:
            # Agents start at the same time: each has the run's id for a name of its own.
            wanted = wanted.with_name(f"{wanted.name}-{os.environ.get('WANDB_RUN_ID', '')}")
        if checkpoint and Path(checkpoint).parent.name == "checkpoints":
            run = Path(checkpoint).parent.parent
        else:
            run, number = wanted, 2
            while is_first_process() and ((run / "config.yaml").exists() or (run / "checkpoints").exists()):
                run, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
        if is_first_process():
            run.mkdir(parents=True, exist_ok=True)
            os.environ[RUN_FOLDER] = str(run)
        return run


def _checkpoints() -> list[pl.Callback]:
    """Best by validation accuracy, and last, saved when the epoch is over: training resumes exactly."""
    best = ModelCheckpoint(
        filename="best-epoch={epoch:03d}",
        auto_insert_metric_name=False,
        monitor="val/accuracy/overall",
        mode="max",
        save_on_train_epoch_end=True,
    )
    # Not `save_last` of the one above: that is the last that was best.
    last = ModelCheckpoint(filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    return [best, last]


class ParseOnly(TrainCLI):
    """Stops when the options are parsed and checked."""

    def _set_seed(self) -> None:
        pass

    def instantiate_classes(self) -> None:
        """Nothing is built."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def parse_only(arguments: list[str]) -> jsonargparse.Namespace:
    """The resolved options of a command line, without running it.

    Raises:
        LookwhyError: an option that does not exist, or a value of the wrong type.
    """
    return _make(ParseOnly, arguments).config


def _make(kind: type[TrainCLI], arguments: list[str]) -> TrainCLI:
    try:
        return kind(
            VQASystem,
            VQADataModule,
            save_config_callback=RunFolderConfig,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=123,
            trainer_defaults={
                "use_distributed_sampler": False,  # the data module deals questions out itself
                "num_sanity_val_steps": 0,
                "callbacks": _checkpoints(),
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # checkpoints carry what they need themselves
            parser_kwargs={
                name: {"exit_on_error": False, "allow_abbrev": False} for name in ("fit", "validate", "test")
            }
            | {"exit_on_error": False, "allow_abbrev": False},
            args=arguments,
        )
    except jsonargparse.ArgumentError as error:
        raise LookwhyError(_one_line(str(error))) from error


def train(arguments: list[str]) -> int:
    """Parse, train and print the closing tables."""
    _quieten()
    try:
        cli = _make(TrainCLI, arguments)
    except (ProcessRaisedException, ProcessExitedException, RuntimeError) as error:
        raise _failed_process(error) from error
    except SystemExit as stop:
        # Lightning turns Ctrl-C into exit code 1 once it has shut down.
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stop
        raise
    finally:
        os.environ.pop(RUN_FOLDER, None)
    if cli.trainer.is_global_zero and cli.subcommand == "fit":
        _write_metrics(cli.run_folder, cli.trainer)
        _close(cli.run_folder, cli.trainer)
    return 0


def _failed_process(error: Exception) -> Exception:
    """One line if another process of the training has failed; otherwise the error itself."""
    text = str(error).strip()
    if isinstance(error, ProcessRaisedException) and (found := text.partition(_OWN_ERROR)[2]):
        return LookwhyError(_one_line(found))  # the strategy ddp_spawn quotes the traceback of the process
    if isinstance(error, ProcessExitedException) or any(words in text for words in _LOST_CONNECTION):
        return LookwhyError(
            "expected all processes of the training to run until its end, found that one has ended before; "
            "its own message, if any, says why; resume with --ckpt_path and the run's checkpoints/last.ckpt"
        )
    return error


def _write_metrics(run: Path, trainer: pl.Trainer) -> None:
    """The last and best values by their W&B names, in a file that says that the training is finished."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    # Not what a longer training has left in the folder that this one went on in from an earlier checkpoint.
    summaries = read_summaries(run, last=trainer.current_epoch - 1)
    if summaries:
        analysed = summaries[max(summaries)] | best_values(summaries)
        metrics |= {f"analysis/{name}": value for name, value in analysed.items()}
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    with atomic_path(run / METRICS) as partial:
        partial.write_text(json.dumps(finite, indent=2, sort_keys=True) + "\n")


def _close(run: Path, trainer: pl.Trainer) -> None:
    """The validation accuracy, the table of the last analysed epoch, and where to look."""
    console = report_console()
    last = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if "val/accuracy/overall" in last:
        console.print(
            f"validation accuracy {100 * last['val/accuracy/overall']:.2f}%; "
            f"always the most frequent answer: {100 * last['val/accuracy_most_frequent_answer']:.2f}%",
            soft_wrap=True,
        )
    try:
        epoch, folder = list(store.stored_epochs(run).items())[-1]
    except LookwhyError:
        console.print(f"run folder  {run}", soft_wrap=True)
        return
    print_tables(store.load(folder), console)
    console.print(f"run folder  {run}", soft_wrap=True)
    console.print(f"pictures    {folder / 'figures'}", soft_wrap=True)
    if any((run / "wandb").glob("*run-*")):  # none without a logger, or with WANDB_MODE=disabled
        console.print(f"epochs      wandb leet {run / 'wandb'}", soft_wrap=True)


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def _quieten() -> None:
    """Leave out what Lightning says of itself and of choices that are made on purpose here."""
    for name in (
        "lightning_fabric.utilities.seed",
        "pytorch_lightning.utilities.rank_zero",
        "pytorch_lightning.accelerators.cuda",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
    # One process is enough: a batch is an index into memory (see VQADataModule).
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    # The accuracies are metrics that have already been joined over the processes.
    warnings.filterwarnings("ignore", message=r".*use `self.log\('val/accuracy.*sync_dist=True.*")
