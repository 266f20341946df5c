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

from lookwhy.types import LookwhyError

NUM_ANNOTATORS = 10
_QUESTION_IDS, _IMAGE_IDS = 1 << 32, 1 << 63
"""Ids lie below these: data_prepro.h5 holds the original's question ids as uint32, and image ids as int64."""


@dataclass(frozen=True)
class Question:
    """One question, with its annotation where there is one.

    Attributes:
        question_id: the data set's own.
        image_id: the data set's own.
        text: as asked.
        subtype: data_subtype of the file ("val2014"): the folder of the image; empty where it states none.
        choices: the multiple-choice answers, where the file has them.
        answer: the annotators' most frequent answer; empty without an annotation.
        answers: the annotators' ten answers; none without an annotation.
        question_type: as annotated.
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
    """Millions of new objects and no cycle among them: looking for cycles takes as long as reading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_without_collection()
def read_official(questions: Path, annotations: Path | None) -> list[Question]:
    """Questions in the order of their file, joined with their annotations by question id.

    Args:
        questions: official questions JSON; `.json.gz` is read, too.
        annotations: official annotations JSON; None for a test set.

    Raises:
        LookwhyError: a file is missing, not JSON or of another kind, an id stands twice, or a question
            has no annotation, one of another image, or one without its fields or its ten answers.
    """
    content = _read(questions, "questions")
    annotated = _by_id(_read(annotations, "annotations")["annotations"], annotations) if annotations else {}
    try:
        subtype = _text(content.get("data_subtype", ""))
    except (TypeError, ValueError) as error:
        raise LookwhyError(
            f"expected text as data_subtype, found {error} in {questions}; give an official questions file"
        ) from error
    result = []
    for question_id, item in _by_id(content["questions"], questions).items():
        annotation = annotated.get(question_id)
        if annotations and annotation is None:
            raise LookwhyError(
                f"expected an annotation of question {question_id} of {questions}, found none in "
                f"{annotations}; give the two files of one split"
            )
        result.append(_question(item, annotation, subtype, questions, annotations))
    if not result:
        raise LookwhyError(f"expected questions, found none in {questions}; give an official questions file")
    return result


def image_name(subtype: str, image_id: int, suffix: str = ".jpg") -> str:
    """Path of an image under the image folder, as the official tools expect it."""
    return f"{subtype}/COCO_{subtype}_{image_id:012d}{suffix}"


def find_image(root: Path | None, subtype: str, image_id: int) -> str:
    """The image's path under the folder: `.jpg`, or `.png` if that is what lies there.

    Without a folder, the path that the official tools expect.
    """
    name = image_name(subtype, image_id)
    if root is not None and not (root / name).is_file():
        png = image_name(subtype, image_id, ".png")
        if (root / png).is_file():
            return png
    return name


def _question(
    item: dict[str, Any],
    annotation: dict[str, Any] | None,
    subtype: str,
    questions: Path,
    annotations: Path | None,
) -> Question:
    try:
        question_id, image_id = _id(item["question_id"], _QUESTION_IDS), _id(item["image_id"], _IMAGE_IDS)
        text, choices = _text(item["question"]), _texts(item.get("multiple_choices", []))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _malformed("question", item, error, questions) from error
    if annotation is None:
        return Question(question_id, image_id, text, subtype, choices)
    assert annotations is not None
    try:
        answers = _texts([one["answer"] for one in annotation["answers"]])
        annotated_image = _id(annotation.get("image_id", image_id), _IMAGE_IDS)
        answer = _text(annotation["multiple_choice_answer"])
        types = _text(annotation["question_type"]), _text(annotation["answer_type"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _malformed("annotation", item, error, annotations) from error
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
    return Question(question_id, image_id, text, subtype, choices, answer, answers, *types)


def _id(value: Any, end: int) -> int:
    if type(value) is int and 0 <= value < end:
        return value
    number = int(value)
    if not 0 <= number < end or (isinstance(value, float) and number != value):
        raise ValueError(f"{value!r} is no whole number from 0 to {end - 1}")
    return number


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list):
        raise TypeError(f"{type(values).__name__} where a list should be")
    # Millions of them at each start, nearly all plain: a few calls for a list instead of some for each.
    with suppress(TypeError):
        if _is_plain("".join(values)):
            return values
    return [_text(value) for value in values]


def _is_plain(text: str) -> bool:
    return text.isascii() and "\0" not in text


def _text(value: Any) -> str:
    """Text as it can be stored; str() of anything else would be asked and answered as a word ("None")."""
    if type(value) is str and _is_plain(value):
        return value
    if not isinstance(value, str | int | float):
        raise TypeError(f"{type(value).__name__} where text should be")
    text = str(value)
    text.encode()  # half a character, as "\\ud83d" in JSON, is a UnicodeEncodeError, which is a ValueError
    if "\0" in text:
        raise ValueError(f"a zero character in {text!r}")
    return text


def _malformed(what: str, item: dict[str, Any], error: Exception, path: Path) -> LookwhyError:
    found = f"no {error}" if isinstance(error, KeyError) else f"a malformed entry ({error})"
    return LookwhyError(
        f"expected the official fields of the {what} of question {item.get('question_id')}, found {found} in "
        f"{path}; give an official file"
    )


def _by_id(items: list[dict[str, Any]], path: Path) -> dict[int, dict[str, Any]]:
    try:
        found = {_id(item["question_id"], _QUESTION_IDS): item for item in items}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise LookwhyError(
            f"expected a question_id in every entry, found none in one ({error!r}) in {path}; "
            "give an official file"
        ) from error
    if len(found) != len(items):
        raise LookwhyError(
            f"expected each question id once, found {len(items) - len(found)} repeated in {path}; "
            "remove the repetitions"
        )
    return found


def _read(path: Path, key: str) -> dict[str, Any]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
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
        raise LookwhyError(
            f'expected an official VQA file with a list "{key}", found none in {path}; '
            "questions and annotations may have been swapped"
        )
    return content
