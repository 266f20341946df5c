"""A dataset of the questions of one split, indexed by batch."""

from __future__ import annotations

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
        self.tokens = torch.from_numpy(np.ascontiguousarray(split.tokens))
        self.lengths = torch.from_numpy(split.lengths).clamp(min=1)
        numbers = split.labels, split.question_ids, split.image_ids, split.image_pos
        self.labels, self.question_ids, self.image_ids, self.image_pos = map(torch.from_numpy, numbers)

    def __len__(self) -> int:
        return len(self.question_ids)

    def __getitem__(self, rows: Int64[Tensor, " B"]) -> VQABatch:
        """The questions in the given rows, padded to the longest of them."""
        lengths = self.lengths[rows]
        split, positions = self.split, self.image_pos[rows]
        texts: dict[str, Any] = {}
        if self.has_texts:
            columns: dict[str, list[Any]] = {"questions": split.questions, "answers": split.answers10}
            columns |= {"question_types": split.question_types, "answer_types": split.answer_types}
            columns |= {name: getattr(split, name) for name in ("question_id_texts", "image_id_texts")}
            # A column that the file lacks is empty.
            texts = {name: [column[i] for i in rows.tolist()] for name, column in columns.items() if column}
            texts["image_files"] = [split.image_files[image] for image in positions.tolist()]
        return VQABatch(
            question_ids=self.question_ids[rows],
            tokens=self.tokens[rows, : int(lengths.max())],
            lengths=lengths,
            labels=self.labels[rows],
            image_ids=self.image_ids[rows],
            features=self.features.take(positions),
            **texts,
        )
