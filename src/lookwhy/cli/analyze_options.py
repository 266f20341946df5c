"""The options of `analyze.py`: read without torch, so that `--help` answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lookwhy.cli.errors import OneLineParser
from lookwhy.errors import command


def build_parser() -> OneLineParser:
    """The parser of all subcommands; `checkpoint` is implied."""
    parser = OneLineParser(
        prog=command("analyze"),
        description="Where a VQA model looks and why it answers.",
        epilog="CKPT alone is short for checkpoint CKPT.",
    )
    names = ",".join(SUBCOMMANDS[1:])
    commands = parser.add_subparsers(dest="command", required=True, metavar=f"{{CKPT,{names}}}")
    for add in _ADD.values():
        add(commands)
    return parser


def _add_checkpoint(commands: Any) -> None:
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


def _add_compare(commands: Any) -> None:
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


def _add_figures(commands: Any) -> None:
    drawn = commands.add_parser("figures", help="every figure of runs as files for print")
    drawn.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    drawn.add_argument("--out", type=Path, required=True, help="folder to write to")
    drawn.add_argument("--format", default="png", help="png, pdf, svg, with commas between (default: png)")
    drawn.add_argument("--epoch", type=int, help="of charts and examples (default: the last; untrained: -1)")
    drawn.add_argument(
        "--question", type=int, nargs="+", default=[], metavar="ID", help="examples (default: the analysis's)"
    )
    drawn.add_argument("--width", choices=("single", "double"), default="double", help="columns of a page")
    drawn.add_argument(
        "--names", nargs="+", default=[], metavar="NAME", help="of the runs (default: their folders')"
    )


def _add_serve(commands: Any) -> None:
    live = commands.add_parser("serve", help="a web page on this machine to ask and explain in")
    live.add_argument("checkpoint", type=Path, metavar="CKPT")
    live.add_argument("--port", type=int, default=7860, help="of 127.0.0.1; 0: any free one (default: 7860)")
    live.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")


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


_ADD = {
    "checkpoint": _add_checkpoint,
    "explain": _add_explain,
    "compare": _add_compare,
    "figures": _add_figures,
    "serve": _add_serve,
    "workspace": _add_workspace,
}
SUBCOMMANDS = tuple(_ADD)
