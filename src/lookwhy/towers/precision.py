"""True single precision: products and convolutions without TF32 (10-bit mantissas) or bfloat16 inside.

cuDNN computes convolutions in TF32 unless told otherwise. On a GPU this changes features by a thousandth and
occlusion maps by some percent of their largest value, so that maps would depend on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def _settings() -> list[tuple[Any, str, Any]]:
    """The settings of this version of PyTorch: owner, attribute, and its value for true single precision."""
    backends = torch.backends
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        layers = [(backends.cudnn, ("conv", "rnn")), (backends.mkldnn, ("matmul", "conv", "rnn"))]
        owners = [backends.cuda.matmul, *(getattr(one, kind) for one, kinds in layers for kind in kinds)]
        return [(owner, "fp32_precision", "ieee") for owner in owners]
    return [(backends.cuda.matmul, "allow_tf32", False), (backends.cudnn, "allow_tf32", False)]


@contextmanager
def true_float32() -> Iterator[None]:
    """Compute in true single precision on every device; on exit, also after an error, settings return.

    Example:
        >>> torch.set_float32_matmul_precision("medium")
        >>> with true_float32():
        ...     product = torch.rand(3, 3) @ torch.rand(3, 3)
        >>> torch.get_float32_matmul_precision()
        'medium'
        >>> torch.set_float32_matmul_precision("highest")
    """
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in _settings()]
    # Before PyTorch 2.9, only this switch also reaches oneDNN on CPUs.
    is_old = not hasattr(torch.backends.cuda.matmul, "fp32_precision")
    products = torch.get_float32_matmul_precision() if is_old else ""
    try:
        if is_old:
            torch.set_float32_matmul_precision("highest")
        for owner, name, value in _settings():
            setattr(owner, name, value)
        yield
    finally:
        if is_old:
            torch.set_float32_matmul_precision(products)
        for owner, name, value in before:
            setattr(owner, name, value)
