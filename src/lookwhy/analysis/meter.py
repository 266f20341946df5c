"""Measures the faithfulness of maps while they are made: what needs the model, for each question.

`faithfulness.py` defines the measures. From the mask bank, the correlation and infidelity cost only the head.
Deletion, insertion and max-sensitivity run the image network again, so they are measured for a few questions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lookwhy.analysis.agreement import centre_prior, random_maps
from lookwhy.analysis.deletion import cell_curves, decreasing, on_shares, shown_after, word_curves
from lookwhy.analysis.faithfulness import (
    Faithfulness,
    area_under_steps,
    correlation_table,
    infidelity,
    max_sensitivity,
    normalised_area,
)
from lookwhy.analysis.method_tests import ENDING
from lookwhy.analysis.questions import FirstQuestions, partners
from lookwhy.analysis.statistics import Estimate, mean_of_defined
from lookwhy.attribution import Attributor
from lookwhy.attribution.base import features_of, maps_of, rows_by_image
from lookwhy.attribution.masked import ON_BLACK_BOX, scores_under_masks
from lookwhy.models.pipeline import Pipeline, parts_of
from lookwhy.models.protocol import TokenModel
from lookwhy.stopwatch import part
from lookwhy.towers.masks import copies_of
from lookwhy.towers.tower import Tower
from lookwhy.types import Curve, ImportanceMaps, Target, VQABatch

Values = dict[str, dict[int, float]]
"""A value by question id, NaN where undefined, by the key of its mean; only questions that were measured."""
PointsOf = dict[str, dict[int, Float[np.ndarray, " points"]]]
"""A curve by question id, at `on_shares`, by key."""
Value = TypeVar("Value")
Column = Float[np.ndarray, " N"]
RANDOM, CENTRE = "random", "centre_prior"


class FaithfulnessMeter:
    """The measures of faithfulness of all methods of an analysis.

    Args:
        model: the explained model.
        settings: which measures, and of how many questions.
        grid: cells along each side of the image maps.
        epoch: epoch of the model; None if unknown.
        chosen: ids of the questions with curves; by default the first ones that come.

    Attributes:
        values: values by key and question id.
        curves: curves by key and question id.
    """

    def __init__(
        self,
        model: TokenModel,
        settings: Faithfulness,
        grid: int,
        epoch: int | None = None,
        chosen: Set[int] | None = None,
    ) -> None:
        self.values: Values = defaultdict(dict)
        self.curves: PointsOf = defaultdict(dict)
        self._model, self._settings, self._grid = model, settings, grid
        self._chosen = FirstQuestions(settings.curves, chosen)
        self._parts = parts_of(model, ON_BLACK_BOX)
        self._has_curves = settings.has_curves(epoch)

    def measure_images(
        self, maps: Sequence[ImportanceMaps], methods: Sequence[Attributor], batch: VQABatch, target: Target
    ) -> None:
        """Measure the image maps of a batch, beside those of a random map and of the centre prior."""
        rows = _with_score(target)
        if not len(rows):
            return
        maps, batch, target = [one.take(rows) for one in maps], batch.take(rows), target[rows]
        ids = batch.question_ids.cpu().numpy()
        found = {one.method: one.values.double().numpy().reshape(len(ids), -1) for one in maps}
        found[RANDOM] = random_maps(ids, self._grid, self._settings.seed).reshape(len(ids), -1)
        found[CENTRE] = centre_prior(len(ids), self._grid).reshape(len(ids), -1)
        if self._settings.masks:
            with part("faithfulness, from the mask bank"):
                self._from_bank(found, batch, target)
        rows = self._rows_with_curves(ids)
        if len(rows):
            some, answers = batch.take(rows), target[rows]
            with part("faithfulness, deletion and insertion"):
                self._delete_cells(found, [one.method for one in maps], rows, batch, target)
            if self._settings.sensitivity:
                with part("faithfulness, max-sensitivity"):
                    self._change_pixels(maps, methods, rows, some, answers)

    def measure_words(self, maps: Sequence[ImportanceMaps], batch: VQABatch, target: Target) -> None:
        """Deletion and insertion of the words of a batch, beside a random order of the words."""
        rows_with_score = _with_score(target)
        maps, batch = [one.take(rows_with_score) for one in maps], batch.take(rows_with_score)
        target = target[rows_with_score]
        ids = batch.question_ids.cpu().numpy()
        rows = self._rows_with_curves(ids).tolist()
        if not rows:
            return
        with part("faithfulness, words"), torch.no_grad():
            views = self._parts.look(features_of(self._parts, batch, "an analysis"))
            random = np.stack(
                [
                    np.random.default_rng([self._settings.seed, int(i)]).random(batch.tokens.shape[1])
                    for i in ids
                ]
            )
            found = {one.method: one.values.double().numpy() for one in maps} | {RANDOM: random}
            undefined = {(one.method, row) for one in maps for row in rows if not one.valid[row].any()}
            for row in rows:
                length = int(batch.lengths[row])
                asked = batch.tokens[row, :length]
                for name, values in found.items():
                    order = decreasing(
                        values[row : row + 1, :length], ids[row : row + 1], self._settings.seed
                    )
                    shown = shown_after(order, length)[0]
                    for kind, some in (("insertion", shown), ("deletion", ~shown)):
                        curve = word_curves(self._parts, views[row], asked, some, target[row : row + 1])
                        key = f"question/{name}/faithfulness/{kind}"
                        if (name, row) in undefined:
                            self.values[key][int(ids[row])] = float("nan")
                            continue
                        self.values[key][int(ids[row])] = float(area_under_steps(curve[None])[0])
                        self.curves[key][int(ids[row])] = on_shares([curve])[0]

    def _rows_with_curves(self, ids: Int64[np.ndarray, " B"]) -> Int64[Tensor, " R"]:
        """Rows of the questions with deletion, insertion and max-sensitivity."""
        return torch.tensor(self._chosen.rows(ids.tolist()) if self._has_curves else [], dtype=torch.int64)

    def _keep(self, name: str, measure: str, ids: Sequence[int], values: Float[np.ndarray, " N"]) -> None:
        found = self.values[f"image/{name}/faithfulness/{measure}"]
        found |= dict(zip(ids, values.tolist(), strict=True))

    def _from_bank(self, found: dict[str, Float[np.ndarray, "B C"]], batch: VQABatch, target: Target) -> None:
        assert batch.images is not None
        families = self._settings.families
        with torch.no_grad():
            read = self._parts.read(batch.tokens, batch.lengths)
        for rows in rows_by_image(batch):
            image, ids = batch.images[rows[0]], batch.question_ids[rows].tolist()
            asked = tuple(one[rows] for one in read)
            scores = scores_under_masks(
                self._parts, image, families, self._settings.fill, asked, target[rows]
            )
            falls = [(one[:, :1] - one[:, 1:]).cpu().numpy() for one in scores]
            kept = [self._parts.mask_shares(image, family, self._grid) for family in families]
            coalitions, squares = (1 - one.flatten(1).double().cpu().numpy() for one in kept)
            for name, values in found.items():
                own = values[rows.numpy()]
                table = correlation_table(coalitions, own, falls[0])
                self._keep(name, "correlation", ids, table.diagonal())
                if len(ids) > 1 and name not in (RANDOM, CENTRE):
                    means = [
                        mean_of_defined(table[of, at], axis=0) for at, of in enumerate(partners(len(ids)))
                    ]
                    self._keep(name, f"correlation{ENDING}", ids, np.array(means))
                for measure, one in infidelity(squares, own, falls[1]).items():
                    self._keep(name, measure, ids, one)

    def _delete_cells(
        self,
        found: dict[str, Float[np.ndarray, "B C"]],
        methods: Sequence[str],
        chosen: Int64[Tensor, " R"],
        batch: VQABatch,
        target: Target,
    ) -> None:
        """Areas of the chosen questions by each of their maps, and by each method's map of another question.

        The other question is the next one about the same image, and the first fill alone is taken. If it has
        curves of its own, they need the same versions of the image, so that costs little more.
        """
        assert batch.images is not None
        ids, with_curve = batch.question_ids.cpu().numpy(), {*chosen.tolist()}
        orders = {name: decreasing(values, ids, self._settings.seed) for name, values in found.items()}
        for rows in rows_by_image(batch):
            others = partners(len(rows))
            own = [(at, row) for at, row in enumerate(rows.tolist()) if row in with_curve]
            plan = [(name, row, row) for name in found for _, row in own]
            with_others = plan + [
                (name, row, int(rows[others[at][0]])) for name in methods for at, row in own if others[at]
            ]
            if not plan:
                continue
            shown = shown_after(
                np.stack([orders[name][of] for name, _, of in with_others]), self._settings.steps
            )
            for at, fill in enumerate(self._settings.fills):
                drawn = plan if at else with_others
                asked = torch.tensor([row for _, row, _ in drawn] * 2)
                both = np.concatenate([shown[: len(drawn)], ~shown[: len(drawn)]])
                curves = cell_curves(
                    self._parts, batch.images[rows[0]], both, fill, asked, batch.tokens, batch.lengths, target
                )
                self._keep_curves("insertion", fill, drawn, ids, curves[: len(drawn)])
                self._keep_curves("deletion", fill, drawn, ids, curves[len(drawn) :])
                needless = self.values[f"modality/image_not_needed_{fill}"]
                for (_, row, _), (blind, *_, clean) in zip(plan[: len(own)], curves, strict=False):
                    needless[int(ids[row])] = float(clean <= blind)

    def _keep_curves(
        self,
        kind: str,
        fill: str,
        drawn: Sequence[tuple[str, int, int]],
        ids: Int64[np.ndarray, " B"],
        curves: Float[np.ndarray, "K S"],
    ) -> None:
        """Keep the areas of curves, each with its method, the row of its question, and the row of its map."""
        clean, blind = curves[:, [-1, 0] if kind == "insertion" else [0, -1]].T
        areas = area_under_steps(curves)
        normalised, points = normalised_area(areas, clean, blind), on_shares([*curves])
        for at, (name, row, of) in enumerate(drawn):
            measure, one = f"{kind}_{fill}", [int(ids[row])]
            if of != row:
                self._keep(name, measure + ENDING, one, areas[[at]])
                continue
            self._keep(name, measure, one, areas[[at]])
            self._keep(name, f"{measure}_normalised", one, normalised[[at]])
            self.curves[f"image/{name}/faithfulness/{measure}"][one[0]] = points[at]

    def _change_pixels(
        self,
        maps: Sequence[ImportanceMaps],
        methods: Sequence[Attributor],
        rows: Int64[Tensor, " R"],
        batch: VQABatch,
        target: Target,
    ) -> None:
        assert batch.images is not None
        ids = batch.question_ids.tolist()
        near: dict[str, list[Float[np.ndarray, "R C"]]] = defaultdict(list)
        for sample in range(self._settings.sensitivity):
            # All questions of an image get the same copy, because methods run once an image.
            moved = torch.stack([image + self._noise(image, sample) for image in batch.images])
            changed = replace(batch, images=moved, features=None)
            with copies_of([*batch.images], [*moved]):
                for method in methods:
                    found = maps_of(method, self._without_memory, changed, target)
                    near[method.name].append(found.values.double().numpy().reshape(len(ids), -1))
        for one in maps:
            own = one.values[rows].double().numpy().reshape(len(ids), -1)
            self._keep(one.method, "max_sensitivity", ids, max_sensitivity(own, np.stack(near[one.method])))

    def _noise(self, image: Float[Tensor, "3 H W"], sample: int) -> Float[Tensor, "3 H W"]:
        """Uniform noise of at most the radius, fixed by seed, sample and shape."""
        recipe, radius = self._parts.recipe, self._settings.radius
        if recipe:
            black, white = (recipe.color((level,) * 3).to(image) for level in (0.0, 255.0))
            bound = radius * (white - black).abs()[:, None, None]
        else:
            bound = radius * (image.max() - image.min())
        random = np.random.default_rng([self._settings.seed, sample])
        drawn = torch.from_numpy(random.uniform(-1, 1, image.shape)).to(image)
        return bound * drawn

    @cached_property
    def _without_memory(self) -> TokenModel:
        """The same model, of whose changed images nothing is stored."""
        if not isinstance(self._model, Pipeline):
            return self._model
        tower = self._model.tower
        return Pipeline(Tower(tower.network, tower.recipe), self._model.head)


def _with_score(target: Target) -> Int64[Tensor, " R"]:
    """Rows of the answers that have a score: an answer that is contrasted with itself always scores 0.

    Such a score would count as the best deletion and the worst insertion of every map.
    """
    contrasted = target[:, 0] != target[:, -1] if target.ndim == 2 else torch.ones_like(target) > 0
    return contrasted.nonzero()[:, 0].cpu()


def joined(parts: Iterable[dict[str, dict[int, Value]]]) -> dict[str, dict[int, Value]]:
    """Values, or curves, by key and question id, of all processes."""
    found: dict[str, dict[int, Value]] = {}
    for values in parts:
        for key, of_question in values.items():
            found.setdefault(key, {}).update(of_question)
    return found


def minus_random(values: Values) -> Values:
    """For each measure of faithfulness, its difference from that of the random map of the same question."""
    found: Values = {}
    for key, of_question in values.items():
        domain, _, rest = key.partition("/")
        method, _, measure = rest.partition("/")
        other = values.get(f"{domain}/{RANDOM}/{measure}")
        if other and method != RANDOM and measure.startswith("faithfulness/"):
            found[f"{key}_minus_random"] = {
                one: value - other[one] for one, value in of_question.items() if one in other
            }
    return found


def mean_curves(curves: PointsOf, mean: Callable[[str, Column, list[int]], Estimate]) -> dict[str, Curve]:
    """Mean of each curve over questions, with its interval at each point ("low", "high") if it has one.

    `mean` computes an estimate from a key, values and their question ids.
    """
    result: dict[str, Curve] = {}
    for key, of_question in sorted(curves.items()):
        ids = [*of_question]
        stacked = np.stack([of_question[one] for one in ids])
        points = [mean(key, column, ids) for column in stacked.T]
        if np.isnan([one.mean for one in points]).any():
            continue
        curve = {"x": np.linspace(0, 1, len(points)).tolist(), "y": [one.mean for one in points]}
        ends = {"low": [one.ci_low for one in points], "high": [one.ci_high for one in points]}
        if np.isfinite([*ends.values()]).all():  # not for the questions of a single image
            curve |= ends
        result[key] = curve | {"n": [float(one.n) for one in points]}
    return result
