import gzip
import json
import re
from dataclasses import replace

import pytest
from official_files import entry, write_official

from lookwhy.data.image_files import official_set, official_set_of
from lookwhy.data.official import Question, find_image, image_name, read_all, read_official
from lookwhy.errors import LookwhyError

TEN = ["red", *["blue"] * 9]


@pytest.fixture
def files(tmp_path):
    entries = [
        entry(1310, 131, "What color?", TEN, "what color", "other", choices=["red", "two"]),
        entry(10, 1, "Is it?", ["yes"] * 10, "is it", "yes/no"),
    ]
    return write_official(tmp_path, "val", entries)


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def fails(questions, annotations, *found):
    message = "".join(f"(?=.*{re.escape(str(one))})" for one in found) + r"expected .* found .*\Z"
    with pytest.raises(LookwhyError, match=rf"\A{message}"):
        read_official(questions, annotations)


def test_questions_keep_their_order_and_get_their_annotation_by_id(files):
    questions, annotations = files
    change(annotations, lambda content: content["annotations"].reverse())
    assert read_official(questions, annotations) == [
        Question(1310, 131, "What color?", "val2014", ["red", "two"], "red", TEN, "what color", "other"),
        Question(10, 1, "Is it?", "val2014", [], "yes", ["yes"] * 10, "is it", "yes/no"),
    ]


def test_a_test_set_has_questions_without_answers_and_a_subset_may_come_with_all_annotations(files):
    first, _ = read_official(files[0], None)
    assert (first.text, first.answer, first.answers, first.answer_type) == ("What color?", "", [], "")
    change(files[0], lambda content: content["questions"].pop(0))
    assert [question.question_id for question in read_official(*files)] == [10]


def test_gzipped_files_are_read_alike(files):
    zipped = [path.with_suffix(".json.gz") for path in files]
    for path, plain in zip(zipped, files, strict=True):
        path.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_official(*zipped) == read_official(*files)


PLAIN = b"<html>404</html>", b"\xff\xfe", b"[1, 2]", b"[" * 100_000, b'{"questions": []}'
CUT, BROKEN = gzip.compress(PLAIN[-1] * 99)[:-20], gzip.compress(b"")[:10] + b"\xff" * 30


# Named, because gzip's header holds the time, and processes that run tests beside each other must agree on their names.
@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("a.json", content) for content in PLAIN),
        pytest.param("a.json.gz", b"not gzip", id="not gzip"),
        pytest.param("a.json.gz", CUT, id="cut"),
        pytest.param("a.json.gz", BROKEN, id="broken"),
    ],
)
def test_a_missing_file_or_one_of_another_kind_is_named(tmp_path, files, name, content):
    path = tmp_path / name
    fails(path, files[1], path, "No such file")
    path.write_bytes(content)
    fails(path, files[1], path)


def test_swapped_files_and_a_subtype_that_is_no_text_are_refused(files):
    fails(*reversed(files), "swapped")
    for value in (None, "a \ud83d"):
        change(files[0], lambda content, value=value: content.update(data_subtype=value))
        fails(*files, "expected text as data_subtype")


