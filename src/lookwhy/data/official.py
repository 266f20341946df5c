"""Questions and annotations in the official VQA JSON format (v1 and v2), read and joined.

Files of other data sets that follow the format are read, too: entries may name their own image file or
subtype, ids may be text, and a file may be a bare list of entries.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from lookwhy.data.entries import (
    IMAGE_IDS,
    MALFORMED,
    QUESTION_IDS,
    AnnotationEntry,
    FileHead,
    Id,
    QuestionEntry,
    id_text,
    image_of,
    question_of,
    read_id,
    subtype_of,
)
from lookwhy.data.image_files import find_image, image_name
from lookwhy.data.json_files import read_json
from lookwhy.errors import LookwhyError
from lookwhy.schema import checked

__all__ = ["Question", "find_image", "image_name", "read_all", "read_official"]

NUM_ANNOTATORS = 10
_REMEDY = "correct it, or give an official file"


@dataclass(frozen=True, slots=True)
class Question:
    """One question, with its annotation where there is one.

    Attributes:
        question_id: the id: a number, or a text that is no number.
        image_id: likewise; the path of the image file if the entry has no other id.
        subtype: data_subtype of the entry or its file ("val2014"), which names the folder of the image; empty
            if missing.
        choices: the multiple-choice answers; empty if the file has none.
        answer: the annotators' most frequent answer; empty without an annotation.
        answers: the annotators' ten answers; empty without an annotation.
        question_type: first words of the question, as annotated.
        answer_type: "yes/no", "number" or "other".
        data_type: data_type of the file ("mscoco", "abstract_v002"); empty if missing.
        file: path of the image file that the entry names; empty if it names none.
        id_text: the question's id as its file has it, if that is text; else empty.
        image_id_text: likewise for the image.
    """

    question_id: Id
    image_id: Id
    text: str
    subtype: str
    choices: list[str] = field(default_factory=list)
    answer: str = ""
    answers: list[str] = field(default_factory=list)
    question_type: str = ""
    answer_type: str = ""
    data_type: str = ""
    file: str = ""
    id_text: str = ""
    image_id_text: str = ""


@contextmanager
def _without_collection() -> Iterator[None]:
    """Switch off the cyclic garbage collector: with millions of new objects it would double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_without_collection()
def read_official(questions: Path, annotations: Path | None) -> list[Question]:
    """Read questions in the order of their file, joined with their annotations by question id.

    Both files are official JSON, or `.json.gz`; `annotations` is None for a test set.

    Raises:
        LookwhyError: a file is missing, not JSON or of another kind; an id is repeated; or the annotation of
            a question is missing, belongs to another image, or lacks a field or some of the ten answers.
    """
    content = _read(questions, "questions")
    head = checked(FileHead, content, "text as data_subtype and data_type", questions, _REMEDY)
    annotated: dict[Id, AnnotationEntry] = {}
    if annotations:
        content_of_other = _read(annotations, "annotations")["annotations"]
        annotated = _by_id(content_of_other, AnnotationEntry, "the annotation of ", annotations)
    result = []
    for question_id, entry in _by_id(content["questions"], QuestionEntry, "", questions).items():
        fields = _question(question_id, entry, head, questions)
        if annotations:
            if question_id not in annotated:
                raise LookwhyError(
                    f"expected an annotation of question {question_id} of {questions}, found none in "
                    f"{annotations}; give the two files of one split"
                )
            own_image = fields["image_id"] if "image_id" in entry else None
            fields |= _annotation(annotated[question_id], question_id, own_image, questions, annotations)
        result.append(Question(question_id, **fields))
    if not result:
        raise LookwhyError(f"expected questions, found none in {questions}; give an official questions file")
    return result


