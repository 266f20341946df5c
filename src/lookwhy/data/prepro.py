"""`data_prepro.h5` and `data_prepro.json`: the original's training files, written and read.

Names, dtypes and 1-based ids are the original's, so its files can be read unmodified and ours can be
read by its descendants. What it does not have stands in extra datasets that it ignores: the questions'
text, types and ten answers, without which validation questions cannot be scored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int64

from lookwhy.data.files import atomic_path
from lookwhy.data.official import Question, find_image, read_official
from lookwhy.data.tokens import UNKNOWN, Vocabulary, tokenize
from lookwhy.types import LookwhyError

NUM_CHOICES = 18
TEXT = h5py.string_dtype()


@dataclass
class SplitQuestions:
    """One split as arrays.

    Attributes:
        tokens: 1-based word ids, left-aligned, 0 pads.
        lengths: words of each question.
        labels: 0-based answer ids, -1 where the answer is not among them or not known.
        image_pos: 0-based row into the features and into `image_files`.
        question_ids: the data set's own.
        image_ids: the data set's own.
        image_files: paths under the image folder, one a row of the features.
        questions: text of each question; this and the next are empty in the original's own files.
        answers10: the annotators' answers to each question.
        question_types: as annotated.
        answer_types: "yes/no", "number" or "other".
    """

    tokens: Int64[np.ndarray, "N T"]
    lengths: Int64[np.ndarray, " N"]
    labels: Int64[np.ndarray, " N"]
    image_pos: Int64[np.ndarray, " N"]
    question_ids: Int64[np.ndarray, " N"]
    image_ids: Int64[np.ndarray, " N"]
    image_files: list[str]
    questions: list[str] = field(default_factory=list)
    answers10: list[list[str]] = field(default_factory=list)
    question_types: list[str] = field(default_factory=list)
    answer_types: list[str] = field(default_factory=list)


@dataclass
class Prepro:
    """Both splits, the words and the answers. The original calls its second split "test"."""

    train: SplitQuestions
    test: SplitQuestions
    vocabulary: Vocabulary
    answers: list[str]
    image_root: str


@dataclass(frozen=True)
class Prepared:
    """Counts of what `prepare_questions` wrote."""

    train_kept: int
    train_dropped: int
    val: int
    words: int
    answers: int
    images: int


def prepare_questions(
    train_questions: Path,
    train_annotations: Path,
    val_questions: Path,
    val_annotations: Path | None,
    out: Path,
    *,
    num_answers: int = 1000,
    max_length: int = 26,
    word_count_threshold: int = 0,
    image_root: Path | None = None,
) -> Prepared:
    """Official JSON -> data_prepro.h5 and data_prepro.json.

    The `num_answers` most frequent training answers (ties in alphabetical order) are what the model can
    say; training questions with another answer are dropped, validation questions are all kept.

    Raises:
        LookwhyError: wrong input files (see `read_official`).
    """
    train = read_official(train_questions, train_annotations)
    val = read_official(val_questions, val_annotations)
    counts = Counter(question.answer for question in train)
    answers = sorted(counts, key=lambda answer: (-counts[answer], answer))[:num_answers]
    answer_ids = {answer: i for i, answer in enumerate(answers)}
    kept = [question for question in train if question.answer in answer_ids]
    words = [tokenize(question.text) for question in kept]
    vocabulary = Vocabulary.from_questions(words, word_count_threshold)
    files: dict[str, list[str]] = {}
    with atomic_path(out / "data_prepro.h5") as partial, h5py.File(partial, "w") as file:
        for split, questions, tokenized in (
            ("train", kept, words),
            ("test", val, [tokenize(question.text) for question in val]),
        ):
            names = [find_image(image_root, q.subtype, q.image_id) for q in questions]
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
    )


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
        choices = np.zeros((count, NUM_CHOICES), np.uint32)
        for row, question in enumerate(questions):
            found = [answer_ids.get(choice, -1) + 1 for choice in question.choices[:NUM_CHOICES]]
            choices[row, : len(found)] = found
        file["MC_ans_test"] = choices
        file["label_test"] = labels
    # From here on what the original does not have.
    file[f"image_id_{split}"] = np.array([q.image_id for q in questions], np.int64)
    file.create_dataset(f"question_{split}", data=[q.text for q in questions], dtype=TEXT)
    if all(q.answers for q in questions):
        file.create_dataset(f"question_type_{split}", data=[q.question_type for q in questions], dtype=TEXT)
        file.create_dataset(f"answer_type_{split}", data=[q.answer_type for q in questions], dtype=TEXT)
        packed = [json.dumps(q.answers, ensure_ascii=False) for q in questions]
        file.create_dataset(f"answers10_{split}", data=packed, dtype=TEXT)


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
        "image_root": str(image_root.resolve()) if image_root else "",
    }
    with atomic_path(out / "data_prepro.json") as partial:
        partial.write_text(json.dumps(content, ensure_ascii=False))


def read_prepro(folder: Path) -> Prepro:
    """Read the files of a folder, ours or the original's.

    Raises:
        LookwhyError: a file is missing, damaged or lacks something.
    """
    names = _read_json(folder / "data_prepro.json")
    path = folder / "data_prepro.h5"
    try:
        with h5py.File(path) as file:
            splits = {
                split: _read_split(file, split, list(names[f"unique_img_{split}"]))
                for split in ("train", "test")
            }
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, KeyError) as error:
        raise LookwhyError(
            f"expected the datasets of data_prepro.h5, found {error} in {path}; run data/prepare.py again"
        ) from error
    words = {str(key): str(word) for key, word in names["ix_to_word"].items()}
    if str(len(words)) not in words or words[str(len(words))] != UNKNOWN:
        words[str(len(words) + 1)] = UNKNOWN
    answers = [str(names["ix_to_ans"][str(i)]) for i in range(1, len(names["ix_to_ans"]) + 1)]
    return Prepro(
        splits["train"], splits["test"], Vocabulary(words), answers, str(names.get("image_root", ""))
    )


def _read_split(file: h5py.File, split: str, image_files: list[str]) -> SplitQuestions:
    question_ids = file[f"question_id_{split}"][:].astype(np.int64).ravel()
    image_pos = file[f"img_pos_{split}"][:].astype(np.int64).ravel() - 1
    if split == "train":
        labels = file["answers"][:].astype(np.int64).ravel() - 1
    elif "label_test" in file:
        labels = file["label_test"][:].astype(np.int64)
    else:
        labels = np.full(len(question_ids), -1, np.int64)
    if f"image_id_{split}" in file:
        image_ids = file[f"image_id_{split}"][:].astype(np.int64)
    else:
        # The original names images by path alone: the digits at its end are the COCO id.
        numbers = np.array([int(Path(name).stem.rsplit("_", 1)[-1]) for name in image_files], np.int64)
        image_ids = numbers[image_pos]

    def text(name: str, convert: Callable[[str], Any] = str) -> list[Any]:
        key = f"{name}_{split}"
        return [convert(one) for one in file[key].asstr()[:]] if key in file else []

    return SplitQuestions(
        tokens=file[f"ques_{split}"][:].astype(np.int64),
        lengths=file[f"ques_length_{split}"][:].astype(np.int64).ravel(),
        labels=labels,
        image_pos=image_pos,
        question_ids=question_ids,
        image_ids=image_ids,
        image_files=image_files,
        questions=text("question"),
        answers10=text("answers10", json.loads),
        question_types=text("question_type"),
        answer_types=text("answer_type"),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        missing = {"ix_to_word", "ix_to_ans", "unique_img_train", "unique_img_test"} - set(content)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, ValueError, TypeError) as error:
        raise LookwhyError(
            f"expected JSON, found something else in {path} ({error}); run data/prepare.py again"
        ) from error
    if missing:
        raise LookwhyError(
            f"expected the keys of data_prepro.json, found no {sorted(missing)} in {path}; "
            "run data/prepare.py questions again"
        )
    return content


def _missing(path: Path) -> LookwhyError:
    return LookwhyError(
        f"expected prepared data, found no file {path}; run data/prepare.py first "
        "(python data/prepare.py shapes --out data/shapes needs no download)"
    )
