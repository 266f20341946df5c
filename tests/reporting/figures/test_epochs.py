"""Agreement over epochs: every curve, band and level line, at any width."""

import numpy as np
import pytest
from made_results import make_result, without_image_maps
from test_figures import assert_legends_beside_data, assert_nothing_clipped, texts

from lookwhy.reporting import style
from lookwhy.reporting.figures.chart import WIDTHS
from lookwhy.reporting.figures.epochs import agreement_over_epochs


def test_curves_bands_baselines_and_a_zero_line_are_drawn_and_told_apart():
    runs = {"first": {e: make_result(e) for e in (0, 1, 3)}, "second": {e: make_result(e) for e in range(2)}}
    figure = agreement_over_epochs(runs)
    assert_nothing_clipped(figure)
    upper, lower = figure.axes
    lines = {line.get_label(): line for line in upper.lines}
    x, y = lines["Occlusion, first"].get_data()
    assert (x.tolist(), y.tolist()) == ([0, 1, 3], pytest.approx([0.25, 0.26, 0.28]))
    assert {"Random", "Centre prior", "Simulated annotators (each against the others)"} <= set(texts(figure))
    assert sum(line.get_label() == "Centre prior" for line in upper.lines) == 1, "runs that agree share it"
    assert any(list(line.get_ydata()) == [0, 0] for line in lower.lines)
    assert len(upper.collections) == len(lower.collections) == 4
    # Runs differ by dash and marker, methods by the colours of the page.
    one, other = lines["Occlusion, first"], lines["Occlusion, second"]
    assert one.get_color() == other.get_color() == style.method_colours(["occlusion"])["occlusion"]
    assert one.get_linestyle() != other.get_linestyle()
    assert one.get_marker() != other.get_marker()
    human = lines["Simulated annotators (each against the others)"]
    assert human.get_color() in style.light_dark(style.method_colours(["human"])["human"])


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("last", [0, 3, 40])
def test_nothing_is_cut_at_any_width_and_the_untrained_model_is_called_so(last, width):
    run = {epoch: make_result(max(epoch, 0)) for epoch in range(-1, last)}
    figure = agreement_over_epochs({"a long name of a run": run, "another one": run}, width)
    assert_nothing_clipped(figure)
    assert_legends_beside_data(figure)
    assert figure.get_figwidth() == width
    assert "untrained" in texts(figure)
    assert "−1" not in texts(figure)
    labels = figure.axes[1].get_xticklabels()
    ticks = [label.get_window_extent() for label in labels if label.get_text().strip()]
    assert all(left.x1 < right.x0 for left, right in zip(ticks, ticks[1:], strict=False))


def test_an_epoch_without_a_value_is_a_gap_and_a_single_epoch_has_upright_intervals():
    run = {e: make_result(e) for e in range(3)}
    del run[1].summary["image/occlusion/rank_correlation"]
    upper = agreement_over_epochs({"a": run}).axes[0]
    curve = next(line for line in upper.lines if line.get_label() == "Occlusion")
    assert np.isnan(curve.get_ydata()[1])
    upper = agreement_over_epochs({"a": {2: make_result(2)}}).axes[0]
    summary = make_result(2).summary
    ends = [summary[f"image/occlusion/rank_correlation/{end}"] for end in ("ci_low", "ci_high")]
    segments = [line for part in upper.collections for line in getattr(part, "get_segments", list)()]
    assert any(segment[:, 1].tolist() == pytest.approx(ends) for segment in segments)


def test_annotators_are_called_what_each_run_calls_them_and_a_run_without_any_value_is_named():
    simulated, human = make_result(), make_result()
    human.manifest["annotators"] = "human annotators"
    assert "human" not in " ".join(texts(agreement_over_epochs({"a": {2: simulated}}))).lower()
    shown = texts(agreement_over_epochs({"a": {2: simulated}, "b": {2: human}}))
    assert "Agreement with simulated annotators and human annotators" in shown
    levels = {f"{who} annotators (each against the others)" for who in ("Simulated", "Human")}
    assert levels <= set(shown)
    runs = {"a": {2: simulated}, "only words": {2: make_result(annotators=False)}}
    shown = texts(agreement_over_epochs(runs))
    assert "Agreement with simulated annotators" in shown, "and with nobody else"
    assert "No rank correlation is defined in: only words." in " ".join(shown)
    assert "defined in" not in " ".join(texts(agreement_over_epochs({"a": runs["a"]})))


@pytest.mark.parametrize("width", [None, *WIDTHS.values()])
def test_a_figure_without_annotators_or_image_maps_says_which_are_missing(width):
    blind = make_result()
    without_image_maps(blind)
    for runs in ({}, {"a": {}}, {"a": {0: make_result(annotators=False)}}, {"a": {2: blind}}):
        figure = agreement_over_epochs(runs, width)
        assert_nothing_clipped(figure)
        missing = "no image maps" if runs.get("a", {}).get(2) else "no annotator maps"
        assert any(missing in text for text in texts(figure))
