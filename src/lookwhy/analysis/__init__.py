from lookwhy.analysis.faithfulness import Faithfulness, area_under_steps
from lookwhy.analysis.localisation import mass_accuracy, pointing_game, rank_accuracy
from lookwhy.analysis.plan import AnalysisPlan, select_questions
from lookwhy.analysis.rank_correlation import rank_correlation
from lookwhy.analysis.run import run_analysis
from lookwhy.analysis.selective import area_under_risk_coverage, coverage_at_risk, effective_reliability
from lookwhy.analysis.slices import sliced

__all__ = [
    "AnalysisPlan", "Faithfulness", "area_under_risk_coverage", "area_under_steps", "coverage_at_risk",
    "effective_reliability", "mass_accuracy", "pointing_game", "rank_accuracy", "rank_correlation",
    "run_analysis", "select_questions", "sliced",
]  # fmt: skip
