"""Types that all subpackages share: shapes of tensors, batches, importance maps and results.

Letters for dimensions, used in every annotation:

====  ==================================================================================
B     questions in a batch
N     questions in an analysis
T     words of a question, padded (26 in the files of the original project, VQA_LSTM_CNN)
A     answers the model can give
D     width of an image feature vector (4096 for fc7)
E     width of a word embedding
H W   height and width of an image in pixels
G     cells along one side of the importance grid (16 in the paper)
K     annotators of one question
R     boxes of an image, padded, where its regions are boxes
====  ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

Images = Float[Tensor, "B 3 H W"]
"""Pixels in the input range of the model's `ImageRecipe`."""
Features = Float[Tensor, "B *D"]
"""Image features: vectors, or grids."""
Tokens = Int64[Tensor, "B T"]
"""1-based word ids, left-aligned and padded with 0."""
Lengths = Int64[Tensor, " B"]
"""Number of words of each question, at least 1."""
Target = Int64[Tensor, " B"] | Int64[Tensor, "B 2"]
"""0-based id of the explained answer to each question; a second id: the answer that it is contrasted with."""
Scores = Float[Tensor, "B A"]
"""One number for each answer: probability or logit."""
Domain = Literal["image", "question"]
"""The input that an importance map covers: the cells of the image, or the words of the question."""
Explains = Literal["probability", "logit"]
"""Quantity of an answer that a method explains."""
Curve = dict[str, list[float]]
"""Points of a curve: "x", "y" and optionally "n" (questions of a point), "low" and "high" (an interval)."""
TEXT_IDS = ("question_id_text", "image_id_text")
"""Fields of a record with ids that are text in the questions file; a record without such an id lacks them."""


@dataclass
class VQABatch:
    """A batch of questions, left-aligned and padded with 0, and optional metadata.

    Attributes:
        tokens: 1-based word ids, padded with 0.
        lengths: number of words of each question, at least 1.
        labels: 0-based answer ids; -1 if the true answer is not among the model's answers.
        features: image features of the model's image network (tower), (B, D) or a grid (B, D, h, w); None if
            only pixels are available.
        images: pixels in the input range of the model's `ImageRecipe`; None if only features are available.
        boxes: boxes of each image (x1, y1, x2, y2), 0..1 of its width and height, NaN for padding; None if
            the features are not those of boxes.
        image_files: path of each image file, for figures.
        answers: answers of the ten annotators to each question.
        question_types: types in the official annotations ("what is", "how many", ...).
        answer_types: "yes/no", "number" or "other".
        question_id_texts: ids of the questions where the questions file has texts in place of numbers.
        image_id_texts: the same of the images.
    """

    question_ids: Int64[Tensor, " B"]
    tokens: Int64[Tensor, "B T"]
    lengths: Int64[Tensor, " B"]
    labels: Int64[Tensor, " B"]
    image_ids: Int64[Tensor, " B"]
    features: Float[Tensor, "B *D"] | None = None
    images: Float[Tensor, "B 3 H W"] | None = None
    boxes: Float[Tensor, "B R 4"] | None = None
    image_files: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)
    question_types: list[str] = field(default_factory=list)
    answer_types: list[str] = field(default_factory=list)
    question_id_texts: list[str] = field(default_factory=list)
    image_id_texts: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.question_ids)

    def take(self, rows: Int64[Tensor, " M"]) -> VQABatch:
        """The given questions, in the given order."""
        chosen: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                chosen[name] = value[rows]
            elif value:
                chosen[name] = [value[row] for row in rows.tolist()]
        return replace(self, **chosen)

    @staticmethod
    def concatenate(parts: list[VQABatch]) -> VQABatch:
        """Join batches with the same fields, in order; questions are padded to the longest."""
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
        method: name of the method in keys ("guided_backprop").
        values: importance, (N, G, G) over cells or (N, T) over words.
        valid: whether a value is defined: False past the end of a question.
        signed: True if a negative value means evidence against the answer; False if values are magnitudes.
        target: description of the explained quantity.
        question_ids: id of each row's question.
        answers: 0-based id of each row's explained answer.
        flips: number of cells or words without which another answer than the explained one is the most
            probable; None for methods that remove nothing.
        box_values: importance of each box, NaN for padding, from which `values` are made; None for methods
            that explain no boxes.
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
    box_values: Float[Tensor, "N R"] | None = None

    def __len__(self) -> int:
        return len(self.question_ids)

    @staticmethod
    def concatenate(parts: list[ImportanceMaps]) -> ImportanceMaps:
        """Join the rows of several batches of one method, in the order given."""
        names = [name for name, value in vars(parts[0]).items() if isinstance(value, Tensor)]
        joined: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return replace(parts[0], **joined)

    def padded(self, width: int) -> ImportanceMaps:
        """Maps over words with this number of columns, the new ones undefined; maps over cells unchanged."""
        if self.domain == "image":
            return self
        missing = (0, width - self.values.shape[1])
        return replace(self, values=F.pad(self.values, missing), valid=F.pad(self.valid, missing))

    def take(self, rows: Int64[Tensor, " M"]) -> ImportanceMaps:
        """The given rows, in the given order."""
        tensors = {name: value[rows] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **cast(dict[str, Any], tensors))


@dataclass
class AnalysisResult:
    """All results of one analysis, as stored in the run folder and shown in the reports.

    Attributes:
        summary: flat scalars by key; an undefined value has no key.
        records: one row per question x method, with the columns of `lookwhy.store.RECORD_COLUMNS`.
        maps: importance maps by "image/<method>" and "question/<method>", all in the order of
            `question_ids`.
        human: annotator maps on the grid. A question with fewer than K maps has NaN instead; K is 0 if no
            question has a map.
        manifest: plan, versions, fingerprints, tagger, and counts of excluded items with reasons.
        curves: curves of `lookwhy.analysis.curves` by "failure/<feature set>/<curve>", and mean curves of
            deletion and insertion by the key of their area; empty in results of earlier versions.
        truth: share of each cell that the question's ground-truth mask covers, (N, G, G), NaN where a
            question has no mask; (0, 1, 1) if no question has one.
    """

    summary: dict[str, float]
    records: list[dict[str, Any]] = field(default_factory=list)
    maps: dict[str, ImportanceMaps] = field(default_factory=dict)
    human: Float[np.ndarray, "N K G G"] = field(default_factory=lambda: np.zeros((0, 0, 1, 1), np.float32))
    question_ids: Int64[np.ndarray, " N"] = field(default_factory=lambda: np.zeros(0, np.int64))
    manifest: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    truth: Float[np.ndarray, "M C C"] = field(default_factory=lambda: np.zeros((0, 1, 1), np.float32))
    boxes: Float[np.ndarray, "L R 4"] = field(default_factory=lambda: np.zeros((0, 0, 4), np.float32))
