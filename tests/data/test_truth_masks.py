"""Ground-truth masks on the grid, judged by NumPy and by hand; conversion of other data sets' masks."""

import json

import numpy as np
import pytest
from PIL import Image

from lookwhy.cli.prepare import main as prepare
from lookwhy.data.truth_masks import covered_share, find_truth_masks, load_truth_masks, read_truth_mask
from lookwhy.errors import LookwhyError


def draw(shape, seed=0):
    return np.random.default_rng(seed).random(shape) < 0.4


def save(mask, path, kind="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "I;16":
        Image.fromarray(mask.astype(np.uint16) * 65_535).save(path)
    else:
        Image.fromarray(mask.astype(np.uint8) * 255).convert(kind).save(path)
    return path


@pytest.mark.parametrize("kind", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_a_cell_is_the_share_of_its_pixels_however_the_mask_is_stored(tmp_path, kind):
    mask = draw((32, 48))
    save(mask, tmp_path / "77.png", kind)
    found = load_truth_masks(find_truth_masks(tmp_path), [77, 78], 16)
    assert list(found) == [77]
    assert found[77].dtype == np.float32
    np.testing.assert_array_equal(found[77], mask.reshape(16, 2, 16, 3).mean((1, 3), dtype=np.float32))


@pytest.mark.parametrize("shape", [(37, 53), (3, 5), (16, 100), (1, 1)])
def test_a_size_that_no_grid_divides_is_averaged_by_area(shape):
    mask, grid = draw(shape, 1), 14
    # Every pixel becomes 14 x 14 equal ones; a cell of the grid then has whole pixels.
    fine = mask.repeat(grid, 0).repeat(grid, 1).reshape(grid, shape[0], grid, shape[1])
    found = covered_share(mask.astype(np.float32), grid)
    np.testing.assert_allclose(found, fine.mean((1, 3)), atol=1e-6)
    assert found.max() <= 1
    assert covered_share(np.ones(shape, np.float32), grid).tolist() == np.ones((grid, grid)).tolist()


def test_masks_lie_anywhere_below_the_folder_and_are_named_by_the_question_also_by_its_text(tmp_path):
    for name in ("a/7.PNG", "b/8.png", "8_1.png", "8.jpg", "notes.png", "q_a.png", "5.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    # The number of a text is no name of a mask: 5 is that of q_a.
    found = find_truth_masks(str(tmp_path), {"q_a": 5})
    assert found == {7: tmp_path / "a/7.PNG", 8: tmp_path / "b/8.png", 5: tmp_path / "q_a.png"}
    (tmp_path / "b/7.png").touch()
    with pytest.raises(LookwhyError, match="expected one mask of each .*a/7.PNG and .*b/7.png; remove one"):
        find_truth_masks(tmp_path)


def test_a_folder_without_masks_and_no_folder_are_refused_with_the_remedy(tmp_path):
    save(draw((4, 4)), tmp_path / "7_1.png")  # an annotator map
    for folder, found in ((tmp_path, "none in"), (tmp_path / "gone", "no folder")):
        expected = f"named <question_id>.png, found {found} .*data.truth_masks .* prepare.* shapes again"
        with pytest.raises(LookwhyError, match=expected):
            find_truth_masks(folder)


def coloured(path):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(path)


def gray(path):
    Image.fromarray(np.array([[0, 255], [1, 0]], np.uint8)).save(path)


def transparent(path):
    Image.new("RGBA", (4, 4), (255, 255, 255, 0)).save(path)


def jpeg(path):
    Image.new("L", (4, 4), 255).save(path, format="JPEG")


def cut(path):
    whole = save(draw((64, 64)), path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (coloured, "found a coloured one in"),
        (transparent, "found one with transparency in"),
        (gray, "expected a mask of 0 and 255, found 1 in"),
        (jpeg, "expected a PNG of 0 and 255, found something else in"),
        (cut, "expected a PNG of 0 and 255, found something else in"),
    ],
)
def test_a_file_that_is_no_mask_is_one_line_that_names_it(tmp_path, write, found):
    write(tmp_path / "7.png")
    with pytest.raises(LookwhyError, match=found) as told:
        load_truth_masks(find_truth_masks(tmp_path), [7], 2)
    assert str(tmp_path / "7.png") in str(told.value)
    assert "\n" not in str(told.value)


@pytest.fixture
def clevr(tmp_path):
    """Masks in the form of CLEVR-XAI 1.0: a boolean array of 128 x 128 for each question index."""
    folder = tmp_path / "ground_truth_simple_questions_single_object"
    folder.mkdir()
    masks = {index: draw((128, 128), index) for index in (0, 1, 17)}
    for index, mask in masks.items():
        np.save(folder / f"{index}.npy", mask)
    (folder / "uniquefirstnonempty_stats.json").write_text("{}")  # the data set's own statistics
    return folder, masks


def convert(*words):
    return prepare(["truth", *map(str, words)])


def test_masks_of_clevr_xai_are_converted_and_a_second_run_keeps_them(clevr, tmp_path, capsys):
    (folder, masks), out = clevr, tmp_path / "out"
    assert convert("clevr-xai", folder, "--out", out) == 0
    assert f"wrote {out}: 3 masks; " in capsys.readouterr().out
    files = find_truth_masks(out)
    assert set(files) == set(masks)
    for index, mask in masks.items():
        with Image.open(files[index]) as picture:
            assert picture.mode == "L"
        np.testing.assert_array_equal(read_truth_mask(files[index]), mask)
    before = {path: path.stat().st_mtime_ns for path in files.values()}
    cut(files[17])
    assert convert("clevr-xai", folder, "--out", out) == 0
    assert "3 masks (2 were there)" in capsys.readouterr().out
    np.testing.assert_array_equal(read_truth_mask(files[17]), masks[17])
    assert [path.stat().st_mtime_ns == time for path, time in before.items()] == [True, True, False]
    assert {path.suffix for path in out.iterdir()} == {".png"}


def test_masks_of_another_kind_are_not_mixed_into_a_folder(clevr, tmp_path, capsys):
    (folder, masks), out = clevr, tmp_path / "out"
    assert convert("clevr-xai", folder, "--out", out) == 0
    np.save(folder / "1.npy", ~masks[1])
    assert convert("clevr-xai", folder, "--out", out) == 2
    assert f"found another in {out / '1.png'}; give another --out" in capsys.readouterr().err
    np.testing.assert_array_equal(read_truth_mask(out / "1.png"), masks[1])


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (np.zeros((1, 4, 4), bool), "found bool (1, 4, 4) in"),
        (np.zeros((4, 4)), "found float64 (4, 4) in"),
        (np.array({"a": 1}), "expected a NumPy array, found something else in"),
        (b"half a fi", "expected a NumPy array, found something else in"),
    ],
)
def test_another_array_is_one_line_and_exit_code_2(clevr, tmp_path, capsys, content, found):
    path = clevr[0] / "1.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content, allow_pickle=True)
    assert convert("clevr-xai", clevr[0], "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert found in error
    assert str(path) in error


def test_masks_of_vizwiz_are_named_by_image_or_by_question(tmp_path, capsys):
    folder = tmp_path / "binary_masks_png/val"
    masks = {number: draw((30 + number, 40), number) for number in (28, 29, 30)}
    for number, mask in masks.items():
        save(mask, folder / f"VizWiz_val_{number:08d}.png")
    assert convert("vizwiz", folder, "--out", tmp_path / "names") == 0
    found = find_truth_masks(tmp_path / "names", {"VizWiz_val_00000029": 1})
    assert list(found) == [1]
    np.testing.assert_array_equal(read_truth_mask(found[1]), masks[29])
    entries = [
        {"question_id": 5, "image": "val/VizWiz_val_00000028.jpg", "question": "What is it?"},
        {"question_id": "q6", "image_id": "VizWiz_val_00000029", "question": "What is it?"},
        {"question_id": 7, "image_id": 30, "question": "What is it?"},
        {"question_id": 8, "image_id": 31, "question": "What is it?"},
    ]
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps({"questions": entries}))
    assert convert("vizwiz", folder, "--out", tmp_path / "ids", "--questions", questions) == 0
    assert "3 masks" in capsys.readouterr().out
    found = find_truth_masks(tmp_path / "ids", {"q6": 6})
    assert set(found) == {5, 6, 7}
    for number, index in ((5, 28), (6, 29), (7, 30)):
        np.testing.assert_array_equal(read_truth_mask(found[number]), masks[index])


def test_questions_that_do_not_fit_vizwiz_are_one_line_and_exit_code_2(tmp_path, capsys):
    mask = draw((4, 4))
    for split in ("train", "val"):
        save(mask, tmp_path / f"masks/{split}/VizWiz_{split}_00000001.png")
    questions = tmp_path / "questions.json"

    def told(entry):
        questions.write_text(json.dumps({"questions": [{"question": "Why?"} | entry]}))
        assert convert("vizwiz", tmp_path / "masks", "--out", tmp_path / "out", "--questions", questions) == 2
        output = capsys.readouterr()
        assert output.err.count("\n") == 1
        assert not (tmp_path / "out").exists()
        return output.err

    assert "found none in" in told({"question_id": 1, "image": "cat.jpg"})
    assert "expected one mask of question 1, found" in told({"question_id": 1, "image_id": 1})
    assert "can name a file, found '../a'" in told(
        {"question_id": "../a", "image": "VizWiz_val_00000001.jpg"}
    )
