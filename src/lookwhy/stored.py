"""Declared form of each file of an analysis: the fields, columns and datasets that the reports read.

Fields, columns and datasets beyond these are allowed: later versions and users add some.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired

import h5py
import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, ConfigDict, Field, Strict
from typing_extensions import TypedDict

from lookwhy.errors import LookwhyError
from lookwhy.types import AnalysisResult, Domain

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A finite number that is neither text nor true or false."""
Count = Annotated[int, Strict(), Field(ge=0)]

Summary = dict[str, Number]
"""Form of summary.json."""


class _Plan(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    compared: str
    correct_above: Number


class _Data(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    folder: str
    data_prepro_sha256: str


class Manifest(TypedDict, total=False):
    """Form of manifest.json without its schema version; earlier versions have fewer fields."""

    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]

    annotators: str | None
    data: _Data | None
    data_note: str | None
    epoch: Annotated[int, Field(ge=-1)] | None
    examples: list[int] | None
    excluded: dict[str, Count] | None
    grid: Annotated[int, Field(ge=1)] | None
    group_order: list[str]
    image_root: str | None
    plan: _Plan | None
    tagger: str | None
    training: dict[str, Any] | None
    weights_sha256: str | None


class _Curve(TypedDict):
    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]

    x: list[Number]
    y: list[Number]
    n: NotRequired[list[Number]]
    low: NotRequired[list[Number]]
    high: NotRequired[list[Number]]


def _same_lengths(curve: _Curve) -> _Curve:
    lengths = {len(values) for values in curve.values() if isinstance(values, list)}
    if len(lengths) > 1:
        raise ValueError("x, y, n, low and high should have as many points as each other")
    return curve


Curves = dict[str, Annotated[_Curve, AfterValidator(_same_lengths)]]
"""Form of curves.json."""

RECORD_COLUMNS = pa.schema([
    ("question_id", pa.int64()), ("image_id", pa.int64()), ("image_file", pa.string()),
    ("question", pa.string()), ("words", pa.list_(pa.string())), ("tags", pa.list_(pa.string())),
    ("question_type", pa.string()), ("answer_type", pa.string()), ("ground_truth", pa.string()),
    ("predicted", pa.string()),
    ("confidence", pa.float64()), ("accuracy", pa.float64()), ("domain", pa.string()),
    ("method", pa.string()), ("rho", pa.float64()), ("top_word", pa.string()), ("top_tag", pa.string()),
    ("top_group", pa.string()), ("flips", pa.int64()),
])  # fmt: skip
"""Columns of records.parquet. `tags` are the part-of-speech tags of `words`, one each. `top_word` is the most
important word of the question, `top_tag` its tag and `top_group` its part of speech; a punctuation mark can
be that word only if the plan counts punctuation. A value is null if its column does not apply to the method:
`rho` for a question method, `top_word` for an image method, `flips` for a method that removes nothing.
`TEXT_IDS` are further columns of data whose ids are text; `question_id` and `image_id` are numbers in their
place. Each measure of faithfulness and localisation is a further column of float64,
"localisation_mass_accuracy"; so are `entropy` (nats) and `margin` of the model's answers, which analyses of
earlier versions lack."""
_LATER = ("tags",)
"""Columns that files of earlier versions lack."""
_NEVER_NULL = ("question_id", "image_id", "domain", "method")


class _Dataset(NamedTuple):
    kinds: str
    axes: tuple[str, ...]
    attributes: tuple[str, ...] = ("signed", "target")


DATASETS = {
    "question_id": _Dataset("i", ("N",)),
    "image": _Dataset("f", ("N", "G", "G")),
    "image/human": _Dataset("f", ("N", "K", "G", "G")),
    "image/truth": _Dataset("f", ("N", "G", "G")),
    "question": _Dataset("f", ("N", "T")),
    "answer": _Dataset("i", ("N",)),
    "flips": _Dataset("i", ("N",)),
    "boxes": _Dataset("f", ("N", "R", "sides"), ()),
    "box_values": _Dataset("f", ("N", "R"), ()),
}
"""Datasets of maps.h5 by name, or by the first part of it: kind of the values (NumPy's letter), axes, each of
one length in the whole file (see `lookwhy.types`), and attributes of floats.

`boxes` are the four sides x1, y1, x2, y2 of the R boxes of each question's image, relative to it (0..1), and
`box_values/image/<method>` is the importance of each box, from which the map of the method is made; NaN where
an image has fewer boxes. Both are there if the model reads boxes; files of earlier versions have neither."""
_KINDS = {"i": "whole numbers", "f": "floating-point numbers"}


