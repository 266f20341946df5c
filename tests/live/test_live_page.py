"""The live page in a real browser: answers, changes and themes."""

import json
import re
from functools import partial

import numpy as np
import pytest
from live_process import PHOTO, QUESTION, LiveProcess, Proxy, encoded
from PIL import Image
from web_pages import NAMELESS, coloured, opened_pages

from lookwhy.api import load
from lookwhy.cli.analyze import main
from lookwhy.reporting.stored_card import lights


@pytest.fixture
def opened(browser, served):
    with opened_pages(browser, served.url) as open_page:
        yield partial(open_page, served.url)


def ask(page, picture, question=QUESTION):
    page.set_input_files("#file", picture)
    page.wait_for_selector("#chosen:not([hidden])")
    page.fill("#question", question)
    page.click("#go")
    page.wait_for_selector("#result:not([hidden])[aria-busy=false]")
    return page


@pytest.fixture
def answered(opened, picture):
    """The page with an answer about the picture."""
    return ask(opened(), picture)


def bars(page):
    """Answers and the text beside their bars."""
    rows = page.locator("#bars li").all()
    return [(row.locator(".name").inner_text(), row.locator(".value").inner_text()) for row in rows]


def changed(page):
    """The first answer's probability in percent, before and after, once there is an after."""
    page.wait_for_selector("#bars li:first-child .value:has-text('→')")
    page.wait_for_selector("#result[aria-busy=false]")
    before, after = bars(page)[0][1].replace("%", "").split(" → ")
    return float(before), float(after)


def click_cell(page, row, column, panel="Image"):
    canvas = page.locator(f'canvas[data-panel="{panel}"]')
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * (column + 0.5) / 16, "y": box["height"] * (row + 0.5) / 16})


@pytest.fixture(scope="module")
def numbers(tiny_checkpoint, picture, tmp_path_factory):
    """The output of `explain` for the same image and question, with the maps by method."""
    out = tmp_path_factory.mktemp("numbers") / "why.json"
    arguments = ["--image", str(picture), "--question", QUESTION, "--out", str(out)]
    assert main(["explain", str(tiny_checkpoint), *arguments]) == 0
    found = json.loads(out.read_text())
    occlusion = next(one for one in found["image_maps"] if one["method"] == "occlusion")
    drop = next(one for one in found["word_importances"] if one["method"] == "word_drop")
    return found["answers"], np.array(occlusion["values"]), drop["words"]


def test_answers_and_maps_are_those_of_the_explain_command(answered, numbers):
    answers, occlusion, drop = numbers
    assert bars(answered) == [(one["answer"], f"{100 * one['probability']:.1f}%") for one in answers]
    names = answered.locator("#panels canvas").evaluate_all("all => all.map((one) => one.dataset.panel)")
    assert names == ["Image", "Guided backpropagation", "Occlusion"]
    assert f"largest value {np.abs(occlusion).max():#.2g}" in answered.locator("#panels").inner_text()
    words = answered.locator('ul[aria-label="Word drop"] button').all_inner_texts()
    assert words == [one["word"] for one in drop]


def test_a_region_painted_over_changes_the_answer_as_occlusion_says_and_comes_back(answered, numbers):
    occlusion = numbers[1]
    row, column = np.unravel_index(np.abs(occlusion).argmax(), occlusion.shape)
    untouched = bars(answered)
    click_cell(answered, row, column)
    before, after = changed(answered)
    assert before != after
    assert before - after == pytest.approx(100 * occlusion[row, column], abs=0.11)
    assert "1 region painted over" in answered.inner_text("#said")
    middle = f"(c) => [...c.getContext('2d').getImageData({column + 0.5} * c.width / 16, {row + 0.5} * c.height / 16, 1, 1).data]"
    for panel in ("Image", "Occlusion"):
        assert answered.eval_on_selector(f'canvas[data-panel="{panel}"]', middle) == [124, 117, 104, 255]
    click_cell(answered, row, column, "Occlusion")
    answered.wait_for_selector("#bars:not(:has-text('→'))")
    assert bars(answered) == untouched


