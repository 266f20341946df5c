"""Annotator maps: a folder of `<question_id>_<k>.png`, gray, any size, as in VQA-HAT."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from lookwhy.errors import LookwhyError

Resize = Literal["area", "bilinear"]
_FILTERS = {"area": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR}
_NAME = re.compile(r"(\d+)_(\d+)\.png$")


def find_annotator_maps(folder: Path) -> dict[int, list[Path]]:
    """Find the map files of each question, in subfolders, too; sorted by the number of the annotator.

    Raises:
        LookwhyError: the folder does not exist, holds no file named <question_id>_<k>.png, or holds two files
            of one name.
    """
    numbered = sorted(
        (int(match.group(1)), int(match.group(2)), path)
        for path in folder.rglob("*.png")
        if (match := _NAME.fullmatch(path.name))
    )
    if not numbered:
        found = f"none in {folder}" if folder.is_dir() else f"no folder {folder}"
        raise LookwhyError(
            f"expected files named <question_id>_<k>.png, found {found}; "
            "correct data.annotator_maps or leave it out"
        )
    for one, other in pairwise(numbered):
        if one[:2] == other[:2]:
            raise LookwhyError(
                f"expected one map of each annotator of a question, found {one[2]} and {other[2]}; "
                "remove one, or give the folder of one of them as data.annotator_maps"
            )
    grouped = groupby(numbered, key=lambda one: one[0])
    return {question_id: [path for *_, path in maps] for question_id, maps in grouped}


def load_annotator_maps(
    files: dict[int, list[Path]], question_ids: Iterable[int], grid: int, resize: Resize = "area"
) -> dict[int, Float[np.ndarray, "K G G"]]:
    """Load the maps of the given questions by id, resized to a grid; gray levels 0-255.

    Args:
        files: result of `find_annotator_maps`.
        question_ids: questions to load; one without a map is left out.
        grid: cells along each side.
        resize: `area` averages over each cell; `bilinear` also weights the neighbouring cells (triangle
            filter, two cells wide).

    Raises:
        LookwhyError: a file is not a picture.
    """
    return {
        question_id: np.stack([_load(path, grid, resize) for path in files[question_id]])
        for question_id in question_ids
        if question_id in files
    }


def _load(path: Path, grid: int, resize: Resize) -> Float[np.ndarray, "G G"]:
    try:
        with Image.open(path) as picture:
            if picture.mode.startswith("I"):
                # 16-bit gray: scaled here, because PIL would clip values above 255 to white.
                gray = Image.fromarray(np.asarray(picture, np.float32) / 257)
            else:
                # Resize in float: averages rounded to 256 levels would make cells equal.
                gray = picture.convert("L").convert("F")
    # Pillow raises SyntaxError for damaged PNG chunks.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LookwhyError(
            f"expected a gray PNG, found something else in {path} ({error}); remove or replace it"
        ) from error
    return np.asarray(gray.resize((grid, grid), _FILTERS[resize]), np.float32)
