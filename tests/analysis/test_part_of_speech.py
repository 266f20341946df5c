"""Tags, groups of tags and the most important words by group, by hand and with both taggers."""

from itertools import product

import nltk
import numpy as np
import pytest
from scipy import stats

from lookwhy.analysis import part_of_speech as speech

TAGS = {"what": "WP", "which": "WDT", "color": "NN", "is": "VBZ"}
TAGS |= {"the": "DT", "red": "JJ", "cube": "NN", "?": "."}
BY_HAND = speech.Tagger("by hand", lambda words: [TAGS[word] for word in words])
QUESTIONS = [one.split() for one in ("what color is the cube ?", "is the cube red ?", "which cube")]
COUNTS = speech.count_tags(BY_HAND, QUESTIONS)


IMAGES = np.array([4, 4, 5])
VALUES = np.array([[0.1, 0, 0, 0, -0.9, 0], [0.2, 0, 0.1, 0.5, 9, 0], [0.3, 0.1, 9, 9, 9, 9]])
VALID = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]], bool)


def by_group(punctuation, groups=None):
    counted = speech.counted_words(VALID, QUESTIONS, punctuation)
    groups = groups or speech.frequent_groups(COUNTS, top=15, punctuation=punctuation)
    return speech.most_important_by_group(VALUES, counted, [*map(BY_HAND.tag, QUESTIONS)], groups, IMAGES)


def test_probabilities_are_hits_over_words_of_the_group_and_punctuation_is_no_word():
    found = by_group(punctuation=False)
    # Most important: cube (by magnitude), red, which. Nouns: color, cube; cube; cube.
    assert found["noun"] == pytest.approx(1 / 4)
    assert found["adjective"] == 1.0
    assert found["wh_word"] == pytest.approx(1 / 2)
    assert found["verb"] == found["determiner"] == 0.0
    assert (found["noun/n"], found["noun/images"]) == (4, 2)
    # Lengths without the question mark: 5, 4, 2.
    assert found["noun/expected"] == pytest.approx((1 / 5 + 1 / 5 + 1 / 4 + 1 / 2) / 4)
    assert not any(key.startswith("punctuation") for key in found)
    # No other question has 5, 4 or 2 words: by place, all places are equally likely.
    assert found["noun/expected_by_place"] == pytest.approx(found["noun/expected"])


def test_with_punctuation_a_question_mark_may_win_and_lowers_the_chance_of_the_words():
    found = by_group(punctuation=True)
    # Most important: cube, "?", which.
    assert (found["punctuation"], found["punctuation/n"], found["adjective"]) == (1 / 2, 2, 0.0)
    assert found["noun/expected"] == pytest.approx((1 / 6 + 1 / 6 + 1 / 5 + 1 / 2) / 4)


def test_what_counts_as_a_word():
    words = [["what", "'s", "3", "?", "''"], ["", ""]]  # a batch without texts has empty words
    valid = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)
    counted = speech.counted_words(valid, words, punctuation=False)
    assert counted.tolist() == [[True, True, True, False, False], [True, True, False, False, False]]
    assert speech.counted_words(valid, words, punctuation=True).tolist() == valid.tolist()
    # Questions without a word that counts are in no group.
    found = speech.most_important_by_group(np.ones((1, 1)), np.zeros((1, 1), bool), [["NN"]], {"noun": ["NN"]},
                                           np.array([1]))  # fmt: skip
    assert found == {"noun/n": 0}


def test_a_question_is_predicted_by_the_winning_places_of_its_length_about_other_images():
    # Image, length and winning place: three questions of three words, one of two.
    shares = speech.share_by_place([(1, 3, 0), (1, 3, 2), (2, 3, 1), (3, 2, 1)])
    assert [one.tolist() for one in shares[:3]] == [[0, 1, 0], [0, 1, 0], [0.5, 0, 0.5]]
    assert shares[3].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("first", ["wh_word", "noun"])
def test_by_place_explains_a_method_that_takes_the_first_word_and_not_one_that_reads_wh_words(first):
    # Half of the questions begin with their wh-word, the others with a noun.
    rng = np.random.default_rng(0)
    starts = rng.random(600) < 0.5
    tags = [["WP", "NN", "VB", "DT"] if start else ["NN", "WP", "VB", "DT"] for start in starts]
    place = np.zeros(600, int) if first == "noun" else np.array([one.index("WP") for one in tags])
    found = speech.most_important_by_group(
        np.eye(4)[place], np.ones((600, 4), bool), tags, {"wh_word": ["WP"]}, np.arange(600) // 3
    )
    # It takes the first word: place explains the share. It takes the wh-word: place explains half of it.
    expected = (starts.mean(), starts.mean()) if first == "noun" else (1.0, 0.5)
    assert (found["wh_word"], found["wh_word/expected_by_place"]) == pytest.approx(expected, abs=0.03)


