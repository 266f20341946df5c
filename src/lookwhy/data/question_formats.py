"""Conversion of question files: VizWiz-VQA, GQA, VQA-CP, OK-VQA, TextVQA and easy-VQA to official VQA JSON.

`lookwhy.data.question_readers` describes the formats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from lookwhy.data.official_writer import write_official
from lookwhy.data.question_readers import (
    Parts,
    read_easy_vqa,
    read_gqa,
    read_ok_vqa,
    read_textvqa,
    read_vizwiz,
    read_vqa_cp,
)
from lookwhy.errors import LookwhyError

_SPLIT = re.compile(r"(?<![a-z])(train|testdev|test|val)")


class QuestionFormat(NamedTuple):
    """A format: the files to give, and their reader, which returns the questions of each split.

    An empty name of a split stands for the one in the name of the first file.
    """

    files: str
    read: Callable[[Sequence[Path]], Parts]


QUESTION_FORMATS = {
    "vizwiz": QuestionFormat("train.json", read_vizwiz),
    "gqa": QuestionFormat("train_balanced_questions.json, one file or several", read_gqa),
    "vqa-cp": QuestionFormat("questions and annotations of v1 or v2", read_vqa_cp),
    "ok-vqa": QuestionFormat("questions and annotations", read_ok_vqa),
    "textvqa": QuestionFormat("TextVQA_0.5.1_train.json", read_textvqa),
    "easy-vqa": QuestionFormat("folder of the package", read_easy_vqa),
}
"""The formats by the names that the command has for them."""


def convert_questions(form: str, sources: Sequence[Path], out: Path, split: str | None = None) -> Parts:
    """Convert the question files of a data set to `questions_<split>.json` and `annotations_<split>.json`.

    Args:
        form: one of `QUESTION_FORMATS`.
        sources: the files of one split, or the folder of easy-VQA.
        out: folder to write to.
        split: name of the split (default: train, val, testdev or test, as the first file's name says, else
            that name).

    Returns:
        The questions of each split that was written.

    Raises:
        LookwhyError: a file cannot be read or has another form; nothing is written then.
    """
    found = QUESTION_FORMATS[form].read(sources)
    parts = {split or name or _split_name(sources[0]): questions for name, questions in found.items()}
    if len(parts) < len(found):
        raise LookwhyError(
            f"expected no name of a split for {form}, which has {len(found)}, found {split}; leave it out"
        )
    write_official(parts, out, [path for path in sources if path.is_file()])
    return parts


def _split_name(path: Path) -> str:
    name = path.name.split(".json")[0]
    return match[1] if (match := _SPLIT.search(name.lower())) else name
