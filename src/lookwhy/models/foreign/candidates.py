"""Candidates: the answers that a model which writes its answers is scored on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from lookwhy.errors import LookwhyError


def read_candidates(path: str | Path) -> list[str]:
    r"""Candidates of a file with one answer a line; empty lines and repetitions are left out.

    Raises:
        LookwhyError: there is no such file, or it has no answers.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "answers.txt"
        >>> _ = path.write_text("yes\nno\n\nyes\n")
        >>> read_candidates(path)
        ['yes', 'no']
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LookwhyError(
            f"expected a text file with one answer a line in --candidates, found {error}; correct its path"
        ) from error
    found = [*dict.fromkeys(line.strip() for line in lines if line.strip())]
    if not found:
        raise LookwhyError(f"expected answers in --candidates, found none in {path}; write one a line")
    return found


def most_frequent(answers: Iterable[str], count: int) -> list[str]:
    """The most frequent answers, the most frequent first and equally frequent ones by alphabet.

    Example:
        >>> most_frequent(["no", "red", "yes", "no", ""], 2)
        ['no', 'red']
    """
    counted = Counter(answer for answer in answers if answer)
    return sorted(counted, key=lambda answer: (-counted[answer], answer))[:count]
