"""Prediction of the model's failures from its explanations (section 4.2 of the paper), and selective prediction.

A logistic regression predicts whether an answer is right, from the number of cells and words whose removal
changes the answer, and from the shape of the maps. Its probability is a score to decide which answers to trust,
as are three scores without any fit: the model's confidence, the entropy of its answers, and the margin between
the first two. `selective.py` measures all of them.

Regressions are cross-validated: all questions of an image are in one fold, and the measures are means over
`SPLITS` random splits, because a single one moves the AUROC of a few hundred questions by several hundredths.
Their strength is chosen inside of each training part. Intervals are bootstraps over whole images with the scores
as they are; they do not contain what another training of the regression would change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from math import ceil

import numpy as np
from jaxtyping import Bool, Float, Int64

from lookwhy.analysis.curves import failure_curves
from lookwhy.analysis.logistic import logistic_probabilities
from lookwhy.analysis.selective import (
    COSTS,
    Measures,
    Outcomes,
    best_areas,
    errors_if_calibrated,
    probability_measures,
    ranking_measures,
    reliability_by_question,
    risk_at,
    samples_of,
)
from lookwhy.analysis.statistics import mean_of_defined
from lookwhy.analysis.together import interval
from lookwhy.types import Curve, ImportanceMaps

SPLITS = 10
"""Number of random splits into folds."""
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Values of C that a regression chooses from; a small C shrinks its coefficients. Below 0.01 the probabilities of
a fold are little more than the share of right answers in its training part, which spoils the order between
folds."""
FEWEST_FOLDS = 3
"""Smallest number of folds: with two, nothing is left to choose C by inside of a training part."""
FEWEST = 30
"""Smallest number of right, and of wrong, answers. With 30 wrong ones among 230, an AUROC of 0.75 has a 95%
interval of about 0.1 to both sides (Hanley and McNeil 1982); with fewer it tells next to nothing."""
FEWEST_IMAGES = 10
"""Smallest number of images: a bootstrap over fewer has intervals that are too narrow."""
CURVE_POINTS = 50
"""Points of a risk-coverage curve with a band."""
CONFIDENCE = "confidence"
BOTH = "confidence_and_all"
"""Feature set of the confidence and all explanations."""
FITTED_CONFIDENCE = "fitted_confidence"
"""Score by the regression that sees the confidence alone; `confidence` is the confidence itself."""
INCREMENTS = ("auroc", "aurc_soft", "aurc_binary")
"""Measures of which the increment by the explanations is computed."""


@dataclass(frozen=True)
class Score:
    """A score of each question that should be higher for right answers.

    Attributes:
        values: the score in each split; one row if it is not fitted.
        inner: for each split and fold, the scores outside of the fold on which a threshold is chosen.
        is_probability: whether it is a probability of being right.
    """

    values: Float[np.ndarray, "R N"]
    inner: Float[np.ndarray, "S K N"]
    is_probability: bool = True


def map_shape(maps: ImportanceMaps) -> Float[np.ndarray, "N 3"]:
    """Concentration of each map: entropy, largest share and Gini index of its magnitudes.

    Entropy is divided by its maximum (1 = uniform). A map of zeros counts as uniform.
    """
    valid = maps.valid.flatten(1).numpy()
    magnitude = np.where(valid, np.abs(maps.values.flatten(1).double().numpy()), 0.0)
    cells = np.maximum(valid.sum(1), 1)
    total = magnitude.sum(1)
    even = valid / cells[:, None]
    share = np.where(total[:, None] > 0, magnitude / np.where(total > 0, total, 1.0)[:, None], even)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1)
    entropy = np.where(cells > 1, entropy / np.log(np.maximum(cells, 2)), 1.0)
    gini = np.array([_gini(row[ok]) for row, ok in zip(share, valid, strict=True)])
    return np.stack([entropy, share.max(1), gini], axis=1)


def _gini(share: Float[np.ndarray, " C"]) -> float:
    if not len(share):
        return 0.0
    rank = np.arange(1, len(share) + 1)
    return float(2 * (rank * np.sort(share)).sum() / len(share) - (len(share) + 1) / len(share))


