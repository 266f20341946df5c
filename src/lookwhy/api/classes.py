"""Classes for notebooks: a loaded model, the explanation of one answer, and an analysis."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image

from lookwhy import __version__, keys
from lookwhy.analysis.explain import Explainer, ImageView
from lookwhy.analysis.explanation import Answer, Explanation
from lookwhy.api.arguments import PATH, TEXT, check
from lookwhy.errors import LookwhyError
from lookwhy.files import sha256_file
from lookwhy.models.answering import Answers
from lookwhy.reporting import sanity
from lookwhy.reporting.cautions import cautions
from lookwhy.reporting.figures import catalogue
from lookwhy.reporting.figures.explanation import explanation_figure, write_explanation
from lookwhy.reporting.stored_card import stored_card
from lookwhy.towers.recipe import Picture, rgb_of
from lookwhy.types import AnalysisResult


class WordImportance(NamedTuple):
    """A word of a question and its importance; NaN where it is undefined."""

    word: str
    importance: float


class PictureView(NamedTuple):
    """An image as `LoadedModel.look` returns it: the picture, the model's view of it, its path or ""."""

    rgb: Image.Image
    view: ImageView
    path: str


class LoadedModel:
    """A trained model that answers questions and explains its answers; `lookwhy.load` makes it.

    Attributes:
        explainer: model and methods; several threads may call it.
        checkpoint: file of the model, or the SPEC of a foreign one.
        origin: checkpoint, plan and versions in plain types, to be written into files with explanations.
        card: sanity card of a stored analysis of this checkpoint (`stored_card`); without scalars if none is.
    """

    def __init__(self, explainer: Explainer, checkpoint: str | Path) -> None:
        self.explainer, self.checkpoint = explainer, checkpoint
        run, name = explainer.run, str(checkpoint)
        is_file = isinstance(checkpoint, Path)
        self.card = stored_card(run, explainer.plan) if is_file else AnalysisResult({})
        self.origin: dict[str, Any] = {
            "lookwhy": __version__,
            "checkpoint": name,
            # A foreign model is known by its name and answers alone.
            "checkpoint_sha256": sha256_file(Path(name)) if is_file else _sha256([name, *run.answers]),
            "epoch": run.epoch,
            "model": type(run.head).__name__,
            "plan": explainer.plan.describe(),
            "note": str(run.data.get("note") or ""),
        }

    def __repr__(self) -> str:
        epoch = "" if self.origin["epoch"] is None else f", epoch {self.origin['epoch']}"
        return f"<{self.origin['model']} of {self.checkpoint}{epoch}>"

    def look(self, image: Picture | PictureView) -> PictureView:
        """Compute the part of an explanation that all questions about an image share.

        Raises:
            LookwhyError: the file is missing or damaged, or the array is not a picture.
        """
        if isinstance(image, PictureView):
            return image
        rgb = rgb_of(image)
        path = str(image) if isinstance(image, (str, Path)) else ""
        return PictureView(rgb, self.explainer.look(rgb), path)

    def explain(self, image: Picture | PictureView, question: str) -> Why:
        """Answer a question about an image, and explain the answer.

        Args:
            image: a file's path (`str` or `Path`), a PIL image, an array (H, W, 3) uint8 of red, green and
                blue, or the result of `look`.
            question: question in plain text.

        Raises:
            LookwhyError: the image cannot be read, or the question holds no word.
        """
        if not isinstance(question, str):
            raise LookwhyError(f"expected a question in plain text, found {question!r:.60}; ask something")
        picture = self.look(image)
        explanation = self.explainer.explain(picture.view, question)
        return Why(explanation, picture.rgb, self.origin | {"image": picture.path}, self.card)


