"""The report page in a real browser: it opens quietly, its controls work, it can be read by anyone."""

import numpy as np
import pytest
import torch
from made_measures import add_measures
from made_results import make_result, make_run, save_pictures, without_image_maps
from made_selective import add_selective
from test_groups import seeded
from test_html import Tags, content
from web_pages import NAMELESS, coloured, opened_pages

from lookwhy.analysis.paired import Comparison, between_analyses
from lookwhy.reporting.comparisons import compare
from lookwhy.reporting.page.html import run_names, write_report

PHONE = {"width": 390, "height": 844}
CHART, CURVE = "#agreement svg[role=img]", "svg[role=img] path.curve"


def write(folder, *runs):
    runs = list(runs)
    return write_report(runs, folder / "report.html", compare(dict(zip(run_names(runs), runs, strict=True))))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures") / "images")


def moving(result):
    """Numbers and answers that change over epochs, and maps that move."""
    epoch = result.manifest["epoch"]
    for record in result.records:
        if record["rho"] is not None:
            record["rho"] += 0.01 * epoch * (record["question_id"] - 100)
        if record["question_id"] == 100 and epoch == 2:
            record.update(accuracy=1.0, predicted="red")
    for name in ("guided_backprop", "occlusion"):
        maps = result.maps[f"image/{name}"]
        maps.values = maps.values.roll(epoch, dims=-1)
    result.summary["question/word_drop/most_important/noun"] = 0.1 + 0.2 * max(epoch, 0)
    result.summary["accuracy/answer_type/number"] = 0.2 + 0.3 * max(epoch, 0)
    result.summary |= {
        f"question/{one}/most_important/preposition/n": 7.0 for one in ("gradient", "word_drop")
    }


