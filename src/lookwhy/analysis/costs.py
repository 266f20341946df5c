"""The cost of an analysis, said before it starts: the mask bank, and measures that run the network again.

The network is timed on a few masked copies of the first image; sizes are those of its features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.attribution import Occlusion
from lookwhy.attribution.masked import MaskMethod
from lookwhy.progress import readable
from lookwhy.towers.masks import Fill, MaskFamily
from lookwhy.towers.precision import true_float32
from lookwhy.towers.tower import Tower

TIMED = 16
"""Number of masked images that are timed."""
ENOUGH = 0.1
"""Seconds after which they are not timed again."""
LOOKED_AT = 100
"""Largest number of images that are looked for in the bank; beyond it, their share is taken for all."""
Bank = list[tuple[MaskFamily, Fill]]
Image = Float[Tensor, "3 H W"]


@dataclass(frozen=True)
class Cost:
    """Work of the image network.

    Attributes:
        images: number of images whose part of the mask bank is missing.
        masked: number of masked images that the bank needs.
        stored: bytes of their features on disk.
        again: largest number of changed images that an epoch with deletion and insertion needs; curves that
            meet need fewer.
        seconds: time of one changed image.
        copies: number of noisy copies of images that max-sensitivity explains at each of these epochs.
        noisy: number of masked images of these copies that the methods with masks need.
        random: number of random models of each sanity card.
        changed: number of occluded and masked images that go through their random networks.
    """

    images: int
    masked: int
    stored: int
    again: int
    seconds: float
    copies: int = 0
    noisy: int = 0
    random: int = 0
    changed: int = 0

    def lines(self, folder: str) -> list[str]:
        """The cost in words, a line for each part that there is."""
        found = []
        if self.masked:
            took = in_time(self.masked * self.seconds)
            found.append(
                f"mask bank: {self.masked:,} masked copies of {self.images:,} images go through the image "
                f"network once, about {took} and {readable(self.stored)} in {folder}; later epochs and runs "
                "reuse them"
            )
        if self.again:
            took = in_time(self.again * self.seconds)
            found.append(
                f"deletion and insertion: at most {self.again:,} changed images go through the image network "
                f"at each epoch that has them, about {took}; curves, steps, fills and epochs of the plan's "
                "faithfulness choose how many"
            )
        if self.copies:
            took = in_time(self.noisy * self.seconds)
            masks = f"those with masks on {self.noisy:,} masked images, about {took}, " if self.noisy else ""
            found.append(
                f"max-sensitivity: every image method runs again on {self.copies:,} noisy copies of images "
                f"at each of these epochs, {masks}and nothing is stored; sensitivity of the plan's "
                "faithfulness chooses how many"
            )
        if self.random:
            took = in_time(self.changed * self.seconds)
            network = (
                f"; {self.changed:,} changed images go through random networks, at most {took}, and nothing "
                "is stored"
            )
            found.append(
                f"sanity card: {self.random:,} random models explain a part of the questions at each epoch "
                f"that has one{network if self.changed else ''}; draws, questions, random and epochs of the "
                "plan's sanity choose how many"
            )
        return found


def bank_of(plan: AnalysisPlan, words: int | None) -> Bank:
    """Families of masks, with their fills, that a plan needs for an image.

    `words` is the number of words of one question about it whose modality share is measured; None: no such
    question.
    """
    found: Bank = [(one.family, one.fill) for one in plan.image_methods if isinstance(one, MaskMethod)]
    if plan.faithfulness and plan.faithfulness.masks and plan.image_methods:
        found += [(family, plan.faithfulness.fill) for family in plan.faithfulness.families]
    if plan.modality and words is not None:
        found += [(plan.modality.family(words), fill) for fill in plan.modality.fills]
    return found


def foresee(
    tower: Tower,
    plan: AnalysisPlan,
    questions: int,
    words: Sequence[Sequence[int]],
    load: Callable[[int], Image],
    of_image: Sequence[int] = (),
) -> Cost | None:
    """Cost of the analyses of a plan; None for a plan without any of them.

    Args:
        tower: the network on its device.
        plan: settings.
        questions: number of analysed questions.
        words: for each image, numbers of words of its questions with a modality share.
        load: function from the number of an image to its pixels.
        of_image: for each image, number of its analysed questions; by default one.
    """
    of_image = of_image or [1] * len(words)
    again, copies = _of_curves(plan, questions, of_image)
    random, changed = _of_random_models(plan, questions, of_image)
    banks = [_bank(plan, lengths) for lengths in words]
    if not again and not copies and not random and not any(banks):
        return None
    looked_at = np.unique(np.linspace(0, len(words) - 1, min(len(words), LOOKED_AT)).astype(int)).tolist()
    missing_images = missing_masks = 0
    for number in looked_at:
        image = load(number)
        missing = [one.size for one, fill in banks[number] if not tower.has_under_masks(image, one, fill)]
        missing_images, missing_masks = missing_images + bool(missing), missing_masks + sum(missing)
    share = len(words) / len(looked_at)
    seconds, values = _timed(tower, load(0)) if missing_masks or again or copies or changed else (0.0, 0)
    masked = round(missing_masks * share)
    of_copy = sum(one.family.size for one in plan.image_methods if isinstance(one, MaskMethod))
    stored = 2 * values * masked
    missing_images = round(missing_images * share)
    noisy = copies * of_copy
    return Cost(missing_images, masked, stored, again, seconds, copies, noisy, random, changed)


def _of_curves(plan: AnalysisPlan, questions: int, of_image: Sequence[int]) -> tuple[int, int]:
    """Number of changed images of deletion and insertion, and of noisy copies of max-sensitivity."""
    settings, methods = plan.faithfulness, len(plan.image_methods)
    if settings is None or not methods or settings.curves == 0:
        return 0, 0
    measured = questions if settings.curves is None else min(settings.curves, questions)
    images = _images_of(measured, of_image)
    # Beside the methods, a random map and the centre prior. The map of another question needs images of its
    # own only where that question has no curves.
    orders = measured * (methods + 2) * len(settings.fills)
    orders += measured * methods * bool(settings.fills) * (measured < questions)
    # All curves of an image share both ends.
    again = 2 * (settings.steps - 1) * orders + 2 * images * len(settings.fills)
    return again, settings.sensitivity * images


def _of_random_models(plan: AnalysisPlan, questions: int, of_image: Sequence[int]) -> tuple[int, int]:
    """Number of random models, and of the changed images that go through random networks."""
    if plan.sanity is None:
        return 0, 0
    explained = questions if plan.sanity.questions is None else min(plan.sanity.questions, questions)
    changed = sum(
        one.family.size if isinstance(one, MaskMethod) else one.grid**2
        for one in plan.image_methods
        if isinstance(one, MaskMethod | Occlusion)
    )
    has_network = bool({"network", "both"} & {*plan.sanity.random})
    images = _images_of(explained, of_image, each=2)
    return (
        plan.sanity.draws * len(plan.sanity.random),
        plan.sanity.draws * has_network * images * changed,
    )


def _images_of(questions: int, of_image: Sequence[int], each: int = 1) -> int:
    """Number of images that the questions chosen by `spread` are about."""
    before = np.cumsum([0, *np.minimum(of_image, each)[:-1]])
    return int((before < questions).sum())


def _bank(plan: AnalysisPlan, lengths: Sequence[int]) -> Bank:
    found: dict[str, tuple[MaskFamily, Fill]] = {}
    for words in (None, *lengths):
        for family, fill in bank_of(plan, words):
            found[f"{family.describe()} {fill}"] = family, fill
    return [*found.values()]


@torch.no_grad()
@true_float32()
def _timed(tower: Tower, image: Image) -> tuple[float, int]:
    """Seconds of one masked image, and the number of its features."""
    masks = torch.ones(TIMED, *image.shape[1:], device=image.device, dtype=image.dtype)
    fill = image.new_zeros(3)
    tower.masked(image, masks[:2], fill)  # the first call prepares
    least = spent = 0.0
    # The first calls of a small network take several times as long as later ones.
    while spent < ENOUGH:
        start = time.perf_counter()
        features = tower.masked(image, masks, fill).cpu()
        took = time.perf_counter() - start
        least, spent = min(took, least or took), spent + took
    return least / TIMED, features[0].numel()


def in_time(seconds: float) -> str:
    """A duration in words: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
