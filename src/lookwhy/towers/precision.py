"""True single precision: products and convolutions without TF32 (10-bit mantissas) or bfloat16 inside.

cuDNN computes convolutions in TF32 unless told otherwise. On a GPU this changes features by a thousandth and
occlusion maps by some percent of their largest value, so that maps would depend on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch


def _operations() -> list[Any]:
    """Kinds of operations that have a precision of their own, from PyTorch 2.9 on; before, none."""
    backends = torch.backends
    if not hasattr(backends.cuda.matmul, "fp32_precision"):
        return []
    layers = [(backends.cudnn, ("conv", "rnn")), (backends.mkldnn, ("matmul", "conv", "rnn"))]
    return [backends.cuda.matmul, *(getattr(one, kind) for one, kinds in layers for kind in kinds)]


def _set_switches(products: str | None, cudnn: bool | None) -> None:
    """Set the older switches, each of which changes several operations; None: leave it."""
    if products is not None:
        torch.set_float32_matmul_precision(products)
    if cudnn is not None:
        torch.backends.cudnn.allow_tf32 = cudnn


def _unless_refused(read: Callable[[], Any]) -> Any:
    """Value of an older switch; None where operations were set one by one: it cannot be read then."""
    with suppress(RuntimeError):
        return read()
    return None


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
    # Both kinds of settings must agree inside: PyTorch refuses to read the older ones otherwise, as
    # `torch.backends.cudnn.flags` does.
    switches = (
        _unless_refused(torch.get_float32_matmul_precision),
        _unless_refused(lambda: torch.backends.cudnn.allow_tf32),
    )
    before = [(one, one.fp32_precision) for one in _operations()]
    try:
        _set_switches("highest", False)
        for one, _ in before:
            one.fp32_precision = "ieee"
        yield
    finally:
        _set_switches(*switches)
        for one, precision in before:
            one.fp32_precision = precision
