"""The fixed part of a run's analyses: the same questions, annotators, masks and tower at every epoch.

The training callback and `analyze.py` both use this module, so their numbers are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.analysis.boxes import check_plan_for_boxes
from lookwhy.analysis.costs import foresee
from lookwhy.analysis.modality import ModalityMeter
from lookwhy.analysis.part_of_speech import count_tags, find_tagger
from lookwhy.analysis.plan import AnalysisPlan, select_questions
from lookwhy.analysis.random_models import RandomModels
from lookwhy.analysis.run import Findings, run_analysis
from lookwhy.data.annotators import find_annotator_maps, load_annotator_maps
from lookwhy.data.features import read_description
from lookwhy.data.tokens import is_word, tokenize
from lookwhy.data.truth_masks import find_truth_masks, load_truth_masks
from lookwhy.errors import LookwhyError, command
from lookwhy.files import sha256_file
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import VQAHead
from lookwhy.progress import write_above
from lookwhy.towers.boxes import BOXES, BoxTower
from lookwhy.towers.image_tower import ImageTower, tower_from_description
from lookwhy.towers.memory import Memory
from lookwhy.towers.own_network import fingerprint
from lookwhy.towers.precision import true_float32
from lookwhy.types import AnalysisResult

if TYPE_CHECKING:  # Lightning takes seconds to import, which a question or another model's analysis can spare
    from lookwhy.data.datamodule import VQADataModule

FEATURE_TOLERANCE = 1e-3
"""Largest relative difference allowed between stored features and the tower's own: float32 rounding."""


