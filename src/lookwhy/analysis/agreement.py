"""Agreement of importance maps with annotators, and its controls.

Even a wrong map can agree with annotators: a frozen CNN shows edges in every map, also if the head is not
trained, and annotators tend to look at the middle of an image. So the rank correlation with a question's own
annotators needs controls:

* `other_question`: the map of ANOTHER QUESTION on the same image, against this question's annotators;
* `other_image`: the map of a question about ANOTHER IMAGE, against this question's annotators, averaged over
  all questions about all other images;
* `specificity`: a map against its own question's annotators, minus the same map against another question's
  annotators on the same image, averaged over the other questions. It is zero for a model that ignores the
  question. (Averaged over all pairs of questions of an image, it equals `rank_correlation` minus
  `other_question`.)
* `mean_map`: agreement with the MEAN of the annotators' maps, each first scaled to sum to one. A single
  annotator's map is noisy, so correlations with the mean are higher;
* `partial_rank_correlation`: the correlation of the ranks of map and annotator that is left when the ranks of
  the centre prior are held fixed (the partial correlation, averaged over annotators);
* baselines: a random map, a centre prior, and each annotator against each of the others (and against the mean
  of the others).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from lookwhy.analysis.rank_correlation import SPEARMAN, Ranking, standardised_ranks
from lookwhy.analysis.statistics import clustered_mean, in_summary, mean_of_clusters, mean_of_defined

CENTRE_PRIOR_WIDTH = 0.25
"""Standard deviation of the centre prior's Gaussian, as a fraction of the image's side."""


class Agreement(NamedTuple):
    """Rank correlations of each question, NaN where undefined; the module's docstring defines them."""

    rank_correlation: Float[np.ndarray, " N"]
    mean_map: Float[np.ndarray, " N"]
    other_question: Float[np.ndarray, " N"]
    other_image: Float[np.ndarray, " N"]
    specificity: Float[np.ndarray, " N"]
    partial_rank_correlation: Float[np.ndarray, " N"]


def agreement(
    maps: Float[np.ndarray, "N G G"],
    human: Float[np.ndarray, "N K G G"],
    image_ids: Int64[np.ndarray, " N"],
    ranking: Ranking = SPEARMAN,
) -> Agreement:
    """Agreement of one method's maps with each question's annotators; a missing annotator is NaN."""
    count = len(maps)
    ranks = standardised_ranks(maps.reshape(count, -1), ranking)
    annotators = standardised_ranks(human.reshape(count, human.shape[1], -1), ranking)
    own = mean_of_defined(np.einsum("nc,nkc->nk", ranks, annotators), axis=1)
    mean = standardised_ranks(mean_annotator(human).reshape(count, -1), ranking)
    other_question, specificity = np.full(count, np.nan), np.full(count, np.nan)
    for image in np.unique(image_ids):
        rows = np.flatnonzero(image_ids == image)
        if len(rows) < 2:
            continue
        # table[i, j]: map of question i against the annotators of question j.
        pairs = np.einsum("ic,jkc->ijk", ranks[rows], annotators[rows])
        table = mean_of_defined(pairs, axis=2)
        np.fill_diagonal(table, np.nan)
        other_question[rows] = mean_of_defined(table, axis=0)
        specificity[rows] = mean_of_defined(own[rows][:, None] - table, axis=1)
    foreign = _mean_of_other_images(ranks, image_ids)
    other_image = mean_of_defined(np.einsum("nc,nkc->nk", foreign, annotators), axis=1)
    centre = standardised_ranks(centre_prior(1, maps.shape[1]).reshape(1, -1), ranking)[0]
    return Agreement(
        own,
        np.einsum("nc,nc->n", ranks, mean),
        other_question,
        other_image,
        specificity,
        _partial(ranks, annotators, centre),
    )


