"""Paired tests of the image methods of one analysis: against each other and against two baselines.

Each test is of the mean difference within questions, with errors clustered by image and the t distribution.
The first side of a difference is a method. The second is

* another method;
* `centre_prior`: the same map for every question, which annotators and objects in the middle favour;
* `other_question`: the method's own map of another question about the same image, which is as good for a
  model that does not listen to the question.

All comparisons of one measure in one analysis are a family: their p-values are corrected by Holm (1979).
Beside each difference stands the smallest one that these questions could have shown, with a power of 80% at a
level of 5% before correction, and how many questions a difference of 0.01 would take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int64

from lookwhy.analysis.localisation import Sign, localisation
from lookwhy.analysis.questions import partners
from lookwhy.analysis.statistics import (
    clustered_mean,
    detectable,
    holm,
    in_summary,
    p_value,
    questions_for,
)
from lookwhy.types import ImportanceMaps

CENTRE, OTHER_QUESTION = "centre_prior", "other_question"
ENDING = f"_{OTHER_QUESTION}"
"""Ending of the key of a measure for the maps of other questions about the image."""
TESTED = ("rank_correlation", "specificity", "localisation", "faithfulness")
"""First parts of the measures that are tested."""
UNTESTED = ("faithfulness/infidelity", "faithfulness/max_sensitivity")
"""Starts of measures that depend on the scale of a map, so that methods do not compare."""
ByQuestion = Mapping[str, Mapping[int, float]]
"""A value by question id, NaN where undefined, by key "image/<method>/<measure>"."""


def method_tests(values: ByQuestion, methods: Sequence[str], image_of: Mapping[int, int]) -> dict[str, float]:
    """Scalars by "paired/<first>/<second>/<measure>": difference, interval, `p_value`, `p_holm`, ...

    Args:
        values: measures of all methods, of the centre prior, and of maps of other questions.
        methods: names of the image methods.
        image_of: image of each question.
    """
    summary: dict[str, float] = {}
    for measure in _measures(values, methods):
        found = {}
        for first, second in _pairs(methods, measure):
            one, other = (values.get(key, {}) for key in _keys(first, second, measure))
            ids = [i for i in one if i in other]
            differences = np.array([one[i] - other[i] for i in ids], np.float64)
            images = np.array([image_of[i] for i in ids], np.int64)
            estimate = clustered_mean(differences, images)
            if estimate.n:
                found[f"paired/{first}/{second}/{measure}"] = estimate
        p_values = np.array([p_value(one) for one in found.values()])
        for (key, estimate), p, corrected in zip(found.items(), p_values, holm(p_values), strict=True):
            more = {
                "p_value": float(p),
                "p_holm": float(corrected),
                "detectable": detectable(estimate),
                "needed": questions_for(estimate),
            }
            more = {f"{key}/{name}": value for name, value in more.items() if np.isfinite(value)}
            summary |= in_summary(estimate, key) | more
    return summary


def _measures(values: ByQuestion, methods: Sequence[str]) -> list[str]:
    found = dict.fromkeys(
        measure
        for key in values
        for method in methods
        if (measure := key.removeprefix(f"image/{method}/")) != key
    )
    return [
        one
        for one in found
        if one.split("/")[0] in TESTED
        and not one.startswith(UNTESTED)
        # A normalised area may divide by a difference near 0.
        and not one.endswith((ENDING, "_normalised"))
    ]


def _pairs(methods: Sequence[str], measure: str) -> list[tuple[str, str]]:
    if measure == "specificity":
        # It is a difference from another question's already, and 0 for any map that is always the same.
        return [*combinations(methods, 2)]
    beside = [(method, second) for method in methods for second in (CENTRE, OTHER_QUESTION)]
    return [*beside, *combinations(methods, 2)]


def _keys(first: str, second: str, measure: str) -> tuple[str, str]:
    if second == OTHER_QUESTION:
        return f"image/{first}/{measure}", f"image/{first}/{measure}{ENDING}"
    return f"image/{first}/{measure}", f"image/{second}/{measure}"


def localisation_of_other_questions(
    maps: Sequence[ImportanceMaps],
    truth: Float[np.ndarray, "M C C"],
    image_ids: Int64[np.ndarray, " N"],
    sign: Sign,
) -> dict[str, Float[np.ndarray, " N"]]:
    """Agreement of a question's mask with the maps of the other questions about its image, averaged.

    Returns:
        Values by key "image/<method>/localisation/<measure>_other_question"; NaN for the only question of an
        image.
    """
    if not len(truth) or not maps:
        return {}
    found_pairs = []
    for image in np.unique(image_ids):
        rows = np.flatnonzero(image_ids == image)
        found_pairs += [(rows[own], rows[one]) for own, of in enumerate(partners(len(rows))) for one in of]
    if not found_pairs:
        return {}
    own, other = np.array(found_pairs).T
    of_others = {one.method: one.values.double().numpy()[other] for one in maps}
    found = {}
    for key, values in localisation(of_others, truth[own], sign).items():
        defined = ~np.isnan(values)
        total = np.bincount(own, np.where(defined, values, 0.0), minlength=len(image_ids))
        count = np.bincount(own, defined, minlength=len(image_ids))
        found[key + ENDING] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return found
