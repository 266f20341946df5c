r"""Answer normalisation of the official VQA evaluation, quirks included (vqaEval.py, Antol et al. 2015).

Leaderboards compare answers this way, so the quirks of the official code are part of the definition:

* its pattern for periods is `(?!<=\d)(\.)(?!\d)`, with a negative look-ahead instead of a look-behind, so a
  period is removed unless a digit FOLLOWS it;
* it passes a flag of `re` as the argument `count`, so at most 32 periods are removed;
* a punctuation mark is deleted if it stands next to a space anywhere in the answer, or if the answer contains
  a comma between two digits; otherwise the mark becomes a space.
"""

from __future__ import annotations

import re
from functools import lru_cache

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")
_COMMA_IN_NUMBER = re.compile(r"(\d)(,)(\d)")
_PERIODS_REMOVED = 32
_ARTICLES = {"a", "an", "the"}
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_DIGITS)}
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's I'd've I'm I've isn't it'd it'd've it'll ma'am mightn't
    mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've
    should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've
    someone'll someone's something'd something'd've something'll that's there'd there'd've there're
    there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's
    won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
# The official table spells each contraction without one of its apostrophes, and has one entry that loses it.
_CONTRACTIONS = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTED.split()
    for place, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}


def clean_space(text: str) -> str:
    """Replace newlines and tabs by spaces and strip the ends, as the official code does to every answer."""
    return text.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(maxsize=1 << 20)
def normalize_answer(text: str) -> str:
    """Normalise punctuation, number words, articles and contractions as the official evaluation does.

    Example:
        >>> normalize_answer("The two dogs.")
        '2 dogs'
    """
    return _process_words(_process_punctuation(clean_space(text)))


def _process_punctuation(text: str) -> str:
    marks = [mark for mark in _PUNCTUATION if mark in text]
    number = "," in marks and _COMMA_IN_NUMBER.search(text) is not None
    out = text
    for mark in marks:
        is_deleted = f"{mark} " in text or f" {mark}" in text or number
        out = out.replace(mark, "" if is_deleted else " ")
    return _PERIOD.sub("", out, count=_PERIODS_REMOVED)


def _process_words(text: str) -> str:
    words = (_NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
