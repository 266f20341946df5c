"""Characters of any script in figures: drawn with a font that has them, else marks that can be read, no boxes."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from made_results import make_result, save_pictures
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from PIL import Image

from lookwhy.reporting.figures import catalogue, glyphs, sheet
from lookwhy.reporting.figures.chart import save_figure

TEXTS = {
    "猫は マットの上に何をしていますか?": "U+732B U+306F U+30DE U+30C3 U+30C8 U+306E",
    "고양이 무엇을 합니까 ?": "U+ACE0 U+C591 U+C774 U+BB34",
    "what does the 🐈\u200d⬛ do with the 👍🏽🦄 ?": "the [cat][black large square] do with the [thumbs up sign][unicorn face] ?",
    "ما هو لون الكرة الحمراء ؟": "ما هو لون الكرة الحمراء ؟",
}
"""A question, and what a machine with matplotlib's own fonts alone shows of it."""


@pytest.fixture
def own_fonts(monkeypatch):
    """No font but those that come with matplotlib, whatever this machine has."""
    own = [font for font in fontManager.ttflist if font.fname.startswith(matplotlib.get_data_path())]
    monkeypatch.setattr(fontManager, "ttflist", own)
    yield from forgotten()


def forgotten():
    caches = (glyphs._family, glyphs._files, sheet.text_width, fontManager._findfont_cached)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def font_of_cats(own_fonts, tmp_path):
    """A font that draws U+732B as a black square."""
    pen = TTGlyphPen(None)
    for number, place in enumerate([(100, 0), (100, 800), (900, 800), (900, 0)]):
        pen.lineTo(place) if number else pen.moveTo(place)
    pen.closePath()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "cat"])
    builder.setupCharacterMap({ord("猫"): "cat"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "cat": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "cat": (1000, 100)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Cats Sans", "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(tmp_path / "cats.ttf")
    fontManager.addfont(tmp_path / "cats.ttf")
    yield from forgotten()


def of_all_scripts(result):
    """Questions, answers, types and names in many scripts."""
    result.manifest |= {"annotators": "标注者", "data_note": "注: データ 🦄."}
    texts = [*TEXTS]
    for record in result.records:
        text = texts[record["question_id"] % len(texts)]
        record |= dict.fromkeys(("question", "question_type", "predicted", "ground_truth"), text)
        record["words"] = text.split()
    result.summary |= {f"accuracy/question_type/{text}": 0.5 for text in texts}
    return result


@pytest.mark.parametrize("text", TEXTS)
def test_a_character_without_a_font_is_its_name_or_its_code_point(own_fonts, text):
    assert TEXTS[text] in glyphs.readable(text)
    assert glyphs.readable(glyphs.readable(text)) == glyphs.readable(text)


def test_no_figure_has_a_character_that_its_fonts_lack(own_fonts, tmp_path):
    result = of_all_scripts(make_result(folder=save_pictures(tmp_path / "images")))
    strips, _ = catalogue.examples(result, result.manifest["examples"])
    agreement = catalogue.comparisons({"走る 🦄": {2: result}, "second": {2: result}})
    for drawing in (*strips, *catalogue.charts(result), *agreement):
        figure = drawing.make()
        for ending in ("png", "pdf"):  # a missing glyph is a warning, which is an error here
            save_figure(figure, tmp_path / f"{drawing.name}.{ending}")
        texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
        assert [text for text in texts if "\n" not in text and glyphs.readable(text) != text] == []
        assert any("U+" in text or "الكرة" in text for text in texts) or drawing.name.startswith("failure")


def test_an_installed_font_draws_what_the_usual_one_lacks_and_the_rest_stays(font_of_cats, tmp_path):
    assert glyphs.readable("a 猫 at 図") == "a 猫 at U+56F3"
    assert glyphs.families("a 猫")[1:] == ["Cats Sans"]
    page = sheet.Sheet(4.0)
    page.text("猫猫", 20.0)
    with Image.open(save_figure(page.figure(), tmp_path / "cats.png")) as drawn:
        dark = np.asarray(drawn.convert("L")) < 80
    assert dark.sum() == pytest.approx(2 * (0.8 * 20 * sheet.DPI / 72) ** 2, rel=0.1), "two filled squares"


def test_sentences_without_spaces_are_wrapped_between_characters_not_cut(font_of_cats):
    lines = sheet.wrap("猫" * 60 + " ok", 10.0, 2.0)
    assert "".join(lines) == "猫" * 60 + " ok"
    assert len(lines) > 3
    assert max(sheet.text_width(line, 10.0) for line in lines) <= 2.0
