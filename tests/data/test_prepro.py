import gzip
import json
import re
import signal

import h5py
import numpy as np
import pytest
from official_files import entry, write_official, write_original

from lookwhy.data import prepro_writer
from lookwhy.data.prepro import join_annotations, read_prepro
from lookwhy.data.prepro_writer import prepare_questions
from lookwhy.errors import LookwhyError

LONG = " ".join(["word"] * 30)
TRAIN = [
    # Two answers are kept: "yes" (twice), and of "tree" and "no" (once each) the first of the alphabet.
    entry(31, 3, "What is dropped here?", ["tree"] * 10),
    entry(50, 5, "Is it red?", ["yes"] * 10, "is it", "yes/no"),
    entry(51, 5, "Is it", ["no", *["yes"] * 9], "is it", "yes/no"),
    entry(30, 3, LONG, ["yes"] * 10, "none of the above"),
]
VAL = [
    entry(90, 9, "Is it green?", ["no"] * 10, "is it", "yes/no", choices=["tree", "no", "yes"]),
    entry(70, 7, "What", ["größer"] * 10),
    entry(91, 9, "is it", ["yes", *["no"] * 9], choices=[]),
]


def prepare(folder, val=VAL, train_subtype="train2014", **settings):
    files = *write_official(folder, "train", TRAIN, train_subtype), *write_official(folder, "val", val)
    return prepare_questions(*files, folder / "out", **({"num_answers": 2} | settings))


@pytest.fixture
def prepared(tmp_path):
    counts = prepare(tmp_path)
    assert (counts.train_kept, counts.train_dropped, counts.val) == (3, 1, 3)
    assert (counts.words, counts.answers, counts.images) == (6, 2, 4)
    return tmp_path / "out"


def test_all_choices_are_kept_and_validation_questions_that_are_trained_on_are_counted(tmp_path):
    many = entry(90, 9, "Is it?", ["no"] * 10, choices=[*map(str, range(20)), "yes"])  # officially 18
    assert prepare(tmp_path, [many, *TRAIN[:2]]).shared == 1  # the first of the two is dropped
    assert read_prepro(tmp_path / "out").test.choices[0].tolist() == [-1] * 20 + [0]


def test_the_original_datasets_are_unsigned_one_based_and_left_aligned(prepared):
    names = json.loads((prepared / "data_prepro.json").read_text(encoding="utf-8"))
    # By count: word 26+4 (of the uncut question), is, it; then once each: "?", "red".
    assert names["ix_to_word"] == {"1": "word", "2": "is", "3": "it", "4": "?", "5": "red", "6": "UNK"}
    assert names["ix_to_ans"] == {"1": "yes", "2": "no"}
    assert names["unique_img_train"] == [f"train2014/COCO_train2014_00000000000{i}.jpg" for i in (5, 3)]
    assert names["unique_img_test"] == [f"val2014/COCO_val2014_00000000000{i}.jpg" for i in (9, 7)]
    assert names["split_names"] == ["train", "test"]
    expected = {
        "ques_train": [[2, 3, 5, 4] + [0] * 22, [2, 3] + [0] * 24, [1] * 26],
        "ques_length_train": [4, 2, 26],
        "answers": [1, 2, 1],
        "question_id_train": [50, 51, 30],
        "img_pos_train": [1, 1, 2],
        "ques_test": [[2, 3, 6, 4] + [0] * 22, [6] + [0] * 25, [2, 3] + [0] * 24],
        "ques_length_test": [4, 1, 2],
        "question_id_test": [90, 70, 91],
        "img_pos_test": [1, 2, 1],
        "MC_ans_test": [[0, 2, 1] + [0] * 15, [0] * 18, [0] * 18],
    }
    with h5py.File(prepared / "data_prepro.h5") as file:
        for key, values in expected.items():
            assert file[key].dtype == np.uint32, key
            assert file[key][:].tolist() == values, key


