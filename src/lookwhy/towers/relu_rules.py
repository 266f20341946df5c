"""Backward rules of a ReLU, and the context that applies one.

With h the input of the ReLU and G the gradient at its output (equations 2 and 3 of the paper), a rule gives
the gradient at its input::

    gradient             [h > 0] G            Simonyan et al. 2014
    deconvnet                    [G > 0] G    Zeiler & Fergus 2014
    guided backprop      [h > 0] [G > 0] G    Springenberg et al. 2014
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

Rule = Callable[[Tensor, Tensor], Tensor]
"""Function of [h > 0] (booleans, or 0 and 1) and G that overwrites G with the gradient at the input."""


def plain(active: Tensor, gradient: Tensor) -> Tensor:
    """The true derivative: [h > 0] G."""
    return gradient.mul_(active)


def deconv(active: Tensor, gradient: Tensor) -> Tensor:
    """The rule of deconvnet: [G > 0] G."""
    return gradient.clamp_(min=0)


def guided(active: Tensor, gradient: Tensor) -> Tensor:
    """The rule of guided backpropagation: [h > 0] [G > 0] G."""
    return gradient.clamp_(min=0).mul_(active)


class _RuledReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: Rule) -> Tensor:
        ctx.save_for_backward(x > 0)
        ctx.rule = rule
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (active,) = ctx.saved_tensors
        return ctx.rule(active, grad.clone()), None  # clone: autograd may still need `grad`


@contextmanager
def relu_rule(model: nn.Module, rule: Rule) -> Iterator[None]:
    """Let every ReLU module of the model use `rule` inside the context.

    The context replaces `forward` of each module. A hook would be too late: an in-place ReLU has overwritten
    its input by then. Functional ReLUs are not affected.
    """
    modules = [module for module in model.modules() if isinstance(module, nn.ReLU)]

    def ruled(input: Tensor) -> Tensor:
        return cast(Tensor, _RuledReLU.apply(input, rule))

    try:
        for module in modules:
            module.forward = ruled  # type: ignore[method-assign]
        yield
    finally:
        for module in modules:
            module.__dict__.pop("forward", None)
