"""Where results come from: versions, machine, revision of the code, and fingerprints of the data."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import torch

import lookwhy
from lookwhy.data.prepro import SPLITS
from lookwhy.files import sha256_file
from lookwhy.types import AnalysisResult

PACKAGES = (
    "torch", "torchvision", "pytorch-lightning", "torchmetrics", "numpy", "scipy", "pillow",
    "h5py", "nltk", "textblob",
)  # fmt: skip
"""Packages whose versions may change a number."""
ROWS = 4096
"""Rows of features that are read at once."""


def environment(device: str) -> dict[str, str]:
    """Versions, machine and device by name.

    Example:
        >>> environment("cpu")["lookwhy"] == lookwhy.__version__
        True
    """
    is_gpu = device.startswith("cuda")
    on = torch.cuda.get_device_name(device) if is_gpu else f"{torch.get_num_threads()} threads"
    return {
        "lookwhy": lookwhy.__version__,
        "git revision": git_revision(),
        "python": platform.python_version(),
        "machine": f"{platform.platform()}, {os.cpu_count()} processors",
        "device": f"{device} ({on})",
    } | {name: version(name) for name in PACKAGES}


def git_revision() -> str:
    """Commit of the clone that runs, "with changes" if files differ from it; "none" for a package."""
    package = Path(lookwhy.__file__).resolve().parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(package), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        # An installed package may lie in the clone of another project.
        if not git("ls-files", "__init__.py"):
            return "none"
        return git("rev-parse", "HEAD") + (
            " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
        )
    except OSError:  # no git
        return "none"


def fingerprints(root: Path, names: Iterable[str], result: AnalysisResult) -> dict[str, str]:
    """SHA-256 of all that the numbers depend on, by name.

    Args:
        root: folder of the files and of the prepared data.
        names: files and folders below it.
        result: analysis of the trained model.
    """
    found = {name: _sha256(root / name) for name in names}
    data: dict[str, Any] = result.manifest["data"]
    tower = data["tower"]
    with h5py.File(root / "data_img.h5") as file:
        for split in SPLITS:
            digest, rows = hashlib.sha256(), file[f"images_{split}"]
            for start in range(0, len(rows), ROWS):
                digest.update(rows[start : start + ROWS].tobytes())
            found[f"features of the {split} images"] = digest.hexdigest()
    return found | {
        Path(tower["weights"]).name: tower["weights_sha256"],
        "data_prepro.h5": data["data_prepro_sha256"],
        "ids of the explained questions": hashlib.sha256(result.question_ids.tobytes()).hexdigest(),
        "trained weights": result.manifest["weights_sha256"],
    }


def _sha256(path: Path) -> str:
    """SHA-256 of a file; of a folder: of the names and the SHA-256 of its files."""
    if path.is_file():
        return sha256_file(path)
    files = sorted(one for one in path.rglob("*") if one.is_file())
    lines = (f"{sha256_file(one)}  {one.relative_to(path).as_posix()}\n" for one in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
