"""lookwhy: where a Visual Question Answering model looks and why it answers, at every epoch of training."""

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
