"""Pictures and charts: their texts and values, and that nothing is cut off."""

import gc

import numpy as np
import pytest
import torch
from made_measures import add_measures
from made_results import FEATURE_SETS, GROUPS, LONG, blob, make_result, picture
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from lookwhy.analysis.explanation import Answer, Explanation, Importance
from lookwhy.keys import table
from lookwhy.reporting import reading, style
from lookwhy.reporting.figures import catalogue, strips
from lookwhy.reporting.figures import summary as figures
from lookwhy.reporting.figures.chart import WIDTHS, save_figure


def lay_out(figure: Figure) -> RendererAgg:
    """Place everything, once: the layout takes most of a test's time."""
    if figure.stale:
        figure.draw_without_rendering()
    return FigureCanvasAgg(figure).get_renderer()


def texts(figure: Figure) -> list[str]:
    lay_out(figure)
    # A long text may go over several lines.
    found = [text.get_text().replace("\n", " ") for text in figure.findobj(Text) if text.get_visible()]
    return [text for text in found if text]


def assert_nothing_clipped(figure: Figure) -> None:
    renderer, frame = lay_out(figure), figure.bbox
    ticks = {
        label
        for axes in figure.axes
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick, at in zip(axis.get_major_ticks(), axis.get_majorticklocs(), strict=False)
        if not min(limits) <= at <= max(limits) or not axis.get_visible() or not axes.axison
        for label in (tick.label1, tick.label2)
    }
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible() and text not in ticks:
            box = text.get_window_extent(renderer)
            over = max(-box.x0, -box.y0, box.x1 - frame.x1, box.y1 - frame.y1)
            assert over <= 0.5, (text.get_text(), box, frame)


def assert_legends_beside_data(figure: Figure) -> None:
    """No legend and no axes' title lies over another one's data."""
    renderer = lay_out(figure)
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    frames = [axes.get_window_extent(renderer) for axes in figure.axes]
    for legend in legends:
        box = legend.get_window_extent(renderer)
        assert not any(box.padded(-2).overlaps(frame) for frame in frames), legend.get_texts()
    titles = [axes.title if axes.title.get_text() else axes._left_title for axes in figure.axes]
    boxes = [one.get_window_extent(renderer) for one in titles if one.get_text()]
    assert not any(box.overlaps(frame) for box in boxes for frame in frames)


@pytest.mark.parametrize(
    ("question_id", "annotators", "signed", "size"),
    [(100, True, True, (20, 400)), (103, True, False, (400, 20)), (103, False, True, (1, 1)),
     (111, True, True, (480, 640)), (111, False, False, (96, 128))],
)  # fmt: skip
def test_example_strip_shows_question_answers_and_every_method_uncut(question_id, annotators, signed, size):
    result = make_result(annotators=annotators, signed=signed)
    figure = strips.example_strip(result, question_id, picture(0, *size))
    assert_nothing_clipped(figure)
    shown = texts(figure)
    assert {"Guided backpropagation", "Occlusion", "Word drop"} <= set(shown)
    words = result.records[(question_id - 100) * 4]["words"]
    assert len(words) == (26 if question_id != 100 else 10)
    assert all(shown.count(word) >= 2 for word in words), "each word once for each question method"
    assert any("Answered “" in text and "true answer is “red”" in text for text in shown)
    # Question 111 has no annotator map: no panel for it, nor any where the analysis has none.
    assert ("Simulated annotators" in shown) == (annotators and question_id != 111)


def test_the_light_of_the_sanity_card_stands_beside_each_map_and_a_key_below():
    result = make_result()
    assert not any("Sanity card" in text for text in texts(strips.example_strip(result, 100, picture(0))))
    for name, value in (
        ("image/guided_backprop", 0.83),
        ("image/occlusion", 0.5),
        ("question/gradient", 0.1),
    ):
        result.summary[f"{name}/sanity/head/spearman_magnitude"] = value
    figure = strips.example_strip(result, 100, picture(0), 3.4)
    assert_nothing_clipped(figure)
    shown = " ".join(texts(figure)).replace("\n", " ")
    for text in (
        "● Guided backpropagation",
        "◐ Occlusion",
        "○ Gradient",
        "Word drop",
        "Sanity card: ● barely",
    ):
        assert text in shown