def test_additional_datasets_hold_texts_and_ids_of_both_splits(prepared):
    with h5py.File(prepared / "data_prepro.h5") as file:
        for split, entries in (("train", TRAIN[1:]), ("test", VAL)):
            texts = {
                "question": [q["question"] for q, _ in entries],
                "question_type": [a["question_type"] for _, a in entries],
                "answer_type": [a["answer_type"] for _, a in entries],
                "answers10": [[one["answer"] for one in a["answers"]] for _, a in entries],
            }
            for key, expected in texts.items():
                kind = h5py.check_string_dtype(file[f"{key}_{split}"].dtype)
                assert (kind.encoding, kind.length) == ("utf-8", None)
                assert file[f"{key}_{split}"].asstr()[:].tolist() == expected
            assert file[f"image_id_{split}"].dtype == np.int64
            assert file[f"image_id_{split}"][:].tolist() == [q["image_id"] for q, _ in entries]
        assert file["label_test"].dtype == np.int64
        assert file["label_test"][:].tolist() == [1, -1, 0]


def test_reading_gives_zero_based_positions_and_labels(prepared):
    found = read_prepro(prepared)
    assert found.train.tokens.dtype == np.int64
    assert (found.train.labels.tolist(), found.train.image_pos.tolist()) == ([0, 1, 0], [0, 0, 1])
    assert (found.test.labels.tolist(), found.test.image_pos.tolist()) == ([1, -1, 0], [0, 1, 0])
    assert found.test.image_ids.tolist() == [9, 7, 9]
    assert found.test.image_files[1] == "val2014/COCO_val2014_000000000007.jpg"
    assert found.test.questions == ["Is it green?", "What", "is it"]
    assert found.test.answers10[1] == ["größer"] * 10
    assert found.train.question_types == ["is it", "is it", "none of the above"]
    assert found.train.answer_types == ["yes/no", "yes/no", "other"]
    assert found.vocabulary.encode(["it", "green"]) == [3, 6]
    assert (found.answers, found.image_root) == (["yes", "no"], "")


def test_a_test_set_without_annotations_is_prepared_without_answers(tmp_path):
    train, val = write_official(tmp_path, "train", TRAIN), write_official(tmp_path, "val", VAL)
    prepare_questions(*train, val[0], None, tmp_path)
    found = read_prepro(tmp_path).test
    assert found.questions == ["Is it green?", "What", "is it"]
    assert found.answers10 == found.answer_types == []
    assert found.labels.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("place", ["images", "out/images"])
def test_the_image_folder_is_stated_and_its_png_files_are_found(tmp_path, place):
    images = tmp_path / place
    (images / "val2014").mkdir(parents=True)
    (images / "val2014/COCO_val2014_000000000007.png").touch()
    prepare(tmp_path, image_root=images)
    found = read_prepro(tmp_path / "out")
    # Images beside the files are moved with them.
    assert found.image_root == (str(images) if place == "images" else "images")
    assert found.test.image_files == [f"val2014/COCO_val2014_00000000000{n}" for n in ("9.jpg", "7.png")]


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_text_ids_are_numbered_in_the_arrays_and_kept_beside_them(tmp_path):
    files = *write_official(tmp_path, "train", TRAIN), *write_official(tmp_path, "val", VAL)
    names = {30: "q1", 90: "q1", 70: "70", 3: "n1", 9: "pictures/cat", 7: 1}

    def rename(content):
        for one in content.get("questions") or content["annotations"]:
            one |= {key: names.get(one[key], one[key]) for key in ("question_id", "image_id")}

    for path in files:
        change(path, rename)
    counts = prepare_questions(*files, tmp_path / "out", num_answers=2)
    found = read_prepro(tmp_path / "out")
    # The texts get the numbers that are free: 1 is an image already.
    assert found.train.question_ids.tolist() == [50, 51, 1]
    assert found.train.original_ids == [50, 51, "q1"]
    assert found.test.question_ids.tolist() == [1, 70, 91]
    assert found.test.original_ids == ["q1", "70", 91]
    assert (found.train.image_ids.tolist(), found.test.image_ids.tolist()) == ([5, 5, 2], [3, 1, 3])
    assert found.test.image_id_texts == ["pictures/cat", "", "pictures/cat"]
    assert found.test.image_files == ["val2014/pictures/cat.jpg", "val2014/COCO_val2014_000000000001.jpg"]
    assert counts.shared == 1
    # The original's datasets stay numbers, and join_annotations finds the questions by their texts.
    with h5py.File(tmp_path / "out/data_prepro.h5") as file:
        assert file["question_id_test"].dtype == np.uint32
    join_annotations(found, *files[2:])
    assert found.test.answers10[1] == ["größer"] * 10


