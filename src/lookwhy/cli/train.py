"""`train.py`: LightningCLI with a run folder, W&B that needs no account, and a closing table."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lookwhy.cli.configs import with_packaged_configs
from lookwhy.cli.errors import run_command
from lookwhy.errors import command

HELP = """\
usage: {train} [fit | validate | test] --config FILE [--any.option VALUE ...]
       {train} sweep FILE [--count N] [--any.option VALUE ...]

Train a VQA model and analyse it at every validation epoch. `fit` is implied.

  --config FILE            settings: a YAML file, or one that comes with lookwhy by its name, e.g. shapes;
                           later options override it
  --name NAME              name of the run; its folder is runs/NAME (runs/NAME-2 if that is taken)
  --ckpt_path FILE         resume from a checkpoint, in the same run folder and the same W&B run
  --group NAME, --tags '[A, B]'  group and tags of the run in W&B
  --data.folder DIR        files written by {prepare}
  --trainer.max_epochs N   how long to train

Every option with its type and meaning: {train} fit --help (takes as long as its imports do).
Many trainings, from a W&B sweep file, without an account: {train} sweep --help.
"""

METRICS = "metrics.json"
"""What a finished training leaves in its run folder: its last and best values by their W&B names."""

SUBCOMMANDS = ("fit", "validate", "test")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for wrong input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(HELP.format(train=command("train"), prepare=command("prepare")))
        return 0
    if arguments[0] == "sweep":
        from lookwhy.cli.sweep import main as sweep

        return run_command(lambda: sweep(arguments[1:]))
    if arguments[0] not in SUBCOMMANDS:
        arguments.insert(0, "fit")
    return run_command(lambda: _train(arguments))


def _train(arguments: list[str]) -> int:
    from lookwhy.cli.lightning import train

    return train(with_packaged_configs(arguments))