def failure_features(
    maps: dict[str, ImportanceMaps], confidence: Float[np.ndarray, " N"]
) -> dict[str, Float[np.ndarray, "N F"]]:
    """Feature sets by name.

    `confidence` of the model; `flips` of its answer; the shape of the `maps`; flips and maps as `all`; and
    these with the confidence as `confidence_and_all`.
    """
    ordered = [maps[name] for name in sorted(maps)]
    flips = [
        one.flips.numpy() / np.maximum(one.valid.flatten(1).sum(1).numpy(), 1)
        for one in ordered
        if one.flips is not None
    ]
    sets = {CONFIDENCE: confidence[:, None]}
    if flips:
        sets["flips"] = np.stack(flips, axis=1)
    if maps:
        sets["maps"] = np.concatenate([map_shape(one) for one in ordered], axis=1)
    if flips:
        sets["all"] = np.concatenate([sets["flips"], sets["maps"]], axis=1)
    if maps:
        sets[BOTH] = np.concatenate([sets[CONFIDENCE], sets.get("all", sets["maps"])], axis=1)
    return sets


def too_few(correct: Bool[np.ndarray, " N"], images: int, folds: int) -> str:
    """Why these answers cannot carry a failure prediction, and how many would; empty if they can."""
    n, right = len(correct), int(correct.sum())
    rarer = min(right, n - right)
    if rarer < FEWEST:
        needed = max(ceil(n * FEWEST / rarer), 2 * FEWEST) if rarer else 2 * FEWEST
        here = " at this accuracy" if rarer else ""
        return (
            f"{right} right and {n - right} wrong answers, expected {FEWEST} of each: at least {needed} "
            f"questions{here}"
        )
    if images < (needed := max(FEWEST_IMAGES, folds)):
        return f"questions about {images} images, expected at least {needed}"
    if folds < FEWEST_FOLDS:
        return f"{folds} folds in the plan, expected at least {FEWEST_FOLDS}"
    return ""


def image_folds(
    correct: Bool[np.ndarray, " N"], images: Int64[np.ndarray, " N"], folds: int, seed: int = 0
) -> Int64[np.ndarray, "R N"]:
    """Fold of each question in `SPLITS` random splits, with all questions of an image in one fold."""
    # Import here: it takes almost a second, and training without analysis does not need it.
    from sklearn.model_selection import StratifiedGroupKFold

    found = np.zeros((SPLITS, len(correct)), np.int64)
    for number, row in enumerate(found):
        split = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed + number)
        for fold, (_, test) in enumerate(split.split(correct, correct, images)):
            row[test] = fold
    return found


def unfitted(values: Float[np.ndarray, " N"], folds: Int64[np.ndarray, "R N"], is_probability: bool) -> Score:
    """A score that is known without any regression."""
    inner = np.broadcast_to(values, (len(folds), int(folds.max()) + 1, len(values)))
    return Score(values[None], inner, is_probability)


def fitted(
    features: Float[np.ndarray, "N F"], correct: Bool[np.ndarray, " N"], folds: Int64[np.ndarray, "R N"]
) -> Score:
    """Probability that an answer is right, by regressions that have not seen its image.

    To choose C for a fold, regressions without this and another fold predict that other fold; C with the
    smallest log loss over all other folds is chosen. Neither has seen an image of the fold.
    """
    splits, count, n = len(folds), int(folds.max()) + 1, len(correct)
    pairs = [*combinations(range(count), 2)]
    without_two = np.stack([(folds != one) & (folds != other) for one, other in pairs], axis=1)
    train = np.tile(without_two.reshape(-1, n), (len(STRENGTHS), 1))
    strength = np.repeat(STRENGTHS, splits * len(pairs))
    found = logistic_probabilities(features, correct, train, strength)
    found = found.reshape(len(STRENGTHS), splits, len(pairs), n)
    inner = np.full((len(STRENGTHS), splits, count, n), np.nan)
    for place, pair in enumerate(pairs):
        for fold, predicted in (pair, pair[::-1]):
            inner[:, :, fold] = np.where(folds == predicted, found[:, :, place], inner[:, :, fold])
    likelihood = np.where(correct, inner, 1 - inner)
    best = np.nansum(-np.log(np.maximum(likelihood, 1e-12)), axis=-1).argmin(0)
    without_one = np.stack([folds != one for one in range(count)], axis=1)
    chosen = np.array(STRENGTHS)[best].ravel()
    outer = logistic_probabilities(features, correct, without_one.reshape(-1, n), chosen).reshape(splits, count, n)
    return Score(
        values=np.take_along_axis(outer, folds[:, None], axis=1)[:, 0],
        inner=np.take_along_axis(inner, best[None, :, :, None], axis=0)[0],
    )


