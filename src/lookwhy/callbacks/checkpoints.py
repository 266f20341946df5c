"""The checkpoints of a training, in its run folder: the best epoch and the last one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lookwhy.files import atomic_path


class RunCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that finds its files again when the run folder has been moved."""

    @property
    def state_key(self) -> str:
        """The key of a ModelCheckpoint, which reads the state of earlier checkpoints."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Look for the files in the folder of this training, which may have another path than before."""
        folder = Path(str(self.dirpath))

        def here(path: str) -> str:
            return str(folder / Path(path).name) if path else ""

        names = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict.get(name, "")) for name in names}
        best = {here(path): score for path, score in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict(state_dict | moved | {"dirpath": self.dirpath, "best_k_models": best})


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning writes to the folder for temporary files and moves the file. If that is another disk, the move
    is a copy, and a full disk leaves a part of it in place of the last good checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Save a checkpoint in a local file, or as Lightning does at another address."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        content = io.BytesIO()  # torch.save would write the name of the temporary file into a file
        torch.save(checkpoint, content)
        with atomic_path(Path(path)) as partial:
            partial.write_bytes(content.getbuffer())


def run_checkpoints() -> list[pl.Callback]:
    """Checkpoints of the best and the last epoch; saved after the epoch, so that training resumes exactly."""
    best = RunCheckpoint(
        filename="best-epoch={epoch:03d}",
        auto_insert_metric_name=False,
        monitor="val/accuracy/overall",
        mode="max",
        save_on_train_epoch_end=True,
    )
    # `save_last` of the first callback would save its latest best epoch, not the last epoch.
    last = RunCheckpoint(filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    return [best, last]
