import pytest

from lookwhy.data.tokens import Vocabulary, tokenize


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("What color is the ball?", ["what", "color", "is", "the", "ball", "?"]),
        ("Isn't this a man's hat?", ["is", "n't", "this", "a", "man", "'s", "hat", "?"]),
        ("Is it red, or blue?", ["is", "it", "red", ",", "or", "blue", "?"]),
        ("Is this a U.S. flag", ["is", "this", "a", "u.s.", "flag"]),
        ("", []),
    ],
)
def test_words_and_marks_of_the_penn_treebank_in_lower_case(question, words):
    assert tokenize(question) == words


def test_words_are_numbered_from_one_by_falling_count_and_unk_is_the_last_and_stands_for_rare_ones():
    questions = [["is", "it", "red"], ["is", "it", "big"], ["is"]]
    # "big" and "red" are seen once each: in alphabetical order.
    expected = {"1": "is", "2": "it", "3": "big", "4": "red", "5": "UNK"}
    assert Vocabulary.from_questions(questions).ix_to_word() == expected
    assert len(Vocabulary(expected)) == 5
    rare = Vocabulary.from_questions(questions, threshold=2)
    assert rare.ix_to_word() == {"1": "is", "2": "UNK"}
    assert rare.encode(["is", "it", "red"]) == [1, 2, 2]


def test_unseen_words_get_the_last_id_and_padding_is_not_decoded():
    vocabulary = Vocabulary({"1": "the", "2": "what", "3": "UNK"})
    assert vocabulary.ix_to_word() == {"1": "the", "2": "what", "3": "UNK"}
    assert vocabulary.encode(["what", "colour"]) == [2, 3]
    assert vocabulary.decode([2, 3, 0, 0]) == ["what", "UNK"]
