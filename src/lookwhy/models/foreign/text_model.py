"""A foreign model in the form that the methods call: pixels and word ids in, probabilities out.

The methods remove cells of the picture and words of the question; the model sees the picture and the text
that are left. Answers are kept by content, so nothing is asked twice, and an interrupted analysis goes on.
"""

from __future__ import annotations

import hashlib
import sqlite3
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from lookwhy.data.tokens import tokenize
from lookwhy.errors import LookwhyError
from lookwhy.models.foreign.protocol import AttendingModel, TokenAttention
from lookwhy.models.protocol import VQAModel
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.types import Explains, Images, Lengths, Scores, Target, Tokens

SUM_TOLERANCE = 1e-2
"""Probabilities may add up to so much more than 1: models in half precision."""
QUOTES = ("``", "''")
"""How the tokenizer writes quotation marks."""
REPEAT_TOLERANCE = 1e-4
"""Largest difference of two answers to the same question that counts as the same."""


class Words:
    """Word ids for the texts of questions, and back: a text without some of its words keeps its spelling.

    Args:
        questions: texts that will be asked.

    Example:
        >>> words = Words(["What's on the mat?"])
        >>> ids = words.ids("What's on the mat?")
        >>> words.text(ids), words.text([*ids[:3], *ids[4:]])
        ("What's on the mat?", "What's on mat?")
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self._ids: dict[tuple[str, bool], int] = {}
        self._pieces: list[tuple[str, bool]] = []
        for question in questions:
            self.ids(question)

    def ids(self, question: str) -> list[int]:
        """1-based ids of the words of a question, as many as `tokenize` finds; new words get new ids."""
        return [self._id(piece) for piece in _pieces(question)]

    def _id(self, piece: tuple[str, bool]) -> int:
        if piece not in self._ids:
            self._pieces.append(piece)
            self._ids[piece] = len(self._pieces)
        return self._ids[piece]

    def text(self, ids: Iterable[int]) -> str:
        """The text of these words; 0 is padding."""
        pieces = [self._pieces[one - 1] for one in ids if one > 0]
        return "".join(" " * has_space + text for text, has_space in pieces).strip()

    def spans(self, ids: Iterable[int]) -> list[tuple[int, int]]:
        """Place of each word in the text that `text` returns, (start, end) in characters.

        Example:
            >>> words = Words(["What's here?"])
            >>> words.spans(words.ids("What's here?"))
            [(0, 4), (4, 6), (7, 11), (11, 12)]
        """
        found, place = list[tuple[int, int]](), 0
        for text, has_space in (self._pieces[one - 1] for one in ids if one > 0):
            place += has_space and place > 0
            found.append((place, place + len(text)))
            place += len(text)
        return found


def _pieces(question: str) -> list[tuple[str, bool]]:
    """Each word as the question spells it, and whether a blank comes before it."""
    pieces, place, lowered = list[tuple[str, bool]](), 0, question.lower()
    for word in tokenize(question):
        # The tokenizer writes quotation marks in its own way.
        spelt = next((one for one in (word, '"') if lowered.find(one, place) >= 0), "")
        if not spelt or len(lowered) != len(question) or (spelt != word and word not in QUOTES):
            pieces.append((word, True))
            continue
        found = lowered.find(spelt, place)
        has_blank = any(map(str.isspace, question[place:found]))
        place = found + len(spelt)
        pieces.append((question[found:place], has_blank))
    return pieces


class TextModel:
    """A `VQAModel` as a `TokenModel`.

    Attributes:
        asks_without_words: always true: a question without words is the empty text.

    Args:
        model: the foreign model.
        words: the words of the questions.
        batch_size: pictures that are sent together.
        folder: folder of the answers that are kept; None: in memory.
        name: name of the model, by which its answers are kept.

    Attributes:
        foreign: the foreign model.

    Raises:
        LookwhyError: the model names no answers, or one of them twice.
    """

    asks_without_words = True

    def __init__(
        self,
        model: VQAModel,
        words: Words,
        batch_size: int = 16,
        folder: Path | None = None,
        name: str = "",
    ) -> None:
        self.answers = [*model.answers]
        if not self.answers or len({*self.answers}) != len(self.answers):
            raise LookwhyError(
                f"expected answers that differ from each other, found {len(self.answers)} with "
                f"{len({*self.answers})} different ones in {name or type(model).__name__}; correct the model"
            )
        self.recipe = ImageRecipe("rgb")
        self.foreign = model
        self._words, self._batch_size, self._name = words, batch_size, name
        self._kept = _AnswerStore(
            folder, hashlib.sha256(repr((name, self.answers)).encode()).hexdigest()[:16]
        )
        self._is_repeatable: bool | None = None

    def answer_scores(self, image: Images, tokens: Tokens, lengths: Lengths) -> Scores:
        """Probability of each answer.

        Raises:
            LookwhyError: the model returns something else than one probability for each answer.
        """
        pictures, texts = _pictures(image), self._texts(tokens, lengths)
        keys = [_key(picture, text) for picture, text in zip(pictures, texts, strict=True)]
        found = self._kept.find(keys)
        missing = [*dict.fromkeys(key for key in keys if key not in found)]
        rows = {key: row for row, key in reversed([*enumerate(keys)])}
        for start in range(0, len(missing), self._batch_size):
            some = missing[start : start + self._batch_size]
            asked = [rows[key] for key in some]
            scores = self._ask(pictures[asked], [texts[row] for row in asked])
            answered = dict(zip(some, scores, strict=True))
            self._kept.add(answered)
            found |= answered
        stacked = torch.from_numpy(np.stack([found[key] for key in keys]))
        return stacked.to(image.device, torch.float64)

    @property
    def attends(self) -> bool:
        """Whether `attention` works: the model is an `AttendingModel`."""
        return isinstance(self.foreign, AttendingModel)

    def attention(
        self,
        image: Images,
        tokens: Tokens,
        lengths: Lengths,
        target: Target | None = None,
        explains: Explains = "logit",
    ) -> list[TokenAttention]:
        """Attention of each question, of a model that attends; see `AttendingModel`."""
        model, result = cast(AttendingModel, self.foreign), list[TokenAttention]()
        pictures, texts = _pictures(image), self._texts(tokens, lengths)
        for start in range(0, len(texts), self._batch_size):
            part = slice(start, start + self._batch_size)
            chosen = None if target is None else target[part].cpu()
            result += model.attention([*pictures[part]], texts[part], chosen, explains)
        return result

    def word_spans(self, tokens: Int64[Tensor, " T"]) -> list[tuple[int, int]]:
        """Place of each word in the text that the model reads; see `Words.spans`."""
        return self._words.spans(tokens.tolist())

    def _texts(self, tokens: Tokens, lengths: Lengths) -> list[str]:
        return [self._words.text(ids[:n]) for ids, n in zip(tokens.tolist(), lengths.tolist(), strict=True)]

    def _ask(self, pictures: UInt8[np.ndarray, "B H W 3"], texts: list[str]) -> Float[np.ndarray, "B A"]:
        scores = self._checked(self.foreign.answer_scores(pictures, texts), len(texts))
        if self._is_repeatable is None:
            again = self._checked(self.foreign.answer_scores(pictures[:1], texts[:1]), 1)
            difference = float(np.abs(again - scores[:1]).max())
            self._is_repeatable = difference <= REPEAT_TOLERANCE
            if not self._is_repeatable:
                warnings.warn(
                    f"the model's answers to one question differ by {difference:.2g} from call to call: maps "
                    "hold this noise, too; make the model deterministic, or take methods that average",
                    stacklevel=2,
                )
        return scores

    def _checked(self, scores: object, count: int) -> Float[np.ndarray, "B A"]:
        name = self._name or type(self.foreign).__name__
        try:
            values = scores.detach().cpu().numpy() if isinstance(scores, Tensor) else scores
            found = np.asarray(values, np.float64)
        except (TypeError, ValueError) as error:
            raise LookwhyError(
                f"expected numbers as scores of {name}, found {error}; correct the model"
            ) from error
        expected = (count, len(self.answers))
        if found.shape != expected:
            raise LookwhyError(
                f"expected scores of the shape {expected}, a row a question and a column an answer, found "
                f"{found.shape} from {name}; correct the model"
            )
        if not np.isfinite(found).all():
            raise LookwhyError(
                f"expected finite scores, found NaN or infinity from {name}; correct the model"
            )
        adds_up = getattr(self.foreign, "scores_add_up", True)
        low, total = float(found.min()), float((found.sum(1) if adds_up else found).max())
        if low < 0 or total > 1 + SUM_TOLERANCE:
            raise LookwhyError(
                f"expected probabilities from 0 on that add up to 1 at most, found {low:.3g} and a sum of "
                f"{total:.3g} from {name}; return a softmax, or set scores_add_up = False "
                "for a sigmoid of each answer"
            )
        return found


class _AnswerStore:
    """Scores by the content of picture and question, in memory or in a file that several analyses share."""

    def __init__(self, folder: Path | None, name: str) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(
            ":memory:" if folder is None else folder / f"answers-{name}.sqlite",
            check_same_thread=False,  # the live page asks from several threads, one after the other
        )
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, scores BLOB) WITHOUT ROWID"
        )

    def find(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        found = {}
        for key in dict.fromkeys(keys):
            row = self._base.execute("SELECT scores FROM kept WHERE key = ?", (key,)).fetchone()
            if row is not None:
                found[key] = np.frombuffer(row[0], np.float64)
        return found

    def add(self, scores: dict[bytes, np.ndarray]) -> None:
        rows = [(key, np.ascontiguousarray(one, np.float64).tobytes()) for key, one in scores.items()]
        with self._base:
            self._base.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", rows)


def _pictures(image: Images) -> UInt8[np.ndarray, "B H W 3"]:
    """Pixels 0-255 as the arrays that models get."""
    rounded = image.round().clamp(0, 255).to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _key(picture: UInt8[np.ndarray, "H W 3"], text: str) -> bytes:
    content = f"{picture.shape} {text}".encode() + b"\0" + picture.tobytes()
    return hashlib.sha256(content).digest()[:16]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Int64[Tensor, "B T"], Int64[Tensor, " B"]]:
    """Word ids of questions as one tensor, and the number of words of each, at least 1."""
    width = max(1, max(map(len, rows)))
    tokens = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return tokens, torch.tensor([max(1, len(row)) for row in rows])