@pytest.fixture(scope="module")
def page_file(tmp_path_factory, images):
    """Two runs on the same questions, the untrained model and three epochs each."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [make_run(folder / name, images, range(-1, 3), moving) for name in ("first", "second")]
    return write(folder, *runs)


@pytest.fixture
def opened(browser):
    with opened_pages(browser, "file:") as open_page:
        yield lambda file, **settings: open_page(file.as_uri(), **settings)


@pytest.fixture
def page(opened, page_file):
    """The page of two runs as it opens."""
    return opened(page_file)


def pixels(page, panel="Occlusion"):
    """Bytes of the first canvas of a method, once its image has arrived."""
    selector = f'canvas[data-panel="{panel}"]'
    page.wait_for_function(f"document.querySelector('{selector}')?.width > 300")
    return page.eval_on_selector(selector, "canvas => canvas.toDataURL()")


def colour_at(page, x, y, panel="Occlusion"):
    """Red, green and blue at a place of a canvas, both 0..1."""
    pixels(page, panel)
    return page.eval_on_selector(
        f'canvas[data-panel="{panel}"]',
        "(c, [x, y]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data].slice(0, 3)",
        [x, y],
    )


def width_of(page):
    return page.evaluate("document.documentElement.scrollWidth")


def test_it_opens_with_every_section_band_baseline_and_table_of_numbers(page):
    for section in ("agreement", "examples", "paired", "words", "accuracy", "failure"):
        assert page.locator(f"#{section}").bounding_box()["height"] > 150, section
    # Two runs of two methods, in three charts; three curves of four feature sets.
    assert page.locator(f"#agreement {CURVE}").count() == page.locator(f"#failure {CURVE}").count() == 12
    chart = page.locator(CHART).first
    assert chart.locator("path.band").count() == 4
    levels = chart.locator("line > title").all_text_contents()
    assert levels == ["Random: 0.001", "Centre prior: 0.410", "Between simulated annotators: 0.830"]
    text = page.inner_text("#agreement").lower()
    assert ("human" in text, "untrained" in text) == (False, True)
    # The numbers of a chart can be read as a table.
    page.locator("#agreement summary").first.click()
    table = page.locator("#agreement details table").first
    table.wait_for()
    assert table.locator("tbody tr").count() == 2 * 2 * 4 + 3
    stored = make_result(2).summary["image/occlusion/rank_correlation"]
    row = table.locator("tr", has_text="Occlusion, first").last
    assert row.locator("td").all_text_contents()[:2] == ["epoch 2", f"{stored:.3f}"]
    for label, curves in (("Occlusion", 2), ("second", 1)):
        page.get_by_label(label, exact=True).uncheck()
        assert chart.locator("path.curve").count() == curves


def test_a_group_is_one_curve_and_each_of_its_runs_can_be_switched_on(opened, tmp_path):
    runs = [seeded(tmp_path / f"run-{seed}", seed) for seed in range(3)]
    page = opened(write(tmp_path, *runs), **PHONE)
    chart = page.locator(CHART).first
    curves = chart.locator("path.curve")
    tips = [tip for tip in chart.locator("g title").all_text_contents() if tip.startswith("Occlusion")]
    assert tips[0] == "Occlusion, seeds, epoch 0: 0.300, [0.052, 0.548], 3 runs"
    assert (curves.count(), chart.locator("path.band").count()) == (2, 2)
    said = "Group seeds: mean of run-0, run-1, run-2; band: 95% t interval over runs."
    assert said in page.inner_text("#agreement .note")
    page.get_by_label("run-1", exact=True).check()
    assert curves.count() == 4
    page.get_by_label("seeds (mean of 3 runs)", exact=True).uncheck()
    assert curves.count() == 2
    assert width_of(page) <= 390
    page.emulate_media(media="print")
    drawn = [key.inner_text() for key in page.locator("#agreement .key").all() if key.is_visible()]
    assert drawn[-1] == "run-1", "on paper the legend names only what is drawn"
    page.emulate_media(media="screen")
    overall = page.locator("#accuracy .bars li").first
    assert overall.locator(".track").first.get_attribute("title") == "seeds: 42.0%"
    assert (overall.locator(".track").count(), overall.locator(".interval").count()) == (4, 1)


def test_which_map_to_believe_has_a_chart_a_measure_and_older_runs_have_no_empty_panel(
    opened, page_file, tmp_path
):
    runs = [make_run(tmp_path / "new", None, range(-1, 3), add_measures), make_run(tmp_path / "old", None, 2)]
    page = opened(write(tmp_path, *runs))
    links = page.locator("nav a").all_inner_texts()
    assert links[:4] == ["Agreement", "Which map to believe", "Share of the question", "Examples"]
    titles = page.locator("#believe h3")
    shown = [one.inner_text() for one in titles.all() if one.is_visible()]
    assert shown == [
        "Faithfulness correlation: higher is better", "Deletion, gray patch: lower is better",
        "Insertion, gray patch: higher is better", "Mass accuracy: higher is better",
        "Rank accuracy: higher is better", "Pointing game: higher is better",
    ]  # fmt: skip
    page.get_by_label("Deletion, blurred image", exact=True).check()
    page.get_by_label("Pointing game", exact=True).uncheck()
    shown = [one.inner_text().partition(":")[0] for one in titles.all() if one.is_visible()]
    assert shown[3:] == ["Deletion, blurred image", "Mass accuracy", "Rank accuracy"]
    # Two methods, random and centre prior are curves; baselines of places are levels.
    charts = page.locator("#believe svg[role=img]")
    deletion, mass = charts.nth(1), charts.nth(5)
    assert [one.locator("path.curve").count() for one in (deletion, mass)] == [4, 2]
    assert deletion.locator("path.curve title").all_text_contents()[-1] == "Random, new"
    assert deletion.locator("line.level").count() == 0
    assert mass.locator("line > title").all_text_contents() == [
        "Random: 0.050", "Centre prior: 0.043", "Mean of simulated annotators: 0.480",
        "By chance: area of the masks: 0.049",
    ]  # fmt: skip
    page.locator("#believe").get_by_label("Random", exact=True).uncheck()
    assert deletion.locator("path.curve").count() == 3
    note = page.inner_text("#believe .note")
    told = ("Not measured in: old.", "20 (Deletion, gray patch; Insertion", "99 (Mass accuracy")
    assert all(words in note for words in told)
    text = page.inner_text("#believe").lower()
    assert "human" not in text
    share = page.locator("#modality svg[role=img]")
    assert share.count() == 3
    assert "Blurred image, new, untrained: 0.880, [0.820, 0.940]" in share.first.text_content()
    assert width_of(page) <= 1200
    page = opened(page_file)
    assert [page.locator(f"#{name}").is_visible() for name in ("believe", "modality")] == [False, False]
    assert "Which map to believe" not in page.inner_text("main")


def test_the_slider_steps_through_epochs_and_moves_the_map(page):
    answer, last = page.locator(".answer").first, pixels(page)
    assert "Epoch 2: answered “red”" in answer.inner_text()
    page.focus("#examples-epoch")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("output[for=examples-epoch]") == "epoch 1"
    assert all(words in answer.inner_text() for words in ("Epoch 1: answered “blue”", "✗ wrong"))
    assert pixels(page) != last
    assert "epoch 1" in page.get_attribute('canvas[data-panel="Occlusion"]', "aria-label")
    page.keyboard.press("Home")
    assert page.get_attribute("#examples-epoch", "aria-valuetext") == "untrained"


def test_the_map_lies_where_it_is_in_its_colour_and_opacity(page):
    page.fill("#examples-epoch", "1")  # epoch 0: nothing has moved
    for_it, against, nothing = (colour_at(page, *at) for at in ((0.3, 0.42), (0.72, 0.6), (0.95, 0.05)))
    assert for_it[0] > for_it[2] + 40, "red for the answer"
    assert against[2] > against[0] + 30, "blue against it"
    assert max(nothing) - min(nothing) < 40
    # Magnitudes are dark where they are largest.
    assert sum(colour_at(page, 0.3, 0.42, "Guided backpropagation")) < 400
    before = pixels(page)
    page.fill("#opacity", "30")
    assert pixels(page) != before
    page.fill("#opacity", "0")
    assert pixels(page) == pixels(page, "Image")
    assert page.inner_text("output[for=opacity]") == "0%"


def test_one_method_can_be_shown_alone_and_large(page):
    canvas = page.locator("canvas")
    small = canvas.first.bounding_box()["width"]
    page.select_option("#method", "occlusion")
    assert canvas.count() == 2, "one for each run"
    assert canvas.first.bounding_box()["width"] > 1.3 * small
    page.select_option("#method", "annotators")
    assert page.locator("figcaption").all_inner_texts() == ["Simulated annotators"] * 2
    page.select_option("#examples-run", "1")
    assert canvas.count() == 1


def test_filters_narrow_the_list_and_reset_and_the_biggest_change_comes_first(page):
    def chosen(name, value):
        page.select_option(f"#{name}", value)
        return page.locator("#question option").all_text_contents()

    whole = chosen("examples-run", "0")
    assert len(whole) == 12
    wrong = chosen("filter-correct", "wrong")
    assert len(wrong) == 3, "every third is wrong; of these the first became right"
    assert all(text.startswith("✗") for text in wrong)
    assert len(chosen("filter-type", "is there")) == 1
    assert chosen("filter-answer-type", "number") == []
    assert "No question passes the filters" in page.inner_text(".view")
    assert page.inner_text(".filters output") == "0 of 12 questions"
    page.click("#reset")
    assert page.locator("#question option").all_text_contents() == whole
    assert len(chosen("filter-change", "gained")) == 1
    assert chosen("filter-change", "lost") == []
    page.click("#reset")
    assert chosen("order", "rho")[0].endswith("(±0.33)")
    assert page.input_value("#question") == "11", "its ρ grew most from the first to the last epoch"
    chosen("order", "accuracy")
    assert page.input_value("#question") == "0"


def test_questions_are_stepped_through_and_the_words_are_coloured(page):
    assert page.is_disabled("#previous")
    page.click("#next")
    assert page.inner_text(".asked") == "how many green things are there ?"
    values = make_result(2).maps["question/word_drop"].values[1, :7].numpy()
    words = page.locator(".run-shown").first.locator(".words").nth(1)
    assert words.locator("b").all_inner_texts() == ["how", "many", "green", "things", "are", "there", "?"]
    assert "top" in words.locator("li").nth(int(abs(values).argmax())).get_attribute("class")
    shown = words.locator("small").all_inner_texts()
    numbers = [float(text.split("%")[0].replace("−", "-")) for text in shown]
    assert numbers == pytest.approx((100 * values / abs(values).max()).tolist(), abs=1)
    least = words.locator("b").nth(int(values.argmin()))
    red, _, blue = map(int, least.evaluate("one => getComputedStyle(one).backgroundColor")[4:-1].split(","))
    assert blue > red, "against the answer is blue"


def test_bars_follow_their_slider(page):
    noun = page.locator("#words .bars li", has_text="Noun").locator(".track").nth(1)
    assert noun.locator(".value").inner_text() == "50%"
    assert noun.get_attribute("title") == "Word drop: 50%; by chance 12%, by place 10%"
    assert noun.locator(".mark").count() == 2
    # Only where test and interval exclude chance is a star: determiners, 3% with an interval up to 7%.
    determiner = page.locator("#words .bars li", has_text="Determiner").locator(".value").all_inner_texts()
    assert determiner == ["4%*", "3%*"]
    assert page.locator("#words .bars li", has_text="Preposition").count() == 0, "fewer than 30 words"
    assert "Left out, with fewer than 30 words: preposition" in page.inner_text("#words .note")
    wide = noun.locator(".bar").bounding_box()["width"]
    page.focus("#words-epoch")
    page.keyboard.press("Home")
    assert page.inner_text("#words .note").startswith("first, untrained")
    page.wait_for_timeout(300)
    assert noun.locator(".bar").bounding_box()["width"] == pytest.approx(wide / 5, rel=0.05)
    number = page.locator("#accuracy .bars li", has_text="number").locator(".value").first
    assert number.inner_text() == "80.0%"
    page.fill("#accuracy-epoch", "2")
    assert number.inner_text() == "50.0%"
    curve = page.locator(f"#failure {CURVE}").first
    last = curve.get_attribute("d")
    page.fill("#failure-epoch", "1")
    assert curve.get_attribute("d") != last


def test_everything_has_a_name_and_can_be_reached_by_tab_with_a_visible_focus(page):
    named = "button, select, input, canvas, svg[role=img], table, .bars"
    assert page.eval_on_selector_all(named, NAMELESS) == []
    label = page.get_attribute('canvas[data-panel="Occlusion"]', "aria-label")
    for part in ("Occlusion", "epoch 2", "what color is the ball left of the box ?", "ρ of magnitudes 0.00"):
        assert part in label
    wanted = page.eval_on_selector_all(
        "button:enabled, select:enabled, input:enabled, summary, a[href]",
        "all => all.map((one, at) => { one.dataset.stop = at; return String(at); })",
    )
    active = "() => { const one = document.activeElement; return [one.dataset.stop, getComputedStyle(one).outlineStyle]; }"
    reached = {}
    for _ in range(len(wanted) + 3):
        page.keyboard.press("Tab")
        reached.update([page.evaluate(active)])
    assert {stop: outline for stop, outline in reached.items() if stop} == dict.fromkeys(wanted, "solid")


CONTRAST = """() => {
  const pen = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); return [...pen.getImageData(0, 0, 1, 1).data]; };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, w, i) => { const v = c[i] / 255; return sum + w * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255, 255]; };
  const contrast = (one, other) => { const [a, b] = [light(one), light(other)]; return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); };
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || e.closest('script, noscript, title, .hidden-text, :disabled') || !e.checkVisibility()) continue;
    const style = getComputedStyle(e);
    texts.push([contrast(rgba(e.closest('svg') ? style.fill : style.color), ground(e)), walk.currentNode.data.trim().slice(0, 40)]);
  }
  const card = ground(document.querySelector('section'));
  const strokes = [...new Set([...document.querySelectorAll('path.curve, line[style*=stroke]')].map(one => getComputedStyle(one).stroke))];
  return [texts, strokes.map(stroke => [contrast(rgba(stroke), card), stroke])];
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_lines_and_bars_have_the_contrast_that_wcag_asks_for(page, theme):
    page.emulate_media(color_scheme=theme)
    texts, lines = page.evaluate(CONTRAST)
    assert (len(texts) > 300, len(lines) >= 8) == (True, True)
    assert [one for one in texts if one[0] < 4.5] + [one for one in lines if one[0] < 3] == []


