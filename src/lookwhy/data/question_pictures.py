"""Pictures of questions: files that a question's id names, and their gray levels.

Annotator maps and ground-truth masks are such pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from lookwhy.errors import LookwhyError
from lookwhy.files import regular
from lookwhy.towers.recipe import IMAGE_FORMATS

MOST_COLOUR = 16
"""Largest difference of red, green and blue in a gray picture that was compressed with losses, of 255."""


class QuestionNames:
    """Names of questions in file names: their numbers, or texts where ids are text.

    Args:
        numbers: number of each question whose id is text; its files are named by that text.

    Example:
        >>> names = QuestionNames({"q_a": 5})
        >>> names.number("q_a"), names.number("7"), names.number("5"), names.number("picture")
        (5, 7, None, None)
    """

    def __init__(self, numbers: Mapping[str, int] | None = None) -> None:
        self._numbers = numbers or {}
        self._given = set(self._numbers.values())  # no file is named by these

    def number(self, name: str) -> int | None:
        """Number of the question that a name states; None if it states none."""
        if name in self._numbers:
            return self._numbers[name]
        if re.fullmatch(r"[0-9]+", name) and int(name) not in self._given:
            return int(name)
        return None


def none_found(folder: Path, named: str, remedy: str) -> LookwhyError:
    """The error of a folder that does not exist, or that holds no file of the expected name."""
    found = f"none in {folder}" if folder.is_dir() else f"no folder {folder}"
    return LookwhyError(f"expected files named {named}, found {found}; {remedy}")


def gray_picture(path: Path, expected: str, formats: tuple[str, ...] = IMAGE_FORMATS) -> Image.Image:
    """Read the gray levels of a picture, 0-255 in float.

    Args:
        path: the file.
        expected: what it should be, for the message: "a gray PNG".
        formats: formats that are read.

    Raises:
        LookwhyError: the file is not a picture, or it has colours or transparency.
    """
    try:
        with Image.open(regular(path), formats=formats) as picture:
            _check_gray(picture, path)
            if picture.mode.startswith(("I", "F")):
                return Image.fromarray(_scaled(np.asarray(picture, np.float32), picture.mode, path))
            # Float, because averages rounded to 256 levels would make cells equal.
            return picture.convert("L").convert("F")
    except LookwhyError:
        raise
    # On damaged bytes, Pillow's decoders raise errors of a dozen classes.
    except Exception as error:
        raise LookwhyError(
            f"expected {expected}, found something else in {path} ({error}); remove or replace it"
        ) from error


def _scaled(values: Float[np.ndarray, "H W"], mode: str, path: Path) -> Float[np.ndarray, "H W"]:
    """Gray levels of 16-bit or float values, which PIL would clip: above 255 to white, fractions to black."""
    if not np.isfinite(values).all() or values.min() < 0:
        raise LookwhyError(
            f"expected attention from 0 on, found {values.min():g} to {values.max():g} in {path}; save its "
            "magnitude as gray"
        )
    if mode.startswith("I"):
        return values / 257
    return values * 255 if values.max() <= 1 else values


def _check_gray(picture: Image.Image, path: Path) -> None:
    """Refuse colours and transparency: their brightness is not the value that they draw."""
    if picture.mode in ("1", "L", "F") or picture.mode.startswith("I"):
        return
    pixels = np.asarray(picture.convert("RGBA"), np.int16)
    found = ""
    if np.ptp(pixels[..., :3], axis=-1).max() > MOST_COLOUR:
        found = "a coloured one"
    elif np.ptp(pixels[..., 3]) or not pixels[..., 3].any():
        found = "one with transparency"
    if found:
        raise LookwhyError(
            f"expected a gray map without transparency, found {found} in {path}; save the values that it "
            "was drawn from as gray"
        )
