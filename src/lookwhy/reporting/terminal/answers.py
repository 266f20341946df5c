"""Lines for the terminal about a model's answers: their accuracies and their files."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lookwhy.models.answering import TASKS, Answers


def print_answers(answers: Answers, files: list[Path], console: Console) -> None:
    """Print the accuracies of a model's answers, and the result files that hold them."""
    count = f"{len(answers.question_ids)} questions"
    lines = []
    for task, accuracy in answers.accuracy.items():
        parts = [f"{name} {100 * one:.2f}" for name, one in accuracy.items() if "question_type" not in name]
        lines.append(f"{count}, {TASKS[task]}: {', '.join(parts)}")
    if answers.without_choice:
        lines.append(
            f"{answers.without_choice} multiple-choice questions offer no answer that the model knows; "
            "its open-ended answer is used"
        )
    lines = lines if answers.accuracy else [f"{count} without annotations", *lines]
    console.print("\n".join([*lines, *(f"answers   {path}" for path in files)]), soft_wrap=True)
