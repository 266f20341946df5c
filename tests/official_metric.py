"""The official VQA accuracy once more, written from its rules and not from the package."""

from functools import cache

MARKS = ';/[]"{}()=+\\_->' + "<@`,?!"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NUMBERS = {word: str(number) for number, word in enumerate(DIGITS)} | {"none": "0"}
CONTRACTIONS = {"dont": "don't", "isnt": "isn't", "oclock": "o'clock", "thats": "that's"}


@cache
def reference_normal_form(text):
    """The official rules once more, character by character."""
    in_number = any(
        text[i].isdigit() and text[i + 1] == "," and text[i + 2].isdigit() for i in range(len(text) - 2)
    )
    marked = ""
    for letter in text:
        if letter not in MARKS:
            marked += letter
        elif not (in_number or f"{letter} " in text or f" {letter}" in text):
            marked += " "
    plain, removed = "", 0
    for i, letter in enumerate(marked):
        if letter == "." and removed < 32 and not marked[i + 1 : i + 2].isdigit():
            removed += 1
        else:
            plain += letter
    words = []
    for word in plain.lower().split():
        word = NUMBERS.get(word, word)
        if word not in ("a", "an", "the"):
            words.append(CONTRACTIONS.get(word, word))
    return " ".join(words)


def reference_accuracy(answer, answers):
    answer, *answers = [text.replace("\n", " ").replace("\t", " ").strip() for text in (answer, *answers)]
    if any(one != answers[0] for one in answers):
        answer, *answers = [reference_normal_form(text) for text in (answer, *answers)]
    scores = []
    for k in range(len(answers)):
        others = answers[:k] + answers[k + 1 :]
        scores.append(min(1, sum(other == answer for other in others) / 3))
    return sum(scores) / len(scores)
