"""Numbers of faithfulness, localisation and the share of the question, added to the analyses of made_results."""

import numpy as np

from lookwhy.types import AnalysisResult

CORRELATION, MASS = "faithfulness/correlation", "localisation/mass_accuracy"
FAITHFUL = {
    "correlation": {"guided_backprop": 0.31, "occlusion": 0.47, "random": 0.1, "centre_prior": 0.12},
    "deletion_patch": {"guided_backprop": 0.41, "occlusion": 0.26, "random": 0.6, "centre_prior": 0.55},
    "insertion_patch": {"guided_backprop": 0.84, "occlusion": 0.73, "random": 0.61, "centre_prior": 0.53},
    "deletion_blur": {"guided_backprop": 0.72, "occlusion": 0.66, "random": 0.7, "centre_prior": 0.71},
    "insertion_blur": {"guided_backprop": 0.81, "occlusion": 0.83, "random": 0.72, "centre_prior": 0.73},
}
"""Values of epoch 0; the methods gain a hundredth at each epoch."""
LOCAL = {
    "mass_accuracy": {"guided_backprop": 0.14, "occlusion": 0.27, "random": 0.05, "centre_prior": 0.043},
    "rank_accuracy": {"guided_backprop": 0.46, "occlusion": 0.42, "random": 0.04, "centre_prior": 0.065},
    "pointing_game": {"guided_backprop": 0.52, "occlusion": 0.43, "random": 0.02, "centre_prior": 0.09},
}
CHANCE, HUMAN = 0.049, 0.48
WORDS = {
    "deletion": {"gradient": 0.2, "word_drop": 0.18, "random": 0.27},
    "insertion": {"gradient": 0.35, "word_drop": 0.45, "random": 0.28},
}
SHARES = {
    "modality/text_share": (0.64, 20.0), "modality/text_share_blur": (0.88, 20.0),
    "modality/two_player_text_share": (0.59, 20.0), "modality/two_player_text_share_blur": (0.91, 20.0),
    "modality/image_not_needed_patch": (0.05, 20.0), "modality/exact": (0.9, 20.0),
    "slice/question_type/what color/modality/text_share": (0.33, 9.0),
    "slice/question_type/how many/modality/text_share": (0.81, 11.0),
}  # fmt: skip


def add_measures(result: AnalysisResult) -> None:
    """Add all measures, their curves and the columns of the records to an analysis."""
    epoch = max(result.manifest["epoch"], 0)
    summary = result.summary

    def put(key: str, value: float, n: float, **more: float) -> None:
        ends = {"ci_low": value - 0.06, "ci_high": value + 0.06, "images": 20.0}
        summary.update(
            {key: value} | {f"{key}/{name}": one for name, one in (ends | {"n": n} | more).items()}
        )

    for measure, values in FAITHFUL.items():
        for method, value in values.items():
            value += 0.01 * epoch * (method in ("guided_backprop", "occlusion"))
            put(f"image/{method}/faithfulness/{measure}", value, 120.0 if measure == "correlation" else 20.0)
            if method != "random":
                put(f"image/{method}/faithfulness/{measure}_minus_random", value - values["random"], 20.0)
            if measure != "correlation":
                result.curves[f"image/{method}/faithfulness/{measure}"] = _curve(measure, value)
    for measure, values in LOCAL.items():
        for method, value in (values | {"human": HUMAN}).items():
            put(f"image/{method}/localisation/{measure}", value, 99.0, expected=CHANCE)
    for measure, values in WORDS.items():
        for method, value in values.items():
            put(f"question/{method}/faithfulness/{measure}", value, 20.0)
            result.curves[f"question/{method}/faithfulness/{measure}"] = _curve(measure, value)
            if method != "random":
                put(f"question/{method}/faithfulness/{measure}_minus_random", value - values["random"], 20.0)
    for key, (value, n) in SHARES.items():
        put(key, value, n)
    for measure, value in ((CORRELATION, 0.12), (MASS, 0.34)):
        put(f"agreement_with/{measure}", value, 120.0)
    fills = ["patch", "blur"]
    plan = {"faithfulness": {"fill": "patch", "fills": fills}, "modality": {"fills": fills}}
    result.manifest["plan"] = (result.manifest.get("plan") or {}) | plan
    result.manifest["seconds"] = {"image/guided_backprop": 1.25, "image/occlusion": 12.0, "statistics": 3.0}


def _curve(measure: str, area: float) -> dict[str, list[float]]:
    x = np.linspace(0, 1, 17)
    y = (x if "insertion" in measure else 1 - x) ** (1 / area - 1)
    low, high = np.clip(y - 0.05, 0, 1), np.clip(y + 0.05, 0, 1)
    names = ("x", "y", "low", "high", "n")
    return {name: one.tolist() for name, one in zip(names, (x, y, low, high, 0 * x + 20), strict=True)}


def add_tests(result: AnalysisResult) -> None:
    """Add paired tests of guided backpropagation with an interval, p-values and counts."""
    for second, value, p in (
        ("occlusion", 0.05, 0.01),
        ("centre_prior", -0.02, 0.2),
        ("other_question", 0.013, 0.04),
    ):
        for measure, sign in (("rank_correlation", 1), ("faithfulness/deletion_patch", -1)):
            key = f"image/guided_backprop/{measure}"
            result.summary.setdefault(key, 0.3)
            key = f"paired/guided_backprop/{second}/{measure}"
            result.summary |= {
                key: sign * value, f"{key}/ci_low": sign * value - 0.03, f"{key}/ci_high": sign * value + 0.03,
                f"{key}/n": 240.0, f"{key}/images": 40.0, f"{key}/p_value": p / 3, f"{key}/p_holm": p,
                f"{key}/detectable": 0.032, f"{key}/needed": 2465.0,
            }  # fmt: skip
