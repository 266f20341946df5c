"""The state of the process while a model is explained.

An analysis runs in the middle of training, in Lightning's hooks: `fit` validates without inference mode,
`validate` and `test` use it. Inside the context `explaining`, gradients work in each case. On exit, also
after an error, train and eval modes, random state, precision and gradient mode are exactly as before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from lookwhy.towers.precision import true_float32


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the random state of Python, NumPy and torch on exit."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextmanager
def explaining(model: object) -> Iterator[None]:
    """Put `model` in eval mode, with gradients available and in true float32; restore everything on exit."""
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
            true_float32(),
        ):
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