FIELDS = [(0, "question"), (0, "image_id"), (1, "answers")]
VALUES = [
    (0, {"question_id": -1}, "-1 is no whole number from 0 to 4294967295"),  # uint32 in data_prepro.h5
    (0, {"question_id": 2**32}, "4294967296 is no whole number"),
    (0, {"question_id": 10.5}, "10.5 is no whole number"),
    (0, {"question_id": float("inf")}, "inf is no whole number"),
    (0, {"image_id": 2**63}, "9223372036854775808 is no whole number"),
    (0, {"image_id": float("inf")}, "inf is no whole number"),
    (0, {"image_id": True}, "True is no whole number"),
    (0, {"question_id": " "}, "an empty text where an id should be"),
    (0, {"question_id": "a\0"}, "a zero character"),
    (0, {"image": 7}, "image: 7 (input should be a valid string)"),
    (0, {"coco_split": ["val2014"]}, "coco_split: a list (input should be a valid string)"),
    (0, {"question": None}, "question: None (input should be a valid string)"),
    (0, {"question": "a \0"}, "question: 'a \\x00' (string should match"),
    (0, {"question": "a \ud83d"}, "unable to parse raw data as a unicode string"),
    (0, {"multiple_choices": "yes"}, "multiple_choices: 'yes' (input should be a valid list)"),
    (1, {"answers": [{"answer": None}] * 10}, "answers.0.answer: None (input should be a valid string)"),
    (1, {"multiple_choice_answer": None}, "multiple_choice_answer: None (input should be"),
    (1, {"image_id": 2}, "to be of image 1, as in"),
]
WRONG = [
    (1, lambda entries: entries.pop(1), ["annotation of question 10 "]),
    (1, lambda entries: entries[0]["answers"].pop(), ["expected 10 answers to question 1310, found 9"]),
    (0, lambda entries: entries.append(entries[0]), ["1 repeated"]),
    (0, lambda entries: entries[1].pop("question_id"), ["no question_id"]),
    *((i, lambda entries, key=key: entries[1].pop(key), ["found no", key, "question 10,"]) for i, key in FIELDS),
    *((i, lambda entries, value=value: entries[1].update(value), [found]) for i, value, found in VALUES),
]  # fmt: skip


@pytest.mark.parametrize(("where", "edit", "found"), WRONG)
def test_missing_repeated_and_unstorable_entries_are_refused(files, where, edit, found):
    change(files[where], lambda content: edit(content["annotations" if where else "questions"]))
    fails(*files, *found, files[where])


def test_the_most_frequent_answer_and_types_may_be_left_out_as_in_other_data_sets(files):
    for key in ("multiple_choice_answer", "question_type", "answer_type"):
        change(files[1], lambda content, key=key: [one.pop(key) for one in content["annotations"]])
    first, second = read_official(*files)
    assert (first.answer, first.question_type, first.answer_type) == ("blue", "", "")
    assert second.answer == "yes"


def test_images_have_the_official_names_and_a_png_is_taken_where_there_is_no_jpg(tmp_path):
    jpg, png = (f"val2014/COCO_val2014_000000000007.{kind}" for kind in ("jpg", "png"))
    assert image_name("val2014", 7) == find_image(None, "val2014", 7) == jpg
    (tmp_path / "val2014").mkdir()
    assert find_image(tmp_path, "val2014", 7) == jpg
    for made, expected in ((png, png), (jpg, jpg)):
        (tmp_path / made).touch()
        assert find_image(tmp_path, "val2014", 7) == expected


def test_real_files_are_read(shared_data):
    folder = shared_data / "vqa2-questions"
    questions = read_official(folder / "questions.json.gz", folder / "annotations.json.gz")
    assert len(questions) == 8977
    assert questions[0].text == "What insurance company is a sponsor?"
    assert questions[0].answers == ["state farm"] * 10


def own_keys(content):
    """Entries as data sets beside VQA have them: own images and subtypes, text ids, LLaVA's keys."""
    first, second = content["questions"]
    first |= {"question_id": "q1", "image_id": "n7", "coco_split": "train2014"}
    del second["image_id"], second["question"]
    second |= {"question_id": "10", "file_name": "a/b.png", "text": "Is it?"}


def test_entries_name_their_own_image_subtype_and_id(files):
    change(files[0], own_keys)
    change(files[1], lambda content: content["annotations"][0].update(question_id="q1", image_id="n7"))
    first, second = read_official(*files)
    assert (first.question_id, first.image_id, first.subtype) == ("q1", "n7", "train2014")
    assert (first.id_text, first.image_id_text, first.answer) == ("q1", "n7", "red")
    # A text that is a number is joined with the number of the annotation, and kept as text beside it.
    assert (second.question_id, second.id_text, second.text) == (10, "10", "Is it?")
    assert (second.image_id, second.file, second.answer) == ("a/b.png", "a/b.png", "yes")