def test_annotators_and_the_untrained_model_are_called_so_and_the_note_on_the_data_stands_below():
    result = make_result()
    shown = texts(strips.example_strip(result, 100, picture(0)))
    said = " ".join(shown)
    assert ("imulated annotators" in said, "human" in said.lower()) == (True, False)
    assert result.manifest["data_note"] in said
    # Signed maps have another legend than magnitudes.
    unsigned = texts(strips.example_strip(make_result(signed=False), 100, picture(0)))
    assert shown.count("for the answer") == unsigned.count("for the answer") + 1
    result.manifest["annotators"] = "human annotators"
    result.maps["image/occlusion"].values[0] = 0.0
    result.manifest["epoch"] = -1
    shown = texts(strips.example_strip(result, 100, picture(0)))
    assert {"Human annotators", "untrained, question 100"} <= set(shown)
    assert any("zero everywhere" in text for text in shown)


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
def test_words_that_never_end_dollars_and_unknown_letters_stay_inside():
    result = make_result()
    for record in result.records[:4]:
        record["question"] = "$how$ " + "x" * 300 + " 😀 $5_ ^{ ?"
        record["words"] = record["question"].split() + ["y" * 200, "z", "w", "v"]
        record["predicted"] = record["ground_truth"] = "$a_b$ " * 40
    assert_nothing_clipped(strips.example_strip(result, 100, picture(0)))


def test_blend_colours_what_is_important_and_gives_evidence_for_red_and_against_blue():
    gray = np.full((64, 64, 3), 120, np.uint8)
    blended = strips.blend(gray, blob(0.25, 0.25, 0.08).astype(float), signed=False)
    assert np.ptp(blended[60, 60]) < 0.02, "gray stays gray"
    assert np.ptp(blended[16, 16]) > 0.2, "the peak takes the map's colour"
    values = (blob(0.25, 0.5, 0.08) - blob(0.75, 0.5, 0.08)).astype(float)
    blended = strips.blend(gray, values, signed=True)
    assert blended[32, 16, 0] > blended[32, 16, 2] + 0.2
    assert blended[32, 48, 2] > blended[32, 48, 0] + 0.2


def explanation(words=(), maps=(), answers=()):
    """An explanation; `maps` holds method, domain, values and whether they are signed."""
    return Explanation(
        " ".join(words) or "why ?", tuple(words), (True,) * len(words),
        tuple(Answer(text, share, place) for place, (text, share) in enumerate(answers)),
        tuple(Importance(*one, "the answer", None) for one in maps), ("A note.",),
    )  # fmt: skip


def test_explanation_shows_the_answers_in_percent_and_every_word():
    words = LONG.split()
    maps = [
        ("guided_backprop", "image", blob(0.3, 0.4), False),
        ("occlusion", "image", blob(0.3, 0.4) - blob(0.7, 0.6), True),
        ("gradient", "question", np.linspace(0, 1, 26), False),
        ("word_drop", "question", np.linspace(-1, 1, 26), True),
    ]
    answers = [("red", 0.812), ("blue", 0.1), ("x" * 200, 0.05), ("2", 0.03), ("yes", 0.001)]
    assert_nothing_clipped(strips.explanation_figure(explanation(), picture(1)))
    figure = strips.explanation_figure(explanation(words, maps, answers), picture(1), ["Another."])
    assert_nothing_clipped(figure)
    shown = texts(figure)
    assert {"81.2%", "10.0%", "5.0%", "3.0%", "0.1%", "red", "blue"} <= set(shown)
    assert {"Answered “red” (81.2%)", "A note.", "Another."} <= set(shown)
    assert shown.count("for the answer") == shown.count("most") == 2, "a legend for each map and word line"
    assert all(shown.count(word) >= 2 for word in words)