def records_from(table: pa.Table, path: Path, remedy: str) -> list[dict[str, Any]]:
    """Rows of records.parquet.

    Raises:
        LookwhyError: a column is missing or of another type, or a value is null where it must not be.
    """
    for field in RECORD_COLUMNS:
        place = table.schema.get_field_index(field.name)
        if place < 0 and field.name in _LATER:
            continue
        found = table.schema.field(place).type if place >= 0 else "none"
        if found != field.type:
            raise LookwhyError(
                f"expected a column {field.name} of {field.type}, found {found} in {path}; {remedy}"
            )
    for name in _NEVER_NULL:
        if count := table[name].null_count:
            raise LookwhyError(
                f"expected {name} in every row, found {count} rows without in {path}; {remedy}"
            )
    for row in (rows := table.to_pylist()):
        if row["domain"] not in ("image", "question") or None in (row["words"] or ()):
            raise LookwhyError(
                f"expected a domain image or question and a list of words, found {row['domain']!r:.20} and "
                f"{row['words']!r:.60} for question {row['question_id']} in {path}; {remedy}"
            )
    return list(rows)


def methods_of(file: h5py.File, path: Path, remedy: str) -> list[tuple[Domain, str]]:
    """Domain and method of each dataset of maps in maps.h5, with the annotators as image/human; no masks."""
    found: list[tuple[Domain, str]] = []
    domains: tuple[Domain, Domain] = ("image", "question")
    for domain in domains:
        group = file.get(domain, {})
        if isinstance(group, h5py.Dataset):
            raise LookwhyError(f"expected a group {domain}, found a dataset in {path}; {remedy}")
        found += [(domain, method) for method in group if f"{domain}/{method}" != "image/truth"]
    return found


def dataset(file: h5py.File, name: str, sizes: dict[str, int], path: Path, remedy: str) -> np.ndarray:
    """Read one dataset of maps.h5.

    Args:
        file: the open file.
        name: name of the dataset.
        sizes: length of each axis so far; those of this dataset are added.
        path: path of the file, for the message.
        remedy: what the reader can do.

    Raises:
        LookwhyError: the dataset is missing, or has other values, axes or lengths than declared.
    """
    form = DATASETS.get(name) or DATASETS[name.split("/")[0]]
    data = file.get(name)
    found = "none"
    if isinstance(data, h5py.Dataset):
        found = f"{data.dtype} {data.shape}"
        fits = data.dtype.kind in form.kinds and len(data.shape) == len(form.axes)
        lengths = zip(form.axes, data.shape, strict=True) if fits else ()
        if fits and all(sizes.setdefault(axis, length) == length for axis, length in lengths):
            needs = form.attributes if form.kinds == "f" else ()
            if not (missing := [one for one in needs if one not in data.attrs]):
                return np.asarray(data[:])
            found = f"no attribute {missing[0]}"
    known = ", ".join(str(sizes.get(axis, axis)) for axis in form.axes)
    raise LookwhyError(
        f"expected {name} of {_KINDS[form.kinds]} ({known}), found {found} in {path}; {remedy}"
    )


def check_ids(result: AnalysisResult, folder: Path, remedy: str) -> None:
    """Refuse records and maps of different analyses.

    Raises:
        LookwhyError: an id is double, or the questions or methods of the two files differ.
    """
    if not (result.records or result.maps):
        return  # a plan without methods
    maps, records = set(result.question_ids.tolist()), {row["question_id"] for row in result.records}
    if len(maps) < len(result.question_ids):
        raise LookwhyError(
            f"expected each question_id once, found one twice in {folder / 'maps.h5'}; {remedy}"
        )
    if maps != records:
        one, other = ("records.parquet", "maps.h5") if records - maps else ("maps.h5", "records.parquet")
        number = min(records - maps or maps - records)
        raise LookwhyError(
            f"expected question_id {number} of {folder / one} in {folder / other}, too, found none; {remedy}"
        )
    known = {f"{row['domain']}/{row['method']}" for row in result.records}
    if strange := sorted(result.maps.keys() - known):
        raise LookwhyError(
            f"expected records of {strange[0]}, which maps.h5 has, found none in "
            f"{folder / 'records.parquet'}; {remedy}"
        )
