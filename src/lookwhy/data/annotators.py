"""Annotator maps: a folder of `<question_id>_<k>.png`, gray, any size, as in VQA-HAT.

Names without the annotator's number, `<question_id>.png`, and JPEG files are read, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby, pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from lookwhy.data.question_pictures import QuestionNames, gray_picture, none_found
from lookwhy.errors import LookwhyError

Resize = Literal["area", "bilinear"]
_FILTERS = {"area": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR}
SUFFIXES = (".png", ".jpg", ".jpeg")
ALONE = -1
"""Number of an annotator whose file has none in its name."""


def find_annotator_maps(
    folder: Path | str, numbers: Mapping[str, int] | None = None
) -> dict[int, list[Path]]:
    """Find the map files of each question, in subfolders, too; sorted by the number of the annotator.

    Args:
        folder: folder of the maps.
        numbers: number of each question whose id is text; its maps are named by that text.

    Raises:
        LookwhyError: the folder does not exist, holds no such file, or holds two of one question and number.
    """
    folder, names = Path(folder), QuestionNames(numbers)

    def named(path: Path) -> tuple[int, int] | None:
        name, _, k = path.stem.rpartition("_")
        for question, annotator in ((name, k), (path.stem, str(ALONE))):
            if re.fullmatch(r"-?\d+", annotator) and (number := names.number(question)) is not None:
                return number, int(annotator)
        return None

    paths = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    numbered = sorted((*place, path) for path in paths if (place := named(path)))
    several = {question for question, k, _ in numbered if k != ALONE}
    # A picture of a question that has numbered maps is something else: the image, perhaps.
    numbered = [one for one in numbered if one[1] != ALONE or one[0] not in several]
    if not numbered:
        raise none_found(folder, "<question_id>_<k>.png", "correct data.annotator_maps or leave it out")
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
    gray = gray_picture(path, "a gray PNG")
    return np.asarray(gray.resize((grid, grid), _FILTERS[resize]), np.float32)
