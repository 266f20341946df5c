"""Reads `data_prepro.h5` and `data_prepro.json`, the training files of the original or of this package.

Names, dtypes and 1-based ids are those of the original (VQA_LSTM_CNN, prepro.py). So this package can read
the original's files unmodified, and programs for the original's files can read ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NotRequired

import h5py
import numpy as np
from jaxtyping import Int64
from typing_extensions import TypedDict

from lookwhy.data.entries import QUESTION_IDS, Id, read_id
from lookwhy.data.image_files import official_set_of
from lookwhy.data.official import read_official
from lookwhy.data.tables import read_questions_table
from lookwhy.data.tokens import UNKNOWN, Vocabulary
from lookwhy.errors import LookwhyError, command
from lookwhy.hdf5 import open_hdf5
from lookwhy.schema import checked

SPLITS = ("train", "test")


class _Names(TypedDict):
    """Keys that are read of data_prepro.json."""

    ix_to_word: dict[str, str]
    ix_to_ans: dict[str, str]
    unique_img_train: list[str]
    unique_img_test: list[str]
    image_root: NotRequired[str | None]
    test_set: NotRequired[str]


@dataclass
class SplitQuestions:
    """One split as arrays.

    Attributes:
        tokens: 1-based word ids, left-aligned, 0 pads.
        lengths: words of each question.
        labels: 0-based answer ids, -1 if the answer is not among them or not known.
        image_pos: 0-based index into the features and into `image_files`.
        image_files: paths under the image folder, one for each row of the features.
        choices: 0-based ids of the multiple-choice answers, -1 if a choice is not among the answers; (N, 0)
            if the file has no choices.
        read_text: function that reads a column of texts by its name in the file; it returns an empty list if
            the file has no such column.
        is_annotated: whether the annotators' answers are known.
    """

    tokens: Int64[np.ndarray, "N T"]
    lengths: Int64[np.ndarray, " N"]
    labels: Int64[np.ndarray, " N"]
    image_pos: Int64[np.ndarray, " N"]
    question_ids: Int64[np.ndarray, " N"]
    image_ids: Int64[np.ndarray, " N"]
    image_files: list[str]
    choices: Int64[np.ndarray, "N C"] = field(default_factory=lambda: np.empty((0, 0), np.int64))
    read_text: Callable[[str], list[Any]] = lambda name: []
    is_annotated: bool = False

    # A million texts take seconds to read, and training needs none, so each column is read at its first use.
    # All are empty for the original's own files.
    questions = cached_property[list[str]](lambda self: self.read_text("question"))
    """Text of each question."""
    answers10 = cached_property[list[list[str]]](lambda self: self.read_text("answers10"))
    """The annotators' answers to each question."""
    question_types = cached_property[list[str]](lambda self: self.read_text("question_type"))
    """First words of each question, as annotated."""
    answer_types = cached_property[list[str]](lambda self: self.read_text("answer_type"))
    """Kind of each answer: "yes/no", "number" or "other"."""
    question_id_texts = cached_property[list[str]](lambda self: self.read_text("question_id_text"))
    """Ids of the questions that are text, with an empty text for each number; empty if all are numbers."""
    image_id_texts = cached_property[list[str]](lambda self: self.read_text("image_id_text"))
    """Ids of the images that are text, in the same form."""

    @property
    def original_ids(self) -> list[Id]:
        """Ids of the questions as their file has them: numbers or texts."""
        numbers = self.question_ids.tolist()
        texts = self.question_id_texts or [""] * len(numbers)
        return [text or number for text, number in zip(texts, numbers, strict=True)]


@dataclass
class Prepro:
    """Both splits, the words and the answers. The original calls the validation split "test".

    `test_set` names that split of VQA in the names of result files ("mscoco_val2014"); empty for other data.
    """

    train: SplitQuestions
    test: SplitQuestions
    vocabulary: Vocabulary
    answers: list[str]
    image_root: str
    test_set: str = ""


