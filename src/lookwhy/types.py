"""The vocabulary of the project: dimensions, shape aliases and the records that pass between the rooms.

Dimension legend, used in every annotation:

====  =========================================================================
B     questions in a batch
N     questions in an analysis
T     words of a question, padded (26 in the original's files)
A     answers the model can give
D     width of an image feature vector (4096 for fc7)
E     width of a word embedding
H W   height and width of an image in pixels
G     cells along one side of the importance grid (16 in the paper)
K     annotators of one question
====  =========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from lookwhy.errors import LookwhyError as LookwhyError

Domain = Literal["image", "question"]
"""The thing that an importance map lies over: the cells of the image, or the words of the question."""
Explains = Literal["probability", "logit"]
"""The quantity of an answer that is explained."""
Curve = dict[str, list[float]]
"""Points of a curve: their "x" and "y", and where stated "n", the number of questions each stands for."""


@dataclass
class VQABatch:
    """Some questions, left-aligned and padded with 0, and optional metadata.

    Attributes:
        question_ids: the data set's own ids.
        tokens: 1-based word ids, 0 pads.
        lengths: number of words of each question, at least 1.
        labels: 0-based answer ids, -1 where the true answer is not among the model's answers.
        image_ids: the data set's own image ids.
        features: image features as the model's own tower makes them, (B, D) or a grid (B, D, h, w); None
            where only pixels are at hand.
        images: pixels in the image recipe's own input range; None where only features are at hand.
        image_files: path of each image file, for pictures.
        questions: the questions as asked.
        answers: the ten answers of the annotators of each question.
        question_types: as in the official annotations ("what is", "how many", ...).
        answer_types: "yes/no", "number" or "other".
    """

    question_ids: Int64[Tensor, " B"]
    tokens: Int64[Tensor, "B T"]
    lengths: Int64[Tensor, " B"]
    labels: Int64[Tensor, " B"]
    image_ids: Int64[Tensor, " B"]
    features: Float[Tensor, "B *D"] | None = None
    images: Float[Tensor, "B 3 H W"] | None = None
    image_files: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)
    question_types: list[str] = field(default_factory=list)
    answer_types: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.question_ids)

    @staticmethod
    def concatenate(parts: list[VQABatch]) -> VQABatch:
        """The questions of several batches, in the order given, padded to the longest.

        Args:
            parts: with the same fields known of each.
        """
        first, width = parts[0], max(part.tokens.shape[1] for part in parts)
        joined: dict[str, Any] = {}
        for name, value in vars(first).items():
            values = [getattr(part, name) for part in parts]
            if name == "tokens":
                values = [F.pad(tokens, (0, width - tokens.shape[1])) for tokens in values]
            if isinstance(value, list):
                joined[name] = [item for one in values for item in one]
            elif value is not None:
                joined[name] = torch.cat(values)
        return replace(first, **joined)

    def to(self, device: torch.device | str) -> VQABatch:
        """The same batch with its tensors on a device."""
        # Pinned memory is copied asynchronously.
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        moved: dict[str, Any] = {k: v.to(device, non_blocking=v.is_pinned()) for k, v in tensors.items()}
        return replace(self, **moved)


@dataclass
class ImportanceMaps:
    """Importance of the cells of images or of the words of questions, for one method.

    Attributes:
        method: name of the method, as it appears in keys ("guided_backprop").
        domain: "image" or "question".
        values: (N, G, G) over cells, or (N, T) over words.
        valid: where `values` means something: False past the end of a question.
        signed: whether a negative value means evidence against the answer; if not, values are magnitudes.
        target: what the importance is about, in words.
        question_ids: the question of each row.
        answers: 0-based id of the answer each row explains.
        flips: how many cells or words change the predicted answer when taken away; None where a
            method takes nothing away.
    """

    method: str
    domain: Domain
    values: Float[Tensor, "N *cells"]
    valid: Bool[Tensor, "N *cells"]
    signed: bool
    target: str
    question_ids: Int64[Tensor, " N"]
    answers: Int64[Tensor, " N"]
    flips: Int64[Tensor, " N"] | None = None

    def __len__(self) -> int:
        return len(self.question_ids)

    @staticmethod
    def concatenate(parts: list[ImportanceMaps]) -> ImportanceMaps:
        """Join the rows of several batches of one method, in the order given."""
        first = parts[0]
        flips = [part.flips for part in parts if part.flips is not None]
        return ImportanceMaps(
            method=first.method,
            domain=first.domain,
            values=torch.cat([part.values for part in parts]),
            valid=torch.cat([part.valid for part in parts]),
            signed=first.signed,
            target=first.target,
            question_ids=torch.cat([part.question_ids for part in parts]),
            answers=torch.cat([part.answers for part in parts]),
            flips=torch.cat(flips) if len(flips) == len(parts) else None,
        )

    def take(self, rows: Int64[Tensor, " M"]) -> ImportanceMaps:
        """The given rows, in the given order."""
        return ImportanceMaps(
            method=self.method,
            domain=self.domain,
            values=self.values[rows],
            valid=self.valid[rows],
            signed=self.signed,
            target=self.target,
            question_ids=self.question_ids[rows],
            answers=self.answers[rows],
            flips=None if self.flips is None else self.flips[rows],
        )


@dataclass
class AnalysisResult:
    """Everything one analysis found: what the run folder holds and what the reports show.

    Attributes:
        summary: flat scalars by key; a key is absent where its value is undefined.
        records: one row per question x method, with the columns of `lookwhy.store.RECORD_COLUMNS`.
        maps: importance maps by "image/<method>" and "question/<method>", all in the order of
            `question_ids`.
        human: annotator maps on the grid, NaN where a question has fewer than K; K is 0 without any.
        question_ids: the questions analysed.
        manifest: plan, versions, fingerprints, tagger and counts of what was excluded, with reasons.
        curves: by "failure/<feature set>/<curve>", as `lookwhy.analysis.curves` makes them; none in
            results of versions before.
    """

    summary: dict[str, float]
    records: list[dict[str, Any]]
    maps: dict[str, ImportanceMaps]
    human: Float[np.ndarray, "N K G G"]
    question_ids: Int64[np.ndarray, " N"]
    manifest: dict[str, Any]
    curves: dict[str, Curve] = field(default_factory=dict)
