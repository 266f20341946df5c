"""A file in the run folder with the state of its W&B run, so that a resumed training continues that run."""

from __future__ import annotations

import json
import os
import secrets
import string
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lookwhy.files import atomic_path


def run_id(run_folder: Path) -> str:
    """The id of the folder's W&B run: `WANDB_RUN_ID`, else the id of the first training, else a new one."""
    state = _read(run_folder)
    # Not from `random`, whose state belongs to the training.
    new = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
    wanted = os.environ.get("WANDB_RUN_ID") or state.get("run_id") or new
    if wanted != state.get("run_id"):
        # A new W&B run begins with nothing logged.
        _write(run_folder, {"run_id": wanted, "logged": {}})
    return str(wanted)


def is_logged(run_folder: Path, epoch: int, weights: str | None) -> bool:
    """Whether an analysis of this epoch with these weights (their SHA-256) is in the W&B run already.

    A training that was killed between an analysis and its checkpoint repeats the epoch when resumed.
    """
    return weights is not None and _read(run_folder).get("logged", {}).get(str(epoch)) == weights


def mark_logged(run_folder: Path, epoch: int, weights: str | None) -> None:
    """Remember that the analysis of an epoch is logged."""
    if weights is not None:
        state = _read(run_folder)
        _write(run_folder, state | {"logged": state.get("logged", {}) | {str(epoch): weights}})


def forget_lost(run_folder: Path) -> None:
    """Forget analyses that are missing in W&B's log files; call it when a run is resumed.

    W&B writes its log in blocks, so the last epochs of a killed process may be missing.
    """
    state = _read(run_folder)
    if state.get("logged"):
        files = sorted((run_folder / "wandb").glob(f"*run-*/run-{state.get('run_id', '')}.wandb"))
        kept = {epoch for file in files for epoch in _analysed_epochs(file)}
        _write(run_folder, state | {"logged": {e: w for e, w in state["logged"].items() if e in kept}})


def _analysed_epochs(file: Path) -> Iterator[str]:
    """Epochs whose analysis is in a W&B log; none for an unreadable log, so that they are logged again."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as reader:
        for line in reader.stdout or ():
            # Most lines are training steps; the last line may be damaged.
            if '"history"' in line and '"analysis/' in line:
                with suppress(ValueError, KeyError, TypeError):
                    yield str(json.loads(line)["history"]["item"]["epoch"])


def _path(run_folder: Path) -> Path:
    return run_folder / "wandb" / "lookwhy.json"


def _read(run_folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_path(run_folder).read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _write(run_folder: Path, state: dict[str, Any]) -> None:
    with atomic_path(_path(run_folder)) as partial:
        partial.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
