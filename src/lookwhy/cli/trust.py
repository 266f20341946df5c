"""The option --trust: modules of the user's own whose code a checkpoint or a feature file may call."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module

from lookwhy.errors import LookwhyError


def import_trusted(modules: Iterable[str]) -> None:
    """Import the modules, also from the working directory.

    Raises:
        LookwhyError: one cannot be imported.
    """
    for module in modules:
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        try:
            import_module(module)
        except (ImportError, TypeError, ValueError) as error:
            raise LookwhyError(
                f"expected a --trust of a module that can be imported, found {error}; put it on PYTHONPATH"
            ) from error