def read_prepro(folder: Path) -> Prepro:
    """Read the files of a folder, ours or the original's.

    Raises:
        LookwhyError: a file is missing, damaged, incomplete or inconsistent.
    """
    json_path, path = folder / "data_prepro.json", folder / "data_prepro.h5"
    for one in (json_path, path):
        if not one.is_file():
            raise LookwhyError(
                f"expected prepared data, found no file {one}; run {command('prepare')} first "
                f"({command('prepare')} shapes --out data/shapes needs no download)"
            )
    expected = "words and answers numbered from 1, and lists of images (ix_to_word, ix_to_ans, unique_img_*)"
    remedy = f"run {command('prepare')} questions again"
    try:
        names = json.loads(json_path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LookwhyError(
            f"expected JSON, found something else ({error}) in {json_path}; {remedy}"
        ) from error
    names = checked(_Names, names, expected, json_path, remedy)
    try:
        words, answers = _numbered(names["ix_to_word"]), _numbered(names["ix_to_ans"])
    except KeyError as error:
        raise LookwhyError(f"expected {expected}, found no {error} in {json_path}; {remedy}") from error
    files = {split: names[f"unique_img_{split}"] for split in SPLITS}
    limits = {"words": len(words), "answers": len(answers)}
    try:
        with open_hdf5(path) as file:
            train, test = (_read_split(file, path, split, files[split], limits) for split in SPLITS)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise LookwhyError(
            f"expected the datasets of data_prepro.h5, found something else in {path} ({error}); "
            f"run {command('prepare')} again"
        ) from error
    words += [] if words[-1:] == [UNKNOWN] else [UNKNOWN]
    vocabulary = Vocabulary({str(i): word for i, word in enumerate(words, start=1)})
    test_set = names.get("test_set", official_set_of(files["test"]))
    return Prepro(train, test, vocabulary, answers, names.get("image_root") or "", test_set)


def join_annotations(prepro: Prepro, questions: Path, annotations: Path) -> None:
    """Add the texts, types and answers of the validation questions, which the original's own files lack.

    Args:
        prepro: data whose validation split is changed in place.
        questions: official JSON of the validation questions, joined by question id; others are ignored.
        annotations: official JSON of their annotations.

    Raises:
        LookwhyError: a file is of another kind (see `read_official`), or a question is missing.
    """
    asked = {question.question_id: question for question in read_official(questions, annotations)}
    split = prepro.test
    ids = [read_id(one, QUESTION_IDS) for one in split.original_ids]
    missing = [question_id for question_id in ids if question_id not in asked]
    if missing:
        raise LookwhyError(
            f"expected the {len(ids)} validation questions, found {len(missing)} of them missing from "
            f"{questions} (the first is {missing[0]}); give the files of the split that data_prepro.h5 was "
            "made from"
        )
    found = [asked[question_id] for question_id in ids]
    split.questions = [question.text for question in found]
    split.answers10 = [question.answers for question in found]
    split.is_annotated = True
    split.question_types = [question.question_type for question in found]
    split.answer_types = [question.answer_type for question in found]
    answer_ids = {answer: i for i, answer in enumerate(prepro.answers)}
    split.labels = np.array([answer_ids.get(question.answer, -1) for question in found], np.int64)


def _read_split(
    file: h5py.File, path: Path, split: str, image_files: list[str], limits: dict[str, int]
) -> SplitQuestions:
    numbers, texts = read_questions_table(file, split, limits | {"images": len(image_files)}, path)
    rows = len(numbers["tokens"])
    image_pos = numbers["image_pos"] - 1
    labels = numbers.get("labels", np.full(rows, -1))
    choices = numbers.get("choices", np.empty((rows, 0), np.int64))
    return SplitQuestions(
        tokens=numbers["tokens"],
        lengths=numbers["lengths"],
        labels=labels - 1 if split == "train" else labels,
        image_pos=image_pos,
        question_ids=numbers["question_ids"],
        image_ids=numbers["image_ids"] if "image_ids" in numbers else _ids_of_files(image_files)[image_pos],
        image_files=image_files,
        # Open-ended files have this column, too, without any choice in it.
        choices=choices - 1 if choices.any() else np.empty((rows, 0), np.int64),
        read_text=partial(_read_text, path, split, texts),
        is_annotated="answers10" in texts,
    )


def _read_text(path: Path, split: str, shapes: dict[str, tuple[int, ...]], name: str) -> list[Any]:
    if name not in shapes:
        return []
    try:
        with open_hdf5(path) as file:
            found = file[f"{name}_{split}"].asstr()[:]
    except (OSError, KeyError, TypeError) as error:
        raise LookwhyError(
            f"expected the texts {name}_{split}, found none in {path} ({error}); "
            f"run {command('prepare')} again"
        ) from error
    if found.shape != shapes[name]:
        raise LookwhyError(
            f"expected {shapes[name][0]} texts {name}_{split}, found {len(found)} in {path}; the file "
            "has been changed: start again"
        )
    return found.tolist()


def _ids_of_files(image_files: list[str]) -> Int64[np.ndarray, " M"]:
    """COCO id at the end of each file name, else the index of the file; the original's files hold no ids."""
    ends = [re.search(r"(\d+)$", Path(name).stem) for name in image_files]
    return np.array([int(end[1]) if end else i for i, end in enumerate(ends)], np.int64)


def _numbered(values: dict[str, str]) -> list[str]:
    """Values of {"1": .., "2": .., ...} in the order of their numbers."""
    return [values[str(i)] for i in range(1, len(values) + 1)]
