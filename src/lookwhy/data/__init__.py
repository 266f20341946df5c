from lookwhy.data.tokens import Vocabulary, is_word, tokenize

__all__ = ["Vocabulary", "is_word", "tokenize"]
