"""Backward rules of a ReLU, and the context that puts one in force.

With h the input of the ReLU and G the gradient that arrives at its output (equations 2 and 3 of the
paper), a rule says what leaves at its input::

    gradient             [h > 0] G            Simonyan et al. 2014
    deconvnet                    [G > 0] G    Zeiler & Fergus 2014
    guided backprop      [h > 0] [G > 0] G    Springenberg et al. 2014
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lookwhy.attribution.base import relu_modules
from lookwhy.types import LookwhyError


class GuidedReLU(torch.autograd.Function):
    """ReLU whose gradient passes where both the input and the gradient are positive."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The ordinary ReLU."""
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """[h > 0] [G > 0] G."""
        (active,) = ctx.saved_tensors
        return grad.clamp(min=0) * active


class DeconvReLU(torch.autograd.Function):
    """ReLU whose gradient passes where the gradient itself is positive, whatever the input was."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """The ordinary ReLU."""
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """[G > 0] G."""
        return grad.clamp(min=0)


@contextmanager
def relu_rule(model: nn.Module, rule: type[torch.autograd.Function], method: str) -> Iterator[None]:
    """Let every ReLU module of the model use `rule`; the modules are as before afterwards.

    The forward of each module is replaced rather than hooked: a hook meets an in-place ReLU too late,
    when its input is gone.

    Raises:
        LookwhyError: the model holds no ReLU module. Functional ReLUs cannot be reached, and plain
            gradients under another name would be worse than none.
    """
    modules = relu_modules(model)
    if not modules:
        raise LookwhyError(
            f"expected nn.ReLU modules for {method}, found none in {type(model).__name__}; functional "
            "ReLUs cannot be given a backward rule: use modules, or the method Gradient"
        )
    try:
        for module in modules:
            module.forward = rule.apply  # type: ignore[method-assign]
        yield
    finally:
        for module in modules:
            module.__dict__.pop("forward", None)
