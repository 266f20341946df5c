"""Figures about which map to believe: deletion and insertion, and agreement beside faithfulness and truth."""

import numpy as np
import pytest
from made_measures import CORRELATION, FAITHFUL, MASS, add_measures
from made_results import make_result, without_image_maps
from test_figures import assert_legends_beside_data, assert_nothing_clipped, texts

from lookwhy.reporting import style
from lookwhy.reporting.figures import catalogue
from lookwhy.reporting.figures.chart import WIDTHS
from lookwhy.reporting.figures.deletion import deletion_curves
from lookwhy.reporting.figures.together import has_both, spread, together


def made(epoch=2):
    result = make_result(max(epoch, 0))
    result.manifest["epoch"] = epoch
    add_measures(result)
    return result


def runs(epochs=range(-1, 3), *names):
    return {name: {epoch: made(epoch) for epoch in epochs} for name in names or ("shapes",)}


@pytest.mark.parametrize("width", [None, WIDTHS["single"]])
def test_every_deletion_curve_is_drawn_with_its_band_in_the_panel_of_its_fill(width):
    result = made()
    figure = deletion_curves(result, width)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "Deletion, gray patch", "Insertion, gray patch", "Deletion, blurred image", "Insertion, blurred image"
    ]  # fmt: skip
    measures = ("deletion_patch", "insertion_patch", "deletion_blur", "insertion_blur")
    for axes, measure in zip(figure.axes, measures, strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        for method in FAITHFUL[measure]:
            stored = result.curves[f"image/{method}/faithfulness/{measure}"]
            x, y = lines[style.method_name(method)].get_data()
            assert (list(x), list(y)) == (stored["x"], stored["y"])
        assert len(axes.collections) == len(axes.lines) == 4
        grays = {lines[name].get_color() for name in ("Random", "Centre prior")}
        assert grays == {style.MUTED}
        assert lines["Random"]._dash_pattern != lines["Centre prior"]._dash_pattern
    assert any("Mean of 20 questions" in text for text in texts(figure))


def test_a_single_fill_has_two_panels_and_its_name_alone():
    result = made()
    result.curves = {key: curve for key, curve in result.curves.items() if "patch" not in key}
    figure = deletion_curves(result)
    assert len(figure.axes) == 2
    assert "gray patch" not in " ".join(texts(figure))
    assert_nothing_clipped(figure)


def test_each_method_is_a_path_from_its_hollow_first_epoch_to_its_filled_last_one():
    upper, lower = together(runs()).axes
    for axes, measure in ((upper, CORRELATION), (lower, MASS)):
        summaries = [made(epoch).summary for epoch in range(-1, 3)]
        expected = [
            (one["image/occlusion/rank_correlation"], one[f"image/occlusion/{measure}"]) for one in summaries
        ]
        colour = style.on_light(style.method_colours(["guided_backprop", "occlusion"])["occlusion"])
        own = [line for line in axes.lines if line.get_color() == colour]
        path = next(line for line in own if len(line.get_xdata()) == 4)
        assert pytest.approx(np.array(expected)) == np.array(path.get_data()).T
        big = {line.get_markersize(): line for line in own if len(line.get_xdata()) == 1}
        assert tuple(big[6].get_data()) == ([expected[0][0]], [expected[0][1]])
        assert tuple(big[7].get_data()) == ([expected[-1][0]], [expected[-1][1]])
        assert (big[6].get_markerfacecolor(), big[7].get_markerfacecolor()) == (style.PAPER, colour)


def test_the_last_points_have_their_intervals_and_the_subtitle_its_correlation():
    figure = together(runs())
    upper = figure.axes[0]
    summary = made().summary
    ends = [summary[f"image/occlusion/{CORRELATION}/{end}"] for end in ("ci_low", "ci_high")]
    segments = [line for part in upper.collections for line in part.get_segments()]
    assert any(segment[:, 1].tolist() == pytest.approx(ends) for segment in segments)
    shown = texts(figure)
    assert "Over questions, within a method: Spearman 0.12 [0.06, 0.18], 120 questions, epoch 2" in shown
    assert any("0.34 [0.28, 0.40]" in text for text in shown)
    assert "Agreement: rank correlation of magnitudes with simulated annotators" in shown
    assert "human" not in " ".join(shown).lower()


@pytest.mark.parametrize("width", [None, *WIDTHS.values()], ids=["own", *WIDTHS])
@pytest.mark.parametrize("names", [("shapes",), ("a rather long name of a run", "another")])
def test_names_overlap_neither_each_other_nor_the_frame(names, width):
    figure = together(runs(range(2), *names), width)
    assert_nothing_clipped(figure)
    assert_legends_beside_data(figure)
    for axes in figure.axes:
        boxes = sorted((text.get_window_extent() for text in axes.texts[1:]), key=lambda box: box.y0)
        assert len(boxes) == 4 * len(names)
        assert all(low.y1 <= high.y0 + 0.5 for low, high in zip(boxes, boxes[1:], strict=False))


def test_one_measure_alone_is_one_panel_and_neither_is_no_figure():
    only = runs()
    for result in only["shapes"].values():
        result.summary = {key: value for key, value in result.summary.items() if "/localisation/" not in key}
    figure = together(only)
    assert len(figure.axes) == 1
    assert_nothing_clipped(figure)
    blind = made()
    without_image_maps(blind)
    for found in ({}, {"a": {}}, {"a": {2: make_result()}}, {"a": {2: blind}}):
        assert not has_both(found)
        assert [one.name for one in catalogue.comparisons(found)] == ["agreement"]
        assert any(text.startswith("Undefined: no method has agreement") for text in texts(together(found)))
    assert has_both(runs())


def test_labels_keep_their_places_and_their_order_and_never_overlap():
    random = np.random.default_rng(0)
    for _ in range(50):
        wanted, sizes = np.sort(random.random(8)), random.uniform(0.02, 0.3, 8)
        places = spread(wanted, sizes)
        gaps = np.diff(places) - (sizes[1:] + sizes[:-1]) / 2
        assert gaps.min() > -1e-9
    apart = np.arange(5.0)
    assert spread(apart, np.full(5, 0.5)).tolist() == apart.tolist()
    assert len(spread(np.zeros(0), np.zeros(0))) == 0