def test_several_files_make_one_side_and_test_dev_keeps_its_name(tmp_path):
    first = write_official(tmp_path, "train", TRAIN, "train2014")
    second = write_official(tmp_path, "more", VAL, "val2014")
    asked, _ = write_official(tmp_path, "test", [entry(1, 4, "Is it?", ["yes"] * 10)], "test-dev2015")
    train = zip(first, second, strict=True)
    counts = prepare_questions(*train, asked, None, tmp_path / "out", image_root=tmp_path)
    assert (counts.train_kept, counts.val) == (7, 1)
    found = read_prepro(tmp_path / "out")
    assert [name.partition("/")[0] for name in found.train.image_files] == ["train2014"] * 2 + ["val2014"] * 2
    assert found.test.image_files == ["test2015/COCO_test2015_000000000004.jpg"]
    assert found.test_set == "mscoco_test-dev2015"
    assert len(counts.missing) == 5


def test_a_refusal_or_an_interruption_leaves_the_files_of_before(tmp_path, monkeypatch):
    prepare(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(LookwhyError, match='expected a "data_subtype"'):  # it names the images' folder
        prepare(tmp_path, train_subtype="", image_root=tmp_path)
    monkeypatch.setattr(prepro_writer, "_write_split", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, num_answers=1)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.fixture
def original(prepared, tmp_path):
    """The prepared questions in the original's files, one image without digits at its name's end."""
    folder = write_original(prepared, tmp_path / "original")
    path = folder / "data_prepro.json"
    path.write_text(path.read_text().replace("train2014/COCO_train2014_000000000003.jpg", "pictures/cat.png"))
    return folder


def test_the_original_files_are_read_unmodified(original):
    found = read_prepro(original)
    assert (found.train.labels.tolist(), found.test.labels.tolist()) == ([0, 1, 0], [-1, -1, -1])
    assert found.test.image_pos.tolist() == [0, 1, 0]
    # A name without digits at its end: the row's number.
    assert (found.train.image_ids.tolist(), found.test.image_ids.tolist()) == ([5, 5, 1], [9, 7, 9])
    assert found.test.questions == found.test.answers10 == found.train.question_types == []
    assert found.vocabulary.decode(found.train.tokens[0].tolist()) == ["is", "it", "red", "?"]
    assert found.answers == ["yes", "no"]


def fails(folder, found):
    with pytest.raises(LookwhyError, match=rf"\A(?=.*{folder}).*{re.escape(found)}.*\Z"):
        read_prepro(folder)


def write(folder, name, values):
    """Put a dataset into data_prepro.h5, in place of the one of that name; None only removes it."""
    with h5py.File(folder / "data_prepro.h5", "a") as file:
        file.pop(name, None)
        if values is not None:
            file[name] = values


@pytest.mark.parametrize("name", ["data_prepro.h5", "data_prepro.json"])
def test_a_missing_or_damaged_file_is_named(original, name):
    path = original / name
    path.write_bytes(path.read_bytes()[:-30])
    fails(original, name)
    path.unlink()
    fails(original, f"found no file {path}")


@pytest.mark.parametrize(
    ("name", "values", "found"),
    [
        *((name, None, name) for name in ("ques_train", "answers", "img_pos_test")),
        ("img_pos_test", np.uint32([3, 1, 2]), "points outside the 2 images"),
        ("img_pos_train", np.uint32([0, 1]), "points outside the 2 images"),
        ("ques_length_train", np.uint32([1, 1]), "2 lengths of 3 questions"),
        ("ques_length_train", np.uint32([1, 0, 2]), "expected ques_length_train from 1 to "),
        ("ques_length_train", np.float32([1, 1.5, 2]), "ques_length_train holds numbers that are not whole"),
        ("ques_train", np.uint32([1, 2, 3]), "ques_train is no table with a row a question"),
        ("answers10_test", ["a?", "b?"], "2 answers10 of 3 questions"),
        ("answers10_test", ["a?", "b?", "c?"], "without a column for each annotator"),
        ("answers", np.array([True] * 3), "expected whole numbers in answers, found bool values"),
        ("answers", np.complex64([1, 1, 1]), "expected whole numbers in answers, found complex64 values"),
        ("answers", ["1", "1", "1"], "expected whole numbers in answers, found text values"),
        ("question_test", np.uint32([1, 2, 3]), "expected texts in question_test, found uint32 values"),
        ("question_id_test", np.uint32([70, 90, 70]), "each question_id_test once, found 1 of 3 questions"),
        ("question_id_test", np.int64([70, 90, -1]), "question_id_test from 0 to 4294967295, found 1 of 3"),
        ("MC_ans_test", np.uint32([[3]] * 3), "MC_ans_test from 0 to 2, found 3 of 3"),
        ("label_test", np.int64([-2, 0, 1]), "label_test from -1 to 1, found 1 of 3 questions otherwise"),
        ("ques_test", np.zeros((3, 2, 2), np.uint32), "ques_test is no table"),
    ],
)
def test_missing_datasets_and_contradictions_are_named(original, name, values, found):
    write(original, name, values)
    fails(original, found)


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        (
            "ques_train",
            lambda x: x[:, ::-1],
            "expected ques_train left-aligned, 0 only after ques_length_train",
        ),
        ("ques_test", lambda x: x * 1000, "expected word ids from 0 to "),
        ("answers", lambda x: x * 0, "expected answers from 1 to "),
        ("answers", lambda x: x + 1000, "found 3 of 3 questions otherwise"),
    ],
)
def test_contents_that_would_train_to_nonsense_are_refused(original, name, change, found):
    with h5py.File(original / "data_prepro.h5") as file:
        values = change(file[name][:])
    write(original, name, values)
    fails(original, found)