def read_all(questions: Sequence[Path], annotations: Sequence[Path]) -> list[Question]:
    """Read several files of questions, each with the file of annotations in its place, or all without any.

    Raises:
        LookwhyError: as `read_official`; or the files are not as many, or have a question in common.
    """
    if annotations and len(annotations) != len(questions):
        raise LookwhyError(
            f"expected a file of annotations for each file of questions, found {len(annotations)} for "
            f"{', '.join(map(str, questions))}; give them in the same order"
        )
    first_file: dict[Id, Path] = {}
    result: list[Question] = []
    for path, answers in zip_longest(questions, annotations):
        found = read_official(path, answers)
        if again := [one.question_id for one in found if one.question_id in first_file]:
            raise LookwhyError(
                f"expected each question id once, found {again[0]} in {first_file[again[0]]} and {path}; "
                "leave one of the files out"
            )
        first_file |= dict.fromkeys((one.question_id for one in found), path)
        result += found
    return result


def _question(question_id: Id, entry: QuestionEntry, head: FileHead, path: Path) -> dict[str, Any]:
    """The fields of a Question that its entry holds."""
    file = image_of(entry)
    try:
        text = question_of(entry)
        # An entry that names its image needs no other id of it.
        image_id = entry.get("image_id", file) if file else entry["image_id"]
    except MALFORMED as error:
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        expected = f"the fields of question {question_id}"
        raise LookwhyError(f"expected {expected}, found {found} in {path}; {_REMEDY}") from error
    return {
        "image_id": read_id(image_id, IMAGE_IDS),
        "text": text,
        "subtype": subtype_of(entry, head.get("data_subtype", "")),
        "data_type": head.get("data_type", ""),
        "choices": entry.get("multiple_choices", []),
        "file": file,
        "id_text": id_text(entry["question_id"]),
        "image_id_text": id_text(image_id),
    }


def _annotation(
    entry: AnnotationEntry, question_id: Id, image_id: Id | None, questions: Path, annotations: Path
) -> dict[str, Any]:
    """The fields of a Question that its annotation holds; `image_id` is the question's, if it has one."""
    annotated_image = read_id(entry["image_id"], IMAGE_IDS) if "image_id" in entry else image_id
    if image_id is not None and annotated_image != image_id:
        raise LookwhyError(
            f"expected the annotation of question {question_id} to be of image {image_id}, as in "
            f"{questions}, found image {annotated_image} in {annotations}; give the two files of one split"
        )
    answers = [one["answer"] for one in entry["answers"]]
    if len(answers) != NUM_ANNOTATORS:
        raise LookwhyError(
            f"expected {NUM_ANNOTATORS} answers to question {question_id}, found {len(answers)} in "
            f"{annotations}; the official accuracy is defined for {NUM_ANNOTATORS}"
        )
    answer = entry.get("multiple_choice_answer")
    if answer is None:  # by definition the most frequent answer
        answer = max(answers, key=answers.count)
    types = {"question_type": entry.get("question_type", ""), "answer_type": entry.get("answer_type", "")}
    return {"answer": answer, "answers": answers, **types}


def _by_id(items: list[Any], kind: Any, whose: str, path: Path) -> dict[Id, Any]:
    """Check the entries one by one; each is let go for its checked form, so memory holds one of the two."""
    found: dict[Id, Any] = {}
    for number, item in enumerate(items):
        name = item["question_id"] if isinstance(item, dict) and "question_id" in item else ""
        place = f"question {name}" if name != "" else f"entry {number + 1}"
        entry = checked(kind, item, f"the fields of {whose}{place}", path, _REMEDY)
        items[number] = None
        found[read_id(entry["question_id"], QUESTION_IDS)] = entry
    if len(found) != len(items):
        raise LookwhyError(
            f"expected each question id once, found {len(items) - len(found)} repeated in {path}; "
            "remove the repetitions"
        )
    return found


def _read(path: Path, key: str) -> dict[str, Any]:
    content = read_json(path, f"an official VQA {key} file")
    if isinstance(content, list):  # as in VQA-CP
        return {key: content}
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        found = f"{type(content).__name__} in {path}; give an official file"
        if isinstance(content, dict):
            keys = ", ".join(map(repr, list(content)[:8])) or "none"
            found = f"the keys {keys} in {path}; give an official file, or a list of its entries"
            if {"questions", "annotations"} & content.keys() - {key}:
                found = f"none in {path}; questions and annotations may have been swapped"
        raise LookwhyError(f'expected an official VQA file with a list "{key}", found {found}')
    return content
