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
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int64

from lookwhy.data.official import read_official
from lookwhy.data.tokens import UNKNOWN, Vocabulary
from lookwhy.errors import LookwhyError, command
from lookwhy.hdf5 import open_hdf5

SPLITS = ("train", "test")
TEXTS = ("question", "answers10", "question_type", "answer_type")


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


@dataclass
class Prepro:
    """Both splits, the words and the answers. The original calls the validation split "test"."""

    train: SplitQuestions
    test: SplitQuestions
    vocabulary: Vocabulary
    answers: list[str]
    image_root: str


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
    try:
        names = json.loads(json_path.read_text(encoding="utf-8"))
        words, answers = _numbered(names["ix_to_word"]), _numbered(names["ix_to_ans"])
        image_files = {split: names[f"unique_img_{split}"] for split in SPLITS}
    except (OSError, KeyError, ValueError, TypeError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else f"something else ({error})"
        raise LookwhyError(
            "expected JSON with words and answers numbered from 1, and images (ix_to_word, ix_to_ans, "
            f"unique_img_*), found {found} in {json_path}; run {command('prepare')} questions again"
        ) from error
    try:
        there = ""
        with open_hdf5(path) as file:
            there = ", ".join(file)
            train, test = (_read_split(file, path, split, image_files[split]) for split in SPLITS)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error)
        if isinstance(error, KeyError):  # it names the missing dataset
            reason = f"{error.args[0]}; the file has {there}"
        raise LookwhyError(
            f"expected the datasets of data_prepro.h5, found something else in {path} ({reason}); "
            f"run {command('prepare')} again"
        ) from error
    for split, questions in (("train", train), ("test", test)):
        _check_questions(questions, split, len(words), len(answers), path)
    words += [] if words[-1:] == [UNKNOWN] else [UNKNOWN]
    vocabulary = Vocabulary({str(i): word for i, word in enumerate(words, start=1)})
    return Prepro(train, test, vocabulary, answers, str(names.get("image_root", "")))


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
    ids = split.question_ids.tolist()
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


def _read_split(file: h5py.File, path: Path, split: str, image_files: list[str]) -> SplitQuestions:
    def numbers(name: str) -> Int64[np.ndarray, "N *T"]:
        found = file[name][:]
        if found.dtype.kind not in "iu" and not (found == np.rint(found)).all():
            raise ValueError(f"{name} holds numbers that are not whole")
        return found.astype(np.int64)

    image_pos = numbers(f"img_pos_{split}").ravel() - 1
    rows = len(image_pos)
    count = len(image_files)
    if rows and not 0 <= image_pos.min() <= image_pos.max() < count:
        raise ValueError(f"img_pos_{split} points outside the {count} images of unique_img_{split}")
    if split == "train":
        labels = numbers("answers").ravel() - 1
    else:
        labels = numbers("label_test") if "label_test" in file else np.full(rows, -1)
    choices = numbers(f"MC_ans_{split}") - 1 if f"MC_ans_{split}" in file else np.empty((rows, 0), np.int64)
    ids = f"image_id_{split}"
    columns: dict[str, Any] = {
        "tokens": numbers(f"ques_{split}"),
        "lengths": numbers(f"ques_length_{split}").ravel(),
        "labels": labels,
        "image_pos": image_pos,
        "question_ids": numbers(f"question_id_{split}").ravel(),
        "image_ids": numbers(ids) if ids in file else _ids_of_files(image_files)[image_pos],
        # Open-ended files have this column, too, without any choice in it.
        "choices": choices if (choices >= 0).any() else np.empty((rows, 0), np.int64),
    }
    if columns["tokens"].ndim != 2:
        raise ValueError(f"ques_{split} is no table with a row a question and a column a word")
    shapes = {name: column.shape for name, column in columns.items()}
    texts = {name: file[f"{name}_{split}"].shape for name in TEXTS if f"{name}_{split}" in file}
    for name, shape in (shapes | texts).items():
        if shape[:1] != (rows,):
            raise ValueError(f"{shape[0] if shape else 0} {name} of {rows} questions in split {split}")
    if len(texts.get("answers10", (rows, 10))) != 2:
        raise ValueError(f"answers10_{split} without a column for each annotator")
    return SplitQuestions(
        image_files=image_files,
        read_text=partial(_read_text, path, split, texts),
        is_annotated="answers10" in texts,
        **columns,
    )


def _check_questions(found: SplitQuestions, split: str, words: int, answers: int, path: Path) -> None:
    """Refuse what a file of another project may hold, and what training would take without a word."""
    tokens, lengths, rows = found.tokens, found.lengths, len(found.lengths)
    if split == "train" and not rows:
        raise LookwhyError(f"expected questions to train on, found none in {path}; prepare others")
    columns, labelled = tokens.shape[1], found.labels if split == "train" else found.labels[:0]
    wrong = {
        f"ques_length_{split} from 1 to {columns}": (lengths < 1) | (lengths > columns),
        f"word ids from 0 to {words} in ques_{split}": ((tokens < 0) | (tokens > words)).any(1),
        f"ques_{split} left-aligned, 0 only after ques_length_{split} words": (
            ((tokens > 0) != (np.arange(columns) < lengths[:, None])).any(1)
        ),
        f"answers from 1 to {answers}": (labelled < 0) | (labelled >= answers),
    }
    for expected, is_wrong in wrong.items():
        if is_wrong.any():
            row = int(is_wrong.argmax())
            raise LookwhyError(
                f"expected {expected}, found {is_wrong.sum():,} of {rows:,} questions otherwise in {path} "
                f"(the first: question {found.question_ids[row]}, length {lengths[row]}, words "
                f"{tokens[row].tolist()}, answer {found.labels[row] + 1}); correct the file"
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
    return [str(values[str(i)]) for i in range(1, len(values) + 1)]
