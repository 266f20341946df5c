"""Writer and reader of analyses: AnalysisResult <-> `analysis/epoch=003/` in the run folder.

A folder is written under a temporary name and then renamed, so a reader never finds an incomplete one. A
reader checks each file against its declared form (`lookwhy.stored`), because files are copied, cut and mixed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lookwhy.errors import LookwhyError, command
from lookwhy.hdf5 import new_hdf5, open_hdf5
from lookwhy.schema import checked
from lookwhy.stored import (
    RECORD_COLUMNS,
    Curves,
    Manifest,
    Summary,
    check_ids,
    dataset,
    methods_of,
    records_from,
)
from lookwhy.types import TEXT_IDS, AnalysisResult, ImportanceMaps

__all__ = [
    "METRICS",
    "RECORD_COLUMNS",
    "UNTRAINED",
    "epoch_folder",
    "load",
    "load_metrics",
    "load_question_ids",
    "load_scalars",
    "load_summary",
    "save",
    "stored_epochs",
]

SCHEMA_VERSION = 1
AGAIN = "analyse that epoch again"
"""Remedy of a file that cannot be read."""
METRICS = "metrics.json"
"""File in the run folder of a finished training: the last and best values by their W&B names."""
UNTRAINED = -1
"""Epoch number of the initialised model, before any training."""


def epoch_folder(run: Path, epoch: int) -> Path:
    """Folder of one epoch's analysis inside a run folder; `analysis/untrained` for the untrained model."""
    return run / "analysis" / ("untrained" if epoch == UNTRAINED else f"epoch={epoch:03d}")


def stored_epochs(run: Path) -> dict[int, Path]:
    """Folders of a run's analyses by epoch, in order; the untrained model is epoch -1.

    Raises:
        LookwhyError: the folder has no analysis.
    """
    found = {
        int(path.name.partition("=")[2] or UNTRAINED): path
        for path in (run / "analysis").glob("*")
        if re.fullmatch(r"untrained|epoch=\d+", path.name) and path.is_dir()
    }
    if not found:
        raise LookwhyError(
            f"expected a run folder with analysis/epoch=NNN/, found none in {run}; "
            f"name the folder that {command('train')} printed"
        )
    return dict(sorted(found.items()))


def save(result: AnalysisResult, folder: Path) -> Path:
    """Write one analysis; an older folder of the same name is replaced."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        manifest = {"schema_version": SCHEMA_VERSION, **result.manifest}
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
        (partial / "summary.json").write_text(json.dumps(result.summary, indent=2, sort_keys=True) + "\n")
        (partial / "curves.json").write_text(json.dumps(result.curves, sort_keys=True) + "\n")
        columns = RECORD_COLUMNS
        for name in TEXT_IDS:
            if any(record.get(name) for record in result.records):
                columns = columns.append(pa.field(name, pa.string()))
        # Besides these, a record has a number for each measure of its method.
        for name in sorted({key for record in result.records for key in record}):
            if name not in {*columns.names, *TEXT_IDS}:
                columns = columns.append(pa.field(name, pa.float64()))
        pq.write_table(pa.Table.from_pylist(result.records, schema=columns), partial / "records.parquet")
        _write_maps(result, partial / "maps.h5")
        if folder.exists():
            # Moved away whole: a process killed while it removes files would leave half a folder.
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        for path in (partial, old):
            shutil.rmtree(path, ignore_errors=True)
    return folder


def load(folder: Path) -> AnalysisResult:
    """Read one analysis back.

    Raises:
        LookwhyError: a file is missing, damaged, of another schema version, or does not belong to the others.
    """
    result = load_scalars(folder)
    records, maps = folder / "records.parquet", folder / "maps.h5"
    with _readable(records):
        result.records = records_from(pq.read_table(records), records, AGAIN)
    with _readable(maps), open_hdf5(maps) as file:
        result.maps, result.human, result.truth, result.question_ids = _read_maps(file, maps)
        if "boxes" in file:
            result.boxes = dataset(file, "boxes", {"N": len(result.question_ids), "sides": 4}, maps, AGAIN)
    check_ids(result, folder, AGAIN)
    return result


def load_scalars(folder: Path) -> AnalysisResult:
    """Read one analysis without records and maps. Those of all epochs of a long run may not fit in memory.

    Raises:
        LookwhyError: a file is missing, damaged, or of another schema version.
    """
    for name in ("manifest.json", "summary.json", "records.parquet", "maps.h5"):
        if not (folder / name).is_file():
            raise LookwhyError(f"expected {name} in {folder}, found none; {AGAIN}")
    path = folder / "manifest.json"
    manifest = _json(path)
    version = manifest.pop("schema_version", None) if isinstance(manifest, dict) else SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        raise LookwhyError(
            f"expected schema version {SCHEMA_VERSION}, found {version!r:.40} in {path}; analyse the "
            "checkpoint again with this version of lookwhy"
        )
    # Results of earlier versions have no curves.
    curves = folder / "curves.json"
    return AnalysisResult(
        load_summary(folder),
        manifest=checked(Manifest, manifest, "the manifest of an analysis", path, AGAIN),
        curves=checked(Curves, _json(curves), "curves", curves, AGAIN) if curves.is_file() else {},
    )


def load_summary(folder: Path) -> dict[str, float]:
    """Read the scalars of one analysis.

    Raises:
        LookwhyError: the file is missing or damaged, or a value is no finite number.
    """
    path = folder / "summary.json"
    return dict(checked(Summary, _json(path), "numbers by their keys", path, AGAIN))


def load_metrics(run: Path) -> dict[str, float]:
    """Read the last and best values of a finished training by their W&B names; empty before its end.

    Raises:
        LookwhyError: the file is damaged.
    """
    path = run / METRICS
    if not path.is_file():
        return {}
    return dict(checked(Summary, _json(path), "numbers by their names", path, "train again, or remove it"))


def load_question_ids(folder: Path) -> np.ndarray:
    """Read the ids (N,) of the analysed questions alone, in the order of the analysis.

    Raises:
        LookwhyError: the file of the maps is missing or damaged.
    """
    path = folder / "maps.h5"
    with _readable(path), open_hdf5(path) as file:
        return dataset(file, "question_id", {}, path, AGAIN)


def _json(path: Path) -> Any:
    with _readable(path):
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Convert the errors of reading a damaged file to one line with a remedy."""
    try:
        yield
    except LookwhyError:
        raise
    # h5py, pyarrow and json raise errors of a dozen classes for bytes that are not theirs.
    except Exception as error:
        raise LookwhyError(
            f"expected a file of an analysis, found a damaged one "
            f"({' '.join(str(error).split())[:200] or type(error).__name__}) in {path}; {AGAIN}"
        ) from error


