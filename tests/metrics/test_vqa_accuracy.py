import gzip
import json
import math
import random
import warnings

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from lookwhy.metrics import VQAAccuracy, vqa_accuracy

MARKS = ';/[]"{}()=+\\_->' + "<@`,?!"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NUMBERS = {word: str(number) for number, word in enumerate(DIGITS)} | {"none": "0"}
CONTRACTIONS = {"dont": "don't", "isnt": "isn't", "oclock": "o'clock", "thats": "that's"}


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


@pytest.mark.parametrize(
    ("matches", "expected"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)]
)
def test_accuracy_is_the_mean_over_annotators_of_a_third_of_the_others_that_agree(matches, expected):
    # By hand for 3 matches: the 3 who agree see 2 others (2/3), the 7 see 3 (1): (3 * 2/3 + 7) / 10.
    answers = ["yes"] * matches + [f"other {i}" for i in range(10 - matches)]
    assert vqa_accuracy("yes", answers) == pytest.approx(expected, abs=1e-12)


def test_answers_are_normalised_only_if_the_annotators_differ():
    assert vqa_accuracy("dog", ["The dog."] * 10) == 0
    assert vqa_accuracy("The dog.", ["The dog."] * 10) == 1
    assert vqa_accuracy("dog", ["The dog."] * 9 + ["a Dog"]) == 1
    assert vqa_accuracy("The dog", ["dog"] * 10) == 0


def test_white_space_is_cleaned_before_the_annotators_are_compared():
    assert vqa_accuracy(" The dog\n", ["The dog", "The\tdog", *["The dog "] * 8]) == 1
    assert vqa_accuracy("dog", ["The dog", "The\tdog", *["The dog "] * 8]) == 0


def test_no_annotators_are_refused():
    with pytest.raises(ValueError, match="annotators' answers, found none"):
        vqa_accuracy("yes", [])


def test_agrees_with_a_second_implementation_on_random_answers_full_of_quirks():
    draw = random.Random(3)
    parts = [
        "yes",
        "Two",
        "none",
        "a",
        "the",
        "dont",
        "oclock",
        "1,000",
        "2.5",
        ".",
        ",",
        "-",
        "/",
        " ",
        " ",
        "\t",
        "x",
    ]
    nonzero = 0
    for _ in range(3000):
        some = ["".join(draw.choices(parts, k=draw.randint(1, 4))) for _ in range(3)]
        answers = draw.choices(some, k=10)
        answer = draw.choice(some)
        expected = reference_accuracy(answer, answers)
        assert vqa_accuracy(answer, answers) == expected, (answer, answers)
        nonzero += 0 < expected < 1
    assert nonzero > 300


def test_agrees_with_a_second_implementation_on_real_annotations(shared_data):
    content = json.loads(gzip.decompress((shared_data / "vqa2-questions/annotations.json.gz").read_bytes()))
    scores = []
    for annotation in content["annotations"][::4]:
        answers = [one["answer"] for one in annotation["answers"]]
        for answer in {annotation["multiple_choice_answer"], answers[0]}:
            scores.append(vqa_accuracy(answer, answers))
            assert scores[-1] == pytest.approx(reference_accuracy(answer, answers), abs=1e-12)
    assert len(set(scores)) > 4


def test_means_overall_and_by_type_over_several_batches():
    metric = VQAAccuracy()
    metric.update(
        ["yes", "2"], [["yes"] * 10, ["2", "2", *"abcdefgh"]], ["yes/no", "number"], ["is it", "how many"]
    )
    metric.update(["no"], [["yes"] * 10], ["yes/no"], ["is it"])
    found = {key: float(value) for key, value in metric.compute().items()}
    assert found == pytest.approx(
        {
            "overall": 1.6 / 3,
            "answer_type/yes/no": 0.5,
            "answer_type/number": 0.6,
            "question_type/is it": 0.5,
            "question_type/how many": 0.6,
        }
    )


def test_without_types_only_the_overall_accuracy_is_given():
    metric = VQAAccuracy()
    metric.update(["yes"], [["yes"] * 10])
    assert set(metric.compute()) == {"overall"}


def test_a_reset_forgets_and_an_empty_metric_is_undefined():
    metric = VQAAccuracy()
    metric.update(["yes"], [["yes"] * 10], ["yes/no"], ["is it"])
    metric.reset()
    with pytest.warns(UserWarning, match="before the ``update``"):
        found = metric.compute()
    assert set(found) == {"overall"}
    assert math.isnan(found["overall"])


def test_names_of_any_language_and_length_are_kept_apart():
    metric = VQAAccuracy()
    metric.update(["yes"] * 2, [["yes"] * 10, ["no"] * 10], ["größe", "é" * 50], None)
    found = metric.compute()
    assert found["answer_type/größe"] == 1
    assert found["answer_type/" + "é" * 32] == 0


def test_lists_of_unlike_length_are_refused():
    with pytest.raises(ValueError, match="expected the type of each of 2 questions, found 1"):
        VQAAccuracy().update(["yes"] * 2, [["yes"] * 10] * 2, ["yes/no"])
    with pytest.raises(ValueError, match="shorter"):
        VQAAccuracy().update(["yes"] * 2, [["yes"] * 10])


def score_a_share(rank, world_size, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size
    )
    metric = VQAAccuracy()
    if rank == 0:
        metric.update(["yes"] * 3, [["yes"] * 10] * 3, ["yes/no"] * 3, ["is it"] * 3)
    if rank == 1:
        metric.update(["no"], [["yes"] * 10], ["yes/no"], ["does it"])
        metric.update(["2"], [["2"] * 10], ["number"], ["how many"])
    # The last process sees no question at all, as in an uneven last share.
    warnings.filterwarnings("ignore", ".*before the ``update``", UserWarning)
    found = {key: float(value) for key, value in metric.compute().items()}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_every_process_gets_the_figures_of_all_questions_also_one_that_saw_none(tmp_path):
    torch.multiprocessing.start_processes(score_a_share, (3, tmp_path), nprocs=3, start_method="fork")
    expected = {
        "overall": 4 / 5,
        "answer_type/yes/no": 3 / 4,
        "answer_type/number": 1.0,
        "question_type/is it": 1.0,
        "question_type/does it": 0.0,
        "question_type/how many": 1.0,
    }
    for rank in range(3):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(expected)
