"""What `analyze.py` does, once its options are read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from rich.console import Console

from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.attribution.stopwatch import part, recording
from lookwhy.callbacks.session import AnalysisSession
from lookwhy.data.datamodule import VQADataModule
from lookwhy.data.files import packaged_config
from lookwhy.errors import LookwhyError
from lookwhy.models import LoadedRun, load_checkpoint
from lookwhy.models.answering import TASKS, Answers, answer_all, write_results
from lookwhy.reporting.tables import print_tables, profile_table, report_console


def analyse_checkpoint(
    checkpoint: Path,
    out: Path | None,
    plan_file: Path | None,
    limit: int | None,
    grid: int | None,
    device: str,
    profile: bool = False,
) -> None:
    """Analyse a checkpoint exactly as the callback did in training, print its tables, write result files."""
    seconds: dict[str, float] = {}
    with recording(seconds):
        with part("reading checkpoint and data"):
            run = load_checkpoint(checkpoint)
            plan = _plan(run, plan_file, limit, grid)
            data = run.datamodule()
            data.setup()
        with part("choosing and tagging questions, reading annotators"):
            session = AnalysisSession(data, plan)
        result = session.run(run.head.to(device), run.epoch, device=device, progress=sys.stderr.isatty())
        result.manifest["checkpoint"] = str(checkpoint.resolve())
        folder = out or _default_folder(checkpoint)
        with part("storing and drawing"):
            session.finish(result, folder, run.epoch)
        # Whatever reads the tables may stop reading; the files are complete by then.
        with part("answering all questions of the data"):
            answers, written = _answer(run, data, folder, device)
    console = report_console()
    print_tables(result, console)
    _print_answers(answers, written, console)
    where = store.epoch_folder(folder, run.epoch)
    console.print(f"results   {where}\npictures  {where / 'figures'}", soft_wrap=True)
    if profile:
        console.print(profile_table(seconds | result.manifest["seconds"], len(result.question_ids)))


def _plan(run: LoadedRun, plan_file: Path | None, limit: int | None, grid: int | None) -> AnalysisPlan:
    plan = read_plan(plan_file) if plan_file else build_plan(run.plan, str(run.path))
    if grid is not None:
        plan = build_plan(_on_grid(plan.describe(), grid), "--grid")
    return plan if limit is None else replace(plan, num_questions=min(limit, plan.num_questions or limit))


def answer_questions(checkpoint: Path, folder: Path, out: Path | None, device: str) -> None:
    """Answer the second split of a prepared folder, a test set without annotations, say, in result files."""
    run = load_checkpoint(checkpoint)
    data = run.datamodule(folder)
    data.setup("predict")
    answers, written = _answer(run, data, out or _default_folder(checkpoint) / folder.name, device)
    _print_answers(answers, written, report_console())


def _answer(run: LoadedRun, data: VQADataModule, folder: Path, device: str) -> tuple[Answers, list[Path]]:
    answers = answer_all(run.head.to(device), data, device)
    return answers, write_results(answers, folder, f"epoch={run.epoch:03d}")


def _print_answers(answers: Answers, written: list[Path], console: Console) -> None:
    for task, accuracy in answers.accuracy.items():
        parts = [
            f"{name} {100 * value:.2f}" for name, value in accuracy.items() if "question_type" not in name
        ]
        console.print(
            f"{len(answers.question_ids)} questions, {TASKS[task]}: {', '.join(parts)}", soft_wrap=True
        )
    if not answers.accuracy:
        console.print(f"{len(answers.question_ids)} questions without annotations", soft_wrap=True)
    if answers.without_choice:
        console.print(
            f"{answers.without_choice} multiple-choice questions offer nothing that the model can say; they "
            "get its open-ended answer",
            soft_wrap=True,
        )
    for path in written:
        console.print(f"answers   {path}", soft_wrap=True)


def read_plan(path: Path) -> AnalysisPlan:
    """A plan from a YAML file with the options of `AnalysisPlan`.

    Raises:
        LookwhyError: no such file, not YAML, or an option that does not exist.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise LookwhyError(
            f"expected a YAML file with a plan, found none in {path} ({_first_line(error)}); "
            f"see {packaged_config('analysis')}"
        ) from error
    return build_plan(content, str(path))


def build_plan(settings: Any, source: str) -> AnalysisPlan:
    """A plan from plain settings, checked option by option."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AnalysisPlan, "plan")
    try:
        config = parser.parse_object({"plan": settings or {}})
        return parser.instantiate(config).plan
    except (ArgumentError, TypeError, ValueError) as error:
        raise LookwhyError(
            f"expected the options of an analysis plan in {source}, found: {_first_line(error)}; "
            f"see {packaged_config('analysis')}"
        ) from error


def _on_grid(settings: dict[str, Any], grid: int) -> dict[str, Any]:
    """The settings of a plan with everything that has a grid on another one."""
    for methods in (settings["image_methods"], settings["question_methods"]):
        for method in methods:
            if "grid" in method["init_args"]:
                method["init_args"]["grid"] = grid
    return settings | {"grid": grid}


def _default_folder(checkpoint: Path) -> Path:
    inside_run = checkpoint.parent.name == "checkpoints"
    base = checkpoint.parent.parent if inside_run else Path.cwd()
    return base / "analyze" / checkpoint.stem


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
