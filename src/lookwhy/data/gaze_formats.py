"""Readers of recorded gaze: a generic CSV or JSON of fixations, AiR-D, and SALICON.

Positions are pixels of the image from its upper left corner: x from 0 to the width, y from 0 to the height,
so that the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from lookwhy.data.entries import ImageId, QuestionId, Text
from lookwhy.data.json_files import read_json
from lookwhy.data.official import read_official
from lookwhy.data.question_lists import SEPARATORS
from lookwhy.errors import LookwhyError
from lookwhy.files import regular
from lookwhy.schema import checked

LONGEST_SIDE = 16_384
"""Largest width or height of an image, in pixels; a larger number is a mistake and would fill the memory."""
Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]
COLUMNS = {"question_id", "x", "y", "width", "height"}
"""Columns that a CSV must have."""
_REMEDY = "correct it (docs/data.md has the format)"


class Fixation(NamedTuple):
    """A point of the image, in pixels, and how long it was looked at; the unit of time does not matter."""

    x: float
    y: float
    duration: float = 1.0


class Recording(NamedTuple):
    """Fixations of one annotator on the image of one question; width and height in pixels."""

    question_id: str
    annotator: str
    width: int
    height: int
    fixations: list[Fixation]


class FixationRow(TypedDict):
    """One fixation: a line of the CSV, or an entry of a JSON list."""

    question_id: QuestionId
    annotator: NotRequired[Text]
    x: float
    y: float
    duration: NotRequired[Duration]
    width: Side
    height: Side


class FixationList(TypedDict):
    """All fixations of an annotator: an entry of a JSON list; a fixation is [x, y] or [x, y, duration]."""

    question_id: QuestionId
    annotator: NotRequired[Text]
    width: Side
    height: Side
    fixations: list[tuple[float, float] | tuple[float, float, Duration]]


class AirEntry(TypedDict):
    """The scanpath of one subject in AiR-D: positions, and start and end of each fixation."""

    question_id: QuestionId
    subject: Text
    width: Side
    height: Side
    X: NotRequired[list[float]]
    Y: NotRequired[list[float]]
    T_start: NotRequired[list[float]]
    T_end: NotRequired[list[float]]


class SaliconImage(TypedDict):
    """The size of an image in SALICON."""

    id: ImageId
    width: Side
    height: Side


class SaliconEntry(TypedDict):
    """The fixations of one worker in SALICON, each [row, column] from 1 on."""

    image_id: ImageId
    worker_id: Text
    fixations: list[tuple[float, float]]


class SaliconFile(TypedDict):
    """Keys that are read of a file of SALICON."""

    images: list[SaliconImage]
    annotations: list[SaliconEntry]


def read_fixations(path: Path) -> list[Recording]:
    """Read fixations of any source: VQA-MHUG and others, exported as CSV or JSON.

    Args:
        path: a `.csv` with commas, semicolons or tabs and the columns question_id, x, y, width, height and,
            where known, annotator and duration; or a `.json` list, either of such rows or of one entry for
            each annotator and question with `fixations`, a list of [x, y] or [x, y, duration].

    Raises:
        LookwhyError: the file cannot be read, a value is missing or of another kind, or the image of a
            question has two sizes.
    """
    rows = list(_csv_rows(path)) if path.suffix.lower() == ".csv" else read_json(path, "a list of fixations")
    if not isinstance(rows, list):
        raise LookwhyError(f"expected a list of fixations, found {type(rows).__name__} in {path}; {_REMEDY}")
    found = []
    for number, row in enumerate(rows, start=1):
        has_list = isinstance(row, dict) and "fixations" in row
        kind: Any = FixationList if has_list else FixationRow
        one = checked(kind, row, f"the fields of fixation {number}", path, _REMEDY)
        points = [Fixation(*point) for point in one["fixations"]] if has_list else [_point(one)]
        size = one["width"], one["height"]
        found.append(Recording(str(one["question_id"]), one.get("annotator", "1"), *size, points))
    return _joined(found, path)


def read_air_d(path: Path) -> list[Recording]:
    """Read scanpaths of AiR-D (Chen et al. 2020, "AiR: Attention with reasoning capability", ECCV).

    Args:
        path: `AiR_fixations_<split>.json` as github.com/chenxy99/Scanpaths writes it from the data set: a
            list with `question_id` (of GQA), `subject`, `width`, `height`, `X`, `Y`, `T_start` and `T_end`.

    Raises:
        LookwhyError: the file cannot be read or has another form.
    """
    entries = checked(list[AirEntry], read_json(path, "scanpaths of AiR-D"), "AiR-D", path, _REMEDY)
    found = []
    for one in entries:
        columns = [one.get("X", []), one.get("Y", []), one.get("T_start", []), one.get("T_end", [])]
        if len({len(column) for column in columns}) > 1:
            lengths = ", ".join(str(len(column)) for column in columns)
            raise LookwhyError(
                f"expected X, Y, T_start and T_end of one length, found {lengths} for question "
                f"{one['question_id']} in {path}; fetch it again"
            )
        # A blink at the end may have a negative duration by rounding.
        points = [Fixation(x, y, max(0.0, end - start)) for x, y, start, end in zip(*columns, strict=True)]
        found.append(Recording(str(one["question_id"]), one["subject"], one["width"], one["height"], points))
    return _joined(found, path)


def read_salicon(path: Path, questions: Path) -> list[Recording]:
    """Read SALICON or a list of its form (Jiang et al. 2015; github.com/NUS-VIP/salicon-evaluation).

    The workers saw an image without a question. So each question about the image has the same maps.

    Args:
        path: `fixations_train2014.json`: `images` with their sizes, and `annotations` with `image_id`,
            `worker_id` and `fixations`, each [row, column] from 1 on.
        questions: official JSON of the questions.

    Raises:
        LookwhyError: a file cannot be read or has another form, or no question is about one of the images.
    """
    content = checked(SaliconFile, read_json(path, "fixations of SALICON"), "SALICON", path, _REMEDY)
    sizes = {str(one["id"]): (one["width"], one["height"]) for one in content["images"]}
    asked: dict[str, list[str]] = {}
    for question in read_official(questions, None):
        image = question.image_id_text or str(question.image_id)
        asked.setdefault(image, []).append(question.id_text or str(question.question_id))
    found = []
    for one in content["annotations"]:
        image = str(one["image_id"])
        if image not in sizes:
            raise LookwhyError(f'expected image {image} in "images", found none in {path}; fetch it again')
        points = [Fixation(column - 0.5, row - 0.5) for row, column in one["fixations"]]
        found += [Recording(q, one["worker_id"], *sizes[image], points) for q in asked.get(image, [])]
    if not found:
        raise LookwhyError(
            f"expected questions about the images of {path}, found none in {questions}; give the questions "
            "of this split"
        )
    return _joined(found, path)


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    """Lines of the CSV by column; an empty field counts as one that is missing."""
    try:
        with regular(path).open(newline="", encoding="utf-8-sig") as file:
            line = file.readline()
            headers = {one: next(csv.reader([line], delimiter=one), []) for one in SEPARATORS}
            # The last separator is the comma, and its columns are those that a message misses.
            delimiter = next((one for one, names in headers.items() if set(names) >= COLUMNS), ",")
            if missing := sorted(COLUMNS - set(headers[delimiter])):
                raise LookwhyError(
                    f"expected the columns {', '.join(sorted(COLUMNS))}, found no {missing[0]} in the first "
                    f"line of {path}; {_REMEDY}"
                )
            for row in csv.DictReader(file, headers[delimiter], delimiter=delimiter):
                yield {key: value for key, value in row.items() if key and value not in (None, "")}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LookwhyError(
            f"expected a CSV of fixations, found none that can be read at {path} ({reason}); correct the path"
        ) from error


def _point(row: FixationRow) -> Fixation:
    return Fixation(row["x"], row["y"], row.get("duration", 1.0))


def _joined(found: list[Recording], path: Path) -> list[Recording]:
    """One recording for each question and annotator, with all of its fixations."""
    result: dict[tuple[str, str], Recording] = {}
    for one in found:
        known = result.setdefault((one.question_id, one.annotator), one._replace(fixations=[]))
        if (known.width, known.height) != (one.width, one.height):
            raise LookwhyError(
                f"expected one size of the image of question {one.question_id}, found {known.width} x "
                f"{known.height} and {one.width} x {one.height} in {path}; correct it"
            )
        known.fixations.extend(one.fixations)
    return list(result.values())
