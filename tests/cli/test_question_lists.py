"""Lists of questions for `analyze.py explain --batch`."""

import pytest

from lookwhy.data.question_lists import BadRow, read_questions
from lookwhy.errors import LookwhyError

ROWS = [
    ("list.json", '[{"image": "a.png", "question": "Where?"}, 3, {"image": 4, "question": "x"}]'),
    ("list.json", '{"questions": [{"image": "a.png", "question": "Where?"}, 3, {"image": "a.png"}]}'),
    ("list.jsonl", '{"image": "a.png", "question": "Where?"}\n\n{"image"\n[]\n'),
    ("list.csv", "\ufeffImage , Question\r\na.png,Where?\r\nb.txt,Where?\r\na.png\r\n"),
    ("list.csv", "image,question\na.png,Where?\na.png,Is it red, or is it blue?\nb.txt,Where?\n"),
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
    ("name", "content", "told"), [*((name, text.encode(), "") for name, text in ROWS), *UNREADABLE]
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
