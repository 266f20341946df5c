"""Words and their ids, as in prepro.py of the original (VQA_LSTM_CNN)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

UNKNOWN = "UNK"
ORIGINAL_MAX_LENGTH = 26
"""Maximum number of words of a question in the original's files."""


def tokenize(question: str) -> list[str]:
    """Split a question into lower-case words and punctuation marks with NLTK's word_tokenize.

    `preserve_line` skips the sentence splitter, the only part that needs NLTK data.

    Example:
        >>> tokenize("What's on the mat?")
        ['what', "'s", 'on', 'the', 'mat', '?']
    """
    from nltk.tokenize import word_tokenize

    return word_tokenize(question.lower(), preserve_line=True)


def is_word(token: str) -> bool:
    """Whether a token is a word, and no punctuation mark: it has a letter or a digit.

    Example:
        >>> [is_word(token) for token in ("mat", "'s", "?")]
        [True, True, False]
    """
    return any(map(str.isalnum, token))


class Vocabulary:
    """Words and their 1-based ids. The last word is "UNK", which stands for all others; id 0 is padding.

    Args:
        ix_to_word: {"1": "the", ..., "N": "UNK"}, as data_prepro.json holds it.

    Example:
        >>> vocabulary = Vocabulary({"1": "the", "2": "cat", "3": "UNK"})
        >>> vocabulary.encode(["the", "dog"])
        [1, 3]
    """

    def __init__(self, ix_to_word: Mapping[str, str]) -> None:
        self._words = [ix_to_word[str(i)] for i in range(1, len(ix_to_word) + 1)]
        self._ids = {word: i for i, word in enumerate(self._words, start=1)}

    @classmethod
    def from_questions(cls, questions: Iterable[Sequence[str]], threshold: int = 0) -> Vocabulary:
        """Make a vocabulary of the words seen more than `threshold` times, most frequent first, and UNK."""
        counts = Counter(word for words in questions for word in words)
        kept = sorted((word for word in counts if counts[word] > threshold), key=lambda w: (-counts[w], w))
        kept = [word for word in kept if word != UNKNOWN] + [UNKNOWN]
        return cls({str(i): word for i, word in enumerate(kept, start=1)})

    def __len__(self) -> int:
        return len(self._words)

    def encode(self, words: Sequence[str]) -> list[int]:
        """Ids of the words; an unknown word gets the id of UNK."""
        return [self._ids.get(word, len(self._words)) for word in words]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Words of the ids, without padding."""
        return [self._words[i - 1] for i in ids if i > 0]

    def ix_to_word(self) -> dict[str, str]:
        """Words by id, in the form of data_prepro.json."""
        return {str(i): word for i, word in enumerate(self._words, start=1)}
