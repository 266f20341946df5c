from lookwhy.metrics.normalize import normalize_answer
from lookwhy.metrics.vqa import VQAAccuracy, vqa_accuracy

__all__ = ["VQAAccuracy", "normalize_answer", "vqa_accuracy"]
