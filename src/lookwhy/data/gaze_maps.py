"""Annotator maps from gaze and from masks: `<question_id>_<k>.png`, as `lookwhy.data.annotators` reads them.

A conversion that was stopped goes on: maps that are there are kept. A map of other content under the same
name is refused, so that maps of two widths or two data sets never mix in one folder.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from lookwhy.data.gaze_formats import Fixation, Recording
from lookwhy.data.question_pictures import gray_picture, none_found
from lookwhy.errors import LookwhyError, option
from lookwhy.files import atomic_path, make_folder, writing
from lookwhy.progress import progress

WHITE = 255
NAMES = "annotators.json"
"""File with the number of each annotator."""
FolderOf = Literal["annotator", "question"]


class GazeConversion(NamedTuple):
    """Counts of a conversion.

    Attributes:
        maps: maps in the folder.
        annotators: annotators with a map.
        outside: fixations outside of their image, which are left out.
        empty: recordings without a fixation inside, or masks without a covered pixel; they have no map.
    """

    maps: int
    annotators: int
    outside: int
    empty: int


class _Map(NamedTuple):
    question_id: str
    annotator: str
    draw: Callable[[], UInt8[np.ndarray, "H W"] | None]


def gaze_map(
    fixations: Sequence[Fixation], width: int, height: int, sigma: float
) -> Float[np.ndarray, "H W"]:
    """The sum of a Gaussian at each fixation, weighted by its duration; the largest value is 1.

    Args:
        fixations: points inside of the image, in pixels, at least one of them with a duration.
        width: width of the image in pixels.
        height: height of the image in pixels.
        sigma: standard deviation of the Gaussian in pixels.

    Example:
        >>> gaze_map([Fixation(2.5, 0.5)], width=4, height=1, sigma=1.0).round(2).tolist()
        [[0.14, 0.61, 1.0, 0.61]]
    """
    x, y, duration = np.array(fixations, np.float64).T
    # A Gaussian in two dimensions is the product of one along each side.
    columns, rows = (
        np.exp(-(((np.arange(side) + 0.5)[:, None] - centre) ** 2) / (2 * sigma**2))
        for side, centre in ((width, x), (height, y))
    )
    values = (rows * duration) @ columns.T
    return values / values.max()


def convert_gaze(recordings: Sequence[Recording], sigma: float, out: Path) -> GazeConversion:
    """Write one map for each annotator and question.

    Args:
        recordings: each annotator and question once.
        sigma: standard deviation of the Gaussian in pixels of the images.
        out: folder of `<question_id>_<k>.png` as large as the images, and of `annotators.json`, which has the
            number k of each annotator.

    Raises:
        LookwhyError: no fixation lies inside of its image, or a map of other content is there.
    """
    # Below this, all values at a fixation between two pixels could be rounded to zero.
    if not 1 <= sigma < float("inf"):
        raise LookwhyError(
            f"expected a Gaussian of at least 1 pixel, found {sigma:g}; correct {option('sigma')}"
        )
    inside = [(one, [point for point in one.fixations if _is_inside(point, one)]) for one in recordings]
    outside = sum(len(one.fixations) - len(points) for one, points in inside)

    def drawing(one: Recording, points: list[Fixation]) -> _Map:
        def draw() -> UInt8[np.ndarray, "H W"]:
            return _gray(gaze_map(points, one.width, one.height, sigma))

        return _Map(one.question_id, one.annotator, draw)

    looked = [drawing(one, points) for one, points in inside if any(point.duration for point in points)]
    if not looked:
        raise LookwhyError(
            f"expected fixations inside of their images, found none in {len(inside)} recordings ({outside} "
            "fixations outside); check that x and y are pixels of the image with this width and height"
        )
    return _write(looked, outside, len(inside) - len(looked), out)


def convert_masks(source: Path, out: Path, folder_of: FolderOf = "annotator") -> GazeConversion:
    """Write maps from pictures that are drawn already: masks, or maps such as those of AiR-D.

    Args:
        source: folder of `<question_id>.png`, gray, each of the one annotator "1"; or of subfolders: of
            `<annotator>/<question_id>.png`, or of `<question_id>/<annotator>.png`. The brightest value of a
            picture becomes white.
        out: folder of `<question_id>_<k>.png`, as `convert_gaze` has it.
        folder_of: whose name a subfolder has.

    Raises:
        LookwhyError: there is no picture, or one has colours; or a map of other content is there.
    """
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() == ".png")
    if not paths:
        raise none_found(source, "<question_id>.png", "give a folder of gray pictures")

    def named(path: Path) -> _Map:
        def draw() -> UInt8[np.ndarray, "H W"] | None:
            levels = np.asarray(gray_picture(path, "a gray PNG"))
            return _gray(levels / levels.max()) if levels.any() else None

        folder = path.parent.name if path.parent != source else None
        if folder_of == "question" and folder is not None:
            return _Map(folder, path.stem, draw)
        return _Map(path.stem, folder or "1", draw)

    return _write([named(path) for path in paths], 0, 0, out)


def _is_inside(point: Fixation, one: Recording) -> bool:
    return 0 <= point.x < one.width and 0 <= point.y < one.height


def _gray(values: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    return np.round(values * WHITE).astype(np.uint8)


def _write(maps: list[_Map], outside: int, empty: int, out: Path) -> GazeConversion:
    names = sorted({one.annotator for one in maps}, key=lambda name: (len(name), name))
    numbers = {name: k for k, name in enumerate(names, start=1)}
    files: dict[str, _Map] = {}
    for one in maps:
        name = f"{one.question_id}_{numbers[one.annotator]}.png"
        if Path(name).name != name:
            raise LookwhyError(
                f"expected an id that can name a file, found {one.question_id!r}; correct the source"
            )
        if name in files:
            raise LookwhyError(
                f"expected one map of question {one.question_id} by {one.annotator}, found two; give the "
                "folder of one of them"
            )
        files[name] = one
    make_folder(out)
    done, annotators = 0, set()
    for name, one in progress(files.items(), "drawing maps", unit="map"):
        if (levels := one.draw()) is None:
            empty += 1
            continue
        with writing("files that can be written", out / name):
            _save(levels, out / name)
        done += 1
        annotators.add(one.annotator)
    with writing("files that can be written", out), atomic_path(out / NAMES) as partial:
        partial.write_text(json.dumps(numbers, ensure_ascii=False, indent=1), encoding="utf-8")
    return GazeConversion(done, len(annotators), outside, empty)


def _save(levels: UInt8[np.ndarray, "H W"], path: Path) -> None:
    """Write a map, unless it is there; another map under its name is refused."""
    content = io.BytesIO()
    Image.fromarray(levels).save(content, format="PNG")
    if path.is_file():
        if path.read_bytes() != content.getvalue():
            raise LookwhyError(f"expected a new map, found another in {path}; give another {option('out')}")
        return
    with atomic_path(path) as partial:
        partial.write_bytes(content.getvalue())
