"""Training of a VQA head on precomputed features: the original project's settings, in Lightning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from lookwhy.data.datamodule import VQADataModule
from lookwhy.errors import LookwhyError
from lookwhy.metrics.vqa_metric import VQAAccuracy
from lookwhy.models.checkpoint import describe_run
from lookwhy.models.graphed import Capture, GraphedLoss, cross_entropy, cuda_capture
from lookwhy.models.precision import training_precision
from lookwhy.models.protocol import ABOVE_0, BELOW_1, VQAHead, check_numbers
from lookwhy.models.regions import RegionHead
from lookwhy.towers.precision import true_float32
from lookwhy.types import VQABatch

LOSS_READ_EVERY = 50
"""On a GPU, number of training steps between two checks that the loss is finite."""


class VQASystem(pl.LightningModule):
    """Training with cross entropy over the answers, RMSprop, decaying learning rate and clamped gradients.

    The defaults are those of the original project (VQA_LSTM_CNN of Lu et al. 2015).

    Args:
        head: network from image features to answers.
        learning_rate: learning rate of the first step.
        decay: factor of the learning rate after every step.
        alpha: smoothing constant of RMSprop.
        eps: constant that RMSprop adds to the denominator.
        clamp: largest absolute value of each element of the gradient.
        seed: seed of dropout. Dropout is a function of seed, epoch and rank, so that a resumed run ends with
            the weights of an uninterrupted run.
        tf32: whether training steps on a GPU multiply with 10-bit mantissas (TF32), which is faster; False
            for true single precision. Validation and analysis always use that. The manifest of each analysis
            states this setting and the trainer's precision.
        cuda_graph: whether a training of one process on a GPU replays its forward and backward pass as CUDA
            graphs (see `lookwhy.models.graphed`), which is faster. False is for callbacks that set hooks on
            modules of the head, or freeze and thaw its weights.
    """

    def __init__(
        self,
        head: VQAHead,
        learning_rate: float = 3e-4,
        decay: float = 0.99997592083,
        alpha: float = 0.99,
        eps: float = 1e-8,
        clamp: float = 10.0,
        seed: int = 123,
        tf32: bool = False,
        cuda_graph: bool = True,
    ) -> None:
        super().__init__()
        positive = dict.fromkeys(("learning_rate", "decay", "eps", "clamp"), ABOVE_0)
        check_numbers(locals(), "model", alpha=BELOW_1, **positive)
        self.head = head
        self.learning_rate, self.decay = learning_rate, decay
        self.alpha, self.eps, self.clamp = alpha, eps, clamp
        self.seed, self.tf32, self.cuda_graph = seed, tf32, cuda_graph
        self._graphed: GraphedLoss | None = None
        self.accuracy = VQAAccuracy()
        self.prior_accuracy = VQAAccuracy()

    @property
    def data(self) -> VQADataModule:
        """The trainer's data module."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @staticmethod
    def logged(data: VQADataModule) -> list[str]:
        """Names of the metrics that a training on this data logs."""
        accuracies = [
            "overall",
            *(f"answer_type/{one}" for one in sorted(set(data.prepro.test.answer_types))),
        ]
        names = ["train/loss", "val/loss", *(f"val/accuracy/{one}" for one in accuracies)]
        return [*names, "val/accuracy_most_frequent_answer"]

    def setup(self, stage: str) -> None:
        """Check before the first step that the head can read the features and has settings."""
        self.head.check_features(self.data.feature_shape)
        if self.data.boxes and isinstance(self.head, RegionHead) and not self.head.mask_empty:
            raise LookwhyError(
                "expected model.head.init_args.mask_empty true for features of boxes, whose images have "
                f"unequal numbers of them, found {self.head.mask_empty}; set it to true"
            )
        describe_run(self.head, self.data)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """RMSprop as in Torch7, and a learning rate that decays after every step."""
        optimizer = torch.optim.RMSprop(
            self.head.parameters(), lr=self.learning_rate, alpha=self.alpha, eps=self.eps
        )
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=self.decay)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clamp by value, unless the trainer has its own setting."""
        if gradient_clip_val is None:
            gradient_clip_val, gradient_clip_algorithm = self.clamp, "value"
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_train_epoch_start(self) -> None:
        """Set torch's seed from `seed`, epoch and rank, so that dropout depends on nothing else."""
        words = np.random.SeedSequence([self.seed, self.current_epoch, self.global_rank])
        torch.manual_seed(int(words.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def capture(self) -> Capture | None:
        """Function that records the passes of a training step; None for the plain path."""
        is_alone_on_gpu = self.device.type == "cuda" and self.trainer.world_size == 1
        return cuda_capture() if self.cuda_graph and is_alone_on_gpu else None

    def on_fit_start(self) -> None:
        """Begin without recordings: those of another training are of other weights."""
        capture = self.capture()
        self._graphed = GraphedLoss(self.head, capture) if capture else None

    def on_fit_end(self) -> None:
        """Free the memory of the recordings."""
        self._graphed = None

    def training_step(self, batch: VQABatch, batch_idx: int) -> Tensor:
        """Cross entropy of one batch."""
        inputs: Any = batch.features, batch.tokens, batch.lengths, batch.labels
        with training_precision(self.tf32):
            if self._graphed and self.trainer.accumulate_grad_batches == 1:
                loss = self._graphed(*inputs)
            else:
                loss = cross_entropy(self.head, *inputs)
        # Reading the loss waits for the GPU, so the loss is checked rarely there. A NaN stays in the weights,
        # so a later check still finds it.
        if loss.device.type == "cpu" or self.global_step % LOSS_READ_EVERY == 0:
            self._check_loss(loss, "loss")
        self._log_loss(loss, len(batch), is_first=batch_idx == 0)
        return loss

    def _log_loss(self, loss: Tensor, size: int, is_first: bool) -> None:
        """Log the loss of a step, by the last of the things that `self.log` does.

        The others are checks of what is the same in every step. They took a fifth of the processor's time of
        a step on a GPU, for which the GPU waited.
        """
        results, key = self.trainer._results, "training_step.train/loss"
        if is_first or results is None or key not in results:
            # Lightning reads what a bar shows at the end of every step, and so waits for a GPU.
            bar = self.trainer.progress_bar_callback
            in_bar = bar is not None and bool(getattr(bar, "reads_metrics", True))
            self.log("train/loss", loss, on_step=True, on_epoch=False, batch_size=size, prog_bar=in_bar)
        else:
            results.update_metrics(key, loss.detach(), size)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Gradients in the precision of the training."""
        with training_precision(self.tf32):
            super().backward(loss, *args, **kwargs)

    @true_float32()
    def validation_step(self, batch: VQABatch, batch_idx: int) -> None:
        """Update the accuracy with all questions; log the loss of those whose answer the model can give."""
        logits = self.head(batch.features, batch.tokens, batch.lengths)
        predicted = [self.data.answers[answer] for answer in logits.argmax(1).tolist()]
        prior = [self.data.most_frequent_answer] * len(batch)
        self.accuracy.update(predicted, batch.answers, batch.answer_types, batch.question_types)
        self.prior_accuracy.update(prior, batch.answers)
        answerable = int((batch.labels >= 0).sum())
        if answerable:
            loss = F.cross_entropy(logits, batch.labels, ignore_index=-1)
            self._check_loss(loss, "validation loss")
            self.log("val/loss", loss, batch_size=answerable, sync_dist=True)

    def _check_loss(self, loss: Tensor, what: str) -> None:
        """Raise an error if the loss is not finite, before an analysis or a checkpoint uses the weights."""
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._diverged(f"a {what} that is a number", str(value))

    def _diverged(self, expected: str, found: str) -> LookwhyError:
        when = f"at step {self.global_step} of epoch {self.current_epoch}"
        writers = [one for one in self.trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
        saved = [one.best_model_path for one in writers if one.best_model_path]
        kept = f"the last good checkpoint is kept: {saved[-1]}" if saved else "no checkpoint was written yet"
        return LookwhyError(
            f"expected {expected}, found {found} {when}; "
            f"lower model.learning_rate (now {self.learning_rate:g}) or model.clamp; {kept}"
        )

    def on_validation_epoch_end(self) -> None:
        """Log the accuracy, overall and by answer type, and the baseline: always the most frequent answer."""
        for key, value in self.accuracy.compute().items():
            if not key.startswith("question_type/"):
                self.log(f"val/accuracy/{key}", float(value), prog_bar=key == "overall")
        self.log("val/accuracy_most_frequent_answer", float(self.prior_accuracy.compute()["overall"]))
        self.accuracy.reset()
        self.prior_accuracy.reset()

    test_step, on_test_epoch_end = validation_step, on_validation_epoch_end

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add all that an analysis needs, in plain types, so that loading a checkpoint runs no pickled code.

        Raises:
            LookwhyError: the weights are not finite. Earlier checkpoints are kept.
        """
        for name, weights in self.head.named_parameters():
            if not bool(torch.isfinite(weights).all()):
                raise self._diverged("finite weights", f"others in {name}")
        folder = Path(self.trainer.default_root_dir)
        checkpoint["lookwhy"] = describe_run(self.head, self.data, folder, self.describe_training())

    def describe_training(self) -> dict[str, Any]:
        """Numbers that the training computes with: precision of the trainer, TF32, kind of device."""
        precision, device = str(self.trainer.precision), self.device.type
        return {"precision": precision, "tf32": self.tf32, "device": device}
