"""Style of all reports: colours, sizes, and the words shown for each name.

Series have the colours of Okabe and Ito, which can be told apart with any colour vision. The colours of
magnitudes run from light (nothing) to dark (most) through a perceptually uniform map, so that they look the
same over pictures, behind words and in print. Those of signed values run from blue (against the answer) to
red (for it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, ListedColormap

from lookwhy.store import UNTRAINED

INK, MUTED, FAINT, PAPER, BLACK = "#1d2329", "#5b646e", "#d5d9de", "#ffffff", "#000000"
RIGHT, WRONG = "#00755a", "#b8420c"

TITLE, HEADING, TEXT, SMALL = 13.0, 10.0, 9.0, 7.8
"""Font sizes in points."""

MAGNITUDE: Colormap = ListedColormap(colormaps["magma_r"](np.linspace(0.02, 0.80, 256)), name="magnitude")
SIGNED: Colormap = colormaps["RdBu_r"]

BASELINES = ("random", "centre_prior", "human")

_COLOURS = {
    "guided_backprop": "#0072B2",
    "occlusion": "#D55E00",
    "gradient": "#0072B2",
    "word_drop": "#D55E00",
    "deconvnet": "#CC79A7",
    "attention": "#009E73",
    "random": "#8a9099",
    "centre_prior": "#5b646e",
    "human": "#E69F00",
}
_SPARE_COLOURS = (
    "#009E73", "#CC79A7", "#332288", "#56B4E9", "#E69F00", "#882255", "#999933", "#44AA99", "#117733",
    "#AA4499", "#CC6677",
)  # fmt: skip
"""From Okabe and Ito, then from Tol's muted scheme, for plans with more methods than those are."""

SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Colours of runs and feature sets, in their order."""

_ON_LIGHT = {
    "#E69F00": "#946600",
    "#56B4E9": "#2b8cc4",
    "#CC79A7": "#c06a96",
    "#999933": "#7d7d2a",
    "#44AA99": "#2f8f7f",
}
_ON_DARK = {
    "#0072B2": "#4ba3dd",
    "#009E73": "#1fb98c",
    "#5b646e": "#a4adb6",
    "#332288": "#9b93e6",
    "#882255": "#d873a4",
    "#117733": "#3fae62",
    "#AA4499": "#d070c0",
}
"""Replacements for colours whose lines would have too little contrast (WCAG 1.4.11: at least 3)."""

_NAMES = {
    "guided_backprop": "Guided backpropagation",
    "grad_cam": "Grad-CAM",
    "guided_grad_cam": "Guided Grad-CAM",
    "gradient_times_input": "Gradient x input",
    "smooth_grad": "SmoothGrad",
    "rise": "RISE",
    "lime": "LIME",
    "kernel_shap": "KernelSHAP",
    "attention": "The model's attention",
    "attention_grad_cam": "Attention Grad-CAM",
    "wh_word": "Wh-word",
    "confidence": "Confidence of the answer",
    "flips": "Flips of the answer",
    "maps": "Shape of the maps",
    "all": "Flips and map shapes",
    "confidence_and_all": "Confidence, flips, map shapes",
    "fitted_confidence": "Confidence, fitted",
    "entropy": "Entropy of the answers",
    "margin": "Margin of the first two",
}
"""Names of methods, parts of speech and feature sets that differ from their keys by more than underscores."""


def method_colours(methods: list[str]) -> dict[str, str]:
    """A different colour for each method: its own if it has one, else a spare one."""
    chosen: dict[str, str] = {}
    for method in methods:
        wanted = (_COLOURS.get(method, ""), *_SPARE_COLOURS, *_COLOURS.values())
        free = [colour for colour in wanted if colour and colour not in chosen.values()]
        chosen[method] = free[0] if free else INK
    return chosen


def light_dark(colour: str) -> str:
    """A colour as a CSS pair for light and dark pages."""
    return f"light-dark({on_light(colour)}, {_ON_DARK.get(colour, colour)})"


def on_light(colour: str) -> str:
    """The colour of a line on white paper, the same as in the light theme of the page."""
    return _ON_LIGHT.get(colour, colour)


def method_name(method: str, manifest: Mapping[str, Any] | None = None) -> str:
    """Name of a method or baseline in words; annotators are named as in the manifest."""
    if method == "human":
        return f"{annotators(manifest or {})} (each against the others)"
    return in_words(method)


def annotators(manifest: Mapping[str, Any]) -> str:
    """Name of the annotators as in the manifest, so that simulated ones are never called human."""
    word = manifest.get("annotators") or "annotators"
    return str(word[:1].upper() + word[1:])


def epoch_name(epoch: int) -> str:
    """Name of an epoch in words; the model before the first epoch is called untrained."""
    return "untrained" if epoch == UNTRAINED else f"epoch {epoch}"


def in_words(name: str) -> str:
    """Name of a method, part of speech, feature set or figure in words."""
    words = name.replace("_", " ").strip()
    return _NAMES.get(name, words[:1].upper() + words[1:])


def ink_on(rgba: tuple[float, float, float, float]) -> str:
    """Black or white, the one with more contrast on a colour; it is at least 4.5 (WCAG 1.4.3)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # At 0.179 the contrasts of white, 1.05 / (l + 0.05), and of black, (l + 0.05) / 0.05, are equal.
    return BLACK if luminance > 0.179 else PAPER
