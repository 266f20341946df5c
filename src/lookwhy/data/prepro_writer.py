"""Official JSON -> `data_prepro.h5` and `data_prepro.json`, as in the original (VQA_LSTM_CNN, prepro.py).

Both splits have extra datasets, which the original ignores: `question`, `question_type` and `answer_type`
(N,) and the ten answers `answers10` (N, 10), all UTF-8 strings of any length; and `image_id` (N,) int64. The
validation split also has `label_test` (N,) int64, the 0-based answer or -1. Validation questions cannot be
scored without these datasets. A test set without annotations has only `question` and the ids.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lookwhy.data.official import Question, find_image, read_official
from lookwhy.data.tokens import ORIGINAL_MAX_LENGTH, Vocabulary, tokenize
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path, new_hdf5
from lookwhy.progress import progress

NUM_CHOICES = 18
"""Multiple-choice answers of an official question; a file with more of them keeps them all."""
TEXT = h5py.string_dtype()


@dataclass(frozen=True)
class PreparedCounts:
    """Counts of what was written; `shared` is the number of validation questions that are also trained on."""

    train_kept: int
    train_dropped: int
    val: int
    words: int
    answers: int
    images: int
    shared: int


def prepare_questions(
    train_questions: Path,
    train_annotations: Path,
    val_questions: Path,
    val_annotations: Path | None,
    out: Path,
    *,
    num_answers: int = 1000,
    max_length: int = ORIGINAL_MAX_LENGTH,
    word_count_threshold: int = 0,
    image_root: Path | None = None,
) -> PreparedCounts:
    """Write data_prepro.h5 and data_prepro.json from official JSON.

    The model can give the `num_answers` most frequent training answers (ties in alphabetical order).
    Training questions with another answer are dropped; validation questions are all kept.

    Args:
        train_questions: official JSON.
        train_annotations: official JSON of the training questions.
        val_questions: official JSON; the original's "test" split.
        val_annotations: official JSON of the validation questions; None if they have no public answers.
        out: folder to write to.
        num_answers: number of answers that the model can give.
        max_length: number of words to keep of a question.
        word_count_threshold: a word seen no more often than this in training becomes UNK.
        image_root: folder of the images, written into the JSON; an image may be `.jpg` or `.png`.

    Raises:
        LookwhyError: an input file is wrong (see `read_official`), or lacks the "data_subtype" that image
            paths begin with.
    """
    train = read_official(train_questions, train_annotations)
    val = read_official(val_questions, val_annotations)
    counts = Counter(question.answer for question in train)
    answers = sorted(counts, key=lambda answer: (-counts[answer], answer))[:num_answers]
    answer_ids = {answer: i for i, answer in enumerate(answers)}
    kept = [question for question in train if question.answer in answer_ids]
    words = _tokenized(kept, "train")
    vocabulary = Vocabulary.from_questions(words, word_count_threshold)
    files: dict[str, list[str]] = {}
    stated = str(image_root.absolute()) if image_root else ""
    if image_root and image_root.resolve().is_relative_to(out.resolve()):
        stated = str(image_root.resolve().relative_to(out.resolve()))  # so that the folder can be moved
    # Both files take their names together: if there is no room for one, the other would be half a pair.
    with atomic_path(out / "data_prepro.json") as names, atomic_path(out / "data_prepro.h5") as partial:
        with new_hdf5(partial) as file:
            tokenized = {"train": words, "test": _tokenized(val, "validation")}
            for split, questions in (("train", kept), ("test", val)):
                ids = [vocabulary.encode(question) for question in tokenized[split]]
                files[split] = _write_split(file, split, questions, ids, image_root, answer_ids, max_length)
        content = {
            "ix_to_word": vocabulary.ix_to_word(),
            "ix_to_ans": {str(i): answer for i, answer in enumerate(answers, start=1)},
            "unique_img_train": files["train"],
            "unique_img_test": files["test"],
            "split_names": ["train", "test"],
            "image_root": stated,
        }
        names.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    shared = {question.question_id for question in kept} & {question.question_id for question in val}
    dropped, images = len(train) - len(kept), len(files["train"]) + len(files["test"])
    return PreparedCounts(len(kept), dropped, len(val), len(vocabulary), len(answers), images, len(shared))


def _tokenized(questions: list[Question], split: str) -> list[list[str]]:
    bar = progress(questions, f"reading {split} questions", unit="question")
    return [tokenize(question.text) for question in bar]


def _image_files(questions: list[Question], image_root: Path | None) -> list[str]:
    """The image file of each question; the folder is searched once for each image."""
    if image_root is not None and not all(question.subtype for question in questions):
        raise LookwhyError(
            'expected a "data_subtype" that names the folder of the images, found none in the file of '
            f"question {questions[0].question_id}; give the official questions file"
        )
    images = dict.fromkeys((q.subtype, q.image_id) for q in questions)
    found = {image: find_image(image_root, *image) for image in images}
    return [found[q.subtype, q.image_id] for q in questions]


def _write_split(
    file: h5py.File,
    split: str,
    questions: list[Question],
    ids: list[list[int]],
    image_root: Path | None,
    answer_ids: dict[str, int],
    max_length: int,
) -> list[str]:
    """Write the datasets of one split; returns its image files in the order of the features."""
    count = len(questions)
    tokens = np.zeros((count, max_length), np.uint32)
    for row, words in enumerate(ids):
        tokens[row, : len(words)] = words[:max_length]
    names = _image_files(questions, image_root)
    position = {name: i for i, name in enumerate(dict.fromkeys(names), start=1)}
    file[f"ques_{split}"] = tokens
    file[f"ques_length_{split}"] = np.count_nonzero(tokens, axis=1).astype(np.uint32)
    file[f"question_id_{split}"] = np.array([q.question_id for q in questions], np.uint32)
    file[f"img_pos_{split}"] = np.array([position[name] for name in names], np.uint32)
    labels = np.array([answer_ids.get(q.answer, -1) for q in questions], np.int64)
    if split == "train":
        file["answers"] = (labels + 1).astype(np.uint32)
    else:
        width = max(NUM_CHOICES, *(len(question.choices) for question in questions))
        choices = np.zeros((count, width), np.uint32)
        for row, question in enumerate(questions):
            choices[row, : len(question.choices)] = [answer_ids.get(one, -1) + 1 for one in question.choices]
        file["MC_ans_test"] = choices
        file["label_test"] = labels
    # The original does not have the following datasets.
    file[f"image_id_{split}"] = np.array([q.image_id for q in questions], np.int64)
    texts: dict[str, list[Any]] = {"question": [q.text for q in questions]}
    if all(q.answers for q in questions):
        texts["question_type"] = [q.question_type for q in questions]
        texts["answer_type"] = [q.answer_type for q in questions]
        texts["answers10"] = [q.answers for q in questions]
    for name, column in texts.items():
        file.create_dataset(f"{name}_{split}", data=column, dtype=TEXT)
    return list(position)
