"""Questions and pictures of a foreign model, from official files, and which of them a plan selects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lookwhy.analysis.plan import AnalysisPlan, select_questions
from lookwhy.data.annotators import find_annotator_maps
from lookwhy.data.image_files import find_image
from lookwhy.data.official import Question
from lookwhy.data.truth_masks import find_truth_masks
from lookwhy.errors import LookwhyError
from lookwhy.models.foreign.text_model import Words

LARGEST_SIDE = 512
"""Pictures with a longer side are scaled down to this: occlusion makes 256 copies of each."""


class Sources(NamedTuple):
    """Where the questions of a foreign model come from.

    Attributes:
        questions: the questions, joined with their annotations where there are any.
        file: their file, for the manifest.
        images: folder of the pictures.
        annotator_maps: folder of annotator maps; None: none.
        truth_masks: folder of ground-truth masks; None: none.
        annotators: name of the annotators.
        note: sentence about the data, below tables and pictures.
    """

    questions: Sequence[Question]
    file: Path
    images: Path
    annotator_maps: Path | None = None
    truth_masks: Path | None = None
    annotators: str = "annotators"
    note: str = ""


def words_of(sources: Sources) -> Words:
    """The words of all questions."""
    return Words(question.text for question in sources.questions)


class Selection(NamedTuple):
    """Questions that a plan selects: ids and images of all, rows of the selected, files of human data."""

    ids: np.ndarray
    images: np.ndarray
    rows: np.ndarray
    files: dict[int, list[Path]]
    masks: dict[int, Path]


def selected(sources: Sources, plan: AnalysisPlan) -> Selection:
    """Select questions as for a model of ours.

    Raises:
        LookwhyError: no question has annotator maps or masks, and there are files of them.
    """
    ids = numbers([one.question_id for one in sources.questions])
    images = numbers([one.image_id for one in sources.questions])
    texts = {
        one.id_text: number
        for one, number in zip(sources.questions, ids.tolist(), strict=True)
        if one.id_text
    }
    files = find_annotator_maps(sources.annotator_maps, texts) if sources.annotator_maps else {}
    masks = find_truth_masks(sources.truth_masks, texts) if sources.truth_masks else {}
    rows = select_questions(plan, ids, images, set(files or masks) or None)
    if not len(rows):
        raise LookwhyError(
            f"expected questions with annotator maps or masks, found none of the ids of {sources.file} in "
            f"{sources.annotator_maps or sources.truth_masks}; give the folder of these questions"
        )
    return Selection(ids, images, rows, files, masks)


def numbers(ids: Sequence[int | str]) -> np.ndarray:
    """The ids as numbers; where one is text, the place of its first question."""
    if all(isinstance(one, int) for one in ids):
        return np.array(ids, np.int64)
    place = {one: number for number, one in reversed([*enumerate(ids)])}
    return np.array([place[one] for one in ids], np.int64)


def paths_of(sources: Sources, rows: np.ndarray) -> dict[int, str]:
    """File of each question's picture below the folder; all must exist before hours of work begin."""
    found = {}
    for row in rows.tolist():
        one = sources.questions[row]
        found[row] = find_image(sources.images, one.subtype, one.image_id, one.data_type, one.file)
        if not (sources.images / found[row]).is_file():
            raise LookwhyError(
                f"expected the picture of question {one.question_id}, found no file "
                f"{sources.images / found[row]}; correct --images"
            )
    return found


def pixels_of(picture: Image.Image, largest_side: int) -> Tensor:
    """A picture as it is, red, green and blue, 0-255; a large one smaller, with the same aspect."""
    share = largest_side / max(picture.size)
    if share < 1:
        width, height = (max(1, round(side * share)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
