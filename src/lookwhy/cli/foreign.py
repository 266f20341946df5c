"""`analyze.py --model SPEC`: the analysis of a model that is not ours."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookwhy.cli.errors import add_device, positive
from lookwhy.errors import LookwhyError

if TYPE_CHECKING:
    from lookwhy.data.official import Question

NUM_CANDIDATES = 100
"""Number of the most frequent answers that are scored, unless the command says another."""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the subcommand."""
    add = parser.add_argument
    parser.epilog = "Complete examples of models: docs/foreign.md."
    spec = "module:object, hf:FOLDER, http://HOST:PORT/PATH or cmd:PROGRAM"
    add("--model", required=True, metavar="SPEC", help=spec)
    add("--questions", type=Path, required=True, metavar="FILE", help="official VQA questions (JSON)")
    add("--annotations", type=Path, metavar="FILE", help="their annotations, for accuracies")
    add("--images", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    add("--annotator-maps", type=Path, metavar="DIR", help="where people looked: <question_id>_<k>.png")
    add("--truth-masks", type=Path, metavar="DIR", help="ground-truth masks: <question_id>.png")
    add("--annotators", default="annotators", metavar="NAME", help="name of the annotators in tables")
    add("--note", default="", help="sentence about the data, below tables and pictures")
    add("--out", type=Path, metavar="DIR", help="run folder to write (default: runs/<name of the model>)")
    add("--plan", type=Path, help="YAML with the options of the plan (default: occlusion and word drop)")
    listed = "answers, one a line, for a model that writes its answers"
    add("--candidates", type=Path, metavar="FILE", help=listed)
    count = f"in place of FILE: the most frequent answers of --annotations ({NUM_CANDIDATES})"
    add("--num-candidates", type=positive, metavar="N", help=count)
    own = "with candidates: add what the model itself answers to the questions that are analysed"
    add("--own-answers", action="store_true", help=own)
    add("--limit", type=positive, help="analyse at most this many questions")
    add("--batch-size", type=positive, default=16, help="pictures that are sent together (16)")
    side = "scale larger pictures down to this many pixels on the longer side (512)"
    add("--largest-side", type=positive, default=512, help=side)
    add("--allow-remote", action="store_true", help="send pictures and questions to another machine")
    add_device(parser)


def run(
    model: str,
    questions: Path,
    annotations: Path | None,
    images: Path,
    annotator_maps: Path | None,
    truth_masks: Path | None,
    annotators: str,
    note: str,
    out: Path | None,
    plan: Path | None,
    candidates: Path | None,
    num_candidates: int | None,
    own_answers: bool,
    limit: int | None,
    batch_size: int,
    largest_side: int,
    allow_remote: bool,
    device: str,
) -> None:
    """Analyse a model and print its tables."""
    from dataclasses import replace

    from lookwhy import store
    from lookwhy.analysis import AnalysisPlan
    from lookwhy.analysis.foreign import add_own_answers, analyse_foreign, default_plan
    from lookwhy.analysis.foreign_sources import Sources, words_of
    from lookwhy.data.official import read_official
    from lookwhy.files import make_folder
    from lookwhy.models.foreign import TextModel, open_model
    from lookwhy.reporting.publish import publish
    from lookwhy.reporting.terminal.tables import print_tables, report_console

    settings = AnalysisPlan.from_yaml(plan) if plan else default_plan()
    settings = (
        replace(settings, num_questions=min(limit, settings.num_questions or limit)) if limit else settings
    )
    asked = read_official(questions, annotations)
    sources = Sources(asked, questions, images, annotator_maps, truth_masks, annotators, note)
    folder = out or Path("runs") / _name(model)
    if (folder / "config.yaml").exists() or (folder / "checkpoints").exists():
        raise LookwhyError(
            f"expected a folder of its own in --out, found that of a training, {folder}; give another"
        )
    words = words_of(sources)
    listed = _candidates(model, asked, candidates, num_candidates, own_answers)
    opened = open_model(model, allow_remote=allow_remote, candidates=listed, device=device)
    if own_answers:
        add_own_answers(opened, sources, settings, largest_side=largest_side, shown=True)
    asker = TextModel(opened, words, batch_size, make_folder(folder) / "cache", model)
    result = analyse_foreign(
        asker, words, sources, settings, name=model, largest_side=largest_side, progress=True
    )
    stored = store.save(result, store.epoch_folder(folder, 0))
    publish(result, folder, 0, None)
    console = report_console()
    print_tables(result, console)
    console.print(f"results   {stored}\npictures  {stored / 'figures'}", soft_wrap=True)


def _candidates(
    spec: str, asked: Sequence[Question], file: Path | None, count: int | None, own_answers: bool
) -> list[str] | None:
    """Answers for a model that writes its answers; None for any other."""
    from lookwhy.models.foreign import most_frequent, read_candidates, takes_candidates

    options = {"--candidates": file, "--num-candidates": count, "--own-answers": own_answers or None}
    given = [name for name, value in options.items() if value is not None]
    if not takes_candidates(spec):
        if given:
            raise LookwhyError(
                f"expected no {given[0]} for {spec}, which has answers of its own; leave it out"
            )
        return None
    if file is not None:
        if count is not None:
            raise LookwhyError("expected --candidates or --num-candidates, found both; leave one out")
        return read_candidates(file)
    found = most_frequent((one.answer for one in asked), count or NUM_CANDIDATES)
    if not found:
        raise LookwhyError(
            f"expected answers to score for {spec}, which writes its answers, found no annotations; give "
            "--annotations FILE, or --candidates FILE with one answer a line"
        )
    return found


def _name(spec: str) -> str:
    return re.sub(r"[^\w.-]+", "-", spec).strip("-.")[:60] or "model"
