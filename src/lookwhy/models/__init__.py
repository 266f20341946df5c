from typing import TYPE_CHECKING, Any

from lookwhy.models.deeper_lstm import DeeperLSTM
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import VQAHead, VQAModel
from lookwhy.models.san import SAN

if TYPE_CHECKING:
    from lookwhy.models.checkpoint import LoadedRun, load_checkpoint
    from lookwhy.models.system import VQASystem

__all__ = [
    "SAN",
    "DeeperLSTM",
    "LoadedRun",
    "Pipeline",
    "VQAHead",
    "VQAModel",
    "VQASystem",
    "load_checkpoint",
]


def __getattr__(name: str) -> Any:
    """Import names that need Lightning, which takes seconds, only on first use."""
    if name == "VQASystem":
        from lookwhy.models.system import VQASystem

        return VQASystem
    if name in ("LoadedRun", "load_checkpoint"):
        from lookwhy.models import checkpoint

        return getattr(checkpoint, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
