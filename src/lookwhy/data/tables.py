"""The declared datasets of data_prepro.h5 and data_img.h5: shape, kind and range of each, and their check.

Shapes are written with N questions, T words, C choices, M images and R boxes; `...` stands for one side or
more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any, Literal

import h5py
import numpy as np
from jaxtyping import Int64

from lookwhy.data.entries import IMAGE_IDS, QUESTION_IDS
from lookwhy.errors import LookwhyError, command

Numbers = Int64[np.ndarray, "N *C"]
KINDS = {"whole": "whole numbers", "real": "real numbers", "text": "texts"}


@dataclass(frozen=True)
class Column:
    """One dataset.

    Attributes:
        field: what it holds, for messages and `SplitQuestions`.
        shape: sides of the dataset; N alone may also be a table with one column, as Torch writes it.
        kind: whole numbers (integers, or floats without fractions), real numbers, or texts.
        lowest: least value of whole numbers.
        highest: largest value of whole numbers, or the name of a limit that the other datasets set.
        expected: range of the values, for messages.
        otherwise: description of a dataset of another shape, for messages.
        optional: whether files without it are read.
        splits: splits that have it.
    """

    field: str
    shape: tuple[str | int | EllipsisType, ...] = ("N",)
    kind: Literal["whole", "real", "text"] = "whole"
    lowest: int = 0
    highest: str | int = 0
    expected: str = "{name} from {lowest} to {highest}"
    otherwise: str = "has another shape"
    optional: bool = False
    splits: tuple[str, ...] = ("train", "test")


QUESTIONS = {
    "ques_{split}": Column(
        "tokens",
        ("N", "T"),
        highest="words",
        expected="word ids from 0 to {highest} in {name}",
        otherwise="is no table with a row a question and a column a word",
    ),
    "ques_length_{split}": Column("lengths", lowest=1, highest="T"),
    "img_pos_{split}": Column(
        "image_pos",
        lowest=1,
        highest="images",
        expected="no {name} that points outside the {highest} images of unique_img_{split}",
    ),
    "question_id_{split}": Column("question_ids", highest=QUESTION_IDS - 1),
    "answers": Column(
        "labels", lowest=1, highest="answers", expected="answers from 1 to {highest}", splits=("train",)
    ),
    # This dataset counts from 0, unlike those of the original.
    "label_test": Column("labels", lowest=-1, highest="last answer", optional=True, splits=("test",)),
    "MC_ans_{split}": Column("choices", ("N", "C"), highest="answers", optional=True),
    "image_id_{split}": Column("image_ids", highest=IMAGE_IDS - 1, optional=True),
    "question_{split}": Column("question", kind="text", optional=True),
    "question_type_{split}": Column("question_type", kind="text", optional=True),
    "answer_type_{split}": Column("answer_type", kind="text", optional=True),
    "answers10_{split}": Column(
        "answers10", ("N", 10), "text", otherwise="is without a column for each annotator", optional=True
    ),
    "question_id_text_{split}": Column("question_id_text", kind="text", optional=True),
    "image_id_text_{split}": Column("image_id_text", kind="text", optional=True),
}
"""The datasets of data_prepro.h5, in the order in which they are checked."""
FEATURES = {
    "images_{split}": Column(
        "features", ("M", ...), "real", otherwise="has no row of numbers for each image"
    ),
    "boxes_{split}": Column(
        "boxes", ("M", "R", 4), "real", otherwise="is without x1, y1, x2, y2 of each box", optional=True
    ),
}
"""The datasets of data_img.h5."""


def datasets(
    file: h5py.File, table: Mapping[str, Column], split: str, path: Path, remedy: str
) -> Iterator[tuple[str, h5py.Dataset, Column]]:
    """Find the datasets of a split that the file has, and check their kinds.

    Raises:
        LookwhyError: a dataset is missing, or holds values of another kind.
    """
    for form, column in table.items():
        name = form.format(split=split)
        if split not in column.splits or (column.optional and name not in file):
            continue
        data = file.get(name)
        if not isinstance(data, h5py.Dataset):
            found = ", ".join(file) or "nothing"
            raise LookwhyError(f"expected the dataset {name}, found {found} in {path}; {remedy}")
        is_text = h5py.check_string_dtype(data.dtype) is not None
        if is_text != (column.kind == "text") or not (is_text or data.dtype.kind in "iuf"):
            found = f"{'text' if is_text else data.dtype} values in {path}"
            raise LookwhyError(f"expected {KINDS[column.kind]} in {name}, found {found}; {remedy}")
        yield name, data, column


def check_shape(name: str, data: h5py.Dataset, column: Column, path: Path, remedy: str) -> None:
    """Refuse a dataset with other sides than declared; the number of its rows is not checked here."""
    shape, sides = data.shape, column.shape
    if sides == ("N",) and shape[1:] == (1,):
        return
    fixed = [side for side in sides if side is not ...]
    is_right = len(shape) == len(sides) if fixed == [*sides] else len(shape) >= len(sides)
    pairs = zip(fixed, shape, strict=False)
    if not is_right or any(isinstance(side, int) and side != own for side, own in pairs):
        wanted = ", ".join("..." if side is ... else str(side) for side in sides)
        raise LookwhyError(
            f"expected the shape ({wanted}) of {name}, found {shape} in {path}: {name} {column.otherwise}; "
            f"{remedy}"
        )


def read_questions_table(
    file: h5py.File, split: str, limits: Mapping[str, int], path: Path
) -> tuple[dict[str, Numbers], dict[str, tuple[int, ...]]]:
    """Read the numbers of one split of data_prepro.h5, and the shapes of its texts.

    Args:
        file: the open file.
        split: "train" or "test".
        limits: number of `words`, `answers` and `images`.
        path: the file's path, for messages.

    Returns:
        Numbers and shapes by the field of their column; ids and positions as in the file, from 1 on.

    Raises:
        LookwhyError: a dataset is missing, or does not fit its declaration; the message names it.
    """
    remedy = f"correct the file, or write it with {command('prepare')} questions"
    known = {**limits, "last answer": limits["answers"] - 1}
    numbers: dict[str, Any] = {}
    found = list(datasets(file, QUESTIONS, split, path, remedy))
    for name, data, column in (one for one in found if one[2].kind == "whole"):
        check_shape(name, data, column, path, remedy)
        values = _whole(name, data, path, remedy)
        if column.field == "tokens":
            known["T"] = values.shape[1]
        highest = known[column.highest] if isinstance(column.highest, str) else column.highest
        wrong = np.flatnonzero(
            ((values < column.lowest) | (values > highest)).reshape(len(values), -1).any(1)
        )
        if len(wrong):
            expected = column.expected.format(name=name, split=split, lowest=column.lowest, highest=highest)
            raise LookwhyError(
                f"expected {expected}, found {len(wrong):,} of {len(values):,} questions otherwise in {path} "
                f"(the first is number {wrong[0] + 1}: {values[wrong[0]].tolist()}); {remedy}"
            )
        numbers[column.field] = values.reshape(-1) if column.shape == ("N",) else values
    rows = len(numbers["tokens"])
    texts: dict[str, tuple[int, ...]] = {}
    for name, data, column in found:
        if data.shape[:1] != (rows,):
            count = data.shape[0] if data.shape else 0
            raise LookwhyError(
                f"expected a row a question in {name}, found {count} {column.field} of {rows} questions in "
                f"split {split} of {path}; {remedy}"
            )
        if column.kind == "text":
            check_shape(name, data, column, path, remedy)
            texts[column.field] = data.shape
    _check_rows(numbers, split, path, remedy)
    return numbers, texts


def _whole(name: str, data: h5py.Dataset, path: Path, remedy: str) -> Numbers:
    values = data[:]
    if values.dtype.kind == "f" and not (values == np.rint(values)).all():
        raise LookwhyError(
            f"expected whole numbers in {name}, found fractions in {path}: {name} holds numbers that are not "
            f"whole; {remedy}"
        )
    return values.astype(np.int64)


def _check_rows(numbers: Mapping[str, Numbers], split: str, path: Path, remedy: str) -> None:
    """Refuse what no column shows alone, and what training would take without a word."""
    tokens, lengths, ids = numbers["tokens"], numbers["lengths"], numbers["question_ids"]
    if split == "train" and not len(ids):
        raise LookwhyError(f"expected questions to train on, found none in {path}; prepare others")
    is_word = np.arange(tokens.shape[1]) < lengths[:, None]
    is_again = np.ones(len(ids), bool)
    is_again[np.unique(ids, return_index=True)[1]] = False
    aligned = f"ques_{split} left-aligned, 0 only after ques_length_{split} words"
    wrong = {aligned: ((tokens > 0) != is_word).any(1), f"each question_id_{split} once": is_again}
    for expected, is_wrong in wrong.items():
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise LookwhyError(
                f"expected {expected}, found {is_wrong.sum():,} of {len(ids):,} questions otherwise in "
                f"{path} (the first: question {ids[row]}, length {lengths[row]}, words "
                f"{tokens[row].tolist()}); {remedy}"
            )
