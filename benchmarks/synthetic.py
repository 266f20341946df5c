"""Random data of VQA v1's size, in the files that `data/prepare.py vqa` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from lookwhy.data.prepro_writer import NUM_CHOICES, TEXT

COLUMNS = 26
ROWS_AT_ONCE = 4096
ANSWER_TYPES, QUESTION_TYPES = ("yes/no", "number", "other"), ("what is", "is the", "how many")


@dataclass(frozen=True)
class Size:
    """Counts of a data set."""

    train_images: int
    val_images: int
    train_questions: int
    val_questions: int
    width: int
    words: int
    answers: int


VQA_V1 = Size(82_783, 40_504, 215_375, 121_512, 4096, 12_602, 1000)
"""VQA v1 for the paper's baseline: fc7, and training questions with one of the 1,000 answers."""
TINY = Size(40, 20, 300, 60, 64, 50, 20)


def write_dataset(folder: Path, size: Size, seed: int = 0) -> None:
    """Write data_prepro.h5, data_prepro.json and data_img.h5 into the folder."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    images = {"train": size.train_images, "test": size.val_images}
    with h5py.File(folder / "data_prepro.h5", "w") as file:
        _write_questions(file, "train", size.train_questions, size, random)
        _write_questions(file, "test", size.val_questions, size, random)
    names = {
        "ix_to_word": {str(i): f"word{i}" for i in range(1, size.words + 1)},
        "ix_to_ans": {str(i): f"answer {i}" for i in range(1, size.answers + 1)},
        "unique_img_train": [f"train2014/COCO_train2014_{i:012d}.jpg" for i in range(size.train_images)],
        "unique_img_test": [f"val2014/COCO_val2014_{i:012d}.jpg" for i in range(size.val_images)],
    }
    (folder / "data_prepro.json").write_text(json.dumps(names), encoding="utf-8")
    # Repeat one block: every byte is written, but only some are drawn at random.
    block = np.abs(random.standard_normal((ROWS_AT_ONCE, size.width), np.float32))
    with h5py.File(folder / "data_img.h5", "w") as file:
        for split, count in images.items():
            rows = file.create_dataset(f"images_{split}", (count, size.width), np.float32)
            for start in range(0, count, ROWS_AT_ONCE):
                rows[start : start + ROWS_AT_ONCE] = block[: count - start]


def write_official(folder: Path, size: Size) -> tuple[Path, Path]:
    """Write the official JSON of the validation questions, which the original project's files need."""
    ids = [{"question_id": i, "image_id": i % size.val_images} for i in range(size.val_questions)]
    choices = [f"answer {i}" for i in range(NUM_CHOICES)]
    asked = [one | {"question": "what is doing here?", "multiple_choices": choices} for one in ids]
    answers = [{"answer": "answer 1", "answer_confidence": "yes", "answer_id": i} for i in range(1, 11)]
    known = {"answer_type": "other", "question_type": "what is", "multiple_choice_answer": "answer 1"}
    annotated = [one | known | {"answers": answers} for one in ids]
    files = folder / "questions.json", folder / "annotations.json"
    files[0].write_text(json.dumps({"data_subtype": "val2014", "questions": asked}), encoding="utf-8")
    files[1].write_text(json.dumps({"annotations": annotated}), encoding="utf-8")
    return files


def _write_questions(
    file: h5py.File, split: str, count: int, size: Size, random: np.random.Generator
) -> None:
    images = size.train_images if split == "train" else size.val_images
    # VQA's questions have at least 4 words and 7 on average, with the question mark.
    lengths = np.clip(4 + random.poisson(3, count), 4, COLUMNS).astype(np.uint32)
    tokens = random.integers(1, size.words + 1, (count, COLUMNS), np.uint32)
    tokens[np.arange(COLUMNS) >= lengths[:, None]] = 0
    labels = random.integers(size.answers, size=count)
    position = np.arange(count) % images
    file[f"ques_{split}"], file[f"ques_length_{split}"] = tokens, lengths
    file[f"question_id_{split}"] = np.arange(count, dtype=np.uint32)
    file[f"img_pos_{split}"] = (position + 1).astype(np.uint32)
    file[f"image_id_{split}"] = position.astype(np.int64)
    if split == "train":
        file["answers"] = (labels + 1).astype(np.uint32)
    else:
        file["label_test"] = labels.astype(np.int64)
        file["MC_ans_test"] = random.integers(1, size.answers + 1, (count, NUM_CHOICES), np.uint32)
    texts = {
        "question": [f"what is thing {i} doing here?" for i in range(count)],
        "question_type": [QUESTION_TYPES[i % 3] for i in range(count)],
        "answer_type": [ANSWER_TYPES[i % 3] for i in range(count)],
        "answers10": [[f"answer {label + 1}"] * 7 + ["something else"] * 3 for label in labels],
    }
    for name, values in texts.items():
        file.create_dataset(f"{name}_{split}", data=values, dtype=TEXT)
