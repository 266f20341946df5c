from typing import TYPE_CHECKING, Any

from lookwhy.metrics.normalize import normalize_answer
from lookwhy.metrics.vqa import vqa_accuracy

if TYPE_CHECKING:
    from lookwhy.metrics.vqa_metric import VQAAccuracy

__all__ = ["VQAAccuracy", "normalize_answer", "vqa_accuracy"]


def __getattr__(name: str) -> Any:
    """Import the metric on first use: torchmetrics takes seconds."""
    if name != "VQAAccuracy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lookwhy.metrics.vqa_metric import VQAAccuracy

    return VQAAccuracy
