"""Lists of questions for `analyze.py explain --batch`."""

import json

import pytest

from lookwhy.data.question_lists import BadRow, read_questions
from lookwhy.errors import LookwhyError

TURNS = [{"from": "human", "value": "<image>\nWhere?"}, {"from": "gpt", "value": "Here"},
         {"from": "human", "value": "And the other?"}]  # fmt: skip
ROWS = [
    ("list.json", '[{"image": "a.png", "question": "Where?"}, 3, {"image": 4, "question": "x"}]'),
    ("list.json", '{"questions": [{"image": "a.png", "question": "Where?"}, 3, {"image": "a.png"}]}'),
    ("list.jsonl", '{"image": "a.png", "question": "Where?"}\n\n{"image"\n[]\n'),
    ("list.csv", "\ufeffImage , Question\r\na.png,Where?\r\nb.txt,Where?\r\na.png\r\n"),
    ("list.csv", "image,question\na.png,Where?\na.png,Is it red, or is it blue?\nb.txt,Where?\n"),
    ("list.tsv", "image\tquestion\na.png\tWhere?\nb.txt\tWhere?\na.png\n"),
    ("list.csv", b"image,question\na.png,Where?\na.png,Wo f\xe4hrt er?\na.png,\n"),
    ("list.csv", "file_name,text\na.png,Where?\n" + "a.png," + "x" * 200_000 + "\nb.txt,x\n"),
    ("list.jsonl", '{"image": "a.png", "text": "Where?", "category": "conv"}\n{"image": "a.png"}\n3'),
    (
        "list.json",
        '[{"image": "a.png", "question": "Where?"}, {"image": "a.png", "question": "\\ud83d"}, {}]',
    ),
    (
        "list.json",
        json.dumps(
            [
                {"image": "a.png", "conversations": TURNS[:2]},
                {"image": "a.png", "conversations": TURNS},
                {"image": "a.png", "conversations": 1},
            ]
        ),
    ),
    *(("list.csv", f"image{s}question\na.png{s}Where?\nb.txt{s}Where?\na.png\n") for s in ";\t"),
]
"""Lists of a good row and two bad ones."""
UNREADABLE = [
    ("list.csv", b"image|question\na.png|Where?\n", "found no image in the first line"),
    ("list.csv", b"image,question\n", "found none in"),
    ("list.csv", b"image,question\n\xff\xfe,\n", "expected UTF-8 text"),
    ("list.json", b"{", "expected JSON"),
    ("list.json", b'{"annotations": []}', "expected a list of rows"),
    ("questions.json", b"[]", "found questions.csv and questions.json"),
]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [*((name, text if isinstance(text, bytes) else text.encode(), "") for name, text in ROWS), *UNREADABLE],
)
def test_lists_of_every_kind_are_read_row_by_row_unless_they_cannot_be_read_at_all(
    name, content, told, tmp_path
):
    for file in ("a.png", "b.png", "questions.csv"):
        (tmp_path / file).touch()
    path = tmp_path / name
    path.write_bytes(content)
    if told:
        with pytest.raises(LookwhyError, match=told):
            read_questions(path.parent if name == "questions.json" else path)
        return
    good, *bad = read_questions(path)
    assert (good.image, good.question) == (tmp_path / "a.png", "Where?")
    assert [type(row) for row in bad] == [BadRow, BadRow]


def test_official_questions_name_their_images_by_file_subtype_or_text_id(tmp_path):
    names = ["val2014/COCO_val2014_000000000001.jpg", "train2014/COCO_train2014_000000000002.jpg", "own.png"]
    for name in [*names, "val2014/n4.png"]:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    entries = [
        {"image_id": 1},
        {"image_id": 2, "coco_split": "train2014"},
        {"image_id": 3, "file_name": "own.png"},
        {"image_id": "n4"},
        {"image_id": 5},
        {"image_id": -6},
    ]
    for number, entry in enumerate(entries):
        entry |= {"question": "Where?", "question_id": number}
    path = tmp_path / "q.json"
    path.write_text(json.dumps({"data_subtype": "val2014", "questions": entries}))
    *good, gone, wrong = read_questions(path, tmp_path / "images")
    assert [str(row.image.relative_to(tmp_path / "images")) for row in good] == [*names, "val2014/n4.png"]
    assert [row.name for row in good] == ["0", "1", "2", "3"]
    assert "COCO_val2014_000000000005.jpg; correct" in gone.why
    assert (wrong.where, "found -6" in wrong.why) == (f"{path}, entry 6", True)
    path.write_text(json.dumps([entries[0]]))
    [row] = read_questions(path, tmp_path / "images")
    assert row.why == (
        'expected an "image", or a "data_subtype" that names the folder of the image, found neither; add one'
    )
