"""`analyze.py CKPT`: analyse a checkpoint and print its tables; or answer a test set."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lookwhy import api
from lookwhy.models import load_checkpoint
from lookwhy.models.answering import TASKS, Answers, answer_all, write_results
from lookwhy.reporting.terminal.tables import print_tables, profile_table, report_console


def analyse_checkpoint(
    checkpoint: Path,
    out: Path | None,
    plan: Path | None,
    limit: int | None,
    grid: int | None,
    device: str,
    profile: bool = False,
) -> None:
    """Analyse a checkpoint, then print its tables and the places of its files."""
    analysis = api.analyze(checkpoint, out=out, plan=plan, limit=limit, grid=grid, device=device)
    # Printed last: stdout may be closed early (by `head`, say), and the files are complete by then.
    console = report_console()
    print_tables(analysis, console)
    assert analysis.answers is not None
    _print_answers(analysis.answers, analysis.result_files, console)
    where = analysis.folder
    console.print(f"results   {where}\npictures  {where / 'figures'}", soft_wrap=True)
    if profile:
        console.print(profile_table(analysis.seconds, len(analysis.question_ids)))


def answer_questions(checkpoint: Path, folder: Path, out: Path | None, device: str) -> None:
    """Answer the second split of a prepared folder, such as a test set without annotations."""
    run = load_checkpoint(checkpoint)
    data = run.datamodule(folder)
    data.setup("predict")
    answers = answer_all(run.head.to(device), data, device)
    base = out or api.default_folder(checkpoint) / folder.name
    _print_answers(answers, write_results(answers, base, f"epoch={run.epoch:03d}"), report_console())


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