def _write_maps(result: AnalysisResult, path: Path) -> None:
    with new_hdf5(path) as file:
        file["question_id"] = result.question_ids
        for name, maps in result.maps.items():
            values = torch.where(maps.valid, maps.values.float(), torch.nan).numpy()
            data = file.create_dataset(name, data=values, compression="gzip", shuffle=True)
            data.attrs.update(signed=maps.signed, target=maps.target)
            file[f"answer/{name}"] = maps.answers.numpy()
            if maps.flips is not None:
                file[f"flips/{name}"] = maps.flips.numpy()
            if maps.box_values is not None:
                file[f"box_values/{name}"] = maps.box_values.float().numpy()
        if result.human.shape[1]:
            data = file.create_dataset("image/human", data=result.human, compression="gzip", shuffle=True)
            data.attrs.update(signed=False, target="where annotators looked to answer the question")
        if len(result.truth):
            data = file.create_dataset("image/truth", data=result.truth, compression="gzip", shuffle=True)
            data.attrs.update(signed=False, target="share of each cell that the question needs")
        if len(result.boxes):
            file["boxes"] = result.boxes


def _read_maps(
    file: h5py.File, path: Path
) -> tuple[dict[str, ImportanceMaps], np.ndarray, np.ndarray, np.ndarray]:
    """Maps of the methods, annotator maps, ground-truth masks, and the ids of the questions."""
    sizes: dict[str, int] = {}

    def read(name: str) -> np.ndarray:
        return dataset(file, name, sizes, path, AGAIN)

    def optional(name: str) -> torch.Tensor | None:
        return torch.from_numpy(read(name)) if name in file else None

    question_ids = read("question_id")
    maps: dict[str, ImportanceMaps] = {}
    human = np.full((len(question_ids), 0, 1, 1), np.nan, np.float32)
    for domain, method in methods_of(file, path, AGAIN):
        name = f"{domain}/{method}"
        values = read(name)
        if name == "image/human":
            human = values
            continue
        maps[name] = ImportanceMaps(
            method=method,
            domain=domain,
            values=torch.from_numpy(values),
            valid=torch.from_numpy(~np.isnan(values)),
            signed=bool(file[name].attrs["signed"]),
            target=str(file[name].attrs["target"]),
            question_ids=torch.from_numpy(question_ids),
            answers=torch.from_numpy(read(f"answer/{name}")),
            flips=optional(f"flips/{name}"),
            box_values=optional(f"box_values/{name}"),
        )
    # Files of earlier versions have no masks.
    truth = read("image/truth") if "image/truth" in file else np.zeros((0, 1, 1), np.float32)
    return maps, human, truth, question_ids