def test_a_file_of_a_sibling_project_is_refused_with_its_own_datasets(original):
    with h5py.File(original / "data_prepro.h5", "a") as file:
        file.move("question_id_train", "ques_id_train")
    fails(original, "expected the dataset question_id_train, found MC_ans_test, answers, ")
    with h5py.File(original / "data_prepro.h5", "a") as file:
        file.create_group("question_id_train")
    fails(original, "expected the dataset question_id_train, found ")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('"2": "no"', '"3": "no"', "'2'"),
        ("unique_img_test", "other", "unique_img_test"),
        ('"unique_img_test": [', '"unique_img_test": "a.jpg", "x": [', "unique_img_test: 'a.jpg'"),
        ('"unique_img_test": [', '"unique_img_test": {"a": 1}, "x": [', "unique_img_test: a dictionary"),
        ('"unique_img_test": [', '"unique_img_test": [7, ', "unique_img_test.0: 7"),
        ('"2": "no"', '"2": ["no"]', "ix_to_ans.2: a list"),
    ],
)
def test_a_missing_key_a_gap_in_the_numbers_and_other_values_are_named(original, old, new, found):
    path = original / "data_prepro.json"
    path.write_text(path.read_text().replace(old, new))
    fails(original, found)


def test_texts_are_read_when_they_are_asked_for(original):
    write(original, "question_test", ["a?", "b?", "c?"])
    assert read_prepro(original).test.questions == ["a?", "b?", "c?"]
    found = read_prepro(original).test
    (original / "data_prepro.h5").unlink()
    with pytest.raises(LookwhyError, match=r"\Aexpected the texts question_test.*\Z"):
        found.questions  # noqa: B018
    assert not found.is_annotated


def test_real_questions_are_prepared(shared_data, tmp_path):
    files = [tmp_path / "questions.json", tmp_path / "annotations.json"]
    for path in files:
        with gzip.open(shared_data / "vqa2-questions" / f"{path.name}.gz") as file:
            path.write_text(json.dumps({path.stem: json.load(file)[path.stem][:1500]}))
    counts = prepare_questions(*files, *files, tmp_path, num_answers=100)
    assert counts.train_kept + counts.train_dropped == counts.val == 1500
    found = read_prepro(tmp_path)
    assert found.answers[:2] == ["yes", "no"]
    assert found.train.labels.max() == 99
    known = found.test.question_ids[found.test.labels >= 0]
    assert set(known.tolist()) == set(found.train.question_ids.tolist())
