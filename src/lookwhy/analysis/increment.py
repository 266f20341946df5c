"""Do the explanations add to the confidence? The increment of a failure prediction that sees both.

Features of pure noise make a cross-validated regression worse, because it learns them too. So the increment
by chance is below 0, and an interval around an increment cannot test it: a permutation does.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64

from lookwhy.analysis.out_of_fold import out_of_fold
from lookwhy.analysis.selective import Measures, Order, Outcomes, areas_of, best_areas, mean_of_splits

INCREMENTS = {"auroc": 1.0, "aurc_soft": -1.0, "aurc_binary": -1.0}
"""Measures of which the increment by the explanations is computed, and their better directions."""
PERMUTATIONS, SPLITS, STRENGTH = 99, 2, 0.1
"""Permutations of the test; the splits and the C of its regressions, which are the same for all."""


def increments_by_chance(
    confidence: Float[np.ndarray, "N 1"],
    explanations: Float[np.ndarray, "N F"],
    outcomes: Outcomes,
    images: Int64[np.ndarray, " N"],
    folds: Int64[np.ndarray, "R N"],
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> dict[str, tuple[float, float]]:
    """For each increment, its mean by chance and the p of explanations that add nothing to the confidence.

    The part of the explanations that the confidence does not predict linearly moves, image by image, to other
    images (Freedman and Lane 1983), and p is the share of permutations with at least the increment of the
    data, one of them being the data. The regressions have a fixed C, so that data and permutations are
    treated alike.
    """
    strength = np.full((len(folds[:SPLITS]), int(folds.max()) + 1), STRENGTH)
    once = np.ones((len(images), 1))
    best = best_areas(outcomes, once)

    def measured(features: Float[np.ndarray, "N P"]) -> Measures:
        scores = out_of_fold(features, outcomes.correct, folds[:SPLITS], strength)
        return mean_of_splits([areas_of(Order(one), outcomes, once, best) for one in scores])

    design = np.hstack([np.ones_like(confidence), confidence])
    explained = design @ np.linalg.lstsq(design, explanations, rcond=None)[0]
    rest = explanations - explained
    order = np.argsort(images, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(images[order])) + 1)
    random = np.random.default_rng(seed)
    found = [measured(np.hstack([confidence, explanations]))]
    for _ in range(permutations):
        moved = np.empty_like(rest)
        moved[order] = rest[np.concatenate([rows[one] for one in random.permutation(len(rows))])]
        found.append(measured(np.hstack([confidence, explained + moved])))
    base, result = measured(confidence), {}
    for name, sign in INCREMENTS.items():
        values = sign * np.array([float(one[name][0]) for one in found])
        expected = float(sign * values[1:].mean() - base[name][0])
        # Rounding must not decide between equal values.
        result[name] = expected, float((values >= values[0] - 1e-9).mean())
    return result