GROUND = "getComputedStyle(document.body).backgroundColor"
NO_STORAGE = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"


def test_dark_is_dark_and_the_button_overrules_it_even_where_the_browser_refuses_storage(opened, page_file):
    page = opened(page_file, color_scheme="dark")
    assert page.evaluate(GROUND) == "rgb(20, 24, 28)"
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: light"
    assert page.evaluate(GROUND) == "rgb(243, 245, 247)"

    # A busy browser may write its storage after the first reload has read it.
    shown = []
    while "Theme: light" not in shown and len(shown) < 20:
        page.reload()
        page.wait_for_selector("html[data-ready]", state="attached")
        shown.append(page.inner_text("#theme"))
    assert "Theme: light" in shown
    page = opened(page_file, script=NO_STORAGE)
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: light"


WIDE_FONT = "* { font-family: 'DejaVu Sans Mono', monospace !important; letter-spacing: .06em !important; }"
BOXES = "all => all.map(one => one.getBoundingClientRect()).map(box => [box.left, box.right, box.height])"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_in_high_contrast_colours_that_mean_something_stay(opened, page_file, scheme, width):
    page = opened(page_file, forced_colors="active", color_scheme=scheme, width=width)
    pixels(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(0, 0, 0)"}[scheme], "the system's colour"
    bars = [one for one in page.locator(".bars .bar").all() if one.bounding_box()["width"] > 20]
    marked = {
        "bar": bars[0], "swatch": page.locator(".swatch").first, "scale": page.locator(".scale i").first,
        "word": page.locator(".words .top b").first, "map": page.locator('canvas[data-panel="Occlusion"]').first,
        "curve": page.locator(CHART).first,
    }  # fmt: skip
    least = {"bar": 0.4, "swatch": 0.4, "scale": 0.4, "word": 0.3, "map": 0.03, "curve": 0.02}
    assert {name: coloured(one) for name, one in marked.items() if coloured(one) < least[name]} == {}
    edges = "all => all.map(one => getComputedStyle(one).borderTopWidth)"
    assert set(page.eval_on_selector_all(".bars .bar, .swatch, .scale i", edges)) == {"1px"}


def test_nothing_scrolls_sideways_on_a_phone_also_with_long_names(opened, tmp_path, images):
    """The font of the machine must not matter: system-ui is wider on some by a tenth and more."""

    def change(result):
        for record in result.records:
            record.update(question_type="x" * 90, question="w" * 120)
            record["words"] = ["v" * 80, *record["words"][1:]]
        result.summary |= {f"accuracy/question_type/{'y' * 90} {n}": 0.5 for n in range(30)}

    runs = [make_run(tmp_path / (name * 90), images, range(-1, 3), change) for name in "nm"]
    page = opened(write(tmp_path, *runs), **PHONE)
    assert page.locator("#accuracy summary").first.inner_text() == "22 less frequent types"
    for details in page.locator("summary").all():
        details.click()
    for font in ("* {}", WIDE_FONT):
        page.add_style_tag(content=font)
        for width in (320, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert width_of(page) <= width
            texts = page.eval_on_selector_all("svg text", BOXES)
            assert texts
            assert all(left >= 0 and right <= width and height >= 10 for left, right, height in texts)


def test_in_print_it_is_light_has_no_controls_and_cuts_nothing(page):
    page.set_viewport_size({"width": 680, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(GROUND) == "rgb(255, 255, 255)"
    visible = "all => all.filter(one => one.checkVisibility()).length"
    assert page.eval_on_selector_all("button, select, input, nav", visible) == 0
    assert width_of(page) <= 680
    assert page.locator("canvas").count() >= 4
    assert len(page.pdf()) > 50_000


EVIL = "</script><script>alert(1)</script><b>&<!-- <script> \u2028 {{runs}} \\u003c '\""


def test_text_of_the_data_stays_text(opened, tmp_path, images):
    def change(result):
        result.manifest |= dict.fromkeys(("data_note", "annotators", "tagger"), EVIL)
        result.summary[f"accuracy/answer_type/{EVIL}"] = 0.5
        for record in result.records:
            record |= dict.fromkeys(("question", "predicted", "ground_truth", "question_type"), EVIL)
            record["words"] = [EVIL] * len(record["words"])

    run = make_run(tmp_path / "<i>run&{{runs}}", images, 2, change)
    records = make_result(0).records
    file = write_report([run], tmp_path / "r.html", [Comparison(EVIL, between_analyses(records, records))])
    text = file.read_text()
    assert [markup for markup in ("<script>alert", "<i>", "<b>", "<!-- ") if markup in text] == []
    assert content(text)["questions"][0]["question"] == EVIL
    tags = Tags(text)
    assert (tags.open, "b" in tags.found) == ([], False)
    page = opened(file)
    assert page.locator(".asked").text_content() == EVIL
    assert page.locator("h1").count() == 1
    assert page.locator("main > script").count() == 0
    assert page.evaluate("[...document.querySelectorAll('b')].every(one => one.closest('.words'))")
    assert EVIL in page.locator("header .note").text_content()


RARE = "\U00012f90"  # a sign of a script of the Bronze Age, for which few fonts exist


def test_characters_without_a_font_are_their_code_points_and_no_boxes(opened, tmp_path, images):
    def rare(result):
        result.manifest["annotators"] = f"{RARE} annotators"
        for record in result.records:
            record |= {
                "question": f"what is {RARE}{RARE} é → “{RARE}”?",
                "predicted": RARE,
                "words": ["a", RARE],
            }

    page = opened(write(tmp_path, make_run(tmp_path / f"run {RARE}", images, 2, rare)))
    page.focus("#examples-epoch")
    page.keyboard.press("ArrowLeft")  # the text is made anew
    assert page.inner_text(".asked") == "what is U+12F90 U+12F90 é → “U+12F90”?"
    assert "answered “U+12F90”" in page.inner_text(".answer")
    assert "run U+12F90 (epochs 0 to 1)" in page.inner_text("header")
    assert page.locator(".words b").all_inner_texts()[:2] == ["a", "U+12F90"]
    assert RARE not in page.inner_text("body")


def test_runs_on_other_data_without_annotators_or_images_are_shown_as_they_are(opened, tmp_path, images):
    def other(result):
        for record in result.records:
            record.update(question="is it raining ?", words=["is", "it", "raining", "?"])
        del result.maps["image/occlusion"]

    first = make_run(tmp_path / "first", images, 3)
    bare = make_run(tmp_path / "bare", None, range(4, 5), other, annotators=False, defined=False)
    old = make_run(tmp_path / "old", images, 2, lambda result: result.curves.clear())
    page = opened(write(tmp_path, first, bare, old))
    assert "No agreement is defined in: bare." in page.inner_text("#agreement .note")
    page.select_option("#examples-run", "1")
    page.select_option("#question", label="✗ is it raining ?")
    assert "Image not found" in page.inner_text(".view")
    assert page.inner_text("output[for=examples-epoch]") == "epoch 4"
    assert page.is_disabled("#examples-epoch")
    assert page.locator("figcaption").all_inner_texts() == ["Image", "Guided backpropagation"]
    assert colour_at(page, 0.99, 0.99, "Image") == [154, 159, 164]
    page.select_option("#failure-run", "2")
    assert "an earlier version, which stored no curves" in page.inner_text("#failure")
    page.select_option("#failure-run", "0")
    assert page.locator("#failure svg[role=img]").count() == 3


def test_undefined_and_empty_maps_of_a_single_epoch_say_so(opened, tmp_path, images):
    def change(result):
        result.maps["image/occlusion"].values[0] = 0.0
        result.maps["image/guided_backprop"].values[0] = float("nan")
        result.maps["question/word_drop"].values[0, 1] = float("nan")
        for one in result.maps.values():
            one.valid = ~one.values.isnan()
        for record in result.records[:4]:
            record["rho"] = None

    page = opened(write(tmp_path, make_run(tmp_path / "run", images, 1, change)))
    shown = page.locator("figure small").all_inner_texts()
    assert any("ρ undefined" in text and "undefined everywhere" in text for text in shown)
    assert any("zero everywhere" in text for text in shown)
    assert page.locator(".words .undefined").all_inner_texts() == ["color\nundefined"]
    assert pixels(page, "Occlusion") == pixels(page, "Guided backpropagation"), "no colour in either"
    left, right = page.locator(CHART).first.locator("g path").evaluate_all(BOXES)
    assert abs(left[0] - right[0]) > 8, "the points of a single epoch stand side by side"
    assert page.is_disabled("#examples-epoch")


def test_boxes_are_outlined_in_the_colours_of_their_values_and_the_strongest_is_named(
    opened, tmp_path, images
):
    def change(result):
        count = len(result.question_ids)
        corners = [[0.1, 0.6, 0.4, 0.9], [0.6, 0.6, 0.9, 0.9], [0.3, 0.1, 0.7, 0.4], [np.nan] * 4]
        result.boxes = np.tile(np.float32(corners), (count, 1, 1))
        values = torch.tensor([0.5, -0.4, 0.001, torch.nan])
        result.maps["image/occlusion"].box_values = values.expand(count, 4)

    page = opened(write(tmp_path, make_run(tmp_path / "run", images, 1, change)))
    shown = page.locator("figure small").all_inner_texts()
    assert sum("strongest box +0.5" in text for text in shown) == 1
    for_it, against, nothing = (colour_at(page, *at) for at in ((0.25, 0.9), (0.75, 0.9), (0.5, 0.1)))
    assert for_it[0] > for_it[2] + 40, "red for the answer"
    assert against[2] > against[0] + 40, "blue against it"
    assert max(nothing) - min(nothing) < 40, "below a twentieth of the strongest"
    page.fill("#opacity", "0")
    assert pixels(page) == pixels(page, "Image")


def test_a_page_without_image_maps_or_anything_to_show_says_so(opened, tmp_path):
    page = opened(write(tmp_path, make_run(tmp_path / "blind", None, 1, without_image_maps)))
    assert "No image maps, so no agreement." in page.inner_text("#agreement")
    file = write(tmp_path, make_run(tmp_path / "bare", None, 1, annotators=False, defined=False))
    stored = content(file.read_text())
    assert (stored["runs"][0]["measures"], stored["examples"][0]["annotators"]) == ({}, [0] * 12)
    assert "<h2>Agreement at epoch" not in file.read_text()
    text = opened(file).inner_text("main")
    assert "No annotator maps, so no agreement." in text
    reasons = ("No part of speech has a value", "no question of these analyses has known answers",
               "not enough right and wrong answers")  # fmt: skip
    assert all(reason in text for reason in reasons)


def test_selective_prediction_is_a_chart_with_bands_two_tables_and_a_line_at_each_epoch(opened, tmp_path):
    run = make_run(tmp_path / "run", None, 2, add_selective)
    page = opened(write(tmp_path, run), **PHONE)
    section = page.locator("#selective")
    assert "Do the explanations add to the confidence?" in section.locator("strong").inner_text()
    assert section.locator(CURVE).count() == 3
    assert all("L" in one.get_attribute("d") for one in section.locator("path.band").all())
    result = make_result()
    add_selective(result)
    first = section.locator("tbody tr").first
    value, low, high = (
        result.summary[f"selective/confidence/auroc{end}"] for end in ("", "/ci_low", "/ci_high")
    )
    assert first.locator("td").first.inner_text().split() == [f"{value:.3f}", f"[{low:.3f},", f"{high:.3f}]"]
    assert section.locator("table.stacks").count() == 2
    assert width_of(page) <= 390
    gains = page.locator("#failure tbody tr").first.locator("td").nth(2)
    assert gains.inner_text().count("%") == 3
    looks = page.locator(f"#failure .chart:first-child {CURVE}").evaluate_all(
        "all => all.map((one) => one.getAttribute('stroke-dasharray'))"
    )
    assert len(set(looks)) == 5, "each feature set is told apart without colour"


def test_answers_too_few_to_predict_from_are_told_with_what_would_do(opened, tmp_path):
    reason = "8 right and 12 wrong answers, expected 30 of each: at least 75 questions at this accuracy"

    def change(result):
        kept = {key: value for key, value in result.summary.items() if not key.startswith("failure/")}
        result.summary, result.manifest["excluded"] = kept, {f"failure prediction: {reason}": 20}

    page = opened(write(tmp_path, make_run(tmp_path / "run", None, 1, change)))
    for section in ("failure", "selective"):
        assert f"Undefined: {reason}." in page.inner_text(f"#{section}")
