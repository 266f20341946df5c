"""The official VQA accuracy of many questions, over one or more processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from lookwhy.metrics.vqa import vqa_accuracy


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

    def __init__(self) -> None:
        super().__init__()
        # Accuracies of the questions of this process, by key of the result.
        self.accuracies = defaultdict[str, list[float]](list)

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
        types = {"answer_type": answer_types, "question_type": question_types}
        given = {kind: names for kind, names in types.items() if names is not None}
        for count in map(len, given.values()):
            if count != len(values):
                raise ValueError(f"expected the type of each of {len(values)} questions, found {count} types")
        for row, value in enumerate(values):
            own = [f"{kind}/{names[row]}" for kind, names in given.items() if names[row]]
            for key in ("overall", *own):
                self.accuracies[key].append(value)

    def compute(self) -> dict[str, Tensor]:
        """Mean accuracies in double precision on the CPU; a type is present if any process saw it."""
        parts: list[dict[str, list[float]]] = [self.accuracies]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts *= torch.distributed.get_world_size(self.process_group)
            torch.distributed.all_gather_object(parts, self.accuracies, self.process_group)
        result = {}
        for key in ("overall", *sorted(set().union(*parts) - {"overall"})):
            values = [value for part in parts for value in part.get(key, ())]
            # Add one by one, as the official code does, so that the result is equal to the last bit.
            mean = sum(values) / len(values) if values else torch.nan
            result[key] = torch.tensor(mean, dtype=torch.float64)
        return result

    def reset(self) -> None:
        """Forget all questions."""
        super().reset()
        self.accuracies.clear()
