"""Failure and selective prediction of made answers, added to the analyses of made_results."""

from functools import cache

import numpy as np

from lookwhy.analysis.failure import FailurePrediction, predict_failure
from lookwhy.analysis.selective import Outcomes
from lookwhy.types import AnalysisResult


@cache
def prediction(effect: float) -> FailurePrediction:
    """Measures of 150 answers, of which the explanations tell more than the confidence by `effect`."""
    random = np.random.default_rng(0)
    sure, more = random.normal(size=(2, 150))
    correct = random.random(150) < 1 / (1 + np.exp(-(1.2 * sure + 0.9 + effect * more)))
    confidence = 1 / (1 + np.exp(-sure))
    maps = np.column_stack([more, random.normal(size=150)])
    flips = random.normal(size=(150, 1))
    features = {"confidence": confidence[:, None], "flips": flips, "maps": maps}
    features["all"] = np.hstack([flips, maps])
    features["confidence_and_all"] = np.hstack([features["confidence"], features["all"]])
    certainty = {"confidence": confidence, "entropy": -np.abs(sure - 2), "margin": confidence**2}
    accuracy = Outcomes(correct.astype(float), correct)
    return predict_failure(features, certainty, accuracy, np.arange(150) // 3, samples=60)


def add_selective(result: AnalysisResult, effect: float = 0.0) -> None:
    """Give an analysis the measures and curves of failure and selective prediction."""
    result.summary |= prediction(effect).summary
    result.curves |= prediction(effect).curves
