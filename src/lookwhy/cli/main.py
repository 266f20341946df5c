"""`lookwhy`: the three commands of an installed package."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from lookwhy import __version__
from lookwhy.cli.errors import run_command
from lookwhy.errors import SCRIPTS, LookwhyError

HELP = """\
usage: lookwhy {prepare,train,analyze} ...

Where a VQA model looks and why it answers, at every epoch of its training.

  prepare    data to train on: the embedded shapes world, official VQA files, downloads
  train      train a model and analyse it at every validation epoch
  analyze    analyse a checkpoint, explain an answer, compare runs

  -h, --help  also after each command, e.g. lookwhy analyze --help
  --version   version of lookwhy
"""


def main() -> int:
    """Run the console script; returns its exit code: 0, 2 for wrong input, 130 when interrupted."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return 0
    if arguments[0] == "--version":
        print(f"lookwhy {__version__}")
        return 0
    return run_command(lambda: _run(arguments[0], arguments[1:]))


def _run(name: str, arguments: Sequence[str]) -> int:
    if name not in SCRIPTS:
        raise LookwhyError(f"expected prepare, train or analyze, found {name}; see lookwhy --help")
    # Imported when it runs, so that --help answers at once.
    code: int = import_module(f"lookwhy.cli.{name}").main(arguments)
    return code
