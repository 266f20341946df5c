"""Ground-truth masks: a folder of `<question_id>.png`, 0 and 255, any size.

A mask covers what a question needs in its image. A question without a file has no mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from lookwhy.data.question_pictures import QuestionNames, gray_picture, none_found
from lookwhy.errors import LookwhyError, command
from lookwhy.files import atomic_path

COVERED = 255
"""Gray level of a pixel that the mask covers; all others are 0."""


def find_truth_masks(folder: Path | str, numbers: Mapping[str, int] | None = None) -> dict[int, Path]:
    """Find the mask file of each question, in subfolders, too.

    Args:
        folder: folder of the masks.
        numbers: number of each question whose id is text; its mask is named by that text.

    Raises:
        LookwhyError: the folder does not exist, holds no such file, or holds two of one question.
    """
    folder, names = Path(folder), QuestionNames(numbers)
    found: dict[int, Path] = {}
    for path in sorted(folder.rglob("*")):
        number = names.number(path.stem) if path.suffix.lower() == ".png" else None
        if number is None:
            continue
        if number in found:
            raise LookwhyError(
                f"expected one mask of each question, found {found[number]} and {path}; remove one, or give "
                "the folder of one of them as data.truth_masks"
            )
        found[number] = path
    if not found:
        remedy = "correct data.truth_masks or set it to null; a shapes world of an earlier version has no"
        raise none_found(
            folder, "<question_id>.png", f"{remedy} masks: run {command('prepare')} shapes again"
        )
    return found


def load_truth_masks(
    files: Mapping[int, Path], question_ids: Iterable[int], grid: int
) -> dict[int, Float[np.ndarray, "G G"]]:
    """Load the masks of the given questions by id: the share of each cell that the mask covers, 0..1.

    Args:
        files: result of `find_truth_masks`.
        question_ids: questions to load; one without a mask is left out.
        grid: cells along each side.

    Raises:
        LookwhyError: a file is no mask.
    """
    asked = (question_id for question_id in question_ids if question_id in files)
    return {
        question_id: covered_share(read_truth_mask(files[question_id]).astype(np.float32), grid)
        for question_id in asked
    }


def read_truth_mask(path: Path) -> Bool[np.ndarray, "H W"]:
    """Read which pixels a mask covers.

    Raises:
        LookwhyError: the file is no PNG, has colours or transparency, or a gray level besides 0 and 255.
    """
    levels = np.asarray(gray_picture(path, f"a PNG of 0 and {COVERED}", ("PNG",)))
    wrong = levels[(levels != 0) & (levels != COVERED)]
    if wrong.size:
        raise LookwhyError(
            f"expected a mask of 0 and {COVERED}, found {wrong[0]:g} in {path}; save the covered pixels as "
            f"{COVERED} and the others as 0"
        )
    return levels == COVERED


def save_truth_mask(mask: Bool[np.ndarray, "H W"], path: Path) -> None:
    """Write a mask as an 8-bit gray PNG; the file is complete or absent."""
    with atomic_path(path) as partial:
        Image.fromarray(np.where(mask, COVERED, 0).astype(np.uint8)).save(partial, format="PNG")


def covered_share(mask: Float[np.ndarray, "H W"], grid: int) -> Float[np.ndarray, "G G"]:
    """Average a mask over each cell of a grid; a pixel on the border of cells counts in each by its area.

    Example:
        >>> covered_share(np.array([[1.0, 1.0, 0.0]]), 2).tolist()
        [[1.0, 0.3333333432674408], [1.0, 0.3333333432674408]]
    """
    rows, columns = (_shares(length, grid) for length in mask.shape)
    # Rounding to float32 also removes the last bits by which a sum of shares may exceed 1.
    return (rows @ mask.astype(np.float64) @ columns.T).astype(np.float32)


def _shares(length: int, grid: int) -> Float[np.ndarray, "G L"]:
    """Share of each cell's side that each pixel takes."""
    starts, cells = np.arange(length), np.arange(grid)[:, None] * (length / grid)
    ends = np.minimum(starts + 1, cells + length / grid)
    return np.clip(ends - np.maximum(starts, cells), 0, None) * (grid / length)
