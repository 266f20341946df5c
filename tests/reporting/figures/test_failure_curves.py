"""Curves of the failure predictor: drawn as stored, and told apart without colour."""

from __future__ import annotations

import pytest
from made_results import make_result
from test_figures import texts

from lookwhy.reporting import style
from lookwhy.reporting.figures.chart import WIDTHS
from lookwhy.reporting.figures.summary import failure_curves


def curve(axes, name):
    return next(line for line in axes.lines if line.get_label() == name)


@pytest.mark.parametrize("width", [None, WIDTHS["single"]])
def test_every_stored_curve_is_drawn_as_it_is(width):
    result = make_result(1)
    figure = failure_curves(result, width)
    for axes, kind in zip(figure.axes, ("roc", "risk_coverage", "calibration"), strict=True):
        for name in ("confidence", "flips", "maps", "all"):
            drawn, stored = curve(axes, style.in_words(name)), result.curves[f"failure/{name}/{kind}"]
            assert list(drawn.get_xdata()) == stored["x"]
            assert list(drawn.get_ydata()) == stored["y"]
    looks = {(line.get_color(), str(line._dash_pattern)) for line in figure.axes[0].lines}
    assert len(looks) == 5, "four feature sets and chance"


def test_a_feature_set_keeps_its_look_where_another_is_missing():
    result = make_result(1)
    flips = curve(failure_curves(result).axes[0], "Flips of the answer")
    del result.curves["failure/confidence/roc"]
    again = curve(failure_curves(result).axes[0], "Flips of the answer")
    assert again.get_color() == flips.get_color()
    assert "Confidence of the answer" in texts(failure_curves(result))


def test_perfect_calibration_and_chance_are_a_diagonal_and_risk_has_none():
    roc, risk, calibration = failure_curves(make_result(1)).axes
    for axes in (roc, calibration):
        assert any(list(line.get_xdata()) == list(line.get_ydata()) == [0, 1] for line in axes.lines)
    assert not any(list(line.get_xdata()) == [0, 1] for line in risk.lines)


def test_without_stored_curves_it_says_why():
    shown = texts(failure_curves(make_result(defined=False)))
    assert any("Undefined: no curves are stored" in text.replace("\n", " ") for text in shown)
