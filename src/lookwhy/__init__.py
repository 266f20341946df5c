"""lookwhy: where a Visual Question Answering model looks and why it answers, at every epoch of training."""

__version__ = "0.1.0"