def _sha256(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@dataclass(frozen=True, repr=False, eq=False)
class Why:
    """One answer and its explanation; a notebook shows it as a picture.

    Attributes:
        explanation: all numbers, in plain types.
        image: the picture asked about.
        origin: checkpoint, plan and image that it comes from, in plain types.
        card: sanity card of the model, without scalars if no analysis of its checkpoint has one.
    """

    explanation: Explanation
    image: Image.Image
    origin: dict[str, Any]
    card: AnalysisResult = field(default_factory=lambda: AnalysisResult({}))

    @property
    def answer(self) -> str:
        """The most probable answer, which is the one explained."""
        return self.answers[0].text

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The most probable answers with their probabilities (0..1), five at most."""
        return self.explanation.answers

    @property
    def maps(self) -> dict[str, Float[np.ndarray, "G G"]]:
        """Importance of the cells of the image, by method."""
        return {one.method: one.values for one in self.explanation.of("image")}

    @property
    def words(self) -> dict[str, list[WordImportance]]:
        """Importance of the words of the question, by method."""
        return {
            one.method: [*map(WordImportance, self.explanation.words, one.values.tolist())]
            for one in self.explanation.of("question")
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the reader, such as which words the model does not know."""
        return (*self.explanation.notes, *self._data_notes)

    @property
    def sanity(self) -> list[str]:
        """A line about each method: how much its maps notice the trained head; empty without a card."""
        return sanity.lines(self.card)

    def save(self, path: str | Path) -> Path:
        """Write the explanation: .png, .svg or .pdf as a picture, .json as numbers.

        Raises:
            LookwhyError: the ending is another one, or the file cannot be written.
        """
        check("path", path, PATH)
        return write_explanation(Path(path), self.explanation, self.image, self.origin, self.card)

    def figure(self) -> Figure:
        """The picture as a matplotlib figure."""
        return explanation_figure(self.explanation, np.asarray(self.image), self._data_notes, self.card)

    @property
    def _data_notes(self) -> list[str]:
        return [self.origin["note"]] if self.origin["note"] else []

    def __repr__(self) -> str:
        return f"<{self.explanation.question!r}: {self.answer!r} ({self.answers[0].probability:.1%})>"

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.figure().savefig(buffer, format="png")
        return buffer.getvalue()


@dataclass(repr=False)
class Analysis(AnalysisResult):
    """The analysis of a checkpoint; `lookwhy.analyze` makes it.

    Attributes:
        folder: folder with its files and pictures.
        answers: the model's answers to every question of the data.
        result_files: files with these answers, in the format of the official evaluation.
        seconds: seconds that each part of the analysis took.
    """

    folder: Path = Path()
    answers: Answers | None = None
    result_files: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<analysis of {len(self.question_ids)} questions, {', '.join(self.maps)}, in {self.folder}>"

    def table(self) -> list[keys.Row]:
        """All measurements as rows; `pandas.DataFrame(result.table())` makes a table of them."""
        return keys.table(self.summary)

    @property
    def warnings(self) -> list[str]:
        """At most five lines that a reader must know before quoting a number."""
        return cautions(self)

    def figure(self, name: str, question: int | None = None) -> Figure:
        """Draw a figure of the analysis.

        Args:
            name: "agreement", "most_important_words", "accuracy_by_type", "failure_prediction",
                "failure_curves", or "example" for one question; with faithfulness also "deletion_curves", and
                with faithfulness or masks beside annotators "together".
            question: id of the question of an "example"; by default the first that the analysis chose.

        Raises:
            LookwhyError: the figure or the question does not exist, or its image is missing.
        """
        check("name", name, TEXT)
        if name == "example":
            chosen = question if question is not None else next(iter(self.manifest["examples"]), -1)
            found, missing = catalogue.examples(self, [chosen])
            if missing:
                where = f"found no {missing[0]}"
                raise LookwhyError(f"expected the image of an analysed question, {where}; choose another")
            return found[0].make()
        epochs: dict[int, AnalysisResult] = {int(self.manifest["epoch"]): self}
        drawings = {one.name: one for one in (*catalogue.charts(self), *catalogue.comparisons({"": epochs}))}
        if name not in drawings:
            raise LookwhyError(
                f"expected a figure of {', '.join([*drawings, 'example'])}, found {name!r}; name one of them"
            )
        return drawings[name].make()
