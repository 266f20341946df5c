"""`analyze.py`: analyses, explanations, the comparison of runs, figures, the live page, the view in W&B.

Each subcommand imports its modules when it runs: importing torch and Lightning takes seconds, and `--help`
needs neither.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lookwhy.cli import foreign, paper
from lookwhy.cli.errors import OneLineParser, add_device, closest, run_command
from lookwhy.cli.trust import import_trusted
from lookwhy.errors import LookwhyError, command, extra, printable
from lookwhy.places import MOVABLE, PATH_MAP

LIVE_IMAGES = 4
"""Number of images whose occluded features stay in memory: 25 MB each for VGG's pool5, 4 MB for its fc7."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for wrong input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Ctrl-C is the usual way to end the live page; there is no work to continue.
    resume = {"resume": "the page is closed"} if arguments[:1] == ["serve"] else {}
    return run_command(lambda: _run(with_subcommand(arguments)), **resume)


def with_subcommand(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the subcommand that a checkpoint or --model as the first of them implies."""
    first, *_ = whole = [*arguments] or ["--help"]
    if first in (*SUBCOMMANDS, "-h", "--help"):
        return whole
    meant = "" if first.startswith("-") else closest(first, SUBCOMMANDS)
    if meant and not Path(first).exists():
        raise LookwhyError(
            f"expected a subcommand or a checkpoint, found {first}{meant}; see {command('analyze')} --help"
        )
    return ["model" if first.startswith("--model") else "checkpoint", *whole]


def _run(arguments: list[str]) -> int:
    options = vars(build_parser().parse_args(arguments))
    import_trusted(options.pop("trust", []))
    *_, run = SUBCOMMANDS[options.pop("command")]
    run(**options)
    return 0


def build_parser() -> OneLineParser:
    """Build the parser of all subcommands; `checkpoint` is implied."""
    parser = OneLineParser(
        prog=command("analyze"),
        description="Where a VQA model looks and why it answers.",
        epilog="CKPT alone is short for checkpoint CKPT, and --model SPEC ... for model --model SPEC ...",
    )
    names = ",".join([*SUBCOMMANDS][1:])
    subcommands = parser.add_subparsers(dest="command", required=True, metavar=f"{{CKPT,{names}}}")
    for name, (summary, add_options, _) in SUBCOMMANDS.items():
        add_options(
            subcommands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        )
    return parser


def _checkpoint_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CKPT", help="runs/<name>/checkpoints/*.ckpt")
    add("--out", type=Path, help="folder to write to (default: <run>/analyze/<checkpoint>)")
    add("--plan", type=Path, help="YAML with the options of the plan (default: the run's)")
    add("--limit", type=int, help="analyse at most this many questions")
    add("--grid", type=int, help="cells along each side: 16 in Goyal et al. 2016, 14 in the VQA-HAT paper")
    add("--data", type=Path, help="only answer the second split of this prepared folder, such as a test set")
    _add_device_and_trust(parser)
    _add_moved(parser, *MOVABLE)
    add("--profile", action="store_true", help="print the time that each part took")


def _add_moved(parser: ArgumentParser, *names: str) -> None:
    where = "paths of today, of files that lay elsewhere in training"
    group = parser.add_argument_group(where, f"or in {PATH_MAP} beside the checkpoint: docs/moved.md")
    for name in names:
        option, content = MOVABLE[name]
        group.add_argument(option, type=Path, metavar="PATH", dest=f"moved_{name}", help=content)


def _moved(options: dict[str, Any]) -> dict[str, Path]:
    """Take the options of `_add_moved` out of the others."""
    given = {name: options.pop(f"moved_{name}", None) for name in MOVABLE}
    return {name: path for name, path in given.items() if path is not None}


def _add_device_and_trust(parser: ArgumentParser) -> None:
    add_device(parser)
    trust = "module of your own that holds a class of the checkpoint; it is imported, so its code runs"
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help=trust)


def _checkpoint(
    checkpoint: Path, data: Path | None, out: Path | None, device: str, profile: bool, **settings: Any
) -> None:
    moved = _moved(settings)
    if data is not None:
        _refuse(settings | {"profile": profile}, ("plan", "limit", "grid", "profile"), "--data")
    from lookwhy import api
    from lookwhy.reporting.comparisons import since_untrained
    from lookwhy.reporting.terminal.answers import print_answers
    from lookwhy.reporting.terminal.tables import print_tables, profile_table, report_console

    console = report_console()
    if data is not None:
        print_answers(*api.answer(checkpoint, data, out=out, device=device), console)
        return
    analysis = api.analyze(checkpoint, out=out, device=device, moved=moved, **settings)
    # Printed last: stdout may be closed early (by `head`, say), and the files are complete by then.
    print_tables(analysis, console, since_untrained(analysis, checkpoint.parent.parent))
    assert analysis.answers is not None
    print_answers(analysis.answers, analysis.result_files, console)
    console.print(f"results   {analysis.folder}\npictures  {analysis.folder / 'figures'}", soft_wrap=True)
    if profile:
        console.print(profile_table(analysis.seconds, len(analysis.question_ids)))


def _refuse(options: Mapping[str, Any], names: Iterable[str], alone: str, advice: str = "") -> None:
    given = next(
        (f"--{name}" for name in names if options[name] is not None and options[name] is not False), ""
    )
    if given:
        raise LookwhyError(f"expected {alone} alone, found {given} beside it; leave {given} out{advice}")


def _explain_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    parser.description = "One question (--image, --question), or a whole list (--batch)."
    _add_model(parser)
    add("--image", type=Path, help="any picture")
    add("--question", help='e.g. "What color is the ball?"')
    out = "file to write: .png, .svg or .pdf for a picture, .json for numbers (default: explanation.png)"
    add("--out", type=Path, help=f"{out}; with --batch a folder (default: explanations)")
    batch = (
        "a .csv, .tsv, .json or .jsonl with image and question a row, a folder with images and such a list"
    )
    add(
        "--batch", type=Path, metavar="QUESTIONS", help=f"{batch} called questions, or official VQA questions"
    )
    images = "with --batch: folder of the images (default: the list's own; official questions need it)"
    add("--images", type=Path, metavar="DIR", help=images)
    add("--format", help="with --batch: png, svg, pdf, json, or several by commas (default: png)")
    add("--overwrite", action="store_true", help="with --batch: replace files that exist already")
    _add_moved(parser, "folder", "weights")
    _add_device_and_trust(parser)


def _explain(
    checkpoint: Path | None, model: str | None, device: str, out: Path | None, **options: Any
) -> None:
    """Explain one question, or a list of questions."""
    moved = _moved(options)
    how = {name: options.pop(name) for name in HOW}
    asked = _spec_or_path(checkpoint, model, "explain")
    if options["batch"] is not None:
        _refuse(options, ("image", "question"), "--batch")
        from lookwhy.cli.batch import explain_batch

        source, images, formats = options["batch"], options["images"], options["format"] or "png"
        folder = out or Path("explanations")
        explain_batch(asked, source, images, folder, formats, device, options["overwrite"], moved, **how)
        return
    _refuse(options, ("images", "format", "overwrite"), "--image with --question", ", or give --batch")
    missing = [f"--{name}" for name in ("image", "question") if options[name] is None]
    if missing:
        raise LookwhyError(f"expected --image and --question, or --batch, found no {missing[0]}; give it")
    from lookwhy import api
    from lookwhy.reporting.figures.explanation import PICTURES, check_ending
    from lookwhy.towers.device_choice import choose_device, tell_device

    out = out or Path("explanation.png")
    check_ending(out)
    # Chosen here, so that it is told after what can fail. Another model may choose its own.
    chosen = choose_device(device) if isinstance(asked, Path) else device
    why = api.load(asked, chosen, moved=moved, **how).explain(options["image"], options["question"])
    why.save(out)
    if chosen != device:
        tell_device(device, chosen)
    for answer in why.answers:
        print(printable(f"{100 * answer.probability:5.1f}%  {answer.text}"))
    for line in why.sanity:
        print(printable(line))
    for note in why.explanation.notes:
        print(printable(note), file=sys.stderr)
    print(printable(f"{'picture' if out.suffix.lower() in PICTURES else 'numbers'}  {out}"))


HOW = ("plan", "candidates", "allow_remote")
"""Options of `_add_model` about how a model is opened."""


def _add_model(parser: ArgumentParser) -> None:
    """Add a checkpoint or, in its place, a SPEC."""
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CKPT", nargs="?")
    add("--model", metavar="SPEC", help="in place of CKPT: another model (docs/foreign.md)")
    plan = "YAML with the methods (default: the run's; with --model, occlusion and word drop)"
    add("--plan", type=Path, help=plan)
    listed = "with --model: answers, one a line, for a model that writes its answers"
    add("--candidates", type=Path, metavar="FILE", help=listed)
    remote = "with --model http...: send pictures and questions to another machine"
    add("--allow-remote", action="store_true", help=remote)


def _spec_or_path(checkpoint: Path | None, model: str | None, subcommand: str) -> str | Path:
    if (checkpoint is None) == (model is None):
        found = "neither" if model is None else "both"
        raise LookwhyError(
            f"expected a checkpoint or --model SPEC, found {found}; see {command('analyze')} "
            f"{subcommand} --help"
        )
    if model is None:
        assert checkpoint is not None
        return checkpoint
    from lookwhy.models.foreign.spec import FORMS, is_spec

    if not is_spec(model):
        raise LookwhyError(f"expected --model {FORMS}, found {model!r}; correct it")
    return model


def _compare_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="run folders; the first is the baseline")
    add("--out", type=Path, default=Path("report.html"), help="page to write")
    add("--examples", type=int, default=60, help="number of questions to browse (default: 60)")


def _compare(**options: Any) -> None:
    from lookwhy.api import report

    print(printable(f"report  {report(**options)}"))


def _summary_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    runs = "run folders; those trained with the same --group are seeds of one config"
    add("runs", type=Path, nargs="+", metavar="RUN", help=runs)
    epoch = "epoch to read (default: the last; untrained: -1); all: the file has every epoch"
    add("--epoch", type=_epoch, metavar="N", help=epoch)
    add("--out", type=Path, metavar="FILE", help="every scalar as .csv, .json or .md")


def _epoch(text: str) -> int | str:
    """An epoch, or the word for all of them."""
    try:
        return text if text == "all" else int(text)
    except ValueError as error:
        raise ArgumentTypeError(f"expected a whole number or all, found {text!r}") from error


def _summary(**options: Any) -> None:
    from lookwhy.cli.summary import summarise

    summarise(**options)


def _figures_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    add("--out", type=Path, required=True, help="folder to write to")
    add("--format", default="png", help="png, pdf, svg, with commas between (default: png)")
    add("--epoch", type=int, help="epoch of charts and examples (default: the last; untrained: -1)")
    examples = "examples (default: those of the analysis)"
    add("--question", nargs="+", default=[], metavar="ID", help=examples)
    add("--width", choices=("single", "double"), default="double", help="one or two columns of a page")
    add("--names", nargs="+", default=[], metavar="NAME", help="names of the runs (default: folder names)")


def _figures(out: Path, **options: Any) -> None:
    from lookwhy.cli.figures import draw_figures

    print(printable(f"figures  {out} ({len(draw_figures(out=out, **options))} files)"))


def _serve_options(parser: ArgumentParser) -> None:
    _add_model(parser)
    port = "port of 127.0.0.1; 0: any free one (default: 7860)"
    parser.add_argument("--port", type=int, default=7860, help=port)
    _add_moved(parser, "folder", "weights")
    _add_device_and_trust(parser)


def _serve(checkpoint: Path | None, model: str | None, port: int, device: str, **options: Any) -> None:
    """Serve the live page until someone presses Ctrl-C."""
    with extra("serve", "starlette uvicorn"):
        from lookwhy.live.server import HOST, listen, live_app, run
    from lookwhy import api

    asked, moved = _spec_or_path(checkpoint, model, "serve"), _moved(options)
    with listen(port) as listener:
        app = live_app(api.load(asked, device, LIVE_IMAGES, moved=moved, **options).explainer)
        print(f"ask at  http://{HOST}:{listener.getsockname()[1]}  (Ctrl-C ends it)", flush=True)
        run(app, listener)


def _workspace_options(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("runs", type=Path, nargs="*", metavar="RUN", help="runs to take keys from (default: a default plan)")
    add("--project", default="lookwhy", help="W&B project (default: lookwhy)")
    add("--entity", help="W&B user or team (default: owner of the API key)")
    add("--out", type=Path, help="JSON to write (default without an API key: workspace.json)")


def _workspace(**options: Any) -> None:
    from lookwhy.cli.workspace import save_workspace

    save_workspace(**options)


SUBCOMMANDS: dict[str, tuple[str, Any, Any]] = {
    "checkpoint": ("analyse a checkpoint as the callback did in training", _checkpoint_options, _checkpoint),
    "model": (
        "analyse any other VQA model: an object, a program or a server",
        foreign.add_options,
        foreign.run,
    ),
    "explain": ("answer questions and show why, as pictures or numbers", _explain_options, _explain),
    "compare": ("one self-contained page that compares runs over epochs", _compare_options, _compare),
    "summary": (
        "mean and spread over seeds of every value, and paired differences",
        _summary_options,
        _summary,
    ),
    "figures": ("all figures of one or several runs, as files for print", _figures_options, _figures),
    "serve": ("a web page on this machine to ask your own questions", _serve_options, _serve),
    "workspace": ("the project's saved view in W&B, or its JSON", _workspace_options, _workspace),
    "paper": (
        "the tables of Goyal et al. 2016 from nothing: download, train, analyse",
        paper.add_options,
        paper.run,
    ),
}
"""Help text, options and function of each subcommand."""
