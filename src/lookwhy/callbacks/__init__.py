from lookwhy.callbacks.importance import ImportanceCallback

__all__ = ["ImportanceCallback"]