@dataclass(frozen=True)
class FailurePrediction:
    """Measures of all scores.

    Attributes:
        summary: flat scalars by key, `failure/<feature set>/...` and `selective/<score>/...`.
        curves: curves by the same keys.
        reason: why nothing is measured; empty if something is.
    """

    summary: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    reason: str = ""


def predict_failure(
    features: dict[str, Float[np.ndarray, "N F"]],
    certainty: dict[str, Float[np.ndarray, " N"]],
    outcomes: Outcomes,
    images: Int64[np.ndarray, " N"],
    folds: int = 5,
    samples: int = 1000,
    seed: int = 0,
) -> FailurePrediction:
    """Measure how well each feature set, and each unfitted score, tells right from wrong answers.

    Nothing is measured, with a reason, where the answers are too few (`too_few`), or where one outcome is missing
    in a training part.

    Args:
        features: feature sets of the regressions by name (`failure_features`).
        certainty: scores without any fit by name, higher for more certain answers; only `confidence` is a
            probability.
        outcomes: accuracy of each answer, and whether it counts as right.
        images: image of each question.
        folds: folds of each split.
        samples: bootstrap samples of the intervals.
        seed: seed of splits and bootstrap.
    """
    correct = outcomes.correct
    if reason := too_few(correct, len(np.unique(images)), folds):
        return FailurePrediction(reason=reason)
    fold_of = image_folds(correct, images, folds, seed)
    if _lacks_an_outcome(fold_of, correct):
        return FailurePrediction(reason="a training part of the cross-validation has one outcome only")
    fits = {name: fitted(values, correct, fold_of) for name, values in features.items()}
    scores = {name: unfitted(one, fold_of, name == CONFIDENCE) for name, one in certainty.items()}
    scores |= {FITTED_CONFIDENCE if name == CONFIDENCE else name: one for name, one in fits.items()}
    drawn = _draws(scores, outcomes, images, fold_of, samples, seed)
    summary: dict[str, float] = {}
    for name in features:
        found = drawn[FITTED_CONFIDENCE if name == CONFIDENCE else name]
        of_set = {one: found[one] for one in ("accuracy", "accuracy_gain", "auroc")} | {"aurc": found["aurc_binary"]}
        summary |= _estimates(f"failure/{name}", of_set)
        summary[f"failure/{name}/majority_accuracy"] = float(max(correct.mean(), 1 - correct.mean()))
        summary[f"failure/{name}/n"] = float(len(correct))
    for name, found in drawn.items():
        summary |= _estimates(f"selective/{name}", found)
        summary[f"selective/{name}/n"] = float(len(correct))
        if scores[name].is_probability:
            calibrated = [errors_if_calibrated(one, seed) for one in scores[name].values]
            for key in calibrated[0]:
                expected = float(np.mean([one[key] for one in calibrated]))
                summary[f"selective/{name}/{key}/expected"] = expected
    if BOTH in features:
        summary |= _increments(drawn)
    curves = {f"selective/{name}/risk_coverage": one for name, one in _bands(scores, outcomes, images, samples, seed)}
    for name, one in fits.items():
        curves |= {f"failure/{name}/{key}": curve for key, curve in failure_curves(one.values, correct).items()}
    return FailurePrediction(summary, curves)


def _lacks_an_outcome(folds: Int64[np.ndarray, "R N"], correct: Bool[np.ndarray, " N"]) -> bool:
    """Whether the questions outside of two folds of a split are all right, or all wrong."""
    for outcome in (correct, ~correct):
        held = np.stack([(folds[:, outcome] == one).sum(1) for one in range(int(folds.max()) + 1)])
        if (np.sort(held, axis=0)[-2:].sum(0) == outcome.sum()).any():
            return True
    return False


