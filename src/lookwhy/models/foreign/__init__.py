"""Models that are not ours: anything that scores fixed answers to a question about an RGB image."""

from lookwhy.models.foreign.candidates import most_frequent, read_candidates
from lookwhy.models.foreign.protocol import AttendingModel, TokenAttention, WritingModel
from lookwhy.models.foreign.spec import is_spec, open_model, takes_candidates
from lookwhy.models.foreign.text_model import TextModel

__all__ = [
    "AttendingModel", "TextModel", "TokenAttention", "WritingModel", "is_spec",
    "most_frequent", "open_model", "read_candidates", "takes_candidates",
]  # fmt: skip
