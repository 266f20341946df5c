"""Measures that tell which map to believe: their names and directions.

The terminal, the page and W&B show these measures in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lookwhy.reporting import reading
from lookwhy.types import AnalysisResult

FILLS = {"patch": "gray patch", "blur": "blurred image"}
"""Names of what takes the place of removed cells."""


@dataclass(frozen=True)
class Measure:
    """A measure of the maps of a method.

    Attributes:
        key: the measure in keys, after the method.
        name: title of its charts.
        axis: label of its axis.
        sign: 1 if higher is better, -1 if lower is better.
        usual: whether it is shown at first; the others are shown on demand.
    """

    key: str
    name: str
    axis: str
    sign: float = 1.0
    usual: bool = True

    @property
    def is_localisation(self) -> bool:
        """Whether it compares maps with masks; its level of chance is the area of the masks."""
        return self.key.startswith("localisation/")


def _area(kind: str, fill: str, better: str, sign: float) -> Measure:
    axis = "Area under the probability of the answer"
    name = f"{kind}, {FILLS[fill]}: {better} is better"
    return Measure(f"faithfulness/{kind.lower()}_{fill}", name, axis, sign, usual=fill == "patch")


IMAGE = (
    Measure("faithfulness/correlation", "Faithfulness correlation: higher is better", "Correlation"),
    _area("Deletion", "patch", "lower", -1.0),
    _area("Insertion", "patch", "higher", 1.0),
    _area("Deletion", "blur", "lower", -1.0),
    _area("Insertion", "blur", "higher", 1.0),
    Measure("faithfulness/infidelity_scaled", "Infidelity, scaled: lower is better", "Error", -1.0, False),
    Measure("faithfulness/max_sensitivity", "Max-sensitivity: lower is better", "Change", -1.0, False),
    Measure(
        "localisation/mass_accuracy", "Mass accuracy: higher is better", "Share of the importance inside"
    ),
    Measure("localisation/rank_accuracy", "Rank accuracy: higher is better", "Share of the top cells inside"),
    Measure("localisation/pointing_game", "Pointing game: higher is better", "Share of top cells inside"),
)
"""Measures of image methods, beside their agreement with annotators."""

AGREEMENT = (
    Measure("rank_correlation", "Agreement with the annotators", "Rank correlation ρ"),
    Measure("specificity", "Specific to the question", "ρ, own question minus another’s"),
    Measure("partial_rank_correlation", "Agreement beyond the centre prior", "Partial rank correlation ρ"),
    Measure("other_question", "Agreement of another question’s map", "Rank correlation ρ"),
)
"""Agreement with annotators, as it is shown by slices."""


def measured(result: AnalysisResult) -> list[Measure]:
    """The measures of `IMAGE` that an image method has a value of."""
    found = {row.measure for row in reading.rows(result, "image") if row.value is not None}
    return [one for one in IMAGE if one.key in found]


def first_fill(result: AnalysisResult) -> str:
    """Fill of the modality's keys that name none; empty if the plan does not say."""
    plan = (result.manifest.get("plan") or {}).get("modality") or {}
    return str((plan.get("fills") or [""])[0])


def fills(result: AnalysisResult, kinds: Sequence[str] = ("deletion", "insertion")) -> list[str]:
    """Fills of the deletion and insertion of an analysis, the gray patch first."""
    found = {one.key for one in measured(result)}
    return [fill for fill in FILLS if any(f"faithfulness/{kind}_{fill}" in found for kind in kinds)]
