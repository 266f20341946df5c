from importlib import import_module
from typing import TYPE_CHECKING, Any

from lookwhy.models.deeper_lstm import DeeperLSTM
from lookwhy.models.mcan import MCAN
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import TokenModel, VQAHead, VQAModel
from lookwhy.models.san import SAN

if TYPE_CHECKING:
    from lookwhy.models.checkpoint import LoadedRun, load_checkpoint
    from lookwhy.models.system import VQASystem

__all__ = [
    "MCAN",
    "SAN",
    "DeeperLSTM",
    "LoadedRun",
    "Pipeline",
    "TokenModel",
    "VQAHead",
    "VQAModel",
    "VQASystem",
    "load_checkpoint",
]


_LAZY = {"VQASystem": "system", "LoadedRun": "checkpoint", "load_checkpoint": "checkpoint"}


def __getattr__(name: str) -> Any:
    """Import names that need Lightning, which takes seconds, only on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