def test_a_word_dropped_changes_the_answer_by_what_word_drop_says(answered, numbers):
    drop = numbers[2]
    place = max(range(len(drop)), key=lambda at: abs(drop[at]["importance"]))
    answered.locator(f'ul[aria-label="Gradient"] [data-word="{place}"]').click()
    before, after = changed(answered)
    assert before - after == pytest.approx(100 * drop[place]["importance"], abs=0.11)
    assert f"without “{drop[place]['word']}”" in answered.inner_text("#said")
    pressed = answered.locator('[data-word][aria-pressed="true"]')
    assert pressed.all_inner_texts() == [drop[place]["word"]] * 2
    answered.click("#reset")
    answered.wait_for_selector("#bars:not(:has-text('→'))")
    assert pressed.count() == 0
    assert answered.locator("#reset").is_disabled()


def test_without_any_word_the_last_state_stays(opened, picture):
    # The browser itself writes a line about a refused request.
    page = ask(opened(quiet=False), picture, "red ball")
    words = page.locator('ul[aria-label="Word drop"] button')
    words.nth(0).click()
    state = changed(page)
    words.nth(1).click()
    page.wait_for_selector("#trouble:not(:empty)")
    assert "Expected a word left to ask" in page.inner_text("#trouble")
    assert changed(page) == state
    assert words.nth(1).get_attribute("aria-pressed") == "false"


def test_cells_and_words_are_reached_with_the_keyboard_and_by_numbers(answered):
    answered.locator(".stage").first.focus()
    for key in ["ArrowDown", "ArrowDown", "ArrowRight", "End", "ArrowLeft"]:
        answered.keyboard.press(key)
    assert answered.inner_text("#cell").startswith("Row 3, column 15: Guided backpropagation ")
    answered.keyboard.press("Enter")
    first = changed(answered)
    answered.fill("#row", "7")
    answered.fill("#column", "5")
    answered.click("#paint")
    answered.wait_for_selector("#said:has-text('2 regions')")
    assert "Row 7, column 5" in answered.inner_text("#cell")
    assert answered.inner_text("#paint") == "Take back"
    assert changed(answered)[0] == first[0]
    answered.locator('ul[aria-label="Word drop"] button').nth(2).press("Space")
    answered.wait_for_selector("#said:has-text('without')")


def test_an_example_is_one_click(opened, served, tiny_world):
    page = opened()
    asked = page.locator("#examples button").first.inner_text()
    official = json.loads((tiny_world / "questions_val.json").read_text())["questions"]
    assert asked in {one["question"] for one in official}
    page.locator("#examples button").first.click()
    page.wait_for_selector("#result:not([hidden])[aria-busy=false]")
    assert page.inner_text("#asked") == asked
    assert len(bars(page)) == 5


def test_two_tabs_know_nothing_of_each_other(opened, pictures):
    first, second, *_ = pictures
    one, other = ask(opened(), first), ask(opened(), second, "How many things are there?")
    alone = bars(other)
    one.locator('ul[aria-label="Word drop"] button').nth(1).click()
    changed(one)
    assert bars(other) == alone
    assert one.inner_text("#asked") == QUESTION
    click_cell(other, 3, 3)
    changed(other)
    assert "without" not in other.inner_text("#said")


def test_an_image_no_longer_held_is_sent_again_and_a_lost_server_changes_nothing(opened, served, picture):
    page = ask(opened(quiet=False), picture)
    for number in range(16):
        assert served.ask("POST", "/image", encoded(Image.new("RGB", (4, 4), (number, 0, 0))))[0] == 200
    click_cell(page, 8, 8)
    changed(page)
    before = bars(page)
    page.context.set_offline(True)
    click_cell(page, 3, 3)
    page.wait_for_selector("#trouble:has-text('The server does not answer')")
    assert bars(page) == before


