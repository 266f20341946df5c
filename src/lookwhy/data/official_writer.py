"""Questions and annotations written as official VQA JSON, the format that `read_official` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lookwhy.data.official import Question
from lookwhy.errors import LookwhyError, option
from lookwhy.files import atomic_path, make_folder, writing


def write_official(parts: Mapping[str, Sequence[Question]], out: Path, sources: Sequence[Path]) -> None:
    """Write `questions_<part>.json` and `annotations_<part>.json` of each part, all of them or none.

    A part without answers, such as a test set, has no file of annotations. An entry names its image by
    `image` if the data set gives the file a name of its own, and always has `image_id`.

    Args:
        parts: questions of each part, such as "train" and "val".
        out: folder to write to; it is made only after the checks.
        sources: files that were read; they are not overwritten.

    Raises:
        LookwhyError: a part is empty, an id is repeated, only some questions have answers, the images are of
            several kinds (`data_type`), or a file would replace a source.
    """
    contents: dict[Path, dict[str, Any]] = {}
    for part, questions in parts.items():
        where = ", ".join(map(str, sources))
        _check(questions, where)
        contents[out / f"questions_{part}.json"] = _questions(questions)
        if questions[0].answers:
            contents[out / f"annotations_{part}.json"] = _annotations(questions)
    given = {source.resolve() for source in sources}
    if again := [path for path in contents if path.resolve() in given]:
        raise LookwhyError(f"expected a new file, found the source {again[0]}; give another {option('out')}")
    make_folder(out)
    # All files take their names together, so that an interruption leaves no half of a pair.
    with ExitStack() as files, writing("files that can be written", out):
        for path, content in contents.items():
            partial = files.enter_context(atomic_path(path))
            partial.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _check(questions: Sequence[Question], where: str) -> None:
    if not questions:
        raise LookwhyError(f"expected questions, found none in {where}; give a file that has some")
    seen: set[int | str] = set()
    for one in questions:
        if one.question_id in seen:
            raise LookwhyError(
                f"expected each question id once, found {one.question_id} again in {where}; leave one of the "
                "files out, or remove the repetition"
            )
        seen.add(one.question_id)
        if bool(one.answers) != bool(questions[0].answers):
            bare = one if not one.answers else questions[0]
            raise LookwhyError(
                f"expected answers to all questions or to none, found none to question {bare.question_id} in "
                f"{where}; convert the two kinds apart"
            )
    if len(kinds := sorted({one.data_type for one in questions})) > 1:
        raise LookwhyError(
            f"expected images of one data_type, found {kinds[0]!r} and {kinds[1]!r} in {where}; give the "
            "files of one of them"
        )


def _questions(questions: Sequence[Question]) -> dict[str, Any]:
    entries = []
    for one in questions:
        entry: dict[str, Any] = {**_ids(one), "question": one.text}
        entry |= {"image": one.file} if one.file else {}
        entry |= {"data_subtype": one.subtype} if one.subtype else {}
        entry |= {"multiple_choices": one.choices} if one.choices else {}
        entries.append(entry)
    return _head(questions) | {"questions": entries}


def _annotations(questions: Sequence[Question]) -> dict[str, Any]:
    entries = [
        _ids(one)
        | {
            "question_type": one.question_type,
            "answer_type": one.answer_type,
            "multiple_choice_answer": one.answer,
            "answers": [{"answer_id": i, "answer": text} for i, text in enumerate(one.answers, start=1)],
        }
        for one in questions
    ]
    return _head(questions) | {"annotations": entries}


def _head(questions: Sequence[Question]) -> dict[str, Any]:
    """Keys of the file: the common `data_type` and `data_subtype`, where there are such."""
    subtypes = {one.subtype for one in questions}
    head = {"data_type": questions[0].data_type}
    head |= {"data_subtype": subtypes.pop()} if len(subtypes) == 1 else {}
    return {key: value for key, value in head.items() if value}


def _ids(one: Question) -> dict[str, Any]:
    return {
        "question_id": one.id_text or one.question_id,
        "image_id": one.image_id_text or one.image_id,
    }
