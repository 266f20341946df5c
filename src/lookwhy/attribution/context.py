"""The one place that owns the state of the process while a model is being explained.

An analysis runs in the middle of training, inside hooks that differ in what they have switched on:
`fit` validates without inference mode, `validate` and `test` with it. Inside this context gradients
work in all of them; after it, modes, random state and gradient mode are bit for bit as before, also
after an error.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Whatever draws random numbers inside, the three generators go on afterwards as if it had not."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextmanager
def explaining(model: object) -> Iterator[None]:
    """Explain `model` without leaving a trace: eval mode, gradients available, autocast off."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with (
            random_state_kept(),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
