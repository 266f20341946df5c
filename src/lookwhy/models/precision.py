"""Precision of single-precision products in a training step: true single precision, or TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lookwhy.towers.precision import true_float32


@contextmanager
def training_precision(tf32: bool) -> Iterator[None]:
    """Compute in true single precision, or in TF32 on GPUs that have it; on exit, settings return.

    Example:
        >>> with training_precision(tf32=True):
        ...     loss = torch.rand(3, 3) @ torch.rand(3, 3)
    """
    with true_float32():
        if tf32:
            backends: Any = torch.backends
            # The older switches come first, so that both kinds agree (see `true_float32`).
            backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = True
            if hasattr(backends.cuda.matmul, "fp32_precision"):
                for one in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):
                    one.fp32_precision = "tf32"
        yield