def test_most_important_words_shows_groups_by_frequency_with_counts_and_the_tagger():
    figure = figures.most_important_words(make_result())
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert (ticks[0], ticks[3]) == ("Noun\nn = 400", "Wh-word\nn = 280")
    assert len(ticks) == len(GROUPS) - 1, "a group without words has no bar"
    assert any("averaged_perceptron_tagger_eng" in text for text in texts(figure))
    assert max(patch.get_height() for patch in figure.axes[0].patches) == pytest.approx(0.33 * 1.2)
    # A star where both the interval and the test exclude chance.
    stars = [text for text in figure.axes[0].texts if text.get_text() == "*"]
    marked = [one for one in table(make_result().summary) if reading.differs_from_chance(one)]
    assert len(stars) == len(marked) > 0
    assert not any(one.group == "wh_word" for one in marked), "the test does not exclude chance"
    assert {"By chance", "By place"} <= set(texts(figure))
    assert any("if only the place of a word in its question decided" in text for text in texts(figure))
    few = make_result()
    few.summary |= {key: 9.0 for key in few.summary if key.endswith("/images")}
    few = figures.most_important_words(few)
    assert "*" not in [text.get_text() for text in few.axes[0].texts]
    assert any("Only 9 images" in text for text in texts(few))
    rare = make_result()
    rare.summary |= {f"question/{one}/most_important/verb/n": 12.0 for one in ("gradient", "word_drop")}
    rare = figures.most_important_words(rare)
    assert "Verb" not in " ".join(label.get_text() for label in rare.axes[0].get_xticklabels())
    assert any("Left out, with fewer than 30 words: verb 12" in text for text in texts(rare))
    assert_nothing_clipped(rare)
    narrow = figures.most_important_words(make_result(), WIDTHS["single"]).axes[0]
    assert narrow.get_yticklabels()[0].get_text() == "Noun, n = 400"
    assert max(patch.get_width() for patch in narrow.patches) == pytest.approx(0.33 * 1.2)


def test_failure_prediction_and_accuracy_show_their_values_and_counts():
    shown = texts(figures.failure_prediction(make_result()))
    assert {"Confidence of the answer", "74%", "0.79", "Always the more frequent", "By chance"} <= set(shown)
    assert any("300 questions" in text for text in shown)
    shown = texts(figures.accuracy_by_type(make_result()))
    assert {"All questions", "52.0%", "yes/no  (n = 3)"} <= set(shown)


def test_very_many_parts_of_speech_stay_readable_and_very_many_question_types_are_counted():
    result = make_result()
    result.manifest["group_order"] = [f"rather_long_group_{n}" for n in range(15)]
    for group in result.manifest["group_order"]:
        result.summary[f"question/gradient/most_important/{group}"] = 0.1
    assert_nothing_clipped(figures.most_important_words(result))
    many = make_result()  # a narrower figure
    for method in ("attention_grad_cam", "attention_relevance", "attention_rollout", "gradient_times_input"):
        many.summary[f"question/{method}/most_important/verb"] = 0.1
    figure = figures.most_important_words(many)
    assert_nothing_clipped(figure)
    assert figure.axes[0].bbox.width > 0.8 * figure.bbox.width, "a long legend takes no room from the bars"
    result.summary |= {f"accuracy/question_type/{'very ' * 20}{n}": 0.5 for n in range(40)}
    figure = figures.accuracy_by_type(result)
    assert_nothing_clipped(figure)
    assert any("24 more are not shown" in text for text in texts(figure))


@pytest.mark.parametrize("width", [None, WIDTHS["single"]])
def test_every_stored_curve_is_drawn_as_it_is(width):
    result = make_result(1)
    figure = figures.failure_curves(result, width)
    for axes, kind in zip(figure.axes, ("roc", "risk_coverage", "calibration"), strict=True):
        drawn = {line.get_label(): line for line in axes.lines}
        for name in FEATURE_SETS:
            x, y = drawn[style.in_words(name)].get_data()
            stored = result.curves[f"failure/{name}/{kind}"]
            assert (list(x), list(y)) == (stored["x"], stored["y"])
    looks = {(line.get_color(), str(line._dash_pattern)) for line in figure.axes[0].lines}
    assert len(looks) == 5, "four feature sets and chance"
    # Chance and perfect calibration are a diagonal.
    lines = [[list(map(list, line.get_data())) for line in axes.lines] for axes in figure.axes]
    assert [[[0, 1], [0, 1]] in found for found in lines] == [True, False, True]


def test_a_feature_set_keeps_its_look_where_another_is_missing():
    result = make_result(1)
    whole = figures.failure_curves(result)
    del result.curves["failure/confidence/roc"]
    partial = figures.failure_curves(result)
    looks = [(line.get_label(), line.get_color()) for one in (whole, partial) for line in one.axes[0].lines]
    assert len({colour for name, colour in looks if name == "Flips of the answer"}) == 1
    assert "Confidence of the answer" in texts(partial)


