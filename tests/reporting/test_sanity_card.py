"""The sanity card in the terminal and on the page: its numbers, lights and lines of words."""

import pytest
from made_results import make_run, save_pictures
from terminal.test_tables import printed

from lookwhy.reporting import sanity
from lookwhy.reporting.page.html import write_report

VALUES = {"guided_backprop": 0.83, "occlusion": 0.52, "attention": 0.2}


def add_card(result):
    for method, value in VALUES.items():
        for part in ("classifier", "head", "both", "two_random"):
            key = f"image/{method}/sanity/{part}/spearman_magnitude"
            ends = {f"{key}/ci_low": value - 0.02, f"{key}/ci_high": value + 0.02, f"{key}/n": 5.0}
            result.summary |= {key: value - 0.1 * (part == "two_random")} | ends
            signed = result.summary[key] if method == "guided_backprop" else value - 0.5
            result.summary[key.replace("spearman_magnitude", "spearman")] = signed
        result.summary[f"image/{method}/sanity/head/rank_correlation"] = 0.14
        result.summary[f"image/{method}/sanity/trained/rank_correlation"] = 0.25
        result.summary[f"image/{method}/sanity/emprt"] = 0.09
    result.manifest["plan"] = {"sanity": {"draws": 5, "questions": 30}}


def test_the_light_depends_on_the_similarity_with_a_random_head(result):
    add_card(result)
    lights = {name: sanity.light(result, name).words for name in sanity.methods(result)}
    assert lights == {
        "image/attention": "changes with the trained head",
        "image/guided_backprop": "barely notices the trained head",
        "image/occlusion": "notices the trained head in part",
    }
    key = "image/attention/sanity/head/spearman_magnitude"
    for value, expected in ((0.399, "clearly"), (0.4, "partly"), (0.699, "partly"), (0.7, "barely")):
        result.summary[key] = value
        assert sanity.light(result, "image/attention") == sanity.LIGHTS[expected]
    del result.summary[key]
    assert sanity.light(result, "image/attention") is None
    assert sanity.line(result, "image/attention") == ""


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_shows_each_number_with_its_interval_and_a_line_for_each_method(result, width):
    add_card(result)
    text = printed(result, width)
    card = text[text.index(sanity.TITLE) : text.index("Which words count")]
    lines = [line.split() for line in card.splitlines()]
    assert ["●", "Guided", "magnitudes", "0.83", "0.83", "0.83", "0.73"] in lines
    assert ["backpropagation", ".81–.85", ".81–.85", ".81–.85", ".81–.85"] in lines
    assert ["signed", "values", "0.02", "0.02", "0.02", "0.02"] in lines  # of occlusion alone
    assert sum(line[:2] == ["signed", "values"] and len(line) == 6 for line in lines) == 2
    said = " ".join(card.split())
    assert "(trained: 0.25)" in said
    assert (
        "Guided backpropagation barely notices the trained head: with a random one its maps correlate 0.83 "
        "[0.81, 0.85] with its own; two random models: 0.73; eMPRT +0.09." in said
    )
    assert "those of 5 random models each, for 30 questions" in said
    assert max(map(len, card.splitlines())) <= width


def test_without_a_card_there_is_no_table(result):
    assert sanity.TITLE not in printed(result, 100)


def test_the_page_shows_the_card_and_a_light_beside_every_map(browser, tmp_path):
    run = make_run(tmp_path / "run", save_pictures(tmp_path / "images"), 2, add_card)
    plain = make_run(tmp_path / "plain", tmp_path / "images", 1)
    page = browser.new_page()
    page.goto(write_report([run, plain], tmp_path / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.locator('nav a[href="#sanity"]').count() == 1
    card = page.locator("#sanity")
    assert card.locator("h3").all_inner_texts() == ["run, epoch 1"]
    heads = card.locator("tbody th").all_inner_texts()
    assert [one.strip() for one in heads if one.strip()] == [
        "○ The model's attention",
        "● Guided backpropagation",
        "◐ Occlusion",
    ]
    shown = page.locator("figure", has_text="Guided backpropagation")
    assert shown.nth(0).locator(".light").get_attribute("title") == "barely notices the trained head"
    assert shown.nth(1).locator(".light").count() == 0  # the run without a card
    page.close()
