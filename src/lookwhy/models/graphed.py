"""The training loss as CUDA graphs: a GPU repeats the kernels of a step without being told each one again.

A step of `DeeperLSTM` is some hundred kernels of microseconds, which a processor launches more slowly than a
GPU computes them. A CUDA graph is a recording of kernels, here of a forward and of a backward pass, and is
replayed with one launch. It belongs to the shape of its inputs, so there is one for each shape of a batch,
recorded at its first use. Questions are padded to a few widths to need few graphs; padding changes no number,
because nothing after a question's last word is read.

The rest of a step (clamp, optimiser, learning rate, logging, callbacks) is Lightning's, as without graphs.

Rules that follow from a recording:

* It keeps the addresses of the weights, so graphs live no longer than one `fit`.
* It runs no Python: hooks that a callback sets on a module of the head run while recording only. Hooks on
  parameters run at every step. Weights that get a gradient are those that got one while recording.
* Its gradients lie in buffers that the next replay overwrites. Lightning sets gradients to None before each
  backward pass, so nothing adds to them, unless gradients are accumulated over several batches.
* Dropout draws new numbers at each replay, from the random state of that moment, as on the plain path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lookwhy.models.protocol import VQAHead
from lookwhy.progress import write_above
from lookwhy.types import Features, Lengths, Target, Tokens

WIDTH_STEP = 4
"""Questions are padded to a multiple of this number of words."""

Scalar = Float[Tensor, ""]
Samples = tuple[Features, Tokens, Lengths, Target]
Capture = Callable[["BatchLoss", Samples], Callable[..., Scalar]]
"""Function that records a module's passes on samples and returns their replay."""


def cross_entropy(
    head: VQAHead, features: Features, tokens: Tokens, lengths: Lengths, labels: Target
) -> Scalar:
    """Mean cross entropy of a batch: the plain path of training."""
    return F.cross_entropy(head(features, tokens, lengths), labels)


class BatchLoss(nn.Module):
    """The plain path as a module of its own for each shape, which is what torch records.

    Autocast is the one that was on when the module was made, but without its cache of cast weights, which a
    replay would not fill.
    """

    def __init__(self, head: VQAHead, device: torch.device) -> None:
        super().__init__()
        self.head, self.device_type = head, device.type
        self.is_mixed = torch.is_autocast_enabled(device.type)
        self.dtype = torch.get_autocast_dtype(device.type)

    def forward(self, features: Features, tokens: Tokens, lengths: Lengths, labels: Target) -> Scalar:
        """Mean cross entropy of a batch."""
        with torch.autocast(self.device_type, self.dtype, self.is_mixed, cache_enabled=False):
            return cross_entropy(self.head, features, tokens, lengths, labels)


class GraphedLoss:
    """Mean cross entropy of a batch, by one recording for each shape of a batch.

    If a recording fails, one line says so, and the plain path computes all further batches.

    Args:
        head: the network, with its weights at their final place.
        capture: function that records a module, see `cuda_capture`.

    Example:
        >>> from lookwhy.models import DeeperLSTM
        >>> head = DeeperLSTM(vocab_size=9, num_answers=5, image_dim=32, hidden_size=4)
        >>> loss = GraphedLoss(head, capture=lambda module, samples: module)
        >>> tokens, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
        >>> loss(torch.rand(2, 32), tokens, lengths, torch.tensor([0, 4])).shape
        torch.Size([])
    """

    def __init__(self, head: VQAHead, capture: Capture) -> None:
        self.head = head
        self._capture: Capture | None = capture
        self._replays: dict[tuple[torch.Size, ...], Callable[..., Scalar]] = {}

    def __call__(self, features: Features, tokens: Tokens, lengths: Lengths, labels: Target) -> Scalar:
        """Mean cross entropy of a batch."""
        padded = F.pad(tokens, (0, -tokens.shape[1] % WIDTH_STEP))
        shape = features.shape, padded.shape
        if self._capture is not None and shape not in self._replays:
            self._record(shape, (features, padded, lengths, labels))
        if shape in self._replays:
            return self._replays[shape](features, padded, lengths, labels)
        return cross_entropy(self.head, features, tokens, lengths, labels)

    def _record(self, shape: tuple[torch.Size, ...], batch: Samples) -> None:
        device = batch[0].device
        # A replay reads its inputs from the samples, so they are tensors that nothing else writes to.
        samples = tuple(one.clone() for one in batch)
        gpus = [device] if device.type == "cuda" else []
        module = BatchLoss(self.head, device)
        try:
            # A recording first runs the passes a few times, which draws random numbers. Its backward pass
            # runs without autocast, as that of a plain step.
            with torch.random.fork_rng(gpus), torch.autocast(device.type, enabled=False):
                self._replays[shape] = self._capture(module, samples)  # type: ignore[misc, arg-type]
        except Exception as error:
            self._capture = None
            self._replays.clear()
            said = " ".join(str(error).split())
            write_above(
                f"lookwhy: training goes on without CUDA graphs, which failed for a batch of "
                f"{len(batch[1])} questions ({type(error).__name__}: {said:.200})"
            )


def cuda_capture() -> Capture:
    """Function that records modules as CUDA graphs, which share memory: only one of them runs at a time."""
    pool = torch.cuda.graph_pool_handle()
    # Since 2.10 PyTorch warns that gradients come from the recording's stream; waiting for it is intended.
    quiet = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
    if quiet is not None:
        quiet(False)

    def capture(module: BatchLoss, samples: Samples) -> Callable[..., Scalar]:
        # A head may leave some of its weights unused, as those of the image if it is question-only.
        return cast(
            Callable[..., Scalar],
            torch.cuda.make_graphed_callables(module, samples, allow_unused_input=True, pool=pool),
        )

    return capture
