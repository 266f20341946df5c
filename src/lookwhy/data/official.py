"""Questions and annotations in the official VQA JSON format (v1 and v2), read and joined."""

from __future__ import annotations

import gc
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lookwhy.errors import LookwhyError
from lookwhy.files import regular

NUM_ANNOTATORS = 10
_QUESTION_IDS, _IMAGE_IDS = 1 << 32, 1 << 63
"""Upper limits of the ids: data_prepro.h5 holds question ids as uint32, and image ids as int64."""
_MALFORMED = (KeyError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True)
class Question:
    """One question, with its annotation where there is one.

    Attributes:
        subtype: data_subtype of the file ("val2014"), which names the folder of the image; empty if missing.
        choices: the multiple-choice answers; empty if the file has none.
        answer: the annotators' most frequent answer; empty without an annotation.
        answers: the annotators' ten answers; empty without an annotation.
        question_type: first words of the question, as annotated.
        answer_type: "yes/no", "number" or "other".
    """

    question_id: int
    image_id: int
    text: str
    subtype: str
    choices: list[str] = field(default_factory=list)
    answer: str = ""
    answers: list[str] = field(default_factory=list)
    question_type: str = ""
    answer_type: str = ""


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
    annotated = _by_id(_read(annotations, "annotations")["annotations"], annotations) if annotations else {}
    try:
        subtype = _text(content.get("data_subtype", ""))
    except _MALFORMED as error:
        raise _malformed("text as data_subtype", error, questions) from error
    result = []
    for question_id, item in _by_id(content["questions"], questions).items():
        try:
            image_id = _id(item["image_id"], _IMAGE_IDS)
            text, choices = _text(item["question"]), _texts(item.get("multiple_choices", []))
        except _MALFORMED as error:
            raise _malformed(f"the fields of question {question_id}", error, questions) from error
        annotation: tuple[Any, ...] = ()
        if annotations:
            if question_id not in annotated:
                raise LookwhyError(
                    f"expected an annotation of question {question_id} of {questions}, found none in "
                    f"{annotations}; give the two files of one split"
                )
            annotation = _annotation(annotated[question_id], question_id, image_id, questions, annotations)
        result.append(Question(question_id, image_id, text, subtype, choices, *annotation))
    if not result:
        raise LookwhyError(f"expected questions, found none in {questions}; give an official questions file")
    return result


def find_image(root: Path | None, subtype: str, image_id: int) -> str:
    """Path of an image under the folder: `.png` if only that file exists, else the official `.jpg`."""
    jpg, png = (image_name(subtype, image_id, suffix) for suffix in (".jpg", ".png"))
    return png if root and not (root / jpg).is_file() and (root / png).is_file() else jpg


def image_name(subtype: str, image_id: int, suffix: str = ".jpg") -> str:
    """Path of an image under the image folder, as the official tools expect it."""
    return f"{subtype}/COCO_{subtype}_{image_id:012d}{suffix}"


def _annotation(
    item: dict[str, Any], question_id: int, image_id: int, questions: Path, annotations: Path
) -> tuple[str, list[str], str, str]:
    """Most frequent answer, all answers, question type and answer type."""
    try:
        answers = _texts([one["answer"] for one in item["answers"]])
        annotated_image = _id(item.get("image_id", image_id), _IMAGE_IDS)
        # Other data sets leave these three out. The first is by definition the most frequent answer.
        if "multiple_choice_answer" in item:
            answer = _text(item["multiple_choice_answer"])
        else:
            answer = max(answers, key=answers.count, default="")
        types = _text(item.get("question_type", "")), _text(item.get("answer_type", ""))
    except _MALFORMED as error:
        raise _malformed(
            f"the fields of the annotation of question {question_id}", error, annotations
        ) from error
    if annotated_image != image_id:
        raise LookwhyError(
            f"expected the annotation of question {question_id} to be of image {image_id}, as in "
            f"{questions}, found image {annotated_image} in {annotations}; give the two files of one split"
        )
    if len(answers) != NUM_ANNOTATORS:
        raise LookwhyError(
            f"expected {NUM_ANNOTATORS} answers to question {question_id}, found {len(answers)} in "
            f"{annotations}; the official accuracy is defined for {NUM_ANNOTATORS}"
        )
    return answer, answers, *types


def _id(value: Any, end: int) -> int:
    number = int(value)
    if not 0 <= number < end or (isinstance(value, float) and number != value):
        raise ValueError(f"{value!r} is no whole number from 0 to {end - 1}")
    return number


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list):
        raise TypeError(f"{type(values).__name__} where a list should be")
    # There are millions of texts, nearly all plain: checking a whole list at once is faster.
    with suppress(TypeError):
        if _is_plain("".join(values)):
            return values
    return [_text(value) for value in values]


def _is_plain(text: str) -> bool:
    return text.isascii() and "\0" not in text


def _text(value: Any) -> str:
    """Convert text or a number to text that can be stored; refuse other values ("None" would be a word)."""
    if not isinstance(value, str | int | float):
        raise TypeError(f"{type(value).__name__} where text should be")
    text = str(value)
    if not _is_plain(text):
        text.encode()  # a lone surrogate ("\\ud83d" in JSON) raises UnicodeEncodeError, a ValueError
        if "\0" in text:
            raise ValueError(f"a zero character in {text!r}")
    return text


def _malformed(expected: str, error: Exception, path: Path) -> LookwhyError:
    found = f"no {error}" if isinstance(error, KeyError) else f"a malformed entry ({error})"
    return LookwhyError(f"expected {expected}, found {found} in {path}; give an official file")


def _by_id(items: list[dict[str, Any]], path: Path) -> dict[int, dict[str, Any]]:
    try:
        found = {_id(item["question_id"], _QUESTION_IDS): item for item in items}
    except _MALFORMED as error:
        raise _malformed("a question_id in every entry", error, path) from error
    if len(found) != len(items):
        raise LookwhyError(
            f"expected each question id once, found {len(items) - len(found)} repeated in {path}; "
            "remove the repetitions"
        )
    return found


def _read(path: Path, key: str) -> dict[str, Any]:
    try:
        raw = regular(path).read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        content = json.loads(raw)
    except OSError as error:
        raise LookwhyError(
            f"expected an official VQA {key} file, found none that can be read at {path} "
            f"({error.strerror or error}); correct the path or fetch it again"
        ) from error
    except (ValueError, EOFError, RecursionError, zlib.error) as error:
        raise LookwhyError(
            f"expected JSON, found something else in {path} ({error}); fetch it again"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        found = f"none in {path}; questions and annotations may have been swapped"
        if isinstance(content, list):
            found = f'a list alone in {path}; make it {{"{key}": [...], "data_subtype": "train2014"}}'
        raise LookwhyError(f'expected an official VQA file with a list "{key}", found {found}')
    return content