class AnalysisSession:
    """Selects the questions of `data` (after `setup`) once and explains them at every epoch.

    Questions are selected among those with annotator maps; without any maps, among those with a truth mask.

    Raises:
        LookwhyError: no image root, a missing image, stored features that differ from the tower's, a grid
            finer than the image, or features of boxes with a plan that needs pixels.
    """

    def __init__(self, data: VQADataModule, plan: AnalysisPlan) -> None:
        self.data, self.plan = data, plan
        self.tower = self._tower()
        self.tower.memory = Memory(data.folder / "cache")
        split = data.prepro.test
        numbers = dict(zip(split.question_id_texts, split.question_ids.tolist(), strict=False))
        files = find_annotator_maps(data.annotator_maps, numbers) if data.annotator_maps else {}
        masks = self._find_masks(numbers)
        annotated = set(files or masks) or None
        self.rows = select_questions(plan, split.question_ids, split.image_ids, annotated)
        if not len(self.rows):
            raise self._no_question("annotator maps", "annotator_maps")
        self._check_images()
        chosen = split.question_ids[self.rows].tolist()
        self.human = load_annotator_maps(files, chosen, plan.grid, plan.resize)
        self.truth = load_truth_masks(masks, chosen, plan.grid)
        self.tagger = find_tagger()
        self.tag_counts = count_tags(self.tagger, (tokenize(question) for question in split.questions))
        if self.tower.reads_pixels:
            self._check_features()
        self._has_told = False

    def check(self, head: VQAHead) -> None:
        """Raise an error, before training, if a method of the plan cannot explain this head."""
        for method in self.plan.methods:
            method.check(Pipeline(self.tower, head))
        if self.plan.modality:
            ModalityMeter(Pipeline(self.tower, head), self.plan.modality)
        if self.plan.sanity:
            RandomModels(Pipeline(self.tower, head), self.plan.sanity)
        self.plan.contrast_id(self.data.answers)

    def run(
        self,
        head: VQAHead,
        epoch: int,
        *,
        device: torch.device | str = "cpu",
        gather: Callable[[Findings], list[Findings]] = lambda findings: [findings],
        rank: int = 0,
        world_size: int = 1,
        progress: bool = False,
        training: Mapping[str, Any] | None = None,
    ) -> AnalysisResult:
        """Explain the questions with the head's current weights; each process takes a part of the images.

        The manifest states `training`: the numbers that the training computed with.
        """
        self.tower.to(device)
        if progress and self.tower.reads_pixels and not self._has_told:
            self._has_told = True
            self._tell_costs(device)
        batches = self.data.image_batches(self.rows, self.tower.recipe, device, rank, world_size)
        split = self.data.prepro.test
        images = split.image_ids[self.rows]
        result = run_analysis(
            Pipeline(self.tower, head),
            batches,
            self.plan,
            self.human,
            self.truth,
            answers=self.data.answers,
            tagger=self.tagger,
            tag_counts=self.tag_counts,
            gather=gather,
            total=-(-len(self.rows) // world_size) if progress else None,
            max_words=self.data.max_length,
            epoch=epoch,
            of_image=dict(zip(split.question_ids[self.rows].tolist(), images.tolist(), strict=True)),
        )
        result.manifest |= {
            "epoch": epoch,
            "weights_sha256": fingerprint(head),
            "training": dict(training or {}),
            "data": {
                "folder": str(self.data.folder.resolve()),
                "data_prepro_sha256": sha256_file(self.data.folder / "data_prepro.h5"),
                "tower": self.tower.describe(),
            },
            "annotators": self.data.annotators if self.human else None,
            "data_note": self.data.note,
            "image_root": str(self.data.image_root.resolve()) if self.data.image_root else "",
        }
        return result

    def _tower(self) -> ImageTower | BoxTower:
        """The image network of the features, or a stand-in for boxes; the plan is checked against it."""
        description = read_description(self.data.folder / "data_img.h5")
        if description["arch"] == BOXES:
            check_plan_for_boxes(self.plan)
            return BoxTower(description)
        tower = tower_from_description(description, self.data.folder)
        pixels = min(tower.recipe.height, tower.recipe.width)
        if not 2 <= self.plan.grid <= pixels:
            raise LookwhyError(
                f"expected a grid of 2 to {pixels} cells along each side, the image's pixels, found "
                f"{self.plan.grid}; correct the plan's grid"
            )
        return tower

    def _find_masks(self, numbers: Mapping[str, int]) -> dict[int, Path]:
        """Files of the truth masks; without a mask of any validation question, their folder is a mistake."""
        if not self.data.truth_masks:
            return {}
        masks = find_truth_masks(self.data.truth_masks, numbers)
        if masks.keys().isdisjoint(self.data.prepro.test.question_ids.tolist()):
            raise self._no_question("truth masks", "truth_masks")
        return masks

    def _no_question(self, pictures: str, name: str) -> LookwhyError:
        return LookwhyError(
            f"expected validation questions with {pictures}, found none of the question ids of "
            f"{self.data.folder / 'data_prepro.h5'} in {getattr(self.data, name)}; correct data.{name}"
        )

    def _tell_costs(self, device: torch.device | str) -> None:
        """Say what the mask bank, deletion, insertion and max-sensitivity will cost."""
        split, modality = self.data.prepro.test, self.plan.modality
        measured = set(self.rows[: modality.questions].tolist()) if modality else set()
        positions = split.image_pos[self.rows]
        groups = np.split(self.rows, np.flatnonzero(np.diff(positions)) + 1)
        words = [[_words_in(split.questions[row]) for row in rows if row in measured] for rows in groups]

        def load(number: int) -> Float[Tensor, "3 H W"]:
            rows = groups[number][:1]
            batch = next(iter(self.data.image_batches(rows, self.tower.recipe, device)))
            return batch.images[0]  # type: ignore[index]

        cost = foresee(self.tower, self.plan, len(self.rows), words, load, [*map(len, groups)])
        for line in cost.lines(str(self.tower.memory.folder)) if cost else ():
            write_above(line)

    def _check_images(self) -> None:
        """Look for the image of every question first: an analysis may begin hours later."""
        split, root = self.data.prepro.test, self.data.image_root
        if root is None or not self.tower.reads_pixels:
            return  # `image_batches` says so; images of boxes are only for figures, which say so
        names = [split.image_files[position] for position in np.unique(split.image_pos[self.rows])]
        missing = [name for name in names if not os.access(root / name, os.R_OK)]
        if missing:
            raise LookwhyError(
                f"expected {len(names)} images to explain in {root}, found no readable {missing[0]} "
                f"({len(missing)} missing); restore them, correct data.image_root, or lower num_questions"
            )

    def _check_features(self) -> None:
        """Raise an error if the stored features do not come from this tower and these images."""
        batch = next(iter(self.data.image_batches(self.rows[:1], self.tower.recipe)))
        stored = batch.features[:1]  # type: ignore[index]
        with torch.no_grad(), true_float32():
            own = self.tower(batch.images[:1]).reshape(stored.shape)  # type: ignore[index]
        difference = float((own - stored).abs().max()) / (float(stored.abs().max()) or 1.0)
        if difference > FEATURE_TOLERANCE:
            raise LookwhyError(
                f"expected the stored features of {batch.image_files[0]} to be the tower's own, found a "
                f"relative difference of {difference:.2g} in {self.data.folder / 'data_img.h5'}; the picture "
                f"or the recipe changed: run {command('prepare')} features again"
            )


def _words_in(question: str) -> int:
    return sum(map(is_word, tokenize(question)))