def _draws(
    scores: dict[str, Score],
    outcomes: Outcomes,
    images: Int64[np.ndarray, " N"],
    folds: Int64[np.ndarray, "R N"],
    samples: int,
    seed: int,
) -> dict[str, Measures]:
    """Each measure of each score: first its value, then those of the bootstrap samples; means over splits."""
    gains = {
        name: np.stack(
            [reliability_by_question(*_by_split(one, folds), outcomes.accuracy, cost) for cost in COSTS]
        )
        for name, one in scores.items()
    }
    parts: dict[str, list[Measures]] = {name: [] for name in scores}
    for times in samples_of(images, samples, seed):
        best = best_areas(outcomes, times)
        for name, one in scores.items():
            found = [ranking_measures(values, outcomes, times, best) for values in one.values]
            if one.is_probability:
                found = [
                    ranked | probability_measures(values, outcomes, times)
                    for ranked, values in zip(found, one.values, strict=True)
                ]
            mean = {key: np.mean([split[key] for split in found], axis=0) for key in found[0]}
            reliability = gains[name] @ times / times.sum(0)
            mean |= {f"effective_reliability_{c}": row for c, row in zip(COSTS, reliability, strict=True)}
            parts[name].append(mean)
    return {
        name: {key: np.concatenate([part[key] for part in found]) for key in found[0]}
        for name, found in parts.items()
    }


def _by_split(
    score: Score, folds: Int64[np.ndarray, "R N"]
) -> tuple[Float[np.ndarray, "R N"], Float[np.ndarray, "R K N"], Int64[np.ndarray, "R N"]]:
    return np.broadcast_to(score.values, folds.shape), score.inner, folds


def _estimates(prefix: str, drawn: Measures) -> dict[str, float]:
    """Value and interval of each measure."""
    found: dict[str, float] = {}
    for name, values in drawn.items():
        low, high = interval(values[1:])
        if name.startswith("ece"):
            # Drawing questions twice adds noise to the bins, and with it error. Take the mean of that off.
            added = values[1:].mean() - values[0]
            low, high = max(low - added, 0.0), max(high - added, 0.0)
        ends = {"": values[0], "/ci_low": low, "/ci_high": high}
        found |= {f"{prefix}/{name}{end}": float(one) for end, one in ends.items() if not np.isnan(one)}
    return found


def _increments(drawn: dict[str, Measures]) -> dict[str, float]:
    """By how much the explanations change the prediction from the confidence, with a two-sided p."""
    found: dict[str, float] = {}
    for name in INCREMENTS:
        difference = drawn[BOTH][name] - drawn[FITTED_CONFIDENCE][name]
        key = f"{name}_increment"
        found |= _estimates(f"selective/{BOTH}", {key: difference})
        sampled = difference[1:][~np.isnan(difference[1:])]
        tail = 1 + min((sampled <= 0).sum(), (sampled >= 0).sum())
        found[f"selective/{BOTH}/{key}/p"] = float(min(1.0, 2 * tail / (len(sampled) + 1)))
    return found


def _bands(
    scores: dict[str, Score], outcomes: Outcomes, images: Int64[np.ndarray, " N"], samples: int, seed: int
) -> Iterator[tuple[str, Curve]]:
    """The soft risk by coverage of each score, with its interval at the threshold of each coverage."""
    n, error = len(outcomes.correct), outcomes.errors["soft"]
    places = np.unique(np.linspace(1, n, min(n, CURVE_POINTS)).round().astype(np.int64))
    draws = [*samples_of(images, samples, seed)]
    for name, score in scores.items():
        found = np.concatenate(
            [
                mean_of_defined(np.stack([risk_at(one, error, times, places) for one in score.values]), axis=0)
                for times in draws
            ],
            axis=1,
        )
        curve = {"x": (places / n).tolist(), "y": found[:, 0].tolist()}
        low, high = np.array([interval(row[1:]) for row in found]).T
        yield name, curve | {"low": low.tolist(), "high": high.tolist()}