@pytest.mark.parametrize("width", [None, *WIDTHS.values()], ids=["own", *WIDTHS])
@pytest.mark.parametrize("name", [one.name for one in catalogue.FIGURES if one.needs == "analysis"])
@pytest.mark.parametrize("defined", [True, False])
def test_a_chart_fits_its_width_names_its_data_and_says_what_is_undefined(name, width, defined):
    result = make_result(defined=defined)
    if defined:
        add_measures(result)
    found = [one.make() for one in catalogue.charts(result, width) if one.name == name]
    if not defined and name == "deletion_curves":
        assert found == [], "an analysis without faithfulness has no figure of it"
        return
    (figure,) = found
    assert_nothing_clipped(figure)
    assert_legends_beside_data(figure)
    assert width is None or figure.get_figwidth() == width
    shown = texts(figure)
    why = "Undefined: no curves are stored" if name == "failure_curves" else "Undefined: "
    assert any(text.startswith(why) for text in shown) == (not defined)
    assert any(result.manifest["data_note"] in text for text in shown) == defined


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("question_id", [100, 103])
def test_a_strip_fits_the_columns_of_a_page(question_id, width):
    figure = strips.example_strip(make_result(), question_id, picture(0), width)
    assert_nothing_clipped(figure)
    assert figure.get_figwidth() == width
    assert {"against", "for the answer", "nothing", "most"} <= set(texts(figure)), "no legend is shortened"
    inches = figure.get_figheight()
    frames = [one.get_bbox() for one in figure.artists if isinstance(one, Rectangle)]
    panels = [frame for frame in frames if frame.height * inches > 0.5]
    assert len(panels) == 4
    assert len({round(panel.width, 3) for panel in panels}) == 1
    assert not any(one.overlaps(other) for one in panels for other in panels if one is not other)


def test_a_picture_is_the_same_bytes_again_and_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path, other = tmp_path / "deep" / "a.png", tmp_path / "b.png"
    figure = figures.accuracy_by_type(make_result())
    save_figure(figure, path)
    saved = path.read_bytes()
    assert saved == save_figure(figures.accuracy_by_type(make_result()), other).read_bytes()
    figure.savefig = None
    with pytest.raises(TypeError):
        save_figure(figure, path)
    assert path.read_bytes() == saved
    assert list(path.parent.iterdir()) == [path]


def test_no_figure_outlives_its_last_reference():
    import matplotlib.pyplot as plt

    figures.most_important_words(make_result())
    gc.collect()
    assert not plt.get_fignums()
    assert not [o for o in gc.get_objects() if type(o) is Figure]


@pytest.mark.parametrize("size", [(20, 400), (96, 128), (400, 300)])
@pytest.mark.parametrize("width", [None, WIDTHS["single"]])
def test_an_example_on_boxes_outlines_the_strongest_and_cuts_no_line_off(size, width):
    result = make_result()
    result.boxes = np.full((12, 7, 4), np.nan, np.float32)
    corners = [[0, 0, 1, 1], [0, 0, 0.1, 0.1], [0.9, 0.9, 1, 1], [0.2, 0.3, 0.6, 0.7], [0.4, 0, 1, 0.05]]
    result.boxes[:, :6] = [*corners, [0.5, 0.5, 0.5, 0.5]]
    values = torch.tensor([0.1, -0.31, 0.0, 0.3, 0.01, 0.25, torch.nan])
    for one in result.maps.values():
        if one.domain == "image":
            one.box_values = values.expand(12, 7)
    figure = strips.example_strip(result, 100, picture(0, *size), width)
    assert_nothing_clipped(figure)
    shown = texts(figure)
    assert " ".join(shown).count("4 strongest of 6 boxes") == 2
    assert {"0.31", "-0.31"} & set(shown)
    for axes in figure.axes:
        outlines = [one for one in axes.patches if isinstance(one, Rectangle)]
        if outlines:
            assert len(outlines) == 8  # each with its dark edge
            widths = [one.get_linewidth() for one in outlines[1::2]]
            assert widths == sorted(widths)  # the strongest on top
            frame = axes.get_window_extent()
            for one in outlines:
                box, half = one.get_window_extent(), one.get_linewidth() * figure.dpi / 144
                assert frame.x0 - 0.01 <= box.x0 - half <= box.x1 + half <= frame.x1 + 0.01
                assert frame.y0 - 0.01 <= box.y0 - half <= box.y1 + half <= frame.y1 + 0.01
