"""The declared entries of questions and annotations, and their ids, texts, questions and images.

Keys are those of the official files; other data sets name the question, the image or its folder otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import Field, PlainValidator
from typing_extensions import TypedDict

QUESTION_IDS, IMAGE_IDS = 1 << 32, 1 << 63
"""Upper limits of the ids: data_prepro.h5 holds question ids as uint32, and image ids as int64."""
MALFORMED = (KeyError, TypeError, ValueError)
"""Errors that the functions below raise for an entry of another form."""
Entry = Mapping[str, Any]
Id = int | str
"""An id: a number, or a text that is none."""

_IMAGE, _SUBTYPE = ("image", "file_name"), ("coco_split", "data_subtype")
_PLACE = re.compile(r"<(image|video|Image)>\n?")
"""Place of the picture in the text of a conversation."""


_STORABLE = r"^[^\x00]*$"
Text = Annotated[str, Field(coerce_numbers_to_str=True, pattern=_STORABLE)]
"""Text that HDF5 can store. Numbers become text: answers of some data sets are numbers."""
Name = Annotated[str, Field(pattern=_STORABLE)]
"""Text that names a file or folder."""


def read_id(value: Any, end: int) -> Id:
    """An id below `end`; a text that is a number in its usual form becomes this number.

    Example:
        >>> read_id(7, QUESTION_IDS), read_id("7", QUESTION_IDS), read_id("n7", QUESTION_IDS)
        (7, 7, 'n7')
    """
    if isinstance(value, str):
        number = int(value) if re.fullmatch("0|[1-9][0-9]{0,18}", value) else end
        if number < end:
            return number
        if not value.strip():
            raise ValueError("an empty text where an id should be")
        return read_text(value)
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not is_whole or isinstance(value, bool) or not 0 <= value < end:
        raise ValueError(f"{value!r:.40} is no whole number from 0 to {end - 1}")
    return int(value)


QuestionId = Annotated[Id, PlainValidator(lambda value: (read_id(value, QUESTION_IDS), value)[1])]
ImageId = Annotated[Id, PlainValidator(lambda value: (read_id(value, IMAGE_IDS), value)[1])]


class QuestionEntry(TypedDict):
    """Keys that are read of an entry of a questions file."""

    question_id: QuestionId
    image_id: NotRequired[ImageId]
    question: NotRequired[Text]
    text: NotRequired[Text]
    conversations: NotRequired[Any]
    multiple_choices: NotRequired[list[Text]]
    image: NotRequired[Name | None]
    file_name: NotRequired[Name | None]
    coco_split: NotRequired[Name | None]
    data_subtype: NotRequired[Name | None]


class AnswerEntry(TypedDict):
    """Keys that are read of an annotator's answer."""

    answer: Text


class AnnotationEntry(TypedDict):
    """Keys that are read of an entry of an annotations file; only ids and answers must be there."""

    question_id: QuestionId
    image_id: NotRequired[ImageId]
    answers: list[AnswerEntry]
    multiple_choice_answer: NotRequired[Text]
    question_type: NotRequired[Text]
    answer_type: NotRequired[Text]


class FileHead(TypedDict):
    """Keys that are read of a questions file beside its entries."""

    data_type: NotRequired[Text]
    data_subtype: NotRequired[Text]


def id_text(value: Any) -> str:
    """The id as the file has it, if the file has text there; else an empty text."""
    return value if isinstance(value, str) else ""


def read_text(value: Any) -> str:
    """Text that can be stored, or a number as text; other values are refused ("None" would be a word)."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} where text should be")
    text = str(value)
    text.encode()  # a lone surrogate ("\\ud83d" in JSON) raises UnicodeEncodeError, a ValueError
    if "\0" in text:
        raise ValueError(f"a zero character in {text!r}")
    return text


def question_of(entry: Entry) -> Any:
    r"""The question: of the key `question`, or of LLaVA's `text` or `conversations`.

    Raises:
        KeyError: the entry has none of them.
        ValueError: a conversation holds other than one question.

    Example:
        >>> question_of({"conversations": [{"from": "human", "value": "<image>\nWhere?"}]})
        'Where?'
    """
    if "question" in entry:
        return entry["question"]
    if "text" in entry:
        return entry["text"]
    turns = entry.get("conversations")
    if not isinstance(turns, list):
        raise KeyError("question")
    asked = [turn["value"] for turn in turns if isinstance(turn, dict) and turn.get("from") == "human"]
    if len(asked) != 1:
        raise ValueError(f"a conversation with {len(asked)} questions where one should be")
    return _PLACE.sub("", read_text(asked[0])).strip()


def image_of(entry: Entry) -> str:
    """Path of the image file that the entry itself names; empty if it names none."""
    return _first(entry, _IMAGE)


def subtype_of(entry: Entry, otherwise: str = "") -> str:
    """Name of the folder of the image ("val2014"): the entry's own, else that of its file."""
    return _first(entry, _SUBTYPE) or otherwise


def _first(entry: Entry, keys: tuple[str, ...]) -> str:
    for key in keys:
        if key in entry and entry[key] is not None:
            if not isinstance(entry[key], str):
                raise TypeError(f"{type(entry[key]).__name__} where the text {key!r} should be")
            return read_text(entry[key])
    return ""
