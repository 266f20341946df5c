"""Answers to every validation question, in the result files of the official evaluation.

A result file is a JSON list of {"question_id", "answer"} with EVERY question id, as the questions file has it
(a number or a text): the evaluation server refuses an incomplete file. The multiple-choice answer is the most
probable of the question's choices that the model can give.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lookwhy.files import atomic_path
from lookwhy.models.protocol import VQAHead
from lookwhy.progress import progress
from lookwhy.towers.precision import true_float32

if TYPE_CHECKING:  # Lightning takes seconds to import, which a question or another model's analysis can spare
    from lookwhy.data.datamodule import VQADataModule

TASKS = {"open_ended": "OpenEnded", "multiple_choice": "MultipleChoice"}


@dataclass
class Answers:
    """A model's answers to all validation questions.

    Attributes:
        question_ids: ids in the order of the data, as the questions file has them.
        open_ended: most probable answer to each question.
        multiple_choice: most probable of each question's choices; None if the data has no choices.
        without_choice: number of multiple-choice questions without any choice among the model's answers;
            they get the open-ended answer.
        accuracy: official accuracies, 0..1, by task, from `VQAAccuracy`; empty without annotations.
        test_set: name of these questions in the names of result files ("mscoco_val2014"); empty if they are
            not a split of VQA.
    """

    question_ids: Sequence[int | str]
    open_ended: list[str]
    multiple_choice: list[str] | None
    without_choice: int
    accuracy: dict[str, dict[str, float]]
    test_set: str = ""


@true_float32()
@torch.no_grad()
def answer_all(head: VQAHead, data: VQADataModule, device: torch.device | str = "cpu") -> Answers:
    """Answer every validation question of `data` (after `setup`) with a head in eval mode on `device`."""
    from lookwhy.metrics import VQAAccuracy

    split, texts = data.prepro.test, data.answers
    choices = torch.from_numpy(split.choices)
    best, chosen, without = [], [], 0
    metrics = {task: VQAAccuracy() for task in TASKS}
    row = 0
    loader = progress(data.val_dataloader(), "answering all questions", unit="batch", leave=False, delay=1)
    for batch in loader:
        moved = batch.to(device)
        logits = head(moved.features, moved.tokens, moved.lengths).cpu()
        answers = [texts[i] for i in logits.argmax(1).tolist()]
        answered = {"open_ended": answers}
        best += answers
        if choices.shape[1]:
            own = choices[row : row + len(batch)]
            scores = logits.gather(1, own.clamp(min=0)).masked_fill(own < 0, -torch.inf)
            none = (own < 0).all(1).tolist()
            picked = own.gather(1, scores.argmax(1, keepdim=True))[:, 0].tolist()
            rows = zip(answers, none, picked, strict=True)
            answered["multiple_choice"] = [answer if no else texts[pick] for answer, no, pick in rows]
            chosen += answered["multiple_choice"]
            without += sum(none)
        if batch.answers:
            for task, texts_said in answered.items():
                metrics[task].update(texts_said, batch.answers, batch.answer_types, batch.question_types)
        row += len(batch)
    known = [task for task in TASKS if metrics[task].update_called]
    accuracy = {task: {k: float(v) for k, v in metrics[task].compute().items()} for task in known}
    chosen_or_none = chosen if choices.shape[1] else None
    return Answers(split.original_ids, best, chosen_or_none, without, accuracy, data.prepro.test_set)


def results_name(test_set: str, run: str, epoch: int) -> str:
    """The part of a result file's name that tells data and model.

    A split of VQA gives the name that its evaluation server takes.

    Example:
        >>> results_name("mscoco_test-dev2015", "my_run", 3), results_name("", "my_run", 3)
        ('mscoco_test-dev2015_my-run-epoch003', 'epoch=003')
    """
    # The parts of an official name are separated by "_".
    official = f"{test_set}_{re.sub(r'[^A-Za-z0-9-]+', '-', run)}-epoch{epoch:03d}"
    return official if test_set else f"epoch={epoch:03d}"


def write_results(answers: Answers, folder: Path, name: str) -> list[Path]:
    """Write the result files of both tasks, `vqa_<task>_<name>_results.json`, and return their paths."""
    written = []
    for task, said in (("open_ended", answers.open_ended), ("multiple_choice", answers.multiple_choice)):
        if said is None:
            continue
        path = folder / f"vqa_{TASKS[task]}_{name}_results.json"
        pairs = zip(answers.question_ids, said, strict=True)
        rows = [{"question_id": i, "answer": answer} for i, answer in pairs]
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        written.append(path)
    return written
