"""Prediction of the model's failures from its explanations (section 4.2 of the paper).

A logistic regression predicts whether an answer is right, from the number of cells and words whose removal
changes the answer, and from the shape of the maps. In the cross-validation all questions of an image are in
one fold. The baseline for the accuracy of this prediction is the share of the majority class.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int64

from lookwhy.analysis.curves import failure_curves, risk_by_coverage
from lookwhy.types import Curve, ImportanceMaps


@dataclass(frozen=True)
class FailurePrediction:
    """Cross-validated quality of one feature set; if it is undefined, `reason` says why."""

    accuracy: float = np.nan
    majority_accuracy: float = np.nan
    auroc: float = np.nan
    aurc: float = np.nan
    n: int = 0
    reason: str = ""
    curves: dict[str, Curve] = field(default_factory=dict)


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
    """Feature sets by name: `flips`, `maps`, both as `all`, and the model's `confidence` for comparison."""
    ordered = [maps[name] for name in sorted(maps)]
    flips = [
        one.flips.numpy() / np.maximum(one.valid.flatten(1).sum(1).numpy(), 1)
        for one in ordered
        if one.flips is not None
    ]
    sets = {"confidence": confidence[:, None]}
    if flips:
        sets["flips"] = np.stack(flips, axis=1)
    if maps:
        sets["maps"] = np.concatenate([map_shape(one) for one in ordered], axis=1)
    if flips:
        sets["all"] = np.concatenate([sets["flips"], sets["maps"]], axis=1)
    return sets


def predict_failure(
    features: Float[np.ndarray, "N F"],
    correct: Bool[np.ndarray, " N"],
    groups: Int64[np.ndarray, " N"],
    folds: int = 5,
    seed: int = 0,
) -> FailurePrediction:
    """Cross-validated logistic regression from the features to whether the answer is right.

    The result is undefined, with a reason, if there are fewer right answers, wrong answers or images than
    folds, or if a fold trains on one outcome only.
    """
    # Import here: it takes almost a second, and training without analysis does not need it.
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rarest = int(min(correct.sum(), (~correct).sum()))
    images = len(np.unique(groups))
    if rarest < folds or images < folds:
        reason = f"{rarest} questions of the rarer outcome and {images} images for {folds} folds"
        return FailurePrediction(n=len(correct), reason=reason)
    probability = np.full(len(correct), np.nan)
    split = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for train, test in split.split(features, correct, groups):
        if correct[train].all() or not correct[train].any():
            return FailurePrediction(n=len(correct), reason="a fold's training part has one outcome only")
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit(features[train], correct[train])
        probability[test] = model.predict_proba(features[test])[:, 1]
    return FailurePrediction(
        accuracy=float(((probability >= 0.5) == correct).mean()),
        majority_accuracy=float(max(correct.mean(), 1 - correct.mean())),
        auroc=float(roc_auc_score(correct, probability)),
        aurc=area_under_risk_coverage(probability, correct),
        n=len(correct),
        curves=failure_curves(probability, correct),
    )


def area_under_risk_coverage(probability: Float[np.ndarray, " N"], correct: Bool[np.ndarray, " N"]) -> float:
    """Mean of `risk_by_coverage` over k = 1 .. N (lower is better)."""
    return float(risk_by_coverage(probability, correct).mean())
