"""Products with fixed weights, by the faster of the two libraries that PyTorch brings for a CPU.

PyTorch computes matrix products in float32 with MKL, which uses AVX-512 only on Intel's processors. oneDNN,
which PyTorch brings for convolutions, uses it on every processor that has it. PyTorch itself takes oneDNN for
linear layers in compiled models only, through the operators that are used here. On Intel's processors MKL is
the faster one: it writes to a given place, where oneDNN's result must be copied.
"""

from __future__ import annotations

import platform
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

INTEL = "GenuineIntel"


def vendor(described: Path = Path("/proc/cpuinfo")) -> str:
    """Maker of the processor, as it names itself; "" if unknown."""
    try:
        lines = described.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return INTEL if INTEL in platform.processor() else ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


HAS_FAST_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
"""Whether oneDNN computes in AVX-512 here."""
TAKES_ONEDNN = HAS_FAST_ONEDNN and vendor() != INTEL
"""Whether products are computed by oneDNN: MKL is half as fast there, except on Intel's processors."""


def linear(
    x: Float[Tensor, "*B C"], weight: Float[Tensor, "K C"], bias: Float[Tensor, "K"] | None = None
) -> Float[Tensor, "*B K"]:
    """Result of `torch.nn.functional.linear`, without a gradient.

    Example:
        >>> linear(torch.ones(2, 3), torch.ones(4, 3)).shape
        torch.Size([2, 4])
    """
    if _suits(weight) and x.dtype == weight.dtype and x.shape[-1] == weight.shape[1]:
        return _by_onednn(x, weight, bias)
    return F.linear(x, weight, bias)


def matrix_product(a: Float[Tensor, "M K"], b: Float[Tensor, "K N"]) -> Float[Tensor, "M N"]:
    """Result of `a @ b`, without a gradient.

    Example:
        >>> matrix_product(torch.ones(2, 3), torch.ones(3, 4)).shape
        torch.Size([2, 4])
    """
    return _by_onednn(a, b.t(), None) if _suits(b) and a.dtype == b.dtype else torch.mm(a, b)


def few_rows_product(a: Float[Tensor, "M K"], b: Float[Tensor, "K N"]) -> Float[Tensor, "M N"]:
    """Result of `a @ b`, without a gradient; rows of `b` that are multiplied by zero alone are not read.

    With few rows in `a`, the product takes as long as reading `b`. Gradients behind a ReLU are mostly zero.

    Example:
        >>> few_rows_product(torch.tensor([[0.0, 2.0]]), torch.ones(2, 3))
        tensor([[2., 2., 2.]])
    """
    if a.device.type == "cpu" and b.is_contiguous():
        rows, columns = a.nonzero(as_tuple=True)
        if len(columns) < len(b):
            starts = torch.searchsorted(rows, torch.arange(len(a)))
            return F.embedding_bag(columns, b, starts, mode="sum", per_sample_weights=a[rows, columns])
    return matrix_product(a, b)


class Linear(nn.Linear):
    """A linear layer that computes with the faster library where no gradient is asked for."""

    def forward(self, x: Float[Tensor, "*B C"]) -> Float[Tensor, "*B K"]:
        """Result of `torch.nn.Linear`."""
        if torch.is_grad_enabled() or x.dtype != torch.float32:
            return super().forward(x)
        return linear(x, self.weight, self.bias)


class FixedMatrices:
    """Several matrices, each of which multiplies its own rows in every call.

    Args:
        weights: the matrices, transposed as the weights of linear layers are.
    """

    def __init__(self, weights: Float[Tensor, "P K C"]) -> None:
        self._reordered = []
        if _suits(weights):
            # The copies in the library's own order are enough.
            self._reordered = [torch.ops.mkldnn._reorder_linear_weight(one, None) for one in weights]
        else:
            self._weights = weights.mT.contiguous()  # the order that MKL reads fastest

    def multiply(self, x: Float[Tensor, "P n C"], out: Float[Tensor, "P n K"]) -> None:
        """Write the products into `out`."""
        if not self._reordered:
            torch.bmm(x, self._weights, out=out)
        for product, rows, weight in zip(out, x, self._reordered, strict=False):
            product.copy_(_by_onednn(rows, weight, None))


def _suits(weight: Tensor) -> bool:
    # oneDNN reads other strides a thousand times as slowly.
    dense = weight.is_contiguous() or weight.mT.is_contiguous()
    return TAKES_ONEDNN and dense and weight.dtype == torch.float32 and weight.device.type == "cpu"


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
