"""Tags, groups of tags and the most important words by group, by hand and with both taggers."""

import nltk
import numpy as np
import pytest
from known_models import make_maps

from lookwhy.analysis import part_of_speech as speech

TAGS = {"what": "WP", "which": "WDT", "color": "NN", "is": "VBZ"}
TAGS |= {"the": "DT", "red": "JJ", "cube": "NN", "?": "."}
BY_HAND = speech.Tagger("by hand", lambda words: [TAGS[word] for word in words])
QUESTIONS = [one.split() for one in ("what color is the cube ?", "is the cube red ?", "which cube")]
COUNTS = speech.count_tags(BY_HAND, QUESTIONS)


def test_probabilities_are_hits_over_words_of_the_group():
    values = [[0.1, 0, 0, 0, -0.9, 0], [0.2, 0, 0.1, 0.5, 0, 9], [0.3, 0.1, 9, 9, 9, 9]]
    maps = make_maps(values, "question", [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]])
    tags, groups = map(BY_HAND.tag, QUESTIONS), speech.frequent_groups(COUNTS, top=15)
    found = speech.most_important_by_group(maps, list(tags), groups, np.array([4, 4, 5]), samples=500, seed=0)
    # Most important: cube (by magnitude), red, which. Nouns: color, cube; cube; cube.
    assert found["noun"] == pytest.approx(1 / 4)
    assert found["adjective"] == 1.0
    assert found["wh_word"] == pytest.approx(1 / 2)
    assert found["verb"] == found["determiner"] == 0.0
    assert found["noun/n"] == 4
    # Nouns: one hit of three words on image 4, none of one word on image 5; drawn twice with replacement.
    assert (found["noun/ci_low"], found["noun/ci_high"]) == pytest.approx((0.0, 1 / 3))
    assert found["noun/expected"] == pytest.approx((1 / 6 + 1 / 6 + 1 / 5 + 1 / 2) / 4)
    # Questions without a defined word count in no group.
    maps = make_maps([[0.0, 0.0]], "question", [[0, 0]])
    found = speech.most_important_by_group(maps, [["WP", "NN"]], {"noun": ["NN"]}, np.array([1]), 10, 0)
    assert found == {"noun/n": 0}


def test_groups_are_ordered_by_frequency_and_hold_only_frequent_tags():
    assert list(speech.frequent_groups(COUNTS, top=15))[0] == "noun"
    assert sum(len(tags) for tags in speech.frequent_groups(COUNTS, top=3).values()) == 3
    assert {speech.group_of(tag) for tag in ("WDT", "WP", "WP$", "WRB")} == {"wh_word"}
    assert speech.group_of("FW") == "other"
    assert len(speech.GROUP_OF) == sum(map(len, speech.GROUPS.values()))  # each tag is in one group


def test_without_nltks_data_the_bundled_tagger_runs_under_its_name_and_gives_each_word_a_tag(monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(nltk, "download", lambda *more, **options: False)
    tagger = speech.find_tagger()
    assert "TextBlob" in tagger.name
    assert tagger.tag(QUESTIONS[0])[0] == "WP"
    for words in (["is", "it", "a", "cat/dog", "?"], ["what", "'s", "that", "?"], ["..."]):
        assert len(tagger.tag(words)) == len(words)


@pytest.mark.parametrize("kind", ["a cut archive", "a part of the folder"])
def test_damaged_data_of_nltk_is_told_and_the_bundled_tagger_runs(kind, tmp_path, monkeypatch):
    place = tmp_path / "taggers" / "averaged_perceptron_tagger_eng"
    if kind == "a cut archive":
        place.parent.mkdir()
        place.with_suffix(".zip").write_bytes(b"PK\x03\x04 half of")
    else:
        place.mkdir(parents=True)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    nltk.tag._get_tagger.cache_clear()  # NLTK keeps a tagger that another test made
    with pytest.warns(UserWarning, match=r"found a damaged one \(.*\); TextBlob's tagger runs"):
        assert "TextBlob" in speech.find_tagger().name


def test_nltks_tagger_runs_if_its_data_is_found(shared_data, monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [str(shared_data / "nltk_data")])
    tagger = speech.find_tagger()
    assert all(part in tagger.name for part in ("NLTK", "averaged_perceptron_tagger_eng"))
    assert tagger.tag(QUESTIONS[0]) == ["WP", "NN", "VBZ", "DT", "NN", "."]
