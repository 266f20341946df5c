"""`analyze.py`: the analysis of a checkpoint, the explanation of one question, the comparison of runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookwhy.cli.errors import OneLineParser, run_command
from lookwhy.errors import LookwhyError

SUBCOMMANDS = ("checkpoint", "explain", "compare", "workspace")


def build_parser() -> OneLineParser:
    """The parser of all subcommands; `checkpoint` is implied."""
    parser = OneLineParser(
        prog="analyze.py",
        description="Where a VQA model looks and why it answers.",
        epilog="analyze.py CKPT is short for analyze.py checkpoint CKPT.",
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="{CKPT,explain,compare,workspace}"
    )
    one = commands.add_parser("checkpoint", help="analyse a checkpoint as the callback did in training")
    one.add_argument("checkpoint", type=Path, metavar="CKPT", help="runs/<name>/checkpoints/*.ckpt")
    one.add_argument("--out", type=Path, help="folder to write to (default: <run>/analyze/<checkpoint>)")
    one.add_argument("--plan", type=Path, help="YAML with the options of the plan (default: the run's)")
    one.add_argument("--limit", type=int, help="analyse at most this many questions")
    one.add_argument("--grid", type=int, help="cells along each side: 16 in the paper, 14 in VQA-HAT's")
    one.add_argument(
        "--data", type=Path, help="answer the second split of this prepared folder instead, a test set, say"
    )
    one.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    one.add_argument("--profile", action="store_true", help="print where the time went")
    why = commands.add_parser("explain", help="answer one question and draw why")
    why.add_argument("checkpoint", type=Path, metavar="CKPT")
    why.add_argument("--image", type=Path, required=True, help="any picture")
    why.add_argument("--question", required=True, help='e.g. "What color is the ball?"')
    why.add_argument("--out", type=Path, default=Path("explanation.png"), help="picture to write")
    many = commands.add_parser("compare", help="one self-contained page that compares runs over epochs")
    many.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="run folders; the others are compared with the first",
    )
    many.add_argument("--out", type=Path, default=Path("report.html"), help="page to write")
    many.add_argument("--examples", type=int, default=60, help="questions to browse (default: 60)")
    _add_workspace(commands)
    return parser


def _add_workspace(commands: Any) -> None:
    view = commands.add_parser("workspace", help="the project's saved view in W&B, or its JSON")
    view.add_argument(
        "runs",
        type=Path,
        nargs="*",
        metavar="RUN",
        help="run folders that say what is logged (default: a usual run)",
    )
    view.add_argument("--project", default="lookwhy", help="W&B project (default: lookwhy)")
    view.add_argument("--entity", help="W&B user or team (default: the API key's own)")
    view.add_argument("--out", type=Path, help="JSON to write (default without an API key: workspace.json)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for wrong input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        arguments = ["--help"]
    if arguments[0] not in (*SUBCOMMANDS, "-h", "--help"):
        arguments.insert(0, "checkpoint")
    return run_command(lambda: _dispatch(build_parser().parse_args(arguments)))


def _dispatch(options: Namespace) -> int:
    # Imported here: torch and Lightning take seconds, --help needs neither and a report page no Lightning.
    if options.command == "compare":
        from lookwhy.cli.compare import compare_runs

        compare_runs(options.runs, options.out, options.examples)
        return 0
    if options.command == "workspace":
        from lookwhy.cli.workspace import save_workspace

        save_workspace(options.runs, options.project, options.entity, options.out)
        return 0
    from lookwhy.cli import commands

    if options.command == "checkpoint":
        if options.limit is not None and options.limit < 1:
            raise LookwhyError(f"expected --limit of at least 1, found {options.limit}; leave it out for all")
        if options.grid is not None and options.grid < 2:
            raise LookwhyError(f"expected --grid of at least 2, found {options.grid}; 16 is the paper's")
        if options.data is not None:
            unused = [f"--{name}" for name in ("plan", "limit", "grid", "profile") if getattr(options, name)]
            if unused:
                raise LookwhyError(
                    f"expected --data alone, which only answers questions, found {unused[0]} beside "
                    "it; leave it out, or --data"
                )
            commands.answer_questions(options.checkpoint, options.data, options.out, options.device)
            return 0
        commands.analyse_checkpoint(
            options.checkpoint,
            options.out,
            options.plan,
            options.limit,
            options.grid,
            options.device,
            options.profile,
        )
    else:
        commands.explain_question(options.checkpoint, options.image, options.question, options.out)
    return 0
