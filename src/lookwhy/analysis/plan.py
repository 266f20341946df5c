"""What an analysis does: methods, grid, which questions, and how the numbers are made."""

from __future__ import annotations

import hashlib
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from lookwhy.analysis.rank_correlation import Constant, Ranking, Ties
from lookwhy.attribution import Attributor, GuidedBackprop, Occlusion, WordDrop, WordGradient
from lookwhy.data.annotators import Resize
from lookwhy.types import Domain, LookwhyError


def _image_methods() -> list[Attributor]:
    return [GuidedBackprop(), Occlusion()]


def _question_methods() -> list[Attributor]:
    return [WordGradient(), WordDrop()]


@dataclass
class AnalysisPlan:
    """Settings of an analysis; the defaults follow the paper.

    Attributes:
        image_methods: attribution methods for image regions.
        question_methods: attribution methods for words.
        grid: cells along each side at which maps are compared (16 in the paper, 14 in VQA-HAT's).
        compared: what of a map is ranked: its magnitude (the paper's "absolute value": evidence against an
            answer is importance, too) or its signed values.
        ties: how equal cells are ranked, as `scipy.stats.rankdata` names it; `average` is Spearman's.
        constant_maps: what the correlation of a constant map is: `undefined`, so left out of the mean and
            counted, or `zero`.
        resize: how annotator maps come to the grid: `area` averages over each cell, `bilinear` interpolates.
        num_questions: how many questions at most; None: all.
        num_images: how many images at most; None: all.
        num_examples: how many of them are drawn as pictures, the same at every epoch.
        frequent_tags: how many of the most frequent part-of-speech tags are told apart.
        folds: of the failure predictor's cross-validation.
        correct_above: an answer counts as right from this official accuracy (0..1) on.
        bootstrap_samples: for 95% intervals.
        seed: of the random baseline, the bootstrap and the folds.
    """

    image_methods: list[Attributor] = field(default_factory=_image_methods)
    question_methods: list[Attributor] = field(default_factory=_question_methods)
    grid: int = 16
    compared: Literal["magnitude", "signed"] = "magnitude"
    ties: Ties = "average"
    constant_maps: Constant = "undefined"
    resize: Resize = "area"
    num_questions: int | None = 300
    num_images: int | None = None
    num_examples: int = 8
    frequent_tags: int = 15
    folds: int = 5
    correct_above: float = 0.5
    bootstrap_samples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for methods, domain in ((self.image_methods, "image"), (self.question_methods, "question")):
            self._check(methods, domain)  # type: ignore[arg-type]

    @property
    def ranking(self) -> Ranking:
        """How the cells of a map are ranked."""
        return Ranking(self.ties, self.constant_maps)

    def _check(self, methods: list[Attributor], domain: Domain) -> None:
        names = [method.name for method in methods]
        for method in methods:
            if method.domain != domain:
                raise LookwhyError(
                    f"expected methods for the {domain} in {domain}_methods, found "
                    f"{type(method).__name__} for the {method.domain}; move it to {method.domain}_methods"
                )
            if getattr(method, "grid", self.grid) != self.grid:
                raise LookwhyError(
                    f"expected grid {self.grid} as in the plan, found grid {method.grid} "  # type: ignore[attr-defined]
                    f"in {type(method).__name__}; give both the same"
                )
            if names.count(method.name) > 1:
                raise LookwhyError(
                    f"expected each method once, found {method.name} {names.count(method.name)} times in "
                    f"{domain}_methods; remove one"
                )

    def keep_in(self, folder: Path) -> None:
        """Where methods that were given no cache of their own keep what depends on the image alone."""
        for method in (*self.image_methods, *self.question_methods):
            if method.cache is None:
                method.cache = str(folder)

    def remember(self, images: int) -> None:
        """How many images' own part the methods hold in memory: of those explained last."""
        for method in (*self.image_methods, *self.question_methods):
            method.remember = images

    def describe(self) -> dict[str, Any]:
        """The resolved plan in plain types."""
        plain = {
            name: value
            for name, value in vars(self).items()
            if name not in ("image_methods", "question_methods")
        }
        methods = {"image_methods": self.image_methods, "question_methods": self.question_methods}
        return plain | {name: [_describe(method) for method in found] for name, found in methods.items()}


def _describe(method: Attributor) -> dict[str, Any]:
    kind = type(method)
    # Where numbers are kept is not what they are: runs in other folders have the same plan.
    kept = ("cache", "remember")
    settings = {k: v for k, v in vars(method).items() if not k.startswith("_") and k not in kept}
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": settings}


def select_questions(
    plan: AnalysisPlan,
    question_ids: Int64[np.ndarray, " N"],
    image_ids: Int64[np.ndarray, " N"],
    annotated: Set[int] | None = None,
) -> Int64[np.ndarray, " M"]:
    """Rows of the questions to analyse: whole images in an order fixed by hash, until the plan is full.

    The choice depends on the ids alone, so it is the same at every epoch, in every run and on every
    machine. Images are taken whole because question-specific agreement compares the questions of one
    image.

    Args:
        plan: says how many.
        question_ids: of all questions.
        image_ids: of all questions.
        annotated: if given, only these question ids are chosen.

    Returns:
        Row numbers, questions of one image together.
    """
    rows_of: dict[int, list[int]] = {}
    for row, (question, image) in enumerate(zip(question_ids.tolist(), image_ids.tolist(), strict=True)):
        if annotated is None or question in annotated:
            rows_of.setdefault(image, []).append(row)
    ordered = sorted(rows_of, key=lambda image: hashlib.sha256(f"image {image}".encode()).digest())
    chosen: list[int] = []
    for image in ordered[: plan.num_images]:
        left = None if plan.num_questions is None else plan.num_questions - len(chosen)
        if left is not None and left <= 0:
            break
        chosen.extend(rows_of[image][:left])
    return np.array(chosen, np.int64)