def test_every_control_has_a_name_and_opacity_changes_the_maps_and_not_the_image(answered):
    assert answered.locator("button, input, [tabindex]").evaluate_all(NAMELESS) == []
    shot = "() => [...document.querySelectorAll('#panels canvas')].map((one) => one.toDataURL())"
    image, *maps = answered.evaluate(shot)
    answered.locator("#opacity").fill("20")
    assert answered.inner_text("#strength") == "20%"
    image_after, *maps_after = answered.evaluate(shot)
    assert image_after == image
    assert all(one != other for one, other in zip(maps, maps_after, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling_in_either_theme(opened, picture, scheme):
    question = f"<img src=x onerror=alert(1)> what color is the unmistakably{'y' * 60} striped ball ?"
    page = ask(opened(width=390, height=844, color_scheme=scheme), picture, question)
    # Markup in a question is shown as text.
    assert page.inner_text("#asked") == question
    assert page.locator("#result img").count() == 0
    page.locator('ul[aria-label="Word drop"] button').nth(1).click()
    changed(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 600) == (scheme == "light")


def test_in_high_contrast_bars_words_and_scales_keep_their_colours(opened, picture):
    page = ask(opened(forced_colors="active", color_scheme="dark"), picture)
    parts = {"#bars .bar": 0.3, ".words .top button": 0.3, ".scale i": 0.4}
    assert {one: coloured(page.locator(one).first) > least for one, least in parts.items()} == dict.fromkeys(
        parts, True
    )
    click_cell(page, 8, 8)
    changed(page)
    assert page.locator("#panels .stage .at").first.is_visible()


def test_bad_files_leave_the_page_as_it_was_and_it_hears_why(opened, served, picture, tmp_path):
    page = ask(opened(quiet=False), picture)
    before = bars(page)
    files = {"text.png": b"text", "empty.jpg": b"", "half.jpg": encoded(PHOTO, "JPEG")[:900]}
    for name, content in (files | {"large.png": b"1" * (11 * 2**20)}).items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        page.wait_for_selector("#error:not(:empty)")
        assert page.inner_text("#error").startswith("Expected "), name
        assert bars(page) == before
        page.locator('ul[aria-label="Word drop"] button').nth(1).click()
        changed(page)
        page.click("#reset")
    assert page.inner_text("#error") == ""
    # A browser that sends too much hears why.
    send = """(bytes) => fetch("image", {method: "POST", body: new Blob([new Uint8Array(bytes)])})
        .then(async (reply) => [reply.status, (await reply.json()).error])"""
    status, error = page.evaluate(send, 40 * 2**20)
    assert (status, error) == (413, "expected an image of at most 10 MB, found more; choose a smaller file")


def test_the_lights_of_a_stored_sanity_card_stand_beside_the_maps(
    browser, carded_checkpoint, picture, tmp_path
):
    card = load(carded_checkpoint, "cpu").card
    with Proxy() as proxy:
        live = LiveProcess([carded_checkpoint], proxy, tmp_path)
        try:
            with opened_pages(browser, live.url) as open_page:
                page = ask(open_page(live.url), picture)
                shown = {
                    one.locator("..").inner_text().partition("\n")[0]: one.get_attribute("title")
                    for one in page.locator("#result .light").all()
                }
                notes = page.locator("header .note, main > .note").all_inner_texts()
        finally:
            live.process.kill()
            live.process.communicate()
    assert len(shown) == len(lights(card)) == 4
    occlusion = lights(card)["image/occlusion"]
    assert shown[f"{occlusion.sign} Occlusion"] == occlusion.words
    assert any(note.startswith(f"Occlusion {occlusion.words}: with a random one") for note in notes), notes


def test_without_a_stored_card_no_light_is_shown(answered):
    assert answered.locator(".light").count() == 0
