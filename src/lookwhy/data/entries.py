"""Reads one entry of a JSON file: its ids, texts, question and image, under the keys that data sets use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

QUESTION_IDS, IMAGE_IDS = 1 << 32, 1 << 63
"""Upper limits of the ids: data_prepro.h5 holds question ids as uint32, and image ids as int64."""
MALFORMED = (KeyError, TypeError, ValueError, OverflowError)
"""Errors that the functions below raise for an entry of another form."""
Entry = Mapping[str, Any]
Id = int | str
"""An id: a number, or a text that is none."""

_IMAGE, _SUBTYPE = ("image", "file_name"), ("coco_split", "data_subtype")
_PLACE = re.compile(r"<(image|video|Image)>\n?")
"""Place of the picture in the text of a conversation."""


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
    number = int(value)
    if not 0 <= number < end or isinstance(value, bool) or (isinstance(value, float) and number != value):
        raise ValueError(f"{value!r} is no whole number from 0 to {end - 1}")
    return number


def id_text(value: Any) -> str:
    """The id as the file has it, if the file has text there; else an empty text."""
    return value if isinstance(value, str) else ""


def read_texts(values: Any) -> list[str]:
    """A list of texts, each as `read_text` reads it."""
    if not isinstance(values, list):
        raise TypeError(f"{type(values).__name__} where a list should be")
    # There are millions of texts, nearly all plain: checking a whole list at once is faster.
    with suppress(TypeError):
        if _is_plain("".join(values)):
            return values
    return [read_text(value) for value in values]


def read_text(value: Any) -> str:
    """Convert text or a number to text that can be stored; refuse other values ("None" would be a word)."""
    if not isinstance(value, str | int | float):
        raise TypeError(f"{type(value).__name__} where text should be")
    text = str(value)
    if not _is_plain(text):
        text.encode()  # a lone surrogate ("\\ud83d" in JSON) raises UnicodeEncodeError, a ValueError
        if "\0" in text:
            raise ValueError(f"a zero character in {text!r}")
    return text


def _is_plain(text: str) -> bool:
    return text.isascii() and "\0" not in text


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
