"""Settings of an analysis: methods, grid, selection of questions, and statistics."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from lookwhy.analysis.faithfulness import Faithfulness
from lookwhy.analysis.modality import Modality
from lookwhy.analysis.rank_correlation import Constant, Ranking, Ties
from lookwhy.analysis.sanity import Sanity
from lookwhy.attribution import Attributor, GuidedBackprop, Occlusion, WordDrop, WordGradient
from lookwhy.data.annotators import Resize
from lookwhy.errors import LookwhyError, option
from lookwhy.files import packaged_config, read_yaml

RESERVED = ("human", "random", "centre_prior", "truth")
TargetAnswer = Literal["predicted", "truth", "contrast"]


@dataclass
class AnalysisPlan:
    """Settings of an analysis; the defaults follow the paper.

    Attributes:
        image_methods: attribution methods for image regions.
        question_methods: attribution methods for words.
        grid: cells along each side of the compared maps (16 in the paper, 14 in VQA-HAT).
        compared: compare magnitudes of maps, as in the paper (evidence against an answer is also importance),
            or signed values.
        ties: rank of equal cells, a method of `scipy.stats.rankdata`; `average` is Spearman's.
        constant_maps: correlation of a constant map: `undefined` (counted, and left out of the mean) or
            `zero`.
        resize: resizing of annotator maps to the grid: `area` averages over each cell, `bilinear`
            interpolates.
        num_questions: largest number of questions; None: all.
        num_images: largest number of images; None: all.
        num_examples: number of questions shown as pictures, the same at every epoch.
        frequent_tags: number of the most frequent part-of-speech tags that are reported.
        punctuation: whether a punctuation mark counts as a word of its question: whether it may be the most
            important word, and lowers the chance of the others.
        folds: number of folds of each split of the failure predictor's cross-validation; at least three for
            a result.
        correct_above: lowest official accuracy (0..1) of an answer that counts as right.
        bootstrap_samples: number of bootstrap samples for the intervals of measures that are no means.
        seed: seed of the random baseline, the bootstrap and the folds.
        target: answer that is explained: the `predicted` one; the `truth`, the annotators' most frequent
            answer; or the `contrast` of the predicted answer with another one: why A, and not B.
        against: the other answer of a contrast; empty: the second most probable one.
        faithfulness: measures of the maps' faithfulness to the model; None: none, as in the paper.
        modality: share of the question in the answers; None: not measured.
        sanity: how much the maps change when parts of the model become random; None: not measured.

    Example:
        >>> plan = AnalysisPlan(image_methods=[Occlusion(grid=14)], grid=14)
        >>> [method.name for method in plan.methods]
        ['occlusion', 'gradient', 'word_drop']
    """

    image_methods: list[Attributor] = field(default_factory=lambda: [GuidedBackprop(), Occlusion()])
    question_methods: list[Attributor] = field(default_factory=lambda: [WordGradient(), WordDrop()])
    grid: int = 16
    compared: Literal["magnitude", "signed"] = "magnitude"
    ties: Ties = "average"
    constant_maps: Constant = "undefined"
    resize: Resize = "area"
    num_questions: int | None = 300
    num_images: int | None = None
    num_examples: int = 8
    frequent_tags: int = 15
    punctuation: bool = False
    folds: int = 5
    correct_above: float = 0.5
    bootstrap_samples: int = 1000
    seed: int = 0
    target: TargetAnswer = "predicted"
    against: str = ""
    faithfulness: Faithfulness | None = None
    modality: Modality | None = None
    sanity: Sanity | None = None

    def __post_init__(self) -> None:
        for name in ("num_questions", "num_images"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise LookwhyError(f"expected {name} of at least 1, found {number}; leave it out for all")
        least = {"num_examples": 0, "frequent_tags": 0, "folds": 2, "bootstrap_samples": 1, "seed": 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise LookwhyError(f"expected {name} of at least {smallest}, found {getattr(self, name)}")
        for name, largest in {"bootstrap_samples": 100_000, "correct_above": 1.0}.items():
            if not getattr(self, name) <= largest:
                raise LookwhyError(f"expected {name} of at most {largest}, found {getattr(self, name)}")
        if self.against and self.target != "contrast":
            raise LookwhyError(
                f"expected target contrast with against {self.against!r}, found target {self.target}; set "
                "target to contrast, or leave out against"
            )
        if self.correct_above < 0:
            raise LookwhyError(f"expected correct_above from 0 to 1, found {self.correct_above}")
        placed = [("image", one) for one in self.image_methods]
        placed += [("question", one) for one in self.question_methods]
        for (_, method), fact in product(placed, ("name", "domain", "needs")):
            if not hasattr(method, fact):
                kind = type(method).__name__
                raise LookwhyError(f"expected {kind}.{fact}, found none; state it in the class")
        names = [(domain, method.name) for domain, method in placed]
        for domain, method in placed:
            kind, grid = type(method).__name__, getattr(method, "grid", self.grid)
            if method.domain != domain:
                raise LookwhyError(
                    f"expected methods for the {domain} in {domain}_methods, found {kind} for the "
                    f"{method.domain}; move it to {method.domain}_methods"
                )
            if grid != self.grid:
                raise LookwhyError(
                    f"expected grid {self.grid} as in the plan, found grid {grid} in {kind}; "
                    "give both the same"
                )
            if method.name in RESERVED:
                raise LookwhyError(
                    f"expected names of methods other than {', '.join(RESERVED)}, which stand beside all "
                    f"methods, found {method.name} in {kind}; give it another name"
                )
            if (count := names.count((domain, method.name))) > 1:
                raise LookwhyError(
                    f"expected each method once, found {method.name} {count} times in {domain}_methods; "
                    "remove one"
                )
        self.describe()  # refuses settings that a checkpoint could not store

    @property
    def ranking(self) -> Ranking:
        """Ranking of the cells of a map."""
        return Ranking(self.ties, self.constant_maps)

    @property
    def methods(self) -> list[Attributor]:
        """All methods, image methods first."""
        return [*self.image_methods, *self.question_methods]

    def contrast_id(self, answers: Sequence[str]) -> int | None:
        """Id of the named answer of a contrast; None for the second most probable one, or another target.

        Raises:
            LookwhyError: the model cannot give that answer.
        """
        if not self.against:
            return None
        if self.against not in answers:
            raise LookwhyError(
                f"expected one of the model's {len(answers)} answers as the plan's against, found "
                f"{self.against!r}; correct it, or leave it out for the second most probable answer"
            )
        return [*answers].index(self.against)

    @property
    def target_text(self) -> str:
        """The explained answer in words."""
        other = f"“{self.against}”" if self.against else "the second most probable answer"
        return {
            "predicted": "the predicted answer",
            "truth": "the true answer",
            "contrast": f"the predicted answer minus that of {other}",
        }[self.target]

    def describe(self) -> dict[str, Any]:
        """The resolved plan in plain types; `from_dict` reads it back."""
        methods = ("image_methods", "question_methods")
        settings = {name: value for name, value in vars(self).items() if name not in methods}
        for name in ("faithfulness", "modality", "sanity"):
            settings[name] = settings[name] and asdict(settings[name])
        return settings | {name: [_describe(method) for method in getattr(self, name)] for name in methods}

    @classmethod
    def from_dict(cls, settings: object, source: str) -> AnalysisPlan:
        """Build a plan from plain settings, and check every option.

        Args:
            settings: mapping in the form of `describe`; a missing option gets its default.
            source: name of the place that the settings come from, for the error line.

        Raises:
            LookwhyError: an unknown option, or a value of the wrong type.

        Example:
            >>> AnalysisPlan.from_dict({"grid": 16, "num_questions": 20}, "my notebook").num_questions
            20
        """
        from jsonargparse import ArgumentError, ArgumentParser  # takes half a second to import

        parser = ArgumentParser(exit_on_error=False)
        parser.add_class_arguments(cls, "plan")
        try:
            if not isinstance(settings, Mapping):
                raise TypeError(repr(settings))
            config = parser.parse_object({"plan": copy.deepcopy(dict(settings))})  # jsonargparse changes it
            return parser.instantiate(config).plan
        except (ArgumentError, TypeError, ValueError) as error:
            raise LookwhyError(
                f"expected the options of an analysis plan in {source}, found: {_first_line(error)}; "
                f"see {packaged_config('analysis')}"
            ) from error

    @classmethod
    def from_yaml(cls, path: str | Path) -> AnalysisPlan:
        """Read a plan from a YAML file with the options of `AnalysisPlan`.

        Raises:
            LookwhyError: the file does not exist or is no YAML, or it has an unknown option or a value of the
                wrong type.
        """
        see = f"see {packaged_config('analysis')}"
        content = read_yaml(Path(path), "a YAML file with a plan", see)
        return cls.from_dict(content, str(path))

    def on_grid(self, grid: int) -> AnalysisPlan:
        """The same plan with another grid, also in its methods."""
        settings = self.describe()
        for method in (*settings["image_methods"], *settings["question_methods"]):
            if "grid" in method["init_args"]:
                method["init_args"]["grid"] = grid
        return self.from_dict(settings | {"grid": grid}, option("grid"))


def _describe(method: Attributor) -> dict[str, Any]:
    kind = type(method)
    settings = {name: value for name, value in vars(method).items() if not name.startswith("_")}
    accepted = inspect.signature(kind).parameters
    flexible = any(one.kind is one.VAR_KEYWORD for one in accepted.values())
    for name, value in settings.items():
        if name not in accepted and not flexible:
            owners = [base for base in kind.__mro__[1:] if name in inspect.signature(base).parameters]
            remedy = "begin the name of any other attribute with an underscore"
            if owners:
                remedy = f"let its __init__ take {name} and pass it on to {owners[0].__name__}.__init__"
            raise LookwhyError(
                f"expected every attribute of a method to be an argument of its constructor, found "
                f"{kind.__name__}.{name}; {remedy}"
            )
        if not _is_plain(value):
            raise LookwhyError(
                f"expected settings of plain types, which a checkpoint can hold, found a "
                f"{type(value).__name__} as {kind.__name__}.{name}; begin the name of an attribute that is "
                "no setting with an underscore"
            )
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": settings}


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    return value is None or isinstance(value, (bool, int, float, str))


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def select_questions(
    plan: AnalysisPlan,
    question_ids: Int64[np.ndarray, " N"],
    image_ids: Int64[np.ndarray, " N"],
    annotated: Set[int] | None = None,
) -> Int64[np.ndarray, " M"]:
    """Rows of the questions to analyse: image by image, in an order fixed by hash, up to the plan's limits.

    The selection depends on the ids alone, so it is the same at every epoch, in every run and on every
    machine. It takes all questions of an image together (only the last image may be cut), because
    `specificity` compares the questions of one image. If `annotated` is given, only questions with these ids
    are selected.

    Returns:
        Row numbers; the questions of one image are adjacent.
    """
    rows_of: dict[int, list[int]] = {}
    for row, (question, image) in enumerate(zip(question_ids.tolist(), image_ids.tolist(), strict=True)):
        if annotated is None or question in annotated:
            rows_of.setdefault(image, []).append(row)
    ordered = sorted(rows_of, key=lambda image: hashlib.sha256(f"image {image}".encode()).digest())
    chosen = [row for image in ordered[: plan.num_images] for row in rows_of[image]]
    return np.array(chosen[: plan.num_questions], np.int64)
