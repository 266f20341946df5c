"""Failure prediction and selective prediction as the reports show them: measures, scores and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lookwhy.analysis.failure import BOTH, DRAWN, EXCLUDED
from lookwhy.reporting import reading
from lookwhy.reporting.numbers import NOTHING, number
from lookwhy.types import AnalysisResult

__all__ = ["BOTH", "DRAWN", "FAILURE", "RANKING", "SCORES", "WORTH", "Measure"]

LEVEL = 0.05
"""Largest p at which an increment is told from noise."""
SCORES = ("confidence", "entropy", "margin", "fitted_confidence", "flips", "maps", "all", BOTH)
"""Scores in the order of the tables."""
PAPER_NOTE = "The paper's 72% (VQA v1) are given without the majority there, so their gain is unknown."


@dataclass(frozen=True)
class Measure:
    """A measure of a score.

    Attributes:
        key: its name in the keys.
        head: head of its column.
        form: format of its values.
        sign: 1 if higher is better, -1 if lower is better.
    """

    key: str
    head: str
    form: str = "{:.3f}"
    sign: float = -1.0


FAILURE = (
    Measure("accuracy", "Accuracy", "{:.1%}", 1.0),
    Measure("majority_accuracy", "Majority", "{:.1%}", 0.0),
    Measure("accuracy_gain", "Gain", "{:.1%}", 1.0),
    Measure("auroc", "AUROC", sign=1.0),
    Measure("aurc", "AURC"),
)
"""Measures of a feature set of the failure predictor."""
RANKING = (
    Measure("auroc", "AUROC", sign=1.0),
    Measure("aurc_soft", "AURC"),
    Measure("e_aurc_soft", "E-AURC"),
    Measure("augrc_soft", "AUGRC"),
    *(Measure(f"coverage_at_{r}_percent_risk_soft", f"C@{r}%", "{:.0%}", 1.0) for r in (1, 5, 10, 20)),
)
"""Measures of the order that a score puts the questions in."""
WORTH = (
    *(Measure(f"effective_reliability_{cost}", f"Φ{cost}", sign=1.0) for cost in (1, 10, 100)),
    Measure("ece", "ECE"),
    Measure("ece_equal_mass", "ECE, eq. mass"),
    Measure("brier", "Brier"),
)
"""Measures of the worth of answering, and of calibration."""


def scores(result: AnalysisResult) -> list[str]:
    """Scores of selective prediction that have a value, in the order of the tables."""
    found = {row.method for row in reading.rows(result, "selective") if row.value is not None}
    return [name for name in SCORES if name in found] + sorted(found - set(SCORES))


def measured(result: AnalysisResult, domain: str, measures: Sequence[Measure]) -> list[Measure]:
    """The measures that some score, or feature set, of the domain has a value of."""
    found = {row.measure for row in reading.rows(result, domain) if row.value is not None}
    return [one for one in measures if one.key in found]


def not_measured(result: AnalysisResult) -> str:
    """Why an analysis has no failure prediction, and what it would need; empty if it has one."""
    reasons = [str(one) for one in result.manifest.get("excluded") or {} if str(one).startswith(EXCLUDED)]
    return reasons[0].removeprefix(f"{EXCLUDED}: ") if reasons else ""


def ranking_note(result: AnalysisResult) -> str:
    """How the measures of `RANKING` are defined."""
    n = number(result, f"selective/{(scores(result) or [''])[0]}/n", "{:.0f}")
    right = (result.manifest.get("plan") or {}).get("correct_above", 0.5)
    return (
        f"By what the questions are ranked; n = {n}. Risk: mean of 1 - VQA accuracy. AURC: mean risk over "
        "all coverages. E-AURC: that above the best possible. AUGRC: mean of the errors given out, as a "
        "share of all questions. All three: lower is better. C@5%: largest coverage with a risk of at most "
        f"5%. AUROC: answers with an accuracy of at least {right} from the others. From “Confidence, fitted” "
        "on: cross-validated regressions."
    )


def worth_note() -> str:
    """How the measures of `WORTH` are defined."""
    return (
        "Φ1, Φ10, Φ100: mean gain of answering, where a wrong answer costs 1, 10 or 100, and the threshold "
        "is chosen on other images; 0: no answer at all. ECE: calibration error in 15 bins of equal width, "
        "or equal mass; in brackets that of a perfectly calibrated score on as many questions. Brier: "
        "squared error. These: lower is better."
    )


def increment_note(result: AnalysisResult) -> str:
    """In words, whether the explanations add to the confidence; empty if that was not measured."""
    key = f"selective/{BOTH}/auroc_increment"
    p, low = result.summary.get(f"{key}/p_value"), result.summary.get(f"{key}/ci_low")
    if p is None:
        return ""
    if p > LEVEL:
        answer = "no increment of the AUROC is seen"
    elif low is not None and low > 0:
        answer = "the AUROC grows"
    else:
        answer = "they tell more than noise would, but no certain increment of the AUROC is seen"
    parts = [_increment(result, "auroc", "AUROC"), _increment(result, "aurc_soft", "AURC")]
    return (
        f"Do the explanations add to the confidence? With these questions, {answer}: {'; '.join(parts)}. "
        "By chance: with explanations that were permuted over images, which the regression learns in vain."
    )


def _increment(result: AnalysisResult, measure: str, name: str) -> str:
    key = f"selective/{BOTH}/{measure}_increment"
    form = "{:+.3f}"
    ends = [number(result, f"{key}/{end}", form) for end in ("ci_low", "ci_high")]
    between = "" if NOTHING in ends else f" [{', '.join(ends)}]"
    expected, p = number(result, f"{key}/expected", form), number(result, f"{key}/p_value", "{:.2f}")
    return f"{name} {number(result, key, form)}{between}, by chance {expected}, p = {p}"
