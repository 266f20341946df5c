"""lookwhy: where a Visual Question Answering model looks and why it answers, at every epoch of training.

Terms in all docstrings:

* the paper: Goyal, Mohapatra, Parikh and Batra (2016), "Towards Transparent AI Systems: Interpreting Visual
  Question Answering Models";
* the original: VQA_LSTM_CNN, the Torch7 code of the baseline VQA model (Lu et al. 2015);
* tower: the frozen image network of a model, from pixels to image features;
* head: the trained network of a model, from image features and a question to an answer;
* recipe: the preprocessing of an image for a tower;
* cell: one square of the grid that divides an image.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookwhy.api import analyze, explain, load, report

__version__ = "0.1.0"
__all__ = ["analyze", "explain", "load", "report"]


def __getattr__(name: str) -> Any:
    """Import the functions of `lookwhy.api` when they are used: torch takes seconds."""
    if name in __all__:
        from lookwhy import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
