"""The callback that analyses a model during its training: explain, store and publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch.distributed as dist
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.trainer.states import TrainerFn

from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.run import Findings
from lookwhy.analysis.session import AnalysisSession
from lookwhy.attribution.context import random_state_kept
from lookwhy.errors import LookwhyError
from lookwhy.models.system import VQASystem
from lookwhy.reporting.publish import publish


class ImportanceCallback(pl.Callback):
    """Analyses where the model looks and which words matter, after each validation epoch.

    Training stays bit-identical to training without this callback. The run folder is the trainer's
    `default_root_dir`.

    Args:
        plan: settings of the analysis.
        every_n_epochs: analyse every n-th epoch; the first is epoch 0.
        epochs: numbers of the epochs to analyse, in place of every n-th.
        untrained: whether to analyse the model before training, too. Its values are the baseline of every
            curve: a frozen CNN gives maps with the edges of the image even if the head has learned nothing.
    """

    def __init__(
        self,
        plan: AnalysisPlan | None = None,
        every_n_epochs: int = 1,
        epochs: list[int] | None = None,
        untrained: bool = True,
    ) -> None:
        if every_n_epochs < 1 or min(epochs or [0]) < 0:
            raise LookwhyError(
                f"expected epochs from 0 and every_n_epochs from 1, found {epochs} and {every_n_epochs}; "
                "untrained=true analyses the model before training"
            )
        self.plan = plan or AnalysisPlan()
        self.every_n_epochs, self.epochs, self.untrained = every_n_epochs, epochs, untrained
        self._session: AnalysisSession | None = None

    def state_dict(self) -> dict[str, Any]:
        """Put the plan into the checkpoint, so that `analyze.py` analyses the same."""
        return {"plan": self.plan.describe()}

    @random_state_kept()
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a plan that cannot explain this model."""
        system: VQASystem = pl_module  # type: ignore[assignment]
        if self.epochs != [] or self.untrained:
            self._session = AnalysisSession(system.data, self.plan)
            self._session.check(system.head)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Analyse the untrained model, unless a training is resumed."""
        if self.untrained and trainer.global_step == 0:
            self.analyse(trainer, pl_module, store.UNTRAINED)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Analyse the validated epoch of a training, if it is one of the chosen."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        epoch = trainer.current_epoch
        if epoch % self.every_n_epochs == 0 if self.epochs is None else epoch in self.epochs:
            self.analyse(trainer, pl_module, epoch)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the tables of the last epoch, and all analyses as one artifact of the W&B run."""
        if trainer.is_global_zero and (experiment := _experiment(trainer)) is not None:
            from lookwhy.reporting.wandb.log import finish  # it takes a second to import

            with random_state_kept():
                finish(Path(trainer.default_root_dir), experiment)

    # Drawing pictures and writing files use random numbers, too.
    @random_state_kept()
    def analyse(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> None:
        """Explain on every rank; store and publish on the first, while the others continue.

        Every rank takes part in the gathering, even without a question of its own.
        """
        system: VQASystem = pl_module  # type: ignore[assignment]
        if self._session is None:
            self._session = AnalysisSession(system.data, self.plan)
        result = self._session.run(
            system.head,
            epoch,
            device=system.device,
            gather=_gather_from_all_ranks,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            progress=trainer.is_global_zero and trainer.progress_bar_callback is not None,
        )
        if trainer.is_global_zero:
            run = Path(trainer.default_root_dir)
            store.save(result, store.epoch_folder(run, epoch))
            publish(result, run, epoch, _experiment(trainer))


def _experiment(trainer: pl.Trainer) -> Any | None:
    loggers = [one for one in trainer.loggers if isinstance(one, WandbLogger)]
    return loggers[0].experiment if loggers else None


def _gather_from_all_ranks(findings: Findings) -> list[Findings]:
    if not (dist.is_available() and dist.is_initialized()):
        return [findings]
    parts: list[Findings | None] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, findings)
    return [part for part in parts if part is not None]
