"""Writer and reader of analyses: AnalysisResult <-> `analysis/epoch=003/` in the run folder.

A folder is written under a temporary name and then renamed, so a reader never finds an incomplete one.
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
from lookwhy.files import new_hdf5
from lookwhy.types import AnalysisResult, ImportanceMaps

SCHEMA_VERSION = 1

RECORD_COLUMNS = pa.schema([
    ("question_id", pa.int64()), ("image_id", pa.int64()), ("image_file", pa.string()),
    ("question", pa.string()), ("words", pa.list_(pa.string())), ("question_type", pa.string()),
    ("answer_type", pa.string()), ("ground_truth", pa.string()), ("predicted", pa.string()),
    ("confidence", pa.float64()), ("accuracy", pa.float64()), ("domain", pa.string()),
    ("method", pa.string()), ("rho", pa.float64()), ("top_word", pa.string()), ("top_tag", pa.string()),
    ("top_group", pa.string()), ("flips", pa.int64()),
])  # fmt: skip
"""Columns of records.parquet. A value is null if its column does not apply to the method: `rho` for a
question method, `top_word` for an image method, `flips` for a method that removes nothing."""

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
        if re.fullmatch(r"untrained|epoch=\d+", path.name) and (path / "summary.json").is_file()
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
    try:
        manifest = {"schema_version": SCHEMA_VERSION, **result.manifest}
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
        (partial / "summary.json").write_text(json.dumps(result.summary, indent=2, sort_keys=True) + "\n")
        (partial / "curves.json").write_text(json.dumps(result.curves, sort_keys=True) + "\n")
        pq.write_table(
            pa.Table.from_pylist(result.records, schema=RECORD_COLUMNS), partial / "records.parquet"
        )
        _write_maps(result, partial / "maps.h5")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def load(folder: Path) -> AnalysisResult:
    """Read one analysis back.

    Raises:
        LookwhyError: a file is missing, damaged, or of another schema version.
    """
    with _readable(folder):
        result = load_scalars(folder)
        result.records = pq.read_table(folder / "records.parquet").to_pylist()
        result.maps, result.human, result.question_ids = _read_maps(folder / "maps.h5")
    return result


def load_scalars(folder: Path) -> AnalysisResult:
    """Read one analysis without records and maps. Those of all epochs of a long run may not fit in memory.

    Raises:
        LookwhyError: a file is missing, damaged, or of another schema version.
    """
    for name in ("manifest.json", "summary.json", "records.parquet", "maps.h5"):
        if not (folder / name).is_file():
            raise LookwhyError(f"expected {name} in {folder}, found none; analyse that epoch again")
    curves = folder / "curves.json"
    with _readable(folder):
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        version = manifest.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise LookwhyError(
                f"expected schema version {SCHEMA_VERSION}, found {version} in {folder / 'manifest.json'}; "
                "analyse the checkpoint again with this version of lookwhy"
            )
        return AnalysisResult(
            json.loads((folder / "summary.json").read_text()),
            manifest=manifest,
            # Results of earlier versions have no curves.
            curves=json.loads(curves.read_text()) if curves.is_file() else {},
        )


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Convert the errors of reading a damaged file to one line with a remedy."""
    try:
        yield
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise LookwhyError(
            f"expected the files of an analysis in {folder}, found a damaged one "
            f"({' '.join(str(error).split())[:200]}); analyse that epoch again"
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
        if result.human.shape[1]:
            data = file.create_dataset("image/human", data=result.human, compression="gzip", shuffle=True)
            data.attrs.update(signed=False, target="where annotators looked to answer the question")


def _read_maps(path: Path) -> tuple[dict[str, ImportanceMaps], np.ndarray, np.ndarray]:
    maps: dict[str, ImportanceMaps] = {}
    with h5py.File(path) as file:
        question_ids = file["question_id"][:]
        human = np.full((len(question_ids), 0, 1, 1), np.nan, np.float32)
        for domain in ("image", "question"):
            for method, data in file.get(domain, {}).items():
                if method == "human":
                    human = data[:]
                    continue
                values = torch.from_numpy(data[:])
                flips = file.get(f"flips/{domain}/{method}")
                maps[f"{domain}/{method}"] = ImportanceMaps(
                    method=method,
                    domain=domain,
                    values=values,
                    valid=~values.isnan(),
                    signed=bool(data.attrs["signed"]),
                    target=str(data.attrs["target"]),
                    question_ids=torch.from_numpy(question_ids),
                    answers=torch.from_numpy(file[f"answer/{domain}/{method}"][:]),
                    flips=None if flips is None else torch.from_numpy(flips[:]),
                )
    return maps, human, question_ids
