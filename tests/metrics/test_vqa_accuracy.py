import gzip
import inspect
import json
import math
import random
import subprocess
import sys
from collections import defaultdict

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from official_metric import reference_accuracy

from lookwhy.metrics import VQAAccuracy, vqa_accuracy

# The suite checks the types of every call, which takes longer than the arithmetic.
UNTYPED = inspect.unwrap(vqa_accuracy)


@pytest.mark.parametrize(
    ("answer", "answers", "expected"),
    [
        # The mean over annotators of a third of the others that agree. By hand for 3 matches: the 3 who agree see
        # 2 others (2/3), the 7 see 3 (1): (3 * 2/3 + 7) / 10.
        *(
            ("yes", ["yes"] * matches + [f"other {i}" for i in range(10 - matches)], expected)
            for matches, expected in enumerate([0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1])
        ),
        # Answers are normalised only if the annotators differ.
        ("dog", ["The dog."] * 10, 0),
        ("The dog.", ["The dog."] * 10, 1),
        ("dog", ["The dog."] * 9 + ["a Dog"], 1),
        ("The dog", ["dog"] * 10, 0),
        # White space is cleaned before the annotators are compared.
        (" The dog\n", ["The dog", "The\tdog", *["The dog "] * 8], 1),
        ("dog", ["The dog", "The\tdog", *["The dog "] * 8], 0),
    ],
)
def test_accuracy_of_one_answer_follows_the_official_rules(answer, answers, expected):
    assert vqa_accuracy(answer, answers) == pytest.approx(expected, abs=1e-12)


def test_accuracy_agrees_with_a_second_implementation_on_random_answers_full_of_quirks():
    draw = random.Random(3)
    parts = [
        "yes", "Two", "none", "a", "the", "dont", "oclock", "1,000", "2.5", ".", ",", "-", "/", " ", " ", "\t", "x",
    ]  # fmt: skip
    partial = 0
    for _ in range(3000):
        some = ["".join(draw.choices(parts, k=draw.randint(1, 4))) for _ in range(3)]
        answer, answers = draw.choice(some), draw.choices(some, k=10)
        expected = reference_accuracy(answer, answers)
        assert vqa_accuracy(answer, answers) == expected, (answer, answers)
        partial += 0 < expected < 1
    assert partial > 300


ADVERSARIAL = [
    "", " ", ".", "?!", "{}", "{}.", " {}\n", "the {}", "{} , {}", "{},{}", "1,000 {}", "{}/{}", "{}-2.5",
    "2.5.", "two {}", "none", "Dont", "isnt {}", "a", "{}\t{}", "é {}", "{}’s", "\u2014{}", "日本", "'{}'",
]  # fmt: skip


def computed(*updates):
    metric = VQAAccuracy()
    for update in updates:
        metric.update(*update)
    return {key: float(value) for key, value in metric.compute().items()}


@pytest.fixture(scope="module")
def real_file(shared_data):
    return shared_data / "vqa2-questions/annotations.json.gz"


@pytest.fixture(scope="module")
def real(real_file):
    return json.loads(gzip.decompress(real_file.read_bytes()))["annotations"]


def test_accuracy_agrees_with_a_second_implementation_on_every_real_question(real):
    draw = random.Random(5)
    asked, references = [], defaultdict(list)
    for number, annotation in enumerate(real):
        answers = [one["answer"] for one in annotation["answers"]]
        form = ADVERSARIAL[number % len(ADVERSARIAL)]
        if number % 2:  # annotators write such things, too
            answers[draw.randrange(10)] = form.replace("{}", answers[0])
        for answer in (annotation["multiple_choice_answer"], answers[0], form.replace("{}", answers[-1])):
            expected = reference_accuracy(answer, answers)
            assert UNTYPED(answer, answers) == expected, (answer, answers)
        asked.append((answer, answers, annotation["answer_type"], annotation["question_type"]))
        for key in ("overall", *(f"{kind}/{annotation[kind]}" for kind in ("answer_type", "question_type"))):
            references[key].append(expected)
    parts = [zip(*asked[start : start + 100], strict=True) for start in range(0, len(asked), 100)]
    assert computed(*parts) == {key: sum(values) / len(values) for key, values in references.items()}
    assert len(set(references["overall"])) > 4


# In a process of its own: the suite checks the types of every call, which takes ten times as long as the work.
MEASURED = """
import gzip, json, sys, time
from lookwhy.metrics import vqa_accuracy
annotations = json.loads(gzip.decompress(open(sys.argv[1], "rb").read()))["annotations"]
asked = [[one["answer"] for one in annotation["answers"]] for annotation in annotations]
start = time.process_time()
for answers in asked:
    vqa_accuracy(answers[3], answers)
print(len(asked) / (time.process_time() - start))
"""


def test_a_million_answers_a_minute_on_one_core(real_file):
    command = [sys.executable, "-c", MEASURED, str(real_file)]
    a_second = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(a_second) > 1_000_000 / 60


def test_a_reset_forgets_and_an_empty_metric_is_undefined():
    metric = VQAAccuracy()
    metric.update(["yes"], [["yes"] * 10], ["yes/no"], ["is it"])
    metric.reset()
    with pytest.warns(UserWarning, match="before the ``update``"):
        found = metric.compute()
    assert set(found) == {"overall"}
    assert math.isnan(found["overall"])


def test_names_of_any_language_and_length_are_kept_apart_and_questions_need_no_type():
    batch, long = (["yes"] * 2, [["yes"] * 10, ["no"] * 10]), "é" * 50
    assert computed(batch) == {"overall": 0.5}
    typed = computed((*batch, ["größe", long], None))
    assert typed == {"overall": 0.5, "answer_type/größe": 1, f"answer_type/{long}": 0}


@pytest.mark.parametrize(
    ("batch", "found"),
    [
        ((["yes"] * 2, [["yes"] * 10] * 2, ["yes/no"]), "expected the type of each of 2 questions, found 1"),
        ((["yes"] * 2, [["yes"] * 10]), "shorter"),
        ((["yes"], [[]]), "annotators' answers, found none"),
    ],
)
def test_missing_answers_and_lists_of_unlike_length_are_refused(batch, found):
    with pytest.raises(ValueError, match=found):
        VQAAccuracy().update(*batch)


def score_a_share(rank, world_size, folder):
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    updates = [
        [(["yes"] * n, [["yes"] * 10] * n, ["yes/no"] * n, ["is it"] * n) for n in (1, 2)],
        [
            (["no"], [["yes"] * 10], ["yes/no"], ["does it"]),
            (["2"], [["2", "2", *"abcdefgh"]], ["number"], ["how many"]),
        ],
        [],  # the last process sees no question at all, as in an uneven last share
    ]
    (folder / f"{rank}.json").write_text(json.dumps(computed(*updates[rank])))
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings(
    "ignore:.*fork.*:DeprecationWarning", "ignore:.*before the ``update``:UserWarning"
)
def test_every_process_gets_the_figures_of_all_questions_even_one_without_questions(tmp_path):
    torch.multiprocessing.start_processes(score_a_share, (3, tmp_path), nprocs=3, start_method="fork")
    expected = {
        "overall": 3.6 / 5, "answer_type/yes/no": 3 / 4, "answer_type/number": 0.6, "question_type/is it": 1.0,
        "question_type/does it": 0.0, "question_type/how many": 0.6,
    }  # fmt: skip
    for rank in range(3):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(expected)
