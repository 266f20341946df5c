"""A split whose answers of a question type differ between training and test."""

import json
from collections import Counter

import numpy as np
import pytest
from official_files import entry, write_official
from scipy.spatial.distance import cityblock

from lookwhy.cli.prepare import main as prepare
from lookwhy.data.changing_priors import split_by_priors, total_variation
from lookwhy.data.official import read_official
from lookwhy.errors import LookwhyError

SHARES = {
    "is the": {"yes": 0.55, "no": 0.45},
    "what color": {"red": 0.3, "blue": 0.25, "white": 0.25, "green": 0.1, "black": 0.1},
    "how many": {"1": 0.4, "2": 0.3, "3": 0.15, "4": 0.15},
    "what is": {"red": 0.1, "dog": 0.3, "cat": 0.3, "yes": 0.1, "2": 0.2},
    "why": {"fun": 1.0},
}


@pytest.fixture
def files(tmp_path):
    """900 questions of five types; three questions about each image."""
    random = np.random.default_rng(3)
    entries = []
    for number in range(900):
        kind = list(SHARES)[random.choice(5, p=[0.3, 0.25, 0.2, 0.2, 0.05])]
        answer = random.choice(list(SHARES[kind]), p=list(SHARES[kind].values()))
        entries.append(entry(number, number // 3, f"{kind} it?", [str(answer)] * 10, kind))
    return write_official(tmp_path / "all", "all", entries)


@pytest.fixture
def questions(files):
    return read_official(*files)


def distance_by_type(train, test):
    """Total variation distance of each question type that both parts have, by SciPy."""
    found = {}
    for kind in {one.question_type for one in train} & {one.question_type for one in test}:
        both = [Counter(q.answer for q in part if q.question_type == kind) for part in (train, test)]
        keys = sorted(both[0] | both[1])
        shares = [[one[key] / one.total() for key in keys] for one in both]
        found[kind] = cityblock(*shares) / 2
    return found


@pytest.mark.parametrize("seed", range(5))
def test_each_question_type_differs_more_than_in_a_random_split_of_equal_size(questions, seed):
    done = split_by_priors(questions, seed)
    own = distance_by_type(done.train, done.test)
    order = np.random.default_rng(100 + seed).permutation(len(questions))
    at_random = [questions[i] for i in order]
    other = distance_by_type(at_random[len(done.test) :], at_random[: len(done.test)])
    assert set(own) == {"is the", "what color", "how many", "what is"}  # "why" has one answer
    assert all(own[kind] > other[kind] + 0.2 for kind in own)
    weights = Counter(one.question_type for one in questions)
    expected = np.average(list(own.values()), weights=[weights[kind] for kind in own])
    assert done.distance == pytest.approx(expected)
    assert done.random_distance < 0.2


@pytest.mark.parametrize("share", [1 / 3, 0.5, 0.6])
def test_every_question_is_in_one_part_and_test_has_about_its_share(questions, share):
    done = split_by_priors(questions, 0, share)
    ids = [one.question_id for one in (*done.train, *done.test)]
    assert sorted(ids) == [one.question_id for one in questions]
    assert len(done.test) / len(questions) == pytest.approx(share, abs=0.05)
    groups = [{(one.question_type, one.answer) for one in part} for part in (done.train, done.test)]
    assert not groups[0] & groups[1]
    # The order within a part is that of the source.
    assert [one.question_id for one in done.train] == sorted(one.question_id for one in done.train)


def test_the_seed_alone_decides(questions):
    first, again, other = (
        {one.question_id for one in split_by_priors(order, seed).test}
        for order, seed in ((questions, 1), (questions[::-1], 1), (questions, 2))
    )
    assert first == again
    assert first != other


def test_answers_that_another_type_keeps_in_training_go_to_test_first(tmp_path):
    # By hand: "is it" has one answer, so it stays in training; "red" can leave the other types, and does.
    kinds = {"what color": ["red", "blue"], "what is": ["red", "dog"], "is it": ["red"]}
    entries = [
        entry(1000 * i + 10 * j + n, 1, "what?", [answer] * 10, kind)
        for i, (kind, answers) in enumerate(kinds.items())
        for j, answer in enumerate(answers)
        for n in range(10)
    ]
    questions = read_official(*write_official(tmp_path, "all", entries))
    for seed in range(6):
        done = split_by_priors(questions, seed, 0.4)
        assert {one.answer for one in done.test} == {"red"}
        assert done.covered == 1


def test_questions_without_a_type_are_grouped_by_their_first_words(tmp_path):
    answers = ["red", "blue", "red", "red"]
    entries = [entry(i, 1, "What color is it?", [text] * 10, "") for i, text in enumerate(answers)]
    done = split_by_priors(read_official(*write_official(tmp_path, "all", entries)), 0)
    assert [one.answer for one in done.test] == ["blue"]
    assert done.covered == 0


def test_total_variation_by_hand():
    assert total_variation(Counter(a=1), Counter(b=5)) == 1
    assert total_variation(Counter(a=2, b=2), Counter(a=5, b=5)) == 0


def split(files, out, *options):
    words = ["split", "--questions", files[0], "--annotations", files[1], "--out", out, *options]
    return prepare([str(word) for word in words])


def test_the_command_writes_official_files_and_tells_both_distances(files, tmp_path, capsys):
    out = tmp_path / "out"
    assert split(files, out, "--changing-priors", 7) == 0
    printed = capsys.readouterr().out
    parts = {
        name: read_official(out / f"questions_{name}.json", out / f"annotations_{name}.json")
        for name in ("train", "test")
    }
    expected = split_by_priors(read_official(*files), 7)
    assert parts == {"train": expected.train, "test": expected.test}
    assert f"{len(expected.train)} questions to train on, {len(expected.test)} to test" in printed
    assert "within a question type 1.00, in a random split 0." in printed
    before = {path: path.read_bytes() for path in out.iterdir()}
    assert split(files, out, "--changing-priors", 7) == 0
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    # Images may be in both parts, as in VQA-CP.
    images = [{one.image_id for one in part} for part in parts.values()]
    assert images[0] & images[1]


def test_wrong_input_is_one_line_and_nothing_is_written(files, tmp_path, capsys):
    out, priors = tmp_path / "out", ["--changing-priors", 0]
    one = write_official(tmp_path / "one", "all", [entry(1, 1, "why?", ["fun"] * 10)])
    content = json.loads(files[1].read_text())
    gap = tmp_path / "gap.json"
    gap.write_text(json.dumps(content | {"annotations": content["annotations"][1:]}))
    for given, options, found in (
        (files, [*priors, "--test-share", 1], "between 0 and 1, found 1.0; correct --test-share"),
        (files, [*priors, "--test-share", "nan"], "between 0 and 1, found nan"),
        (files, ["--changing-priors", -1], "expected a whole number from 0 on, found '-1'"),
        (files, [], "--changing-priors"),
        (one, priors, "expected a question type with two different answers, found none in 1 questions"),
        ((files[0], gap), priors, "expected an annotation of question 0"),
    ):
        assert split(given, out, *options) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert found in error
        assert not out.exists()
    with pytest.raises(LookwhyError, match="expected an answer to each question, found none to 0"):
        split_by_priors(read_official(files[0], None), 0)
