"""Characters that the usual font lacks: drawn with another installed font, else written as a readable mark.

Questions and answers may hold any script, and a machine may have few fonts. Matplotlib draws an empty box for
a character without a glyph, which tells nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from lookwhy.errors import printable

_NO_GLYPHS = re.compile("color|last ?resort|blank", re.IGNORECASE)
"""Names of fonts whose glyphs are bitmaps, which Matplotlib cannot draw, or only stand for missing ones."""
_MARKS = ("Mn", "Me", "Cf", "Sk")
"""Unicode categories of characters without a width of their own: without a glyph they are left out."""


def readable(text: str) -> str:
    """A text in which each character without a glyph in any installed font is a mark: its name or code point.

    Example:
        >>> readable("a cat on the mat")
        'a cat on the mat'
    """
    text = printable(text)
    if text.isascii():
        return text
    found, after_mark = "", False
    for character in text:
        shown = _shown(character)
        is_mark = len(shown) > 1
        # A mark has a space where it would touch a word or another mark.
        touches = (found[-1:].isalnum() or after_mark) if is_mark else after_mark and shown.isalnum()
        found += " " * touches + shown
        after_mark = is_mark
    return found


def families(text: str) -> list[str]:
    """Families of fonts that together draw a text: the usual ones, then those of its other characters."""
    usual = list(rcParams["font.family"])
    others = () if text.isascii() else (_family(c) for c in dict.fromkeys(text) if not c.isspace())
    return list(dict.fromkeys([*usual, *(family for family in others if family)]))


def use_fonts(figure: Figure) -> Figure:
    """Give every text of a finished figure the fonts that draw it; returns the figure."""
    for text in figure.findobj(Text):
        if isinstance(text, Text) and not text.get_text().isascii():
            text.set_fontfamily(families(text.get_text()))
    return figure


def _shown(character: str) -> str:
    """A character, or its mark, or "" if it is part of the one before it."""
    # Zero-width joiners only join emoji of coloured fonts, which Matplotlib cannot draw.
    if character == "\u200d":
        return ""
    if character.isascii() or character.isspace() or _family(character):
        return character
    category = unicodedata.category(character)
    if category in _MARKS:
        return ""
    # The name of a symbol says what it shows; that of an ideograph or a syllable is long and says no more.
    name = unicodedata.name(character, "") if category[0] == "S" else ""
    return f"[{name.lower()}]" if name else f"U+{ord(character):04X}"


@lru_cache(maxsize=10_000)
def _family(character: str) -> str | None:
    """Family of an installed font that draws a character, the usual one first; None without one."""
    for family in rcParams["font.family"]:
        usual = (findfont(FontProperties(family=family, weight=weight)) for weight in ("normal", "bold"))
        if _have_glyph(usual, character):
            return str(family)
    return next((family for family, files in _files().items() if _have_glyph(files, character)), None)


@lru_cache(maxsize=1)
def _files() -> dict[str, list[str]]:
    """Regular and bold files of each installed family; families without serifs first, as the usual one."""
    found: dict[str, list[str]] = {}
    for font in sorted(fontManager.ttflist, key=lambda font: ("Sans" not in font.name, font.name)):
        is_usual = (font.style, font.stretch) == ("normal", "normal") and font.weight in (400, 700)
        if is_usual and not _NO_GLYPHS.search(font.name):
            found.setdefault(font.name, []).append(font.fname)
    return found


def _have_glyph(files: Iterable[str], character: str) -> bool:
    return all(get_font(file).get_char_index(ord(character)) for file in files)
