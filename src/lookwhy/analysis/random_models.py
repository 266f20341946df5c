"""Explanations of random models, for the sanity card (`sanity.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace

import torch

from lookwhy.analysis.questions import FirstQuestions
from lookwhy.analysis.sanity import RandomMaps, RandomPart, Sanity
from lookwhy.attribution import Attributor
from lookwhy.attribution.base import features_of
from lookwhy.errors import LookwhyError
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import TokenModel
from lookwhy.models.random_parts import classifier_of, with_random_classifier, with_random_weights
from lookwhy.towers.memory import Memory
from lookwhy.towers.tower import Tower
from lookwhy.types import ImportanceMaps, Target, VQABatch

Explain = Callable[[Attributor, Pipeline, VQABatch, Target], ImportanceMaps]


class RandomModels:
    """Keeps the questions of the card while an analysis reads them, and then explains them by random models.

    Args:
        model: the trained model.
        settings: which models.
        chosen: ids of the questions; by default the first ones that come.

    Raises:
        LookwhyError: the model is a black box, whose weights nobody can change, or its head has none.
    """

    def __init__(self, model: TokenModel, settings: Sanity, chosen: Set[int] | None = None) -> None:
        if not isinstance(model, Pipeline):
            raise LookwhyError(
                "expected a Pipeline(tower, head) for the sanity card, whose weights become random, found "
                f"{type(model).__name__}; leave sanity out of the plan"
            )
        classifier_of(model.head)
        self._model, self._settings = model, settings
        self._chosen = FirstQuestions(settings.questions, chosen)
        self._kept: list[tuple[VQABatch, Target]] = []

    def keep(self, batch: VQABatch, target: Target) -> None:
        """Keep the chosen questions of a batch with their pixels and features."""
        rows = torch.tensor(self._chosen.rows(batch.question_ids.tolist()), dtype=torch.int64)
        if len(rows):
            self._kept.append((batch.take(rows), target[rows]))

    def explain(
        self, methods: Sequence[Attributor], explain: Explain, told: Callable[[str], None]
    ) -> RandomMaps:
        """Maps of all random models; `told` hears what is being explained."""
        found: RandomMaps = {part: [] for part in self._settings.random}
        for draw in range(self._settings.draws):
            for part, model in self._draw(draw):
                told(f"explaining random models: {part}, draw {draw + 1} of {self._settings.draws}")
                maps: dict[str, ImportanceMaps] = {}
                for method in methods:
                    some = [
                        explain(method, model, _seen(model, batch, part), target)
                        for batch, target in self._kept
                    ]
                    if some:
                        maps[f"{method.domain}/{method.name}"] = joined_maps(some)
                found[part].append(maps)
        return found

    def _draw(self, draw: int) -> Iterator[tuple[RandomPart, Pipeline]]:
        """The random models of a draw. Both models with a random network share it, and its memory."""
        seed = self._settings.seed + draw
        tower, head, asked = self._model.tower, self._model.head, self._settings.random
        if "classifier" in asked:
            yield "classifier", Pipeline(tower, with_random_classifier(head, seed))
        random_head = with_random_weights(head, seed)
        if "head" in asked:
            yield "head", Pipeline(tower, random_head)
        if "network" in asked or "both" in asked:
            network = with_random_weights(tower.network, seed)
            images = {one for batch, _ in self._kept for one in batch.image_ids.tolist()}
            random_tower = Tower(network, tower.recipe, Memory(images=len(images)))
            if "network" in asked:
                yield "network", Pipeline(random_tower, head)
            if "both" in asked:
                yield "both", Pipeline(random_tower, random_head)


def _seen(model: Pipeline, batch: VQABatch, part: RandomPart) -> VQABatch:
    """The batch with the features of the model's own network."""
    if part in ("classifier", "head"):
        return batch
    return replace(batch, features=features_of(model, replace(batch, features=None), "the sanity card"))


def joined_maps(parts: Sequence[ImportanceMaps]) -> ImportanceMaps:
    """Maps of several batches as one; maps over words are padded to the longest question."""
    width = max(one.values.shape[1] for one in parts)
    return ImportanceMaps.concatenate([one.padded(width) for one in parts])


def joined_draws(parts: Sequence[RandomMaps]) -> RandomMaps:
    """Random maps of all processes, by question id; a process without any chosen question has none."""
    found: RandomMaps = {}
    for part in parts[0] if parts else ():
        found[part] = []
        for draws in zip(*(one[part] for one in parts), strict=True):
            maps: dict[str, ImportanceMaps] = {}
            for name in dict.fromkeys(name for draw in draws for name in draw):
                joined = joined_maps([draw[name] for draw in draws if name in draw])
                maps[name] = joined.take(joined.question_ids.argsort())
            found[part].append(maps)
    return found
