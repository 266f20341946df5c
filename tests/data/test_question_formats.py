"""Question files of other data sets, written here from public descriptions, become official VQA JSON."""

import gzip
import json

import pytest
from PIL import Image

from lookwhy.cli.convert import QUESTION_FORMS
from lookwhy.cli.prepare import main as prepare
from lookwhy.data.official import read_official
from lookwhy.data.question_formats import QUESTION_FORMATS

TEN = ["red"] * 6 + ["dark red"] * 3 + ["pink"]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def convert(form, *words):
    return prepare(["convert", form, *map(str, words)])


def converted(form, sources, out, split):
    """The questions that the official reader finds in what the command wrote."""
    assert convert(form, *sources, "--out", out) == 0
    names = [f"annotations_{split}.json", f"questions_{split}.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    return read_official(out / names[1], out / names[0])


def refused(capsys, out, form, *sources):
    assert convert(form, *sources, "--out", out) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1, output.err
    assert not out.exists()
    return output.err


def vizwiz_entry(**changes):
    answers = [{"answer": text, "answer_confidence": "yes"} for text in TEN]
    entry = {"image": "VizWiz_val_00000028.jpg", "question": "What colour is this?", "answers": answers}
    return entry | {"answer_type": "other", "answerable": 1} | changes


def gqa_entry(**changes):
    entry = {
        "question": "Is the sky dark?", "imageId": "2354786", "answer": "yes", "isBalanced": True,
        "fullAnswer": "Yes, the sky is dark.", "groups": {"global": None, "local": "06-sky_dark"},
        "types": {"detailed": "verifyAttr", "semantic": "attr", "structural": "verify"},
    }  # fmt: skip
    return entry | changes


def textvqa_entry(**changes):
    entry = {
        "question_id": 34602, "image_id": "003a8ae2ef43b901", "question": "what is the brand of this camera?",
        "image_classes": ["Camera"], "set_name": "val", "answers": ["nous"] * 9 + ["dakota"],
    }  # fmt: skip
    return entry | changes


def vqa_pair(**changes):
    """A question and its annotation, as VQA-CP and OK-VQA have them."""
    question = {"image_id": 9, "question": "What sport is it?", "question_id": 95} | changes
    answers = [
        {"answer_id": i, "answer": text, "raw_answer": text + "s", "answer_confidence": "yes"}
        for i, text in enumerate(TEN, start=1)
    ]
    annotation = {"question_type": "four", "answer_type": "other", "answers": answers} | question
    del annotation["question"]
    return question, annotation


def test_the_command_offers_the_formats_that_are_read():
    assert tuple(QUESTION_FORMATS) == QUESTION_FORMS


def test_vizwiz_takes_the_name_of_the_image_as_the_id_of_its_question(tmp_path):
    number = vizwiz_entry(image="VizWiz_val_00000029.jpg", answer_type="unanswerable")
    source = write(tmp_path / "val.json", [vizwiz_entry(), number])
    first, second = converted("vizwiz", [source], tmp_path / "out", "val")
    assert (first.id_text, first.file, first.subtype) == (
        "VizWiz_val_00000028",
        "VizWiz_val_00000028.jpg",
        "val",
    )
    assert (first.answer, first.answers, first.answer_type) == ("red", TEN, "other")
    assert first.question_type == "what colour"
    assert second.answer_type == "unanswerable"


def test_a_test_set_without_answers_gets_no_annotations(tmp_path, capsys):
    entry = {"image": "VizWiz_test_00000001.jpg", "question": "What is it?"}
    source, out = write(tmp_path / "test.json", [entry]), tmp_path / "out"
    assert convert("vizwiz", source, "--out", out) == 0
    assert "1 questions without answers (test)" in capsys.readouterr().out
    assert [path.name for path in out.iterdir()] == ["questions_test.json"]
    assert read_official(out / "questions_test.json", None)[0].text == "What is it?"
    both = write(tmp_path / "both.json", [entry, vizwiz_entry()])
    found = refused(capsys, tmp_path / "other", "vizwiz", both)
    assert "found none to question VizWiz_test_00000001" in found


def test_gqa_has_its_one_answer_ten_times_and_keeps_leading_zeros_of_ids(tmp_path):
    content = {"05515938": gqa_entry(), "201307251": gqa_entry(answer="3", imageId="n161313")}
    source = write(tmp_path / "train_balanced_questions.json", content)
    first, second = converted("gqa", [source], tmp_path / "out", "train")
    assert (first.question_id, first.file) == ("05515938", "2354786.jpg")
    assert (first.answers, first.question_type, first.answer_type) == (["yes"] * 10, "verify", "yes/no")
    assert (second.question_id, second.id_text, second.file) == (201307251, "201307251", "n161313.jpg")
    assert second.answer_type == "number"


def test_several_files_of_gqa_become_one_split_with_the_given_name(tmp_path, capsys):
    files = [write(tmp_path / f"part_{i}.json", {f"{i}7": gqa_entry()}) for i in (1, 2)]
    assert convert("gqa", *files, "--out", tmp_path / "out", "--split", "train_all") == 0
    assert len(read_official(tmp_path / "out/questions_train_all.json", None)) == 2
    capsys.readouterr()
    found = refused(capsys, tmp_path / "other", "gqa", files[0], files[0])
    assert "expected each question id once, found 17 again in" in found


def test_textvqa_finds_its_images_in_the_folder_of_its_archive(tmp_path):
    content = {"dataset_type": "val", "dataset_name": "textvqa", "data": [textvqa_entry()]}
    source = tmp_path / "TextVQA_0.5.1_val.json.gz"
    source.write_bytes(gzip.compress(json.dumps(content).encode()))
    (found,) = converted("textvqa", [source], tmp_path / "out", "val")
    assert (found.question_id, found.file) == (34602, "003a8ae2ef43b901.jpg")
    assert (found.subtype, found.answer) == ("train_images", "nous")
    assert found.answer_type == "other"
    one = write(
        tmp_path / "TextVQA_test.json", {"data": [textvqa_entry(set_name="test", answers=["a", "b"])]}
    )
    (found,) = converted("textvqa", [one], tmp_path / "two", "test")
    assert (found.subtype, found.answers) == ("test_images", ["a"] * 5 + ["b"] * 5)


@pytest.mark.parametrize("choices", [{}, {"multiple_choices": ["red", "blue"]}])
def test_vqa_cp_keeps_the_folder_of_each_image_and_the_choices_of_v1(tmp_path, choices):
    pairs = [
        vqa_pair(coco_split="train2014", **choices),
        vqa_pair(question_id=96, coco_split="val2014", **choices),
    ]
    sources = [
        write(tmp_path / f"vqacp_v1_test_{kind}.json", list(items))
        for kind, items in zip(("questions", "annotations"), zip(*pairs, strict=True), strict=True)
    ]
    first, second = converted("vqa-cp", sources, tmp_path / "out", "test")
    assert (first.subtype, second.subtype) == ("train2014", "val2014")
    assert (first.answers, first.question_type, first.image_id) == (TEN, "four", 9)
    assert first.choices == choices.get("multiple_choices", [])


def test_ok_vqa_names_its_question_types_and_is_scored_by_the_stemmed_answers(tmp_path):
    question, annotation = vqa_pair()
    head = {"info": {"version": "1.1"}, "data_type": "mscoco", "data_subtype": "val2014"}
    questions = write(tmp_path / "OpenEnded_mscoco_val2014_questions.json", head | {"questions": [question]})
    types = {"question_types": {"four": "Sports and Recreation"}}
    annotations = write(
        tmp_path / "mscoco_val2014_annotations.json", head | types | {"annotations": [annotation]}
    )
    (found,) = converted("ok-vqa", [questions, annotations], tmp_path / "out", "val")
    assert found.question_type == "Sports and Recreation"
    assert (found.answers, found.data_type, found.subtype) == (TEN, "mscoco", "val2014")


def test_pictures_are_found_in_the_folder_of_the_archive(tmp_path):
    places = {
        "vizwiz": (write(tmp_path / "val.json", [vizwiz_entry()]), "val/VizWiz_val_00000028.jpg"),
        "gqa": (write(tmp_path / "val_gqa.json", {"1": gqa_entry()}), "2354786.jpg"),
        "textvqa": (
            write(tmp_path / "val_text.json", {"data": [textvqa_entry()]}),
            "train_images/003a8ae2ef43b901.jpg",
        ),
    }
    for form, (source, image) in places.items():
        images, out = tmp_path / "images" / form, tmp_path / form
        (images / image).parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(images / image)
        assert convert(form, source, "--out", out) == 0
        files = {kind: str(out / f"{kind}_val.json") for kind in ("questions", "annotations")}
        given = [
            part
            for kind, path in files.items()
            for side in ("train", "val")
            for part in (f"--{side}-{kind}", path)
        ]
        assert prepare(["questions", *given, "--images", str(images), "--out", str(out)]) == 0
        assert json.loads((out / "data_prepro.json").read_text())["unique_img_test"] == [image]


@pytest.fixture
def easy(tmp_path):
    """A folder in the form of the package easy-vqa, with its pictures."""
    folder = tmp_path / "site/easy_vqa/data"
    rows = [["what is the blue shape?", "rectangle", 0], ["is there a red shape?", "no", 0]]
    for split in ("train", "test"):
        write(folder / split / "questions.json", rows)
        (folder / split / "images").mkdir()
        Image.new("RGB", (64, 64)).save(folder / split / "images" / "0.png")
    return folder


@pytest.mark.parametrize("up", [0, 1, 2])
def test_easy_vqa_is_read_from_the_package_and_prepared(easy, tmp_path, up):
    out, given = tmp_path / "out", [easy, *easy.parents][up]
    assert convert("easy-vqa", given, "--out", out) == 0
    found = read_official(out / "questions_test.json", out / "annotations_test.json")
    assert [one.answers for one in found] == [["rectangle"] * 10, ["no"] * 10]
    assert [one.question_type for one in found] == ["what is", "is there"]
    assert [one.file for one in found] == ["test/images/0.png"] * 2
    files = [
        part
        for side, split in (("train", "train"), ("val", "test"))
        for kind in ("questions", "annotations")
        for part in (f"--{side}-{kind}", str(out / f"{kind}_{split}.json"))
    ]
    assert prepare(["questions", *files, "--images", str(easy), "--out", str(tmp_path / "data")]) == 0
    names = json.loads((tmp_path / "data/data_prepro.json").read_text())
    assert names["unique_img_train"] == ["train/images/0.png"]


def test_a_wrong_place_or_name_of_easy_vqa_is_one_line(easy, tmp_path, capsys):
    out = tmp_path / "out"
    assert "found none in" in refused(capsys, out, "easy-vqa", tmp_path)
    assert "found 2 paths" in refused(capsys, out, "easy-vqa", easy, easy)
    assert "leave it out" in refused(capsys, out, "easy-vqa", easy, "--split", "all")
    write(easy / "test" / "questions.json", [["what?", "red", "first"]])
    assert "expected the fields of entry 1, found 2: 'first'" in refused(capsys, out, "easy-vqa", easy)


WRONG = {
    "no file": (None, "found none that can be read at"),
    "no JSON": ("{'a':", "expected JSON, found something else in"),
    "empty": ([], "expected questions, found none in"),
    "another container": ({"questions": 1}, "give the data set's own file"),
}


@pytest.mark.parametrize("form", ["vizwiz", "gqa", "textvqa"])
@pytest.mark.parametrize("name", WRONG)
def test_a_file_of_another_form_is_one_line_and_nothing_is_written(tmp_path, capsys, form, name):
    content, expected = WRONG[name]
    if name == "empty" and form == "gqa":
        content = {}
    elif name == "empty" and form == "textvqa":
        content = {"data": []}
    elif name == "another container" and form == "gqa":
        content = [1]
    path = tmp_path / "train.json"
    if content is not None:
        write(path, content)
    found = refused(capsys, tmp_path / "out", form, path)
    assert expected in found
    assert str(path) in found


@pytest.mark.parametrize(
    ("form", "content", "found"),
    [
        ("vizwiz", [vizwiz_entry(), {"image": "a.jpg"}], "expected the fields of entry 2, found no question"),
        ("vizwiz", [vizwiz_entry(image="")], "expected the fields of entry 1, found image: ''"),
        ("vizwiz", [vizwiz_entry(answers=[{"answer": "a"}] * 3)], "found 3 to entry 1"),
        ("vizwiz", [vizwiz_entry(), vizwiz_entry()], "once, found VizWiz_val_00000028 again"),
        ("gqa", {"7": gqa_entry(answer=None)}, "expected the fields of question 7, found answer: None"),
        ("gqa", {"7": "yes"}, "expected the fields of entry 1, found 'yes'"),
        ("gqa", {" ": gqa_entry()}, "found question_id: ' '"),
        ("textvqa", {"data": [textvqa_entry(question_id=-1)]}, "found question_id: -1"),
        ("textvqa", {"data": [textvqa_entry(question=["a"])]}, "expected the fields of question 34602"),
        ("vqa-cp", [vqa_pair()[0] | {"question": None}], "expected the fields of question 95"),
        ("ok-vqa", {"annotations": []}, "questions and annotations may have been swapped"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(tmp_path, capsys, form, content, found):
    path = write(tmp_path / "train.json", content)
    told = refused(capsys, tmp_path / "out", form, path)
    assert found in told
    assert str(path) in told


def test_annotations_of_another_split_or_too_many_files_are_refused(tmp_path, capsys):
    question, annotation = vqa_pair()
    questions = write(tmp_path / "questions.json", {"questions": [question]})
    other = write(tmp_path / "annotations.json", {"annotations": [annotation | {"question_id": 1}]})
    out = tmp_path / "out"
    assert "expected an annotation of question 95" in refused(capsys, out, "ok-vqa", questions, other)
    assert "found 3 files" in refused(capsys, out, "vqa-cp", questions, other, other)
    wrong = {"annotations": [annotation], "question_types": {"four": []}}
    types = write(tmp_path / "types.json", wrong)
    assert "expected names of question_types" in refused(capsys, out, "ok-vqa", questions, types)


def test_the_source_is_never_replaced_and_a_wrong_out_is_one_line(tmp_path, capsys):
    path = write(tmp_path / "questions_train.json", [vizwiz_entry()])
    before = path.read_bytes()
    assert convert("vizwiz", path, "--out", tmp_path) == 2
    assert "found the source" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert convert("vizwiz", path, "--out", path) == 2
    assert "expected a folder to write to, found" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["questions_train.json"]


@pytest.mark.parametrize("name", ["../a", "", "a b"])
def test_a_split_needs_a_name_that_can_name_a_file(tmp_path, capsys, name):
    path = write(tmp_path / "train.json", [vizwiz_entry()])
    assert "found" in refused(capsys, tmp_path / "out", "vizwiz", path, "--split", name)
