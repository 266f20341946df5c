"""An image network of someone's own: a function without arguments that returns it, with its weights."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from typing import Any

import numpy as np
from torch import nn

from lookwhy.errors import LookwhyError

OWN_LAYER = "output"
"""Layer of a network of someone's own: what it returns."""


def is_own(arch: str) -> bool:
    """Whether the name of a network is that of a function, `module:function`.

    Example:
        >>> is_own("my_tower:make_network"), is_own("resnet101")
        (True, False)
    """
    return ":" in arch


def make_network(arch: str) -> nn.Module:
    """Call the function `module:function`; the module may lie in the working directory.

    Raises:
        LookwhyError: it cannot be imported, fails without arguments, or returns no network.
    """
    module, _, name = arch.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function: Any = getattr(importlib.import_module(module), name)
        network = function()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise LookwhyError(
            f"expected a function without arguments that returns an image network, found {error} in {arch}; "
            "put its module into this folder or on PYTHONPATH"
        ) from error
    if not isinstance(network, nn.Module):
        raise LookwhyError(
            f"expected an nn.Module from images to features, found {type(network).__name__} from {arch}; "
            "return the network"
        )
    return network.eval()


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's weights and their names."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
