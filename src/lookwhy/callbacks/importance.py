"""The callback that analyses a model during its training: explain, store and publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.trainer.states import TrainerFn

from lookwhy import store
from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.session import AnalysisSession, fingerprint
from lookwhy.attribution.context import random_state_kept
from lookwhy.callbacks.failures import (
    Exchange,
    keep_checkpoint,
    line_of,
    make_up_command,
    missing_line,
    name_of,
    report,
)
from lookwhy.errors import LookwhyError
from lookwhy.models.system import VQASystem
from lookwhy.reporting.publish import publish
from lookwhy.types import AnalysisResult


class ImportanceCallback(pl.Callback):
    """Analyses where the model looks and which words matter, after each epoch with a validation.

    Training stays bit-identical to training without this callback. The run folder is the trainer's
    `default_root_dir`.

    An epoch is analysed when it is over and its checkpoint is written. An analysis that fails is reported in
    one line, and the training goes on. A training that is resumed from the checkpoint makes up for an
    analysis that was interrupted.

    Args:
        plan: settings of the analysis.
        every_n_epochs: analyse every n-th epoch; the first is epoch 0.
        epochs: numbers of the epochs to analyse, in place of every n-th.
        untrained: whether to analyse the model before training, too. Its values are the baseline of every
            curve: a frozen CNN gives maps with the edges of the image even if the head has learned nothing.

    Attributes:
        missing: checkpoint of each epoch whose analysis failed; "" if that epoch has none.
        is_running: whether an analysis is running; the checkpoint before it is written.
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
        self.missing: dict[int, str] = {}
        self.is_running = False
        self._due: int | None = None  # epoch that is to be analysed as soon as it is over
        self._session: AnalysisSession | None = None

    def state_dict(self) -> dict[str, Any]:
        """Put the plan into the checkpoint, so that `analyze.py` analyses the same."""
        return {"plan": self.plan.describe(), "due": self._due, "missing": self.missing}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the epoch whose analysis was to follow the checkpoint."""
        self._due, self.missing = state_dict.get("due"), dict(state_dict.get("missing", {}))

    @random_state_kept()
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a plan that cannot explain this model, and say what its epochs leave out."""
        system: VQASystem = pl_module  # type: ignore[assignment]
        if self.epochs != [] or self.untrained:
            self._session = AnalysisSession(system.data, self.plan)
            self._session.check(system.head)
        if trainer.is_global_zero:
            for line in self._left_out(trainer.max_epochs or 0, trainer.check_val_every_n_epoch or 1):
                report(line)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Analyse the untrained model, or the epoch of the checkpoint from which a training is resumed."""
        if trainer.global_step == 0:
            self._due = store.UNTRAINED if self.untrained else None
        self._analyse_due(trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the validated epoch of a training, if it is one of the chosen."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if self._takes(trainer.current_epoch):
            self._due = trainer.current_epoch

    # These hooks follow the end of an epoch, when its checkpoint is written.
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Analyse the epoch before this one."""
        self._analyse_due(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Analyse the last epoch."""
        self._analyse_due(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the tables of the last epoch, and all analyses as one artifact of the W&B run.

        A resumed training whose epochs are all over comes here at once; its last analysis may be missing.
        """
        self._analyse_due(trainer, pl_module)
        if not trainer.is_global_zero:
            return
        try:
            if (experiment := _experiment(trainer)) is not None:
                from lookwhy.reporting.wandb.log import finish  # it takes a second to import

                with random_state_kept():
                    finish(Path(trainer.default_root_dir), experiment)
        except Exception as error:
            report(f"no tables and no artifact of the analyses in the W&B run: {line_of(error)}")

    def _takes(self, epoch: int) -> bool:
        return epoch % self.every_n_epochs == 0 if self.epochs is None else epoch in self.epochs

    def _left_out(self, max_epochs: int, every: int) -> list[str]:
        """A line for each thing that the epochs leave out, though a user may count on it.

        `every`: number of epochs from one validation to the next.
        """
        if max_epochs < 1 or self.epochs == []:
            return []
        validated = range(every - 1, max_epochs, every)
        analysed = {epoch for epoch in validated if self._takes(epoch)}
        found, last = [], max_epochs - 1
        if last not in analysed:
            chosen = (
                f"every_n_epochs is {self.every_n_epochs}"
                if self.epochs is None
                else f"epochs is {self.epochs}"
            )
            chosen = f"analysis.{chosen}" if last in validated else "it has no validation"
            found.append(f"the last epoch, {last}, will not be analysed: {chosen}")
        analysed |= {store.UNTRAINED} if self.untrained else set()
        for what, name, settings in (
            ("sanity card", "sanity", self.plan.sanity),
            ("deletion and insertion", "faithfulness", self.plan.faithfulness),
        ):
            if settings and settings.epochs and not analysed & {*settings.epochs}:
                found.append(
                    f"no {what}: no epoch of the plan's {name}.epochs {settings.epochs} will be analysed"
                )
        return found

    def missing_lines(self) -> list[str]:
        """A line for each analysis that failed, with the command that makes up for it."""
        return [
            f"the analysis of {name_of(epoch)}{': ' + make_up_command(path) if path else ''}"
            for epoch, path in sorted(self.missing.items())
        ]

    def _analyse_due(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._due is not None:
            epoch, self._due = self._due, None
            self.is_running = True
            try:
                self.analyse(trainer, pl_module, epoch)
            finally:
                self.is_running = False

    # Drawing pictures and writing files use random numbers, too.
    @random_state_kept()
    def analyse(self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int) -> None:
        """Explain on every rank; store and publish on the first. A failure is reported, not raised."""
        system: VQASystem = pl_module  # type: ignore[assignment]
        run = Path(trainer.default_root_dir)
        failure: Exception | None = None
        try:
            result = self._stored(trainer, system, epoch) or self._explained(trainer, system, epoch)
        except Exception as error:
            failure = error
        # Storing is the work of the first rank alone, so that only this rank knows whether it failed.
        if trainer.strategy.broadcast(failure is not None):
            self.missing[epoch] = keep_checkpoint(trainer, epoch)
            if failure is not None and trainer.is_global_zero:
                report(missing_line(run, epoch, failure, self.missing[epoch]))
            return
        self.missing.pop(epoch, None)
        if trainer.is_global_zero:
            try:
                publish(result, run, epoch, _experiment(trainer))
            except Exception as error:
                folder = store.epoch_folder(run, epoch)
                report(f"the analysis in {folder} is stored, but not drawn or logged: {line_of(error)}")

    def _stored(self, trainer: pl.Trainer, system: VQASystem, epoch: int) -> AnalysisResult | None:
        """The analysis of these weights, if an interrupted training has stored it."""
        folder, result = store.epoch_folder(Path(trainer.default_root_dir), epoch), None
        if trainer.is_global_zero and folder.exists():
            try:
                found = store.load(folder)
                result = found if found.manifest.get("weights_sha256") == fingerprint(system.head) else None
            except LookwhyError:
                pass  # it is made anew
        is_stored = trainer.strategy.broadcast(result is not None)
        return (result or AnalysisResult({})) if is_stored else None

    def _explained(self, trainer: pl.Trainer, system: VQASystem, epoch: int) -> AnalysisResult:
        """Explain on every rank, and store on the first. Every rank takes part, even without a question."""
        exchange = Exchange()
        try:
            if self._session is None:
                self._session = AnalysisSession(system.data, self.plan)
            result = self._session.run(
                system.head,
                epoch,
                device=system.device,
                gather=exchange,
                rank=trainer.global_rank,
                world_size=trainer.world_size,
                progress=trainer.is_global_zero and trainer.progress_bar_callback is not None,
                training=system.describe_training(),
            )
        except Exception as error:
            exchange.fail(error)
            raise
        if trainer.is_global_zero:
            store.save(result, store.epoch_folder(Path(trainer.default_root_dir), epoch))
        return result


def _experiment(trainer: pl.Trainer) -> Any | None:
    loggers = [one for one in trainer.loggers if isinstance(one, WandbLogger)]
    return loggers[0].experiment if loggers else None
