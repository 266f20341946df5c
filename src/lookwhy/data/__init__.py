from lookwhy.data.tokens import Vocabulary, tokenize

__all__ = ["Vocabulary", "tokenize"]