def test_a_bare_list_is_read_as_the_entries_of_a_file(files):
    whole = read_official(*files)
    for path, key in zip(files, ("questions", "annotations"), strict=True):
        path.write_text(json.dumps(json.loads(path.read_text())[key]))
    assert read_official(*files) == [replace(question, subtype="") for question in whole]
    fails(files[1], None, "no 'question'", files[1])
    files[0].write_text("[3]")
    fails(*files, "entry 1, found 3 (input should be a valid dictionary)", files[0])
    files[0].write_text('{"data": []}')
    fails(*files, "the keys 'data'", files[0])


@pytest.mark.parametrize(
    ("turns", "found"),
    [
        ([{"from": "human", "value": "<image>\nIs it?"}, {"from": "gpt", "value": "No"}], "Is it?"),
        ([{"from": "human", "value": "Is it?"}] * 2, "a conversation with 2 questions where one should be"),
        ([{"from": "human"}], "'value'"),
        ("Is it?", "'question'"),
    ],
)
def test_the_question_of_a_conversation_is_read_if_it_is_one(files, turns, found):
    change(files[0], lambda content: content["questions"][1].update(conversations=turns))
    change(files[0], lambda content: content["questions"][1].pop("question"))
    if found == "Is it?":
        assert read_official(*files)[1].text == found
    else:
        fails(*files, found, "question 10,", files[0])


def test_several_files_are_joined_each_with_its_own_annotations(tmp_path, files):
    more = write_official(tmp_path / "more", "train", [entry(20, 2, "Is it?", TEN)], "train2014")
    questions, annotations = zip(files, more, strict=True)
    assert [one.subtype for one in read_all(questions, annotations)] == ["val2014", "val2014", "train2014"]
    for wrong, found in (
        ((questions, annotations[:1]), "found 1 for"),
        ((questions[:1] * 2, annotations[:1] * 2), "each question id once, found 1310 in"),
        ((questions, annotations[::-1]), "found none in"),
    ):
        with pytest.raises(LookwhyError, match=rf"\Aexpected .*{found}.*\Z"):
            read_all(*wrong)


NAMES = [
    (("test-dev2015", 7), "test2015/COCO_test2015_000000000007.jpg"),
    (("train2015", 7, "abstract_v002"), "train2015/abstract_v002_train2015_000000000007.png"),
    (("val2014", 7, "mscoco", "a/b.gif"), "a/b.gif"),
    (("val", "n7"), "val/n7.jpg"),
    (("", "VizWiz_val_1.jpg"), "VizWiz_val_1.jpg"),
]  # fmt: skip
ELSEWHERE = [
    (("test-dev2015", 7), "COCO_test2015_000000000007.png"),
    (("train2015", 7, "abstract_v002"), "abstract_v002_train2015_000000000007.png"),
    (("val2014", 7, "", "b.gif"), "val2014/b.gif"),
    (("", "n7"), "n7.png"),
    (("val", "x" * 300), f"val/{'x' * 300}.jpg"),  # too long for a file's name
]


@pytest.mark.parametrize(("image", "name"), [*NAMES, *ELSEWHERE])
def test_images_of_every_data_set_are_found(tmp_path, image, name):
    if len(name) < 256:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_image(tmp_path, *image) == name
    if (image, name) in NAMES:
        assert find_image(None, *image) == find_image(tmp_path / "empty", *image) == name


@pytest.mark.parametrize(
    ("data_type", "subtype", "name"),
    [
        ("", "val2014", "mscoco_val2014"),
        ("mscoco", "test-dev2015", "mscoco_test-dev2015"),
        ("abstract_v002", "val2015", "abstract_v002_val2015"),
        ("shapes", "val2014", ""),
        ("mscoco", "shapes_val", ""),
    ],
)
def test_splits_of_vqa_have_the_names_of_the_evaluation_server(data_type, subtype, name):
    assert official_set(data_type, subtype) == name
    if name and "dev" not in name:  # the images of test-dev are those of test
        files = [image_name(subtype, number, data_type=data_type) for number in (1, 2)]
        assert official_set_of(files) == name
        assert official_set_of([*files, "a.png"]) == official_set_of([]) == ""
