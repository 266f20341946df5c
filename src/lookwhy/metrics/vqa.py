"""The official VQA accuracy (Antol et al. 2015): agreement with ten annotators, each against the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from lookwhy.metrics.normalize import clean_space, normalize_answer


def vqa_accuracy(answer: str, answers: list[str]) -> float:
    """Accuracy of one answer, 0..1.

    For each annotator: min(1, matches among the OTHER annotators / 3); the mean over annotators. Answers
    are normalised only if the annotators did not all write the same.

    Raises:
        ValueError: there are no annotators' answers.
    """
    if not answers:
        raise ValueError("expected the annotators' answers, found none")
    answer, truth = clean_space(answer), [clean_space(one) for one in answers]
    if len(set(truth)) > 1:
        answer, truth = normalize_answer(answer), [normalize_answer(one) for one in truth]
    matches = truth.count(answer)
    # An annotator who matches leaves one match fewer among the others. Summed in the annotators' order,
    # as the official code does, so that the last bit is the same.
    return sum(min(1.0, (matches - (one == answer)) / 3) for one in truth) / len(truth)


class VQAAccuracy(Metric):
    """Official accuracy overall, by answer type and by question type, 0..1; right over several processes.

    `compute` returns {"overall": .., "answer_type/<t>": .., "question_type/<t>": ..}.
    """

    full_state_update = False
    accuracies: list[Tensor]
    answer_types: list[Tensor]
    question_types: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for state in ("accuracies", "answer_types", "question_types"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(
        self,
        predicted: Sequence[str],
        answers: Sequence[list[str]],
        answer_types: Sequence[str] | None = None,
        question_types: Sequence[str] | None = None,
    ) -> None:
        """Add some questions: the predicted answer, the annotators' answers and the types of each."""
        values = [vqa_accuracy(one, ten) for one, ten in zip(predicted, answers, strict=True)]
        self.accuracies.append(torch.tensor(values, dtype=torch.float64, device=self.device))
        self.answer_types.append(self._names(answer_types, len(values)))
        self.question_types.append(self._names(question_types, len(values)))

    def compute(self) -> dict[str, Tensor]:
        """Mean accuracies; a type is present if any process saw it."""
        accuracies = dim_zero_cat(self.accuracies)
        result = {"overall": accuracies.mean()}
        for kind in ("answer_type", "question_type"):
            names = dim_zero_cat(getattr(self, f"{kind}s"))
            for code in names.unique(dim=0) if len(names) else []:
                name = bytes(code[code > 0].tolist()).decode()
                if name:
                    result[f"{kind}/{name}"] = accuracies[(names == code).all(1)].mean()
        return {key: value.float() for key, value in result.items()}

    def _names(self, names: Sequence[str] | None, count: int) -> Tensor:
        """Names as rows of bytes: tensors can be gathered from processes that met different names."""
        rows = torch.zeros(count, 64, dtype=torch.uint8)
        for row, name in enumerate(names or []):
            code = name.encode()[:64]
            rows[row, : len(code)] = torch.frombuffer(bytearray(code), dtype=torch.uint8)
        return rows.to(self.device)
