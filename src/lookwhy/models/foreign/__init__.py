"""Models that are not ours: anything that scores fixed answers to a question about an RGB image."""

from lookwhy.models.foreign.protocol import ForeignModel
from lookwhy.models.foreign.spec import is_spec, open_model
from lookwhy.models.foreign.text_model import TextModel

__all__ = ["ForeignModel", "TextModel", "is_spec", "open_model"]
