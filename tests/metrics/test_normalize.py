import pytest

from lookwhy.metrics import normalize_answer

CASES = {
    "number words become digits and articles go": {
        "Two": "2", "none": "0", "ten": "10", "eleven": "eleven", "one hundred": "1 hundred",
        "The red Cube": "red cube", "an": "", "banana": "banana",
    },
    # Words are lower-cased first, so the table's "Im" and "Id've" are never met.
    "contractions get their apostrophe as in the official table": {
        "dont": "don't", "Dont know": "don't know", "somebody'd": "somebodyd", "ow's'at": "'ow's'at",
        "Im": "im", "Id've": "id've",
    },
    # One hyphen touches a space, or digits, comma, digits stand anywhere: so every mark of the answer is deleted.
    "punctuation is deleted beside a space or in a number, else becomes a space": {
        "yes/no": "yes no", "half-eaten": "half eaten", "half-eaten - yes": "halfeaten yes",
        "red,white": "red white", "red, white": "red white", "red-white, blue": "red white blue",
        "1,000": "1000", "1,000 half-eaten": "1000 halfeaten", "(yes)": "yes", "10:30": "10:30", "'yes'": "'yes'",
    },
    "a period goes unless a digit follows, and at most 32 do": {
        "u.s.": "us", "2.5": "2.5", ".5": ".5", "no.5": "no.5", "5.": "5", "mr. t": "mr t", "x" + "." * 33: "x.",
    },
    "newlines and tabs are spaces and the ends are trimmed": {"\twhat\nis \n": "what is"},
}  # fmt: skip


@pytest.mark.parametrize("rule", CASES)
def test_answers_are_normalised_as_in_the_official_evaluation(rule):
    assert {text: normalize_answer(text) for text in CASES[rule]} == CASES[rule]
