"""Official JSON -> `data_prepro.h5` and `data_prepro.json`, in the original's format.

What the original does not have stands in extra datasets that it ignores, for either split: `question`,
`question_type` and `answer_type` (N,), the ten answers `answers10` (N, 10), all as UTF-8 strings of any
length, `image_id` (N,) int64; and `label_test` (N,) int64, the 0-based answer or -1. Without them
validation questions cannot be scored. A test set without annotations has only the first and the ids.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from lookwhy.data.official import Question, find_image, read_official
from lookwhy.data.tokens import ORIGINAL_MAX_LENGTH, Vocabulary, tokenize
from lookwhy.files import atomic_path
from lookwhy.types import LookwhyError

NUM_CHOICES = 18
"""Multiple-choice answers of an official question; a file with more of them keeps them all."""
TEXT = h5py.string_dtype()


@dataclass(frozen=True)
class Prepared:
    """Counts of what `prepare_questions` wrote."""

    train_kept: int
    train_dropped: int
    val: int
    words: int
    answers: int
    images: int
    shared: int
    """Validation questions that are trained on as well, by their ids."""


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
    progress: bool = True,
) -> Prepared:
    """Official JSON -> data_prepro.h5 and data_prepro.json.

    The `num_answers` most frequent training answers (ties in alphabetical order) are what the model can
    say; training questions with another answer are dropped, validation questions are all kept.

    Args:
        train_questions: official JSON, as the next three.
        train_annotations: of the training questions.
        val_questions: the original's "test" split.
        val_annotations: of the validation questions; None for a test set without public answers.
        out: folder to write to.
        num_answers: answers the model can give.
        max_length: words of a question that are kept.
        word_count_threshold: a word seen no more often than this in training becomes UNK.
        image_root: folder of the images, stated in the JSON; looked into for `.png` files.
        progress: show a bar where stderr is a terminal.

    Raises:
        LookwhyError: wrong input files (see `read_official`), or images that cannot be named.
    """
    train = read_official(train_questions, train_annotations)
    val = read_official(val_questions, val_annotations)
    counts = Counter(question.answer for question in train)
    answers = sorted(counts, key=lambda answer: (-counts[answer], answer))[:num_answers]
    answer_ids = {answer: i for i, answer in enumerate(answers)}
    kept = [question for question in train if question.answer in answer_ids]
    words = _tokenized(kept, "train", progress)
    vocabulary = Vocabulary.from_questions(words, word_count_threshold)
    files: dict[str, list[str]] = {}
    with atomic_path(out / "data_prepro.h5") as partial, h5py.File(partial, "w") as file:
        for split, questions, tokenized in (
            ("train", kept, words),
            ("test", val, _tokenized(val, "validation", progress)),
        ):
            names = _image_files(questions, image_root)
            files[split] = list(dict.fromkeys(names))
            ids = [vocabulary.encode(question) for question in tokenized]
            _write_split(file, split, questions, ids, names, files[split], answer_ids, max_length)
    _write_json(out, vocabulary, answers, files, image_root)
    return Prepared(
        len(kept),
        len(train) - len(kept),
        len(val),
        len(vocabulary),
        len(answers),
        sum(map(len, files.values())),
        len({question.question_id for question in kept} & {question.question_id for question in val}),
    )


def _tokenized(questions: list[Question], split: str, progress: bool) -> list[list[str]]:
    hidden = None if progress else True
    bar = tqdm(questions, f"reading {split} questions", unit="question", disable=hidden)
    return [tokenize(question.text) for question in bar]


def _image_files(questions: list[Question], image_root: Path | None) -> list[str]:
    """The image file of each question; the folder is looked into once an image."""
    if image_root is not None and not all(question.subtype for question in questions):
        raise LookwhyError(
            'expected a "data_subtype" that names the folder of the images, found none in the file of '
            f"question {questions[0].question_id}; give the official questions file"
        )
    found = {(q.subtype, q.image_id): "" for q in questions}
    for subtype, image_id in found:
        found[subtype, image_id] = find_image(image_root, subtype, image_id)
    return [found[q.subtype, q.image_id] for q in questions]


def _write_split(
    file: h5py.File,
    split: str,
    questions: list[Question],
    ids: list[list[int]],
    names: list[str],
    files: list[str],
    answer_ids: dict[str, int],
    max_length: int,
) -> None:
    count = len(questions)
    tokens, lengths = np.zeros((count, max_length), np.uint32), np.zeros(count, np.uint32)
    for row, words in enumerate(ids):
        lengths[row] = min(len(words), max_length)
        tokens[row, : lengths[row]] = words[:max_length]
    position = {name: i for i, name in enumerate(files, start=1)}
    file[f"ques_{split}"] = tokens
    file[f"ques_length_{split}"] = lengths
    file[f"question_id_{split}"] = np.array([q.question_id for q in questions], np.uint32)
    file[f"img_pos_{split}"] = np.array([position[name] for name in names], np.uint32)
    labels = np.array([answer_ids.get(q.answer, -1) for q in questions], np.int64)
    if split == "train":
        file["answers"] = (labels + 1).astype(np.uint32)
    else:
        width = max(NUM_CHOICES, *(len(question.choices) for question in questions))
        choices = np.zeros((count, width), np.uint32)
        for row, question in enumerate(questions):
            found = [answer_ids.get(choice, -1) + 1 for choice in question.choices]
            choices[row, : len(found)] = found
        file["MC_ans_test"] = choices
        file["label_test"] = labels
    # From here on what the original does not have.
    file[f"image_id_{split}"] = np.array([q.image_id for q in questions], np.int64)
    file.create_dataset(f"question_{split}", data=[q.text for q in questions], dtype=TEXT)
    if all(q.answers for q in questions):
        file.create_dataset(f"question_type_{split}", data=[q.question_type for q in questions], dtype=TEXT)
        file.create_dataset(f"answer_type_{split}", data=[q.answer_type for q in questions], dtype=TEXT)
        file.create_dataset(f"answers10_{split}", data=[q.answers for q in questions], dtype=TEXT)


def _stated(image_root: Path | None, out: Path) -> str:
    """Images that lie beside the files are named relative to them, so that both can be moved together."""
    if image_root is None:
        return ""
    root, folder = image_root.resolve(), out.resolve()
    return str(root.relative_to(folder) if root.is_relative_to(folder) else root)


def _write_json(
    out: Path,
    vocabulary: Vocabulary,
    answers: Sequence[str],
    files: dict[str, list[str]],
    image_root: Path | None,
) -> None:
    content = {
        "ix_to_word": vocabulary.ix_to_word(),
        "ix_to_ans": {str(i): answer for i, answer in enumerate(answers, start=1)},
        "unique_img_train": files["train"],
        "unique_img_test": files["test"],
        "split_names": ["train", "test"],
        "image_root": _stated(image_root, out),
    }
    with atomic_path(out / "data_prepro.json") as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