def test_the_test_of_independent_questions_is_the_binomial_or_poisson_binomial_one():
    for hits in range(13):
        judge = stats.binom(12, 0.2)
        tails = judge.cdf(hits), judge.sf(hits - 1)
        assert speech.chance_p_value(hits, [[0.2]] * 12) == pytest.approx(min(1, 2 * min(tails)))
    chances = np.array([0.1, 0.5, 0.25, 0.4, 0.9])
    outcomes = np.array(list(product([0, 1], repeat=5)))
    weights = np.where(outcomes, chances, 1 - chances).prod(1)
    for hits in range(6):
        tails = [weights[outcomes.sum(1) <= hits].sum(), weights[outcomes.sum(1) >= hits].sum()]
        found = speech.chance_p_value(hits, [[one] for one in chances])
        assert found == pytest.approx(min(1, 2 * min(tails)))
    # Three questions of one image, two of another: one draw for each image, enumerated on a fine grid.
    draw = (np.arange(2000) + 0.5) / 2000
    one, two = ((draw[:, None] < np.array(own)).sum(1) for own in ([0.1, 0.5, 0.25], [0.4, 0.9]))
    total = (one[:, None] + two).ravel()
    for hits in range(6):
        tails = (total <= hits).mean(), (total >= hits).mean()
        found = speech.chance_p_value(hits, [[0.1, 0.5, 0.25], [0.4, 0.9]])
        assert found == pytest.approx(min(1, 2 * min(tails)), abs=1e-9)


REPEATS = 4000


def false_stars(questions, images, words, lengths, alike, rng):
    """Share of false stars where each word of a question is equally likely to be the most important one.

    `words` and `lengths` are those of each question; with the chance `alike`, a question has the draw of its
    image, as if all such questions asked the same.
    """
    image = np.arange(questions) % images
    own = rng.random((REPEATS, questions))
    draw = np.where(rng.random(own.shape) < alike, rng.random((REPEATS, images))[:, image], own)
    # Words of the group come first, so that questions with one draw agree.
    hits = (np.floor(draw * lengths) < words).sum(1)
    chances = [(words / lengths)[image == one].tolist() for one in np.unique(image)]
    p_values = {many: speech.chance_p_value(many, chances) for many in np.unique(hits).tolist()}
    return np.mean([p_values[many] <= speech.LEVEL for many in hits.tolist()])


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 20, 50, 200])
def test_at_chance_no_more_than_six_percent_of_the_stars_are_false(n, alike):
    rng = np.random.default_rng(n)
    for images in {n, -(-n // 3), -(-n // 15)}:
        # Alike lengths; very different ones; several words of the group in a question.
        assert false_stars(n, images, np.ones(n), np.full(n, 8.0), alike, rng) <= 0.06
        lengths = rng.integers(2, 26, n).astype(float)
        assert false_stars(n, images, np.ones(n), lengths, alike, rng) <= 0.06
        assert (
            false_stars(n, images, np.minimum(rng.integers(1, 5, n), lengths - 1), lengths, alike, rng)
            <= 0.06
        )


def test_a_true_difference_is_found():
    # Wh-words win 45% of 120 questions of eight words, three an image, independent of each other.
    rng = np.random.default_rng(1)
    found = [speech.chance_p_value(int(one), [[1 / 8] * 3] * 40) for one in rng.binomial(120, 0.45, 200)]
    assert np.mean(np.array(found) <= speech.LEVEL) > 0.99


def test_groups_are_ordered_by_frequency_and_hold_only_frequent_tags():
    assert list(speech.frequent_groups(COUNTS, top=15))[0] == "noun"
    assert sum(len(tags) for tags in speech.frequent_groups(COUNTS, top=3).values()) == 3
    assert {speech.group_of(tag) for tag in ("WDT", "WP", "WP$", "WRB")} == {"wh_word"}
    assert speech.group_of("FW") == "other"
    assert "punctuation" not in speech.frequent_groups(COUNTS, top=15)
    assert "punctuation" in speech.frequent_groups(COUNTS, top=15, punctuation=True)
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
