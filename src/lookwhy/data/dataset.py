"""A dataset of the questions of one split, indexed by batch."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset

from lookwhy.data.feature_rows import FeatureRows
from lookwhy.data.prepro import SplitQuestions
from lookwhy.types import VQABatch


class QuestionDataset(Dataset[VQABatch]):
    """Questions of one split; the index is a tensor of rows, and the item is their batch.

    Without `has_texts` batches hold no texts: training needs none, and reading them takes time.
    """

    def __init__(self, split: SplitQuestions, features: FeatureRows, has_texts: bool = True) -> None:
        self.split, self.features, self.has_texts = split, features, has_texts
        lengths = split.lengths.clip(min=1)
        columns = lengths, split.labels, split.question_ids, split.image_ids, split.image_pos, split.tokens
        # One row a question: a batch is one gather, and one copy to a GPU.
        self.numbers = torch.from_numpy(np.column_stack(columns))

    def __len__(self) -> int:
        return len(self.numbers)

    def without_texts(self) -> QuestionDataset:
        """The same questions in batches without texts; both share their numbers."""
        other = copy(self)
        other.has_texts = False
        return other

    def __getitem__(self, rows: Int64[Tensor, " B"]) -> VQABatch:
        """The questions in the given rows, padded to the longest of them."""
        features, split = self.features, self.split
        here = features.gather(self.numbers, rows)
        numbers = here.to(features.device, non_blocking=True)
        longest = int(here[:, 0].max())  # read on the host, which need not wait for a GPU
        lengths, labels, question_ids, image_ids, positions = numbers[:, :5].unbind(1)
        texts: dict[str, Any] = {}
        if self.has_texts:
            columns: dict[str, list[Any]] = {"questions": split.questions, "answers": split.answers10}
            columns |= {"question_types": split.question_types, "answer_types": split.answer_types}
            columns |= {name: getattr(split, name) for name in ("question_id_texts", "image_id_texts")}
            # A column that the file lacks is empty.
            texts = {name: [column[i] for i in rows.tolist()] for name, column in columns.items() if column}
            texts["image_files"] = [split.image_files[image] for image in here[:, 4].tolist()]
        return VQABatch(
            question_ids=question_ids,
            tokens=numbers[:, 5 : 5 + longest],
            lengths=lengths,
            labels=labels,
            image_ids=image_ids,
            features=features.take(positions if features.is_on_device else here[:, 4]),
            **texts,
        )
