"""Official JSON -> `data_prepro.h5` and `data_prepro.json`, as in the original (VQA_LSTM_CNN, prepro.py).

Both splits have extra datasets, which the original ignores: `question`, `question_type` and `answer_type`
(N,) and the ten answers `answers10` (N, 10), all UTF-8 strings of any length; and `image_id` (N,) int64. The
validation split also has `label_test` (N,) int64, the 0-based answer or -1. Validation questions cannot be
scored without these datasets. A test set without annotations has only `question` and the ids.

An id that is text gets a number. Then `question_id_text` and `image_id_text` (N,) hold the texts, empty where
the file has a number.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lookwhy.data.entries import Id
from lookwhy.data.image_files import check_images, find_image, is_file, official_set, official_set_of
from lookwhy.data.official import Question, read_all
from lookwhy.data.tokens import ORIGINAL_MAX_LENGTH, Vocabulary, tokenize
from lookwhy.errors import LookwhyError
from lookwhy.files import atomic_path
from lookwhy.hdf5 import new_hdf5
from lookwhy.progress import progress

NUM_CHOICES = 18
"""Multiple-choice answers of an official question; a file with more of them keeps them all."""
TEXT = h5py.string_dtype()
SPLIT_NAMES = {"train": "train", "test": "validation"}
"""Names that a user has for the splits of the original."""


@dataclass(frozen=True)
class PreparedCounts:
    """Counts of what was written.

    Attributes:
        shared: number of validation questions that are also trained on.
        missing: image files that are not there (yet).
    """

    train_kept: int
    train_dropped: int
    val: int
    words: int
    answers: int
    images: int
    shared: int
    missing: list[str] = field(default_factory=list)


Paths = Path | Sequence[Path]


def prepare_questions(
    train_questions: Paths,
    train_annotations: Paths,
    val_questions: Paths,
    val_annotations: Paths | None,
    out: Path,
    *,
    num_answers: int = 1000,
    max_length: int = ORIGINAL_MAX_LENGTH,
    word_count_threshold: int = 0,
    image_root: Path | None = None,
    with_images: bool = False,
) -> PreparedCounts:
    """Write data_prepro.h5 and data_prepro.json from official JSON.

    The model can give the `num_answers` most frequent training answers (ties in alphabetical order).
    Training questions with another answer are dropped; validation questions are all kept.

    Args:
        train_questions: official JSON, one file or several.
        train_annotations: official JSON of the training questions, a file for each file of questions.
        val_questions: official JSON, one file or several; the original's "test" split.
        val_annotations: official JSON of the validation questions; None if they have no public answers.
        out: folder to write to.
        num_answers: number of answers that the model can give.
        max_length: number of words to keep of a question.
        word_count_threshold: a word seen no more often than this in training becomes UNK.
        image_root: folder of the images, written into the JSON; an image may be `.jpg` or `.png`.
        with_images: whether to refuse questions whose image is not there.

    Raises:
        LookwhyError: an input file is wrong (see `read_official`), the image of a question cannot be known,
            or is not there.
    """
    paths = {"train": _listed(train_questions), "test": _listed(val_questions)}
    train = read_all(paths["train"], _listed(train_annotations))
    val = read_all(paths["test"], _listed(val_annotations or ()))
    counts = Counter(question.answer for question in train)
    answers = sorted(counts, key=lambda answer: (-counts[answer], answer))[:num_answers]
    answer_ids = {answer: i for i, answer in enumerate(answers)}
    splits = {"train": [question for question in train if question.answer in answer_ids], "test": val}
    images = {split: _image_files(questions, image_root, paths[split]) for split, questions in splits.items()}
    files = {split: list(dict.fromkeys(names)) for split, names in images.items()}
    if image_root and with_images:
        check_images(image_root, files)
    words = {split: _tokenized(questions, split) for split, questions in splits.items()}
    vocabulary = Vocabulary.from_questions(words["train"], word_count_threshold)
    everything = [*train, *val]
    numbers = _numbers(q.question_id for q in everything), _numbers(q.image_id for q in everything)
    content = {
        "ix_to_word": vocabulary.ix_to_word(),
        "ix_to_ans": {str(i): answer for i, answer in enumerate(answers, start=1)},
        "unique_img_train": files["train"],
        "unique_img_test": files["test"],
        "split_names": ["train", "test"],
        "image_root": _stated(image_root, out),
    }
    known = {official_set(question.data_type, question.subtype) for question in val}
    if len(known) == 1 and known != {official_set_of(files["test"])}:
        content["test_set"] = known.pop()  # of test-dev2015, whose images are named after test2015
    # Both files take their names together, so that a full disk leaves no half of a pair.
    with (
        atomic_path(out / "data_prepro.json") as partial_json,
        atomic_path(out / "data_prepro.h5") as partial,
    ):
        with new_hdf5(partial) as file:
            for split, questions in splits.items():
                ids = [vocabulary.encode(question) for question in words[split]]
                _write_split(file, split, questions, ids, images[split], answer_ids, max_length, *numbers)
        partial_json.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    unique = dict.fromkeys(files["train"] + files["test"])
    return PreparedCounts(
        train_kept=len(splits["train"]),
        train_dropped=len(train) - len(splits["train"]),
        val=len(val),
        words=len(vocabulary),
        answers=len(answers),
        images=len(files["train"]) + len(files["test"]),
        shared=len({q.question_id for q in splits["train"]} & {q.question_id for q in val}),
        missing=[name for name in unique if not is_file(image_root / name)] if image_root else [],
    )


def _stated(image_root: Path | None, out: Path) -> str:
    """The folder of the images for data_prepro.json: relative if it lies in `out`, which may be moved."""
    if image_root is None:
        return ""
    is_inside = image_root.resolve().is_relative_to(out.resolve())
    return str(image_root.resolve().relative_to(out.resolve()) if is_inside else image_root.absolute())


def _listed(paths: Paths) -> Sequence[Path]:
    return [paths] if isinstance(paths, Path) else paths


def _numbers(ids: Iterable[Id]) -> dict[Id, int]:
    """The number of each id: its own, or for a text the next one from 1 on that no other id has."""
    unique = dict.fromkeys(ids)
    free = (number for number in count(1) if number not in unique)
    return {one: one if isinstance(one, int) else next(free) for one in unique}


def _tokenized(questions: list[Question], split: str) -> list[list[str]]:
    bar = progress(questions, f"reading {SPLIT_NAMES[split]} questions", unit="question")
    known: dict[str, list[str]] = {}  # many people ask the same question
    return [known.get(q.text) or known.setdefault(q.text, tokenize(q.text)) for q in bar]


def _image_files(questions: list[Question], image_root: Path | None, paths: Sequence[Path]) -> list[str]:
    """The image file of each question; the folder is searched once for each image."""
    found: dict[tuple[Any, ...], str] = {}
    for q in questions:
        image = q.subtype, q.image_id, q.data_type, q.file
        if image in found:
            continue
        if image_root is not None and not (q.subtype or q.file or q.image_id_text):
            raise LookwhyError(
                'expected a "data_subtype" (or "coco_split") that names the folder of the images, or an '
                f'"image" in every entry, found neither for question {q.question_id} in '
                f"{', '.join(map(str, paths))}; add to the file or its entries what is true of them, such as "
                '"data_subtype": "train2014"'
            )
        found[image] = find_image(image_root, *image)
    return [found[q.subtype, q.image_id, q.data_type, q.file] for q in questions]


def _write_split(
    file: h5py.File,
    split: str,
    questions: list[Question],
    ids: list[list[int]],
    images: list[str],
    answer_ids: dict[str, int],
    max_length: int,
    numbers: dict[Id, int],
    image_numbers: dict[Id, int],
) -> None:
    """Write the datasets of one split; `images` holds the image file of each question."""
    tokens = np.zeros((len(questions), max_length), np.uint32)
    for row, words in enumerate(ids):
        tokens[row, : len(words)] = words[:max_length]
    position = {name: i for i, name in enumerate(dict.fromkeys(images), start=1)}
    file[f"ques_{split}"] = tokens
    file[f"ques_length_{split}"] = np.count_nonzero(tokens, axis=1).astype(np.uint32)
    file[f"question_id_{split}"] = np.array([numbers[q.question_id] for q in questions], np.uint32)
    file[f"img_pos_{split}"] = np.array([position[name] for name in images], np.uint32)
    labels = np.array([answer_ids.get(q.answer, -1) for q in questions], np.int64)
    if split == "train":
        file["answers"] = (labels + 1).astype(np.uint32)
    else:
        width = max(NUM_CHOICES, *(len(question.choices) for question in questions))
        choices = np.zeros((len(questions), width), np.uint32)
        for row, question in enumerate(questions):
            choices[row, : len(question.choices)] = [answer_ids.get(one, -1) + 1 for one in question.choices]
        file["MC_ans_test"] = choices
        file["label_test"] = labels
    # The original does not have the following datasets.
    file[f"image_id_{split}"] = np.array([image_numbers[q.image_id] for q in questions], np.int64)
    texts: dict[str, list[Any]] = {"question": [q.text for q in questions]}
    if all(q.answers for q in questions):
        texts["question_type"] = [q.question_type for q in questions]
        texts["answer_type"] = [q.answer_type for q in questions]
        texts["answers10"] = [q.answers for q in questions]
    own = {"question_id_text": [q.id_text for q in questions]}
    own["image_id_text"] = [q.image_id_text for q in questions]
    texts |= {name: column for name, column in own.items() if any(column)}
    for name, column in texts.items():
        file.create_dataset(f"{name}_{split}", data=column, dtype=TEXT)
