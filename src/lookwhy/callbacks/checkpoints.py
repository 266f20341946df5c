"""The checkpoints of a training, in its run folder: the best epoch and the last one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint


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
