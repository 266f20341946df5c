"""`analyze.py`: analyses, explanations, the comparison of runs, figures, the live page, the view in W&B.

What each subcommand needs is imported when it runs: torch and Lightning take seconds, `--help` needs neither.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from lookwhy.cli.analyze_options import SUBCOMMANDS, build_parser
from lookwhy.cli.errors import run_command
from lookwhy.errors import LookwhyError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for wrong input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        arguments = ["--help"]
    if arguments[0] not in (*SUBCOMMANDS, "-h", "--help"):
        arguments.insert(0, "checkpoint")
    # Ctrl-C is how a server ends: there is nothing to go on with.
    told = {"resume": "the page is closed"} if arguments[0] == "serve" else {}
    return run_command(lambda: _dispatch(build_parser().parse_args(arguments)), **told)


def _dispatch(options: Namespace) -> int:
    commands = {
        "checkpoint": _checkpoint,
        "explain": _explain,
        "compare": _compare,
        "figures": _figures,
        "serve": _serve,
        "workspace": _workspace,
    }
    commands[options.command](options)
    return 0


def _checkpoint(options: Namespace) -> None:
    from lookwhy.cli import commands

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
        return
    commands.analyse_checkpoint(
        options.checkpoint,
        options.out,
        options.plan,
        options.limit,
        options.grid,
        options.device,
        options.profile,
    )


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


def _compare(options: Namespace) -> None:
    from lookwhy.api import report

    print(f"report  {report(options.runs, options.out, options.examples)}")


def _figures(options: Namespace) -> None:
    from lookwhy.cli.figures import draw_figures, report_figures

    written = draw_figures(
        options.runs,
        options.out,
        options.format,
        options.epoch,
        options.question,
        options.width,
        options.names,
    )
    report_figures(written, options.out)


def _serve(options: Namespace) -> None:
    from lookwhy.cli.serve import serve

    serve(options.checkpoint, options.port, options.device)


def _workspace(options: Namespace) -> None:
    from lookwhy.cli.workspace import save_workspace

    save_workspace(options.runs, options.project, options.entity, options.out)
