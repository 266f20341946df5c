"""Prediction of the model's failures from its explanations (section 4.2 of the paper).

A logistic regression predicts whether an answer is right, from the number of cells and words whose removal
changes the answer, and from the shape of the maps. Its probability is a score to decide which answers to
trust, as are three scores without any fit: the model's confidence, the entropy of its answers, and the margin
between the first two. `selective.py` measures all of them.

A measure is the mean over the splits of `out_of_fold.py`. Its interval is a bootstrap over whole images with
the scores as they are; it does not contain what another training of the regression would change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import numpy as np
from jaxtyping import Bool, Float, Int64

from lookwhy.analysis.curves import failure_curves
from lookwhy.analysis.increment import increments_by_chance
from lookwhy.analysis.out_of_fold import FEWEST_FOLDS, Score, fitted, image_folds, lacks_an_outcome, unfitted
from lookwhy.analysis.selective import (
    COSTS,
    Measures,
    Outcomes,
    best_areas,
    errors_if_calibrated,
    mean_of_splits,
    probability_measures,
    ranking_measures,
    reliability_by_question,
    risk_at,
    samples_of,
)
from lookwhy.analysis.statistics import mean_of_defined
from lookwhy.analysis.together import interval
from lookwhy.types import Curve, ImportanceMaps

FEWEST = 30
"""Smallest number of right, and of wrong, answers. With 30 wrong ones among 230, an AUROC of 0.75 has a 95%
interval of about 0.1 to both sides (Hanley and McNeil 1982); with fewer it tells next to nothing."""
FEWEST_IMAGES = 10
"""Smallest number of images: a bootstrap over fewer has intervals that are too narrow."""
CURVE_POINTS = 50
"""Points of a risk-coverage curve with a band."""
FAILURE = "failure"
"""First part of the keys of the regressions."""
EXCLUDED = "failure prediction"
"""Name of the failure prediction among the excluded items of a manifest."""
CONFIDENCE = "confidence"
BOTH = "confidence_and_all"
"""Feature set of the confidence and all explanations."""
DRAWN = (CONFIDENCE, "all", BOTH)
"""Scores with a risk-coverage curve; more bands would cover each other."""
FITTED_CONFIDENCE = "fitted_confidence"
"""Score by the regression that sees the confidence alone; `confidence` is the confidence itself."""


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


@dataclass(frozen=True)
class FailurePrediction:
    """Measures of all scores.

    Attributes:
        summary: flat scalars by key, `failure/<feature set>/...` and `selective/<score>/...`.
        curves: curves by the same keys.
        reason: why nothing is measured; empty if something is.
        scores: for each feature set, the probability of a right answer that a regression without the images
            of its fold gives each question; mean over the splits.
    """

    summary: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    reason: str = ""
    scores: dict[str, Float[np.ndarray, " N"]] = field(default_factory=dict)


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

    Nothing is measured, with a reason, where the answers are too few (`too_few`), or where one outcome is
    missing in a training part.

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
    if lacks_an_outcome(fold_of, correct):
        return FailurePrediction(reason="a training part of the cross-validation has one outcome only")
    fits = {name: fitted(values, correct, fold_of) for name, values in features.items()}
    scores = {name: unfitted(one, fold_of, name == CONFIDENCE) for name, one in certainty.items()}
    scores |= {FITTED_CONFIDENCE if name == CONFIDENCE else name: one for name, one in fits.items()}
    drawn = _draws(scores, outcomes, images, fold_of, samples, seed)
    summary = _summary(scores, drawn, correct, seed) | _of_feature_sets([*features], drawn, correct)
    if BOTH in features:
        both = features[BOTH]
        by_chance = increments_by_chance(both[:, :1], both[:, 1:], outcomes, images, fold_of, seed)
        summary |= _increments(drawn, by_chance)
    curves = _bands(scores, outcomes, images, samples, seed)
    for name, one in fits.items():
        found = failure_curves(one.values, correct)
        curves |= {f"failure/{name}/{key}": curve for key, curve in found.items()}
    return FailurePrediction(summary, curves, scores={name: one.values.mean(0) for name, one in fits.items()})


def _summary(
    scores: dict[str, Score], drawn: dict[str, Measures], correct: Bool[np.ndarray, " N"], seed: int
) -> dict[str, float]:
    """Scalars of each score by key, `selective/<score>/<measure>`."""
    summary: dict[str, float] = {}
    for name, score in scores.items():
        summary |= _estimates(f"selective/{name}", drawn[name])
        summary[f"selective/{name}/n"] = float(len(correct))
        if score.is_probability:
            calibrated = [errors_if_calibrated(one, seed) for one in score.values]
            for key in calibrated[0]:
                expected = float(np.mean([one[key] for one in calibrated]))
                summary[f"selective/{name}/{key}/expected"] = expected
    return summary


def _of_feature_sets(
    names: list[str], drawn: dict[str, Measures], correct: Bool[np.ndarray, " N"]
) -> dict[str, float]:
    """Scalars of each regression by the key of its feature set, `failure/<feature set>/<measure>`."""
    summary: dict[str, float] = {}
    for name in names:
        found = drawn[FITTED_CONFIDENCE if name == CONFIDENCE else name]
        measures = {one: found[one] for one in ("accuracy", "accuracy_gain", "auroc")}
        summary |= _estimates(f"failure/{name}", measures | {"aurc": found["aurc_binary"]})
        summary[f"failure/{name}/majority_accuracy"] = float(max(correct.mean(), 1 - correct.mean()))
        summary[f"failure/{name}/n"] = float(len(correct))
    return summary


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
            found = [ranking_measures(order, outcomes, times, best) for order in one.orders]
            if one.is_probability:
                found = [
                    ranked | probability_measures(values, outcomes, times)
                    for ranked, values in zip(found, one.values, strict=True)
                ]
            mean = mean_of_splits(found)
            reliability = gains[name] @ times / times.sum(0)
            mean |= {f"effective_reliability_{c:.0f}": row for c, row in zip(COSTS, reliability, strict=True)}
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


def _increments(drawn: dict[str, Measures], by_chance: dict[str, tuple[float, float]]) -> dict[str, float]:
    """By how much the explanations change the prediction from the confidence, by chance, and p."""
    found: dict[str, float] = {}
    for name, (expected, p) in by_chance.items():
        difference = drawn[BOTH][name] - drawn[FITTED_CONFIDENCE][name]
        found |= _estimates(f"selective/{BOTH}", {f"{name}_increment": difference})
        found |= {f"selective/{BOTH}/{name}_increment/expected": expected}
        found |= {f"selective/{BOTH}/{name}_increment/p_value": p}
    return found


def _bands(
    scores: dict[str, Score], outcomes: Outcomes, images: Int64[np.ndarray, " N"], samples: int, seed: int
) -> dict[str, Curve]:
    """Soft risk by coverage of the scores `DRAWN`, with its interval at the threshold of each coverage."""
    n, error = len(outcomes.correct), outcomes.errors["soft"]
    places = np.unique(np.linspace(1, n, min(n, CURVE_POINTS)).round().astype(np.int64))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in DRAWN if name in scores}
    for times in samples_of(images, samples, seed):
        for name, found in parts.items():
            risks = [risk_at(order, error, times, places) for order in scores[name].orders]
            found.append(mean_of_defined(np.stack(risks), axis=0))
    curves: dict[str, Curve] = {}
    for name, found in parts.items():
        drawn = np.concatenate(found, axis=1)
        curve = {"x": (places / n).tolist(), "y": drawn[:, 0].tolist()}
        ends = np.array([interval(row[1:]) for row in drawn]).T
        if np.isfinite(ends).all():  # a few samples may lack the first questions
            curve |= dict(zip(("low", "high"), ends.tolist(), strict=True))
        curves[f"selective/{name}/risk_coverage"] = curve
    return curves
