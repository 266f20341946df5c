"""Sanity card: do the maps of a method change when parts of the model become random?

A method whose maps hardly change does not show what the model learned (Adebayo et al. 2018, "Sanity checks
for saliency maps"). The classifier, the whole head, the image network, or both get the weights of an
untrained model, several times; each random model explains the answer of the trained one, and its maps are
compared with the trained model's:

* Spearman's correlation of magnitudes, and of signed values;
* SSIM of magnitudes (Wang et al. 2004), each map divided by its largest value;
* agreement with the annotators of the random model's maps.

Such similarities depend on noise, and maps of the same picture are alike without any model (Hedstroem et al.
2023, "Sanity checks revisited"). So beside them stands what two random models score with each other, and
their eMPRT: how much the entropy of a map rises when the model becomes random, as a share of it. The entropy
is that of a histogram with 100 bins of the magnitudes, divided by the root of their mean square.

Two more rows need no random model: the maps of another question about the same image, and those of a question
about another image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64

from lookwhy.analysis.agreement import agreement
from lookwhy.analysis.rank_correlation import SPEARMAN, Ranking, standardised_ranks
from lookwhy.analysis.statistics import clustered_mean, in_summary, mean_of_defined, mean_over_runs
from lookwhy.errors import LookwhyError
from lookwhy.types import ImportanceMaps

RandomPart = Literal["classifier", "head", "network", "both"]
PARTS: tuple[RandomPart, ...] = ("classifier", "head", "network", "both")
LEAST_DRAWS = 2
BINS = 100
SSIM_BORDER = 5
"""Half of the window of SSIM, which is mirrored at the border, in cells."""
RandomMaps = dict[str, list[dict[str, ImportanceMaps]]]
"""By random part: for each draw, the maps of the random model by "image/<method>" and "question/<method>"."""


@dataclass
class Sanity:
    """Settings of the sanity card.

    Attributes:
        draws: number of random models for each random part.
        questions: number of questions that each of them explains; null: all that are analysed.
        epochs: epochs with a card, -1 for the untrained model; null: all that are analysed.
        random: what becomes random: the `classifier` (last layer of the head), the whole `head`, the image
            `network`, and `both`. A random network shares nothing with the memory of the trained one, so
            with a large network these two are the costly ones.
        seed: seed of the first draw.
    """

    draws: int = 5
    questions: int | None = 30
    epochs: list[int] | None = None
    random: list[RandomPart] = field(default_factory=lambda: [*PARTS])
    seed: int = 0

    def __post_init__(self) -> None:
        for name, smallest in {"draws": LEAST_DRAWS, "questions": 1, "seed": 0}.items():
            if (value := getattr(self, name)) is not None and value < smallest:
                raise LookwhyError(f"expected sanity.{name} of at least {smallest}, found {value}")
        if not self.random or len({*self.random}) < len(self.random):
            raise LookwhyError(f"expected sanity.random, one part or more and each once, found {self.random}")

    def has_card(self, epoch: int | None) -> bool:
        """Whether an epoch has a card."""
        return self.epochs is None or epoch is None or epoch in self.epochs


def sanity_card(
    maps: Mapping[str, ImportanceMaps],
    random: RandomMaps,
    human: Float[np.ndarray, "N K G G"],
    image_ids: Int64[np.ndarray, " N"],
    ranking: Ranking = SPEARMAN,
    *,
    signed: bool = False,
) -> dict[str, float]:
    """Scalars of all methods by "<domain>/<method>/sanity/<what is random>/<measure>", with intervals.

    Args:
        maps: maps of the trained model, by "image/<method>" and "question/<method>", of the questions that
            the random models explained.
        random: maps of the random models for the same questions, in the same order.
        human: annotator maps of these questions; a missing annotator is NaN.
        image_ids: image of each question.
        ranking: ranking of the cells.
        signed: whether signed maps, instead of their magnitudes, are compared with the annotators.

    Returns:
        A mean over draws has the 95% t interval over draws; a mean over questions ("trained",
        "other_question" and "other_image") has the image-clustered one.
    """
    summary: dict[str, float] = {}
    for name, trained in maps.items():
        found: defaultdict[str, list[float]] = defaultdict(list)
        of_method = {part: [draw[name] for draw in draws] for part, draws in random.items()}
        for part, draws in of_method.items():
            for one in draws:
                for measure, values in similarities(trained, one, ranking).items():
                    found[f"{part}/{measure}"].append(_mean(values))
                if one.domain == "image" and human.shape[1]:
                    rho = agreement(_compared(one, signed), human, image_ids, ranking).rank_correlation
                    found[f"{part}/rank_correlation"].append(_mean(rho))
        if most := [part for part in reversed(PARTS) if part in of_method]:
            draws = of_method[most[0]]
            # A ring of pairs; two draws are one pair.
            pairs = zip(draws, [*draws[1:], draws[0]], strict=True)
            for one, other in islice(pairs, 1 if len(draws) == 2 else None):
                for measure, values in similarities(one, other, ranking).items():
                    found[f"two_random/{measure}"].append(_mean(values))
            for one in draws if trained.domain == "image" else ():
                found["emprt"].append(_mean(rise_of_entropy(trained, one)))
        if trained.domain == "image" and human.shape[1]:
            own = agreement(_compared(trained, signed), human, image_ids, ranking)
            estimate = clustered_mean(own.rank_correlation, image_ids)
            summary |= in_summary(estimate, f"{name}/sanity/trained/rank_correlation")
        for key, means in found.items():
            summary |= _over_draws(f"{name}/sanity/{key}", np.array(means))
        for key, partner in _partners(image_ids).items():
            rows = np.flatnonzero(partner >= 0)
            if not len(rows):
                continue
            some, others = (trained.take(torch.from_numpy(of)) for of in (rows, partner[rows]))
            for measure, values in similarities(some, others, ranking).items():
                estimate = clustered_mean(values, image_ids[rows])
                if estimate.n:
                    summary |= in_summary(estimate, f"{name}/sanity/{key}/{measure}")
    return summary


def _compared(maps: ImportanceMaps, signed: bool) -> Float[np.ndarray, "N G G"]:
    values = maps.values.double().numpy()
    return values if signed else np.abs(values)


def similarities(
    maps: ImportanceMaps, others: ImportanceMaps, ranking: Ranking = SPEARMAN
) -> dict[str, Float[np.ndarray, " N"]]:
    """Similarity of each map with another one: `spearman_magnitude`, `spearman` and, of an image, `ssim`.

    NaN where undefined: for a constant map, fewer than two words, and SSIM for fewer than 6 x 6 cells.
    """
    width = min(maps.values.shape[-1], others.values.shape[-1])
    pair = [(one.values[..., :width].double(), one.valid[..., :width]) for one in (maps, others)]
    valid = (pair[0][1] & pair[1][1]).flatten(1).numpy()
    first, second = (values.flatten(1).numpy() for values, _ in pair)
    found = {
        "spearman_magnitude": _spearman(np.abs(first), np.abs(second), valid, ranking),
        "spearman": _spearman(first, second, valid, ranking),
    }
    if maps.domain == "image":
        found["ssim"] = _ssim(*(values.abs() for values, _ in pair))
    return found


def _spearman(
    first: Float[np.ndarray, "N C"],
    second: Float[np.ndarray, "N C"],
    valid: np.ndarray,
    ranking: Ranking,
) -> Float[np.ndarray, " N"]:
    if valid.all():
        ranks = (standardised_ranks(values, ranking) for values in (first, second))
        return np.einsum("nc,nc->n", *ranks)
    found = np.full(len(first), np.nan)
    for row, cells in enumerate(valid):
        if cells.sum() > 1:
            ranks = (standardised_ranks(values[row, cells], ranking) for values in (first, second))
            found[row] = np.dot(*ranks)
    return found


def _ssim(first: torch.Tensor, second: torch.Tensor) -> Float[np.ndarray, " N"]:
    # torchmetrics' images take half a second to import.
    from torchmetrics.functional.image import structural_similarity_index_measure

    largest = [one.flatten(1).max(1).values for one in (first, second)]
    defined = (largest[0] > 0) & (largest[1] > 0) & (min(first.shape[1:]) > SSIM_BORDER)
    found = np.full(len(first), np.nan)
    if bool(defined.any()):
        one, other = (
            (values / most[:, None, None])[defined][:, None]
            for values, most in zip((first, second), largest, strict=True)
        )
        values = structural_similarity_index_measure(one, other, reduction="none", data_range=1.0)
        found[defined.numpy()] = torch.as_tensor(values).double().numpy().reshape(-1)
    return found


def rise_of_entropy(maps: ImportanceMaps, random: ImportanceMaps) -> Float[np.ndarray, " N"]:
    """EMPRT of each map: (H of the random model's map - H) / H; NaN where H is 0."""
    before, after = (entropy_of(one.values.double().flatten(1).numpy()) for one in (maps, random))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(before > 0, (after - before) / before, np.nan)


def entropy_of(maps: Float[np.ndarray, "N C"]) -> Float[np.ndarray, " N"]:
    """Entropy in nats of the histogram of each map's magnitudes, divided by the root of their mean square.

    Example:
        >>> entropy_of(np.array([[1.0, 0.0, 0.0, 1.0]])).round(6)
        array([0.693147])
    """
    found = np.zeros(len(maps))
    for row, values in enumerate(np.abs(maps)):
        size = np.sqrt((values**2).mean())
        counts, _ = np.histogram(values / size if size > 0 else values, BINS)
        share = counts[counts > 0] / counts.sum()
        found[row] = -(share * np.log(share)).sum()
    return found


def _partners(image_ids: Int64[np.ndarray, " N"]) -> dict[str, Int64[np.ndarray, " N"]]:
    """For each question, the row of the next one about the same image, and of one about the next image."""
    same, other = np.full(len(image_ids), -1), np.full(len(image_ids), -1)
    _, first, number = np.unique(image_ids, return_index=True, return_inverse=True)
    for image in range(len(first)):
        rows = np.flatnonzero(number == image)
        if len(rows) > 1:
            same[rows] = np.roll(rows, -1)
        if len(first) > 1:
            other[rows] = first[(image + 1) % len(first)]
    return {"other_question": same, "other_image": other}


def _mean(values: Float[np.ndarray, " N"]) -> float:
    return float(mean_of_defined(values, axis=0))


def _over_draws(key: str, values: Float[np.ndarray, " D"]) -> dict[str, float]:
    defined = values[~np.isnan(values)]
    if not len(defined):
        return {}
    if len(defined) == 1:
        return {key: float(defined[0]), f"{key}/n": 1.0}
    mean, low, high = mean_over_runs(defined)
    return {key: mean, f"{key}/ci_low": low, f"{key}/ci_high": high, f"{key}/n": float(len(defined))}
