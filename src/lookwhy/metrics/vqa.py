"""The official VQA accuracy (Antol et al. 2015): agreement with ten annotators, leaving out each in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from lookwhy.metrics.normalize import clean_space, normalize_answer

NAME_BYTES = 64
"""Largest number of bytes of a type's name; longer names are cut. The longest official name has 24."""


def vqa_accuracy(answer: str, answers: list[str]) -> float:
    """Accuracy of one answer, 0..1.

    It is the mean over annotators of min(1, matches among the OTHER annotators / 3). Answers are normalised
    only if the annotators gave different answers.

    Raises:
        ValueError: there are no annotators' answers.

    Example:
        >>> vqa_accuracy("red", ["red"] * 3 + ["blue"] * 7)
        0.9
    """
    if not answers:
        raise ValueError("expected the annotators' answers, found none")
    answer, truth = clean_space(answer), [clean_space(one) for one in answers]
    if len(set(truth)) > 1:
        answer, truth = normalize_answer(answer), [normalize_answer(one) for one in truth]
    matches = truth.count(answer)
    # If an annotator matches, the others have one match less. The sum is in the annotators' order, as in the
    # official code, so that the result is equal to the last bit.
    return sum(min(1.0, (matches - (one == answer)) / 3) for one in truth) / len(truth)


class VQAAccuracy(Metric):
    """Official accuracy overall, by answer type and by question type, 0..1, over one or more processes.

    `compute` returns {"overall": .., "answer_type/<t>": .., "question_type/<t>": ..}; "overall" is NaN if no
    process saw a question.

    Example:
        >>> accuracy = VQAAccuracy()
        >>> accuracy.update(["red", "2"], [["red"] * 10, ["3"] * 10], answer_types=["other", "number"])
        >>> {key: float(value) for key, value in accuracy.compute().items()}
        {'overall': 0.5, 'answer_type/number': 0.0, 'answer_type/other': 1.0}
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
        """Add some questions: the predicted answer, the annotators' answers and the types of each.

        Raises:
            ValueError: the arguments differ in length, or a question has no annotators' answers.
        """
        values = [vqa_accuracy(one, ten) for one, ten in zip(predicted, answers, strict=True)]
        self._append(values, answer_types, question_types)

    def compute(self) -> dict[str, Tensor]:
        """Mean accuracies in double precision on the CPU; a type is present if any process saw it."""
        if len(self.accuracies) == 0:  # a list, or a tensor after a gather
            return {"overall": torch.tensor(torch.nan, dtype=torch.float64)}
        accuracies = dim_zero_cat(self.accuracies).double().cpu()
        result = {"overall": _mean(accuracies)}
        for kind in ("answer_type", "question_type"):
            # On the CPU, because some accelerators lack `unique` over rows.
            names, rows = dim_zero_cat(getattr(self, f"{kind}s")).cpu().unique(dim=0, return_inverse=True)
            for number, code in enumerate(names):
                if name := bytes(code[code > 0].tolist()).decode(errors="ignore"):
                    result[f"{kind}/{name}"] = _mean(accuracies[rows == number])
        return result

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the questions of all processes, even if one of them saw none."""
        # For an empty state, torchmetrics sends a flat tensor of floats. Names are rows of bytes, and
        # collectives abort if processes send tensors of different types.
        if not self.accuracies:
            self._append([], None, None)
        super().sync(*args, **kwargs)

    def _append(
        self, values: list[float], answer_types: Sequence[str] | None, question_types: Sequence[str] | None
    ) -> None:
        # Apple's GPUs have no double precision.
        precision = torch.float32 if self.device.type == "mps" else torch.float64
        self.accuracies.append(torch.tensor(values, dtype=precision, device=self.device))
        self.answer_types.append(self._encode(answer_types, len(values)))
        self.question_types.append(self._encode(question_types, len(values)))

    def _encode(self, names: Sequence[str] | None, count: int) -> Tensor:
        """Encode names as rows of bytes, so that processes with different names can gather them."""
        names = [""] * count if names is None else names
        if len(names) != count:
            raise ValueError(f"expected the type of each of {count} questions, found {len(names)} types")
        # NumPy's S type pads short names with zeros and cuts long ones.
        codes = np.array([name.encode() for name in names], f"S{NAME_BYTES}").view(np.uint8)
        return torch.from_numpy(codes.reshape(count, NAME_BYTES)).to(self.device)


def _mean(values: Float64[Tensor, " N"]) -> Float64[Tensor, ""]:
    # Add one by one, as the official code does, so that the result is equal to the last bit.
    mean = sum(values.tolist()) / len(values) if len(values) else torch.nan
    return torch.tensor(mean, dtype=torch.float64)
