"""Reads users' lists of images and questions: CSV, TSV, JSON, JSON lines, or the official VQA questions.

A row that cannot be used is reported with file and line (in JSON, with file and entry). The other rows are
still used.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lookwhy.data.entries import IMAGE_IDS, MALFORMED, image_of, question_of, read_id, read_text, subtype_of
from lookwhy.data.image_files import find_image, is_file
from lookwhy.errors import LookwhyError, command
from lookwhy.files import regular

NAMES = ("questions.csv", "questions.tsv", "questions.json", "questions.jsonl")
SEPARATORS = ";\t,"
"""Separators of CSV: some programs write others than the comma, which is the last, for the error line."""
IMAGE, QUESTION = "image", "question"
COLUMNS = {"file_name": IMAGE, "text": QUESTION}
"""Other names of the columns of CSV."""


@dataclass(frozen=True)
class ListedQuestion:
    """A question about an image file.

    Attributes:
        where: place of the row, such as "questions.csv:7".
        name: stem for output files: the question's id if it has one, else the image's name.
    """

    where: str
    image: Path
    question: str
    name: str


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    where: str
    why: str


Row = ListedQuestion | BadRow


def read_questions(source: Path, images: Path | None = None) -> list[Row]:
    """Read the rows of a list of questions, good and bad, in their order.

    Args:
        source: a `.csv`, `.tsv`, `.json` or `.jsonl` with an image and a question in each row; official VQA
            questions; or a folder that holds images and one list called `questions`. Rows may also have the
            keys of LLaVA: `text` or `conversations`.
        images: folder of the images. The default is the folder of the list. Official questions have no
            default: give the folder of <data_subtype>/*.jpg.

    Raises:
        LookwhyError: there is no list, it cannot be read at all, or it is empty.
    """
    file = source
    if source.is_dir():
        found = [source / name for name in NAMES if (source / name).is_file()]
        if len(found) != 1:
            names = " and ".join(path.name for path in found) or "none"
            expected = f"expected one of {', '.join(NAMES)} beside the images"
            raise LookwhyError(f"{expected}, found {names} in {source}; name the file")
        file = found[0]
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _json_lines}
    entries = readers.get(file.suffix.lower(), partial(_json, images))(file, _read(file))
    root = images or file.parent
    rows = [entry if isinstance(entry, BadRow) else _row(*entry, root) for entry in entries]
    if not rows:
        raise LookwhyError(f"expected questions, found none in {file}; add a row")
    return rows


Entries = Iterator[tuple[str, Any] | BadRow]
"""Place and content of each row, or a BadRow."""


def _read(file: Path) -> str:
    """Content of the file. A few lines that are not UTF-8 get lone surrogates, which `_row` refuses."""
    try:
        raw = regular(file).read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise LookwhyError(
            f"expected a list of questions, found none that can be read at {file} "
            f"({error.strerror or error}); correct the path"
        ) from error
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        lines = raw.decode(errors="surrogateescape").split("\n")
        # Another encoding of the whole file, such as UTF-16, leaves at most a line that can be read.
        if file.suffix.lower() == ".json" or b"\0" in raw or sum(map(_is_utf8, lines)) < 2:
            raise LookwhyError(
                f"expected UTF-8 text, found something else in {file} ({error.reason} at byte "
                f"{error.start}); save it as UTF-8"
            ) from error
        return "\n".join(lines)


def _is_utf8(line: str) -> bool:
    try:
        return bool(line.encode().strip())
    except UnicodeEncodeError:
        return False


def _csv(file: Path, text: str) -> Entries:
    lines = io.StringIO(text, newline="").readlines()
    names: list[str] = []
    for delimiter in SEPARATORS:
        header, at = _cells(lines, 0, delimiter)
        names = [name.strip().lower() for name in header] if isinstance(header, list) else []
        for other, name in COLUMNS.items():
            names = [name if one == other and name not in names else one for one in names]
        if {IMAGE, QUESTION} <= {*names}:
            break
    missing = [name for name in (IMAGE, QUESTION) if name not in names]
    if missing:
        raise LookwhyError(
            f"expected the columns {IMAGE} and {QUESTION}, found no {missing[0]} in the first line of "
            f"{file}; add it"
        )
    while at < len(lines):
        where = f"{file}:{at + 1}"
        cells, at = _cells(lines, at, delimiter)
        if isinstance(cells, str):
            yield BadRow(where, f"expected a row of CSV, found {cells}; correct its quotes")
        elif len(cells) > len(names):
            yield BadRow(where, f"expected {len(names)} cells, found {len(cells)}; put quotes round the text")
        elif any(cell.strip() for cell in cells):
            yield where, dict(zip(names, cells, strict=False))


def _cells(lines: list[str], start: int, delimiter: str) -> tuple[list[str] | str, int]:
    """Parse the row that begins in line `start`; returns the row or its error, and the next line's index.

    An unclosed quote would swallow all following lines, so after an error the next line begins a new row.
    """
    reader = csv.reader((lines[at] for at in range(start, len(lines))), delimiter=delimiter, strict=True)
    try:
        return next(reader, []), start + reader.line_num
    except csv.Error as error:
        return str(error), start + 1


def _json_lines(file: Path, text: str) -> Entries:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{file}:{number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield BadRow(where, f"expected JSON in the line, found something else ({error}); correct it")


def _json(images: Path | None, file: Path, text: str) -> Entries:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LookwhyError(
            f"expected JSON, found something else in {file} ({error}); correct it, or name it .csv or .jsonl"
        ) from error
    subtype = data_type = ""
    if isinstance(content, dict):
        subtype, data_type = (str(content.get(key) or "") for key in ("data_subtype", "data_type"))
        content = content.get("questions")
    if not isinstance(content, list):
        raise LookwhyError(
            f'expected a list of rows, or official questions with a list "questions", found neither in '
            f"{file}; see {command('analyze')} explain --help"
        )
    for number, entry in enumerate(content, start=1):
        where = f"{file}, entry {number}"
        if isinstance(entry, dict) and "image_id" in entry and not {IMAGE, "file_name"} & entry.keys():
            if images is None:
                raise LookwhyError(
                    f"expected the folder of the official images for {file}, found none stated; give --images"
                )
            try:
                image_id = read_id(entry["image_id"], IMAGE_IDS)
                own_subtype = subtype_of(entry, subtype)
            except MALFORMED:
                found = f"found {entry['image_id']!r}; correct it"
                yield BadRow(where, f"expected a number or text as image_id, {found}")
                continue
            if not own_subtype and isinstance(image_id, int):
                named = 'an "image", or a "data_subtype" that names the folder of the image'
                yield BadRow(where, f"expected {named}, found neither; add one")
                continue
            entry[IMAGE] = find_image(images, own_subtype, image_id, data_type)
        yield where, entry


def _row(where: str, entry: Any, root: Path) -> Row:
    if not isinstance(entry, dict):
        return BadRow(where, f"expected {IMAGE} and {QUESTION}, found {type(entry).__name__}; correct it")
    texts: dict[str, str] = {}
    for name, read in ((IMAGE, image_of), (QUESTION, question_of)):
        try:
            value = read(entry)
            texts[name] = read_text(value) if isinstance(value, str) else ""
        except KeyError:
            value = None
        except UnicodeEncodeError:
            return BadRow(where, f"expected UTF-8 text as {name}, found other bytes; save it as UTF-8")
        except MALFORMED as error:
            return BadRow(where, f"expected text as {name}, found {error}; correct it")
        if not texts.get(name, "").strip():
            found = "none" if value is None or value == "" else repr(value)
            return BadRow(where, f"expected text as {name}, found {found}; fill it in")
    image, question = texts[IMAGE].strip(), " ".join(texts[QUESTION].split())
    if not is_file(root / image):
        return BadRow(where, f"expected an image, found no file {root / image!s}; correct the path")
    ids = (entry[key] for key in ("question_id", "id") if isinstance(entry.get(key), int | str))
    return ListedQuestion(where, root / image, question, str(next(ids, "")) or Path(image).stem)
