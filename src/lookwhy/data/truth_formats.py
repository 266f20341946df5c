"""Converters of ground-truth masks: CLEVR-XAI and VizWiz answer grounding to `<question_id>.png`.

A conversion that was stopped goes on: masks that are already there are kept. A mask of other content under
the same name is refused, so that two kinds of masks never mix in one folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from lookwhy.data.official import Question, read_official
from lookwhy.data.truth_masks import read_truth_mask, save_truth_mask
from lookwhy.errors import LookwhyError, option
from lookwhy.files import make_folder, regular, writing
from lookwhy.progress import progress


class MaskFile(NamedTuple):
    """A mask of a data set: its file, and the ids of its questions as text."""

    source: Path
    question_ids: list[str]


class Conversion(NamedTuple):
    """Number of masks in the folder, and how many of them were there before."""

    masks: int
    kept: int


def convert_clevr_xai(source: Path, out: Path) -> Conversion:
    """Convert the masks of CLEVR-XAI (Arras, Osman and Samek 2022, "CLEVR-XAI: A benchmark dataset").

    Args:
        source: one folder of masks of version 1.0 (github.com/ahmedmagdiosman/clevr-xai), such as
            `ground_truth_simple_questions_single_object`: `<question_index>.npy` for each question, a boolean
            array of height x width that is true on the objects of the question.
        out: folder of `<question_index>.png`.

    Raises:
        LookwhyError: there is no such file, or a file is no boolean array of two dimensions.
    """
    files = sorted(path for path in source.glob("*.npy") if re.fullmatch(r"[0-9]+", path.stem))
    if not files:
        raise _none(source, "<question_index>.npy", "a folder of masks of CLEVR-XAI")
    return _write([MaskFile(path, [str(int(path.stem))]) for path in files], _read_array, out)


def convert_vizwiz(source: Path, out: Path, questions: Path | None = None) -> Conversion:
    """Convert the masks of VizWiz answer grounding (Chen, Anjum and Gurari 2022).

    The data set ("Grounding answers for visual questions asked by visually impaired people", CVPR) names a
    mask by its image, about which it has one question.

    Args:
        source: a folder of masks, `binary_masks_png/val`: `VizWiz_val_00000028.png`, 0 and 255, as large as
            its image.
        out: folder of `<question_id>.png`; without `questions`, the name of the image is the question's id.
        questions: official JSON of the questions, which name their image by `image` or `image_id`. Masks of
            other images are left out.

    Raises:
        LookwhyError: there is no mask, or one is no PNG of 0 and 255; or the questions cannot be read or
            name none of the images.
    """
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() == ".png")
    if not files:
        raise _none(source, "<image>.png", "binary_masks_png/<split> of VizWiz")
    masks = [MaskFile(path, [path.stem]) for path in files]
    if questions:
        ids = _ids_by_image(questions)
        # A question may name its image by the number alone, the last part of the file's name.
        asked = ((path, ids.get(path.stem) or ids.get(path.stem.rpartition("_")[2])) for path in files)
        masks = [MaskFile(path, own) for path, own in asked if own]
    if not masks:
        raise LookwhyError(
            f"expected questions about the images of {source}, such as {files[0].stem}, found none in "
            f"{questions}; give the questions of this split"
        )
    return _write(masks, read_truth_mask, out)


def _ids_by_image(questions: Path) -> dict[str, list[str]]:
    """Ids of the questions about each image, by the name of its file without ending, or by its number."""
    found: dict[str, list[str]] = {}
    for one in read_official(questions, None):
        found.setdefault(_image_name(one), []).append(one.id_text or str(one.question_id))
    return found


def _image_name(question: Question) -> str:
    name = question.file or question.image_id_text
    return Path(name).stem if name else f"{question.image_id:08d}"


def _read_array(path: Path) -> Bool[np.ndarray, "H W"]:
    try:
        array = np.load(regular(path), allow_pickle=False)
    # NumPy raises errors of several classes for bytes that are no array.
    except Exception as error:
        raise LookwhyError(
            f"expected a NumPy array, found something else in {path} ({error}); remove or replace it"
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype != bool or array.ndim != 2 or not array.size:
        kind = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        raise LookwhyError(
            f"expected a boolean array of height x width, found {kind} in {path}; give a folder of masks of "
            "CLEVR-XAI"
        )
    return array


def _write(
    masks: Iterable[MaskFile], read: Callable[[Path], Bool[np.ndarray, "H W"]], out: Path
) -> Conversion:
    masks = list(masks)
    seen: dict[str, Path] = {}
    for source, ids in masks:
        for question_id in ids:
            if Path(question_id).name != question_id:
                raise LookwhyError(
                    f"expected an id that can name a file, found {question_id!r}; correct the questions"
                )
            if (other := seen.setdefault(question_id, source)) is not source:
                raise LookwhyError(
                    f"expected one mask of question {question_id}, found {other} and {source}; give the "
                    "folder of one of them"
                )
    make_folder(out)
    kept = 0
    for source, ids in progress(masks, "converting masks", unit="mask"):
        mask = read(source)
        for question_id in ids:
            path = out / f"{question_id}.png"
            if _is_there(mask, path, source):
                kept += 1
                continue
            with writing("a file that can be written", path):
                save_truth_mask(mask, path)
    return Conversion(len(seen), kept)


def _is_there(mask: Bool[np.ndarray, "H W"], path: Path, source: Path) -> bool:
    """Whether a file holds this mask; a damaged file does not, and another mask is refused."""
    if not path.is_file():
        return False
    try:
        found = read_truth_mask(path)
    except LookwhyError:
        return False
    if not np.array_equal(found, mask):
        raise LookwhyError(
            f"expected the mask of {source}, found another in {path}; give another {option('out')}"
        )
    return True


def _none(source: Path, named: str, folder: str) -> LookwhyError:
    found = f"none in {source}" if source.is_dir() else f"no folder {source}"
    return LookwhyError(f"expected files named {named}, found {found}; give {folder}")
