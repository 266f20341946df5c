"""`train.py`: LightningCLI with a run folder, W&B without an account, and a closing table."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lookwhy.cli.configs import with_packaged_configs
from lookwhy.cli.errors import imports_are_over, run_command
from lookwhy.errors import LookwhyError, command

HELP = """\
usage: {train} [fit | validate | test] --config FILE [--any.option VALUE ...]

Train a VQA model and analyse it at every validation epoch. `fit` is implied.

  --config FILE            settings: a YAML file, or one that comes with lookwhy by its name, e.g. shapes;
                           later options override it
  --name NAME              name of the run; its folder is runs/NAME (runs/NAME-2 if that is taken)
  --ckpt_path FILE         resume from a checkpoint, in the same run folder and the same W&B run; FILE may be
                           a run folder, or last or best for those of --name
  --group NAME, --tags '[A, B]'  group and tags of the run in W&B
  --data.folder DIR        files written by {prepare}
  --trainer.max_epochs N   number of epochs

Every option with its type and meaning: {train} fit --help (takes some seconds).
Many trainings in one group, with W&B or in a shell loop: docs/dashboards.md.
"""

SUBCOMMANDS = ("fit", "validate", "test")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for wrong input, 130 when interrupted.

    SIGTERM and SIGUSR1 end a training with 128 and the number of the signal, after it has saved a checkpoint.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        return run_command(_help)
    if arguments[0] not in (*SUBCOMMANDS, "sweep"):
        arguments.insert(0, "fit")
    return run_command(lambda: _train(arguments), resume="training had not begun; start again")


def _help() -> int:
    print(HELP.format(train=command("train"), prepare=command("prepare")), end="")
    return 0


def _train(arguments: list[str]) -> int:
    if arguments[0] == "sweep":
        raise LookwhyError(
            "expected fit, validate or test, found sweep, which no longer exists; use `wandb sweep FILE` and "
            "`wandb agent ID`, or a shell loop over this command with --group NAME (docs/dashboards.md)"
        )
    from lookwhy.cli.lightning import train

    imports_are_over()
    return train(with_packaged_configs(arguments))