def _mean_of_other_images(
    ranks: Float[np.ndarray, "N C"], image_ids: Int64[np.ndarray, " N"]
) -> Float[np.ndarray, "N C"]:
    """Mean of the defined ranks of all questions about other images; NaN if there are none.

    A correlation is a product with the ranks, so the mean of all pairs' is the product with their mean.
    """
    defined = ~np.isnan(ranks).any(1)
    filled = np.where(defined[:, None], ranks, 0.0)
    _, image = np.unique(image_ids, return_inverse=True)
    own, count = np.zeros((image.max(initial=-1) + 1, ranks.shape[1])), np.bincount(image, defined)
    np.add.at(own, image, filled)
    others = (defined.sum() - count)[image]
    mean = (filled.sum(0) - own[image]) / np.maximum(others, 1)[:, None]
    return np.where(others[:, None] > 0, mean, np.nan)


def _partial(
    ranks: Float[np.ndarray, "N C"], annotators: Float[np.ndarray, "N K C"], control: Float[np.ndarray, " C"]
) -> Float[np.ndarray, " N"]:
    """Partial correlation of each map with its annotators, given a control; NaN if either equals it."""
    direct = np.einsum("nc,nkc->nk", ranks, annotators)
    of_map, of_annotator = (ranks @ control)[:, None], annotators @ control
    rest = (1 - of_map**2) * (1 - of_annotator**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(rest > 1e-12, (direct - of_map * of_annotator) / np.sqrt(rest), np.nan)
    return mean_of_defined(found, axis=1)


def mean_annotator(human: Float[np.ndarray, "N K G G"]) -> Float[np.ndarray, "N G G"]:
    """Mean of each question's annotator maps, each scaled to sum to one; NaN if all are zero or missing."""
    totals = human.sum(axis=(2, 3), keepdims=True)
    scaled = human / np.where(totals > 0, totals, np.nan)
    return mean_of_defined(scaled, axis=1)


def annotators_agreement(
    human: Float[np.ndarray, "N K G G"], image_ids: Int64[np.ndarray, " N"], ranking: Ranking = SPEARMAN
) -> Agreement:
    """Agreement of each annotator with the others, averaged over annotators: an upper bound for methods."""
    pairs = ((human[:, k], np.delete(human, k, axis=1)) for k in range(human.shape[1]))
    parts = [agreement(own, others, image_ids, ranking) for own, others in pairs]
    return Agreement(*(mean_of_defined(np.stack(values), axis=0) for values in zip(*parts, strict=True)))


def random_maps(question_ids: Int64[np.ndarray, " N"], grid: int, seed: int) -> Float[np.ndarray, "N G G"]:
    """A random map for each question, from seed and question id: the same at every epoch."""
    return np.stack([np.random.default_rng([seed, int(i)]).random((grid, grid)) for i in question_ids])


def centre_prior(count: int, grid: int) -> Float[np.ndarray, "N G G"]:
    """A Gaussian in the middle of the image, the same for all questions."""
    # Whole numbers, so that rounding does not rank cells apart that are equally far from the middle.
    offset = 2 * np.arange(grid) + 1 - grid
    squares = offset[:, None] ** 2 + offset**2
    bell = np.exp(-squares / (2 * (2 * grid * CENTRE_PRIOR_WIDTH) ** 2))
    return np.broadcast_to(bell, (count, grid, grid)).copy()


MACRO = ("rank_correlation", "specificity")
"""Measures that also get the mean over images of the mean of each image's questions."""


def summarise(found: Agreement, prefix: str, image_ids: Int64[np.ndarray, " N"]) -> dict[str, float]:
    """Flat scalars of one method: means over questions with intervals clustered by image.

    `<measure>/macro` is the mean over images: it differs where a few images have most of the questions.
    """
    summary: dict[str, float] = {}
    for name, values in found._asdict().items():
        estimate = clustered_mean(values, image_ids)
        if estimate.n or name == "rank_correlation":
            summary |= in_summary(estimate, f"{prefix}/{name}")
        if estimate.n and name in MACRO:
            macro = in_summary(mean_of_clusters(values, image_ids), f"{prefix}/{name}/macro")
            # The numbers of questions and images stand beside the mean over questions.
            kept = ("macro", "ci_low", "ci_high")
            summary |= {key: one for key, one in macro.items() if key.endswith(kept)}
    return summary
