"""`analyze.py`: the analysis of a checkpoint, explanations, the comparison of runs, the live page."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookwhy.cli.errors import OneLineParser, run_command
from lookwhy.errors import LookwhyError

SUBCOMMANDS = ("checkpoint", "explain", "compare", "serve")


def build_parser() -> OneLineParser:
    """The parser of all subcommands; `checkpoint` is implied."""
    parser = OneLineParser(
        prog="analyze.py",
        description="Where a VQA model looks and why it answers.",
        epilog="analyze.py CKPT is short for analyze.py checkpoint CKPT.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{CKPT,explain,compare,serve}")
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
    _add_explain(commands)
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
    _add_serve(commands)
    return parser


def _add_explain(commands: Any) -> None:
    why = commands.add_parser(
        "explain",
        help="answer questions and show why, as pictures or numbers",
        description="One question (--image, --question), or a whole list (--batch).",
    )
    why.add_argument("checkpoint", type=Path, metavar="CKPT")
    why.add_argument("--image", type=Path, help="any picture")
    why.add_argument("--question", help='e.g. "What color is the ball?"')
    why.add_argument(
        "--out",
        type=Path,
        help="what to write: .png, .svg or .pdf a picture, .json the numbers (default: explanation.png); "
        "with --batch a folder (default: explanations)",
    )
    why.add_argument(
        "--batch",
        type=Path,
        metavar="QUESTIONS",
        help="a .csv, .json or .jsonl with image and question in each row, a folder with images and such a "
        "list called questions, or official VQA questions",
    )
    why.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="with --batch: folder of the images (default: the list's own; official questions need it)",
    )
    why.add_argument(
        "--format", help="with --batch: png, svg, pdf, json, or several by commas (default: png)"
    )
    why.add_argument("--overwrite", action="store_true", help="with --batch: make anew what is there already")
    why.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")


def _add_serve(commands: Any) -> None:
    live = commands.add_parser("serve", help="a web page on this machine to ask and explain in")
    live.add_argument("checkpoint", type=Path, metavar="CKPT")
    live.add_argument("--port", type=int, default=7860, help="of 127.0.0.1; 0: any free one (default: 7860)")
    live.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")


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
    if options.command == "serve":
        from lookwhy.cli.serve import serve

        serve(options.checkpoint, options.port, options.device)
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
        _explain(options)
    return 0


def _explain(options: Namespace) -> None:
    """One question, or a list of them."""
    batch = options.batch is not None
    wrong = ("image", "question") if batch else ("images", "format", "overwrite")
    given = [f"--{name}" for name in wrong if getattr(options, name)]
    if given:
        other = "--batch" if batch else "--image and --question"
        raise LookwhyError(
            f"expected {other} alone, found {given[0]} beside {'it' if batch else 'them'}; leave "
            f"{given[0]} out" + ("" if batch else ", or give --batch")
        )
    if batch:
        from lookwhy.cli.batch import explain_batch

        explain_batch(
            options.checkpoint,
            options.batch,
            options.images,
            options.out or Path("explanations"),
            options.format or "png",
            options.device,
            options.overwrite,
        )
        return
    missing = [f"--{name}" for name in ("image", "question") if getattr(options, name) is None]
    if missing:
        raise LookwhyError(f"expected --image and --question, or --batch, found no {missing[0]}; give it")
    from lookwhy.cli.explain import explain_question

    out = options.out or Path("explanation.png")
    explain_question(options.checkpoint, options.image, options.question, out, options.device)
