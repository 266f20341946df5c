"""Recorded gaze and masks become annotator maps that the project's own reader finds."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import multivariate_normal

from lookwhy.cli.convert import GAZE_FORMS, QUESTION_FORMS
from lookwhy.cli.prepare import main as prepare
from lookwhy.data.annotators import find_annotator_maps, load_annotator_maps
from lookwhy.data.gaze_formats import Fixation
from lookwhy.data.gaze_maps import gaze_map

SIZE = {"width": 200, "height": 80}


def attention(*words):
    return prepare(["attention", *map(str, words)])


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def gaze(question_id, fixations, annotator="a", **size):
    return {"question_id": question_id, "annotator": annotator, "fixations": fixations} | (size or SIZE)


def loaded(out, grid=8, numbers=None):
    """Maps of each question on the grid, read as an analysis reads them."""
    files = find_annotator_maps(out, numbers)
    return load_annotator_maps(files, list(files), grid)


def refused(capsys, out, *words):
    assert attention(*words, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert not out.exists()
    return error


def levels(path):
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


@pytest.mark.parametrize(("x", "y"), [(187.5, 15.0), (12.5, 75.0), (112.5, 5.0)])
def test_one_fixation_is_hot_in_its_cell_of_an_image_that_is_not_square(tmp_path, x, y):
    row = {"question_id": 7, "x": x, "y": y, **SIZE}
    assert (
        attention(
            "fixations", write_csv(tmp_path / "gaze.csv", [row]), "--out", tmp_path / "out", "--sigma", "6px"
        )
        == 0
    )
    found = loaded(tmp_path / "out")
    assert found[7].shape == (1, 8, 8)
    # A cell is 25 pixels wide and 10 high.
    assert np.unravel_index(found[7][0].argmax(), (8, 8)) == (int(y // 10), int(x // 25))
    picture = levels(tmp_path / "out/7_1.png")
    assert picture.shape == (80, 200)
    assert picture.max() == 255


def test_a_map_is_the_sum_of_gaussians_weighted_by_duration():
    points = [Fixation(20.2, 10.9, 300), Fixation(41, 3, 100)]
    found = gaze_map(points, width=60, height=20, sigma=4.0)
    places = np.stack(np.meshgrid(np.arange(60) + 0.5, np.arange(20) + 0.5), -1)
    expected = sum(p.duration * multivariate_normal([p.x, p.y], 16).pdf(places) for p in points)
    np.testing.assert_allclose(found, expected / expected.max(), rtol=1e-10)


def test_far_from_the_border_it_is_the_blurred_picture_of_the_fixation():
    picture = np.zeros((90, 120))
    picture[40, 70] = 1
    blurred = gaussian_filter(picture, 3, truncate=10)
    found = gaze_map([Fixation(70.5, 40.5)], width=120, height=90, sigma=3.0)
    np.testing.assert_allclose(found, blurred / blurred.max(), atol=1e-9)


def test_degrees_are_converted_by_the_pixels_of_one(tmp_path, capsys):
    source = write(tmp_path / "gaze.json", [gaze(7, [[100, 40]])])
    assert attention("fixations", source, "--out", tmp_path / "px", "--sigma", "30px") == 0
    degrees = ["--sigma", "1.5deg", "--pixels-per-degree", 20]
    assert attention("fixations", source, "--out", tmp_path / "deg", *degrees) == 0
    assert "Gaussian of 30 pixels" in capsys.readouterr().out.splitlines()[1]
    np.testing.assert_array_equal(levels(tmp_path / "px/7_1.png"), levels(tmp_path / "deg/7_1.png"))


def test_each_annotator_has_a_map_and_rows_of_one_are_joined(tmp_path, capsys):
    rows = [
        {"question_id": q, "annotator": who, "x": x, "y": 40, "duration": 200, **SIZE}
        for q, who, x in (("q_7", "p10", 10), ("q_7", "p2", 190), ("q_7", "p10", 100), ("8", "p2", 10))
    ]
    out = tmp_path / "out"
    sources = write_csv(tmp_path / "gaze.csv", rows), write(tmp_path / "gaze.json", rows)
    for source in sources:  # a second run, of the same fixations as JSON, finds its maps there
        assert attention("fixations", source, "--out", out, "--sigma", "5px") == 0
        assert "3 maps by 2 annotators" in capsys.readouterr().out
    assert json.loads((out / "annotators.json").read_text()) == {"p2": 1, "p10": 2}
    found = loaded(out, numbers={"q_7": 1})
    assert {question: len(maps) for question, maps in found.items()} == {1: 2, 8: 1}
    assert found[1][0].argmax() % 8 == 7
    joined = found[1][1].max(0)  # x of 10 is in column 0, and 100 between 3 and 4
    assert set(np.argsort(joined)[-3:]) == {0, 3, 4}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_may_have_other_separators_and_a_byte_order_mark(tmp_path, separator):
    lines = [("\ufeffquestion_id", "x", "y", "width", "height"), ("7", "150", "40", "200", "80")]
    source = tmp_path / "gaze.csv"
    source.write_text("\r\n".join(separator.join(line) for line in lines), encoding="utf-8")
    assert attention("fixations", source, "--out", tmp_path / "out", "--sigma", "5px") == 0
    assert levels(tmp_path / "out/7_1.png")[40, 150] == 255


def test_fixations_outside_of_the_image_and_empty_lists_are_counted_and_told(tmp_path, capsys):
    content = [
        gaze(7, [[100, 40, 1], [200, 40, 1], [-0.1, 5, 1], [5, 80, 1]]),
        gaze(8, []),
        gaze(9, [[500, 500]]),
        gaze(10, [[5, 5, 0]]),
    ]
    out = tmp_path / "out"
    assert attention("fixations", write(tmp_path / "gaze.json", content), "--out", out, "--sigma", "5px") == 0
    told = (
        "1 maps by 1 annotators, Gaussian of 5 pixels (4 fixations outside of their image left out; "
        "3 without attention have no map)"
    )
    assert told in capsys.readouterr().out
    assert list(loaded(out)) == [7]
    alone = gaze_map([Fixation(100, 40)], 200, 80, 5.0)
    np.testing.assert_array_equal(levels(out / "7_1.png"), np.round(alone * 255).astype(np.uint8))


@pytest.mark.parametrize("content", [[], [gaze(8, [])], [gaze(8, [[-1, 3], [float("nan"), 2]])]])
def test_a_file_without_a_fixation_inside_is_refused(tmp_path, capsys, content):
    source = write(tmp_path / "gaze.json", content)
    found = refused(capsys, tmp_path / "out", "fixations", source, "--sigma", "5px")
    assert "expected fixations inside of their images, found none" in found


def test_scanpaths_of_air_d_are_weighted_by_their_times(tmp_path):
    entry = {"question_id": "05515938", "subject": "sub_3", "image_id": "1.jpg", "question": "Why?"} | SIZE
    paths = {"X": [20.0, 180.0], "Y": [40.0, 40.0], "T_start": [0, 250], "T_end": [200, 1250]}
    source = write(tmp_path / "AiR_fixations_test.json", [entry | paths, entry | {"subject": "sub_4"}])
    assert attention("air-d", source, "--out", tmp_path / "out", "--sigma", "5px") == 0
    found = levels(tmp_path / "out/05515938_1.png")
    assert found[40, 180] == 255
    assert found[40, 20] == 51  # 200 of 1,000
    assert list(loaded(tmp_path / "out", numbers={"05515938": 4})) == [4]


def test_salicon_counts_rows_and_columns_from_one_and_serves_each_question_of_the_image(tmp_path):
    workers = [
        {"id": 1, "image_id": 300, "worker_id": 12, "fixations": [[11, 151]]},
        {"id": 2, "image_id": 300, "worker_id": 31, "fixations": [[80, 1]]},
        {"id": 3, "image_id": 301, "worker_id": 31, "fixations": [[80, 1]]},
    ]
    images = [{"id": i, "file_name": f"COCO_val2014_{i:012d}.jpg", **SIZE} for i in (300, 301)]
    source = write(tmp_path / "fixations_val2014.json", {"images": images, "annotations": workers})
    entries = [{"question_id": q, "image_id": 300, "question": "Why?"} for q in (3001, 3002)]
    questions = write(tmp_path / "questions.json", {"questions": entries})
    options = ["--out", tmp_path / "out", "--sigma", "5px", "--questions", questions]
    assert attention("salicon", source, *options) == 0
    found = loaded(tmp_path / "out")
    assert {question: len(maps) for question, maps in found.items()} == {3001: 2, 3002: 2}
    for question in found:
        places = [
            np.unravel_index(one.argmax(), (80, 200))
            for one in (levels(tmp_path / f"out/{question}_{k}.png") for k in (1, 2))
        ]
        assert places == [(10, 150), (79, 0)]


def save(pixels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


@pytest.mark.parametrize("folders", ["annotator", "question"])
def test_masks_lie_in_folders_of_annotators_or_of_questions(tmp_path, capsys, folders):
    masks = {("7", "amy"): [[0, 1, 0]], ("7", "bob"): [[0, 0, 255]], ("8", "bob"): [[0, 0, 0]]}
    for (question, who), pixels in masks.items():
        place = f"{who}/{question}.png" if folders == "annotator" else f"{question}/{who}.png"
        save(pixels, tmp_path / "masks" / place)
    out = tmp_path / "out"
    assert attention("masks", tmp_path / "masks", "--out", out, "--folders", folders) == 0
    assert "2 maps by 2 annotators (1 without attention have no map)" in capsys.readouterr().out
    assert loaded(out, 3)[7][:, 0].tolist() == [[0, 255, 0], [0, 0, 255]]
    assert levels(out / "7_1.png").tolist() == [[0, 255, 0]]


def test_masks_without_folders_are_of_one_annotator(tmp_path):
    save([[10, 20]], tmp_path / "masks/7.png")
    assert attention("masks", tmp_path / "masks", "--out", tmp_path / "out") == 0
    assert levels(tmp_path / "out/7_1.png").tolist() == [[128, 255]]


def test_maps_of_two_widths_do_not_mix_in_a_folder(tmp_path, capsys):
    source, out = write(tmp_path / "gaze.json", [gaze(7, [[100, 40]])]), tmp_path / "out"
    assert attention("fixations", source, "--out", out, "--sigma", "5px") == 0
    before = levels(out / "7_1.png")
    assert attention("fixations", source, "--out", out, "--sigma", "6px") == 2
    assert f"found another in {out / '7_1.png'}; give another --out" in capsys.readouterr().err
    np.testing.assert_array_equal(levels(out / "7_1.png"), before)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"fixations": []}, "expected a list of fixations, found dict"),
        ([7], "expected the fields of fixation 1, found 7"),
        ([gaze(7, [[1, 2]]), gaze(7, [[1]])], "expected the fields of fixation 2"),
        ([gaze(7, [[1, 2, -3]])], "expected the fields of fixation 1"),
        ([gaze(7, [[1, 2]], width=0, height=5)], "found width: 0"),
        ([gaze(7, [[1, 2]], width=99999, height=5)], "found width: 99999"),
        ([gaze(7, [[1, 2]]), gaze(7, [[1, 2]], width=5, height=5)], "found 200 x 80 and 5 x 5 in"),
        ([gaze("", [[1, 2]])], "found question_id: ''"),
        ([gaze("../7", [[1, 2]])], "expected an id that can name a file, found '../7'"),
        ([{"question_id": 7, "x": "left", "y": 1, **SIZE}], "found x: 'left'"),
    ],
)
def test_a_malformed_list_is_one_line_and_nothing_is_written(tmp_path, capsys, content, found):
    source = write(tmp_path / "gaze.json", content)
    assert found in refused(capsys, tmp_path / "out", "fixations", source, "--sigma", "5px")


def test_a_malformed_csv_or_air_d_or_salicon_is_one_line(tmp_path, capsys):
    out, width = tmp_path / "out", ["--sigma", "5px"]
    table = tmp_path / "gaze.csv"
    assert "found none that can be read at" in refused(capsys, out, "fixations", table, *width)
    write_csv(table, [{"question_id": 7, "x": 1, "y": "", **SIZE}])
    assert "expected the fields of fixation 1, found no y" in refused(capsys, out, "fixations", table, *width)
    table.write_text("question_id,x,y,width\n7,1,1,5\n")
    assert "found no height in the first line of" in refused(capsys, out, "fixations", table, *width)
    table.write_text("")
    assert "found no height in the first line of" in refused(capsys, out, "fixations", table, *width)
    table.write_bytes(b"question_id,x,y,width,height\n\xff\xfe,1\n")
    assert "expected a CSV of fixations" in refused(capsys, out, "fixations", table, *width)
    entry = {"question_id": "1", "subject": "s", "X": [1, 2], "Y": [1], "T_start": [0], "T_end": [1]} | SIZE
    source = write(tmp_path / "air.json", [entry])
    assert "found 2, 1, 1, 1 for question 1" in refused(capsys, out, "air-d", source, *width)
    worker = {"image_id": 300, "worker_id": 1, "fixations": [[1, 1]]}
    entries = [{"question_id": 1, "image_id": 300, "question": "Why?"}]
    questions = write(tmp_path / "questions.json", {"questions": entries})
    given = ["salicon", source, *width, "--questions", questions]
    write(source, {"images": [], "annotations": [worker]})
    assert "expected image 300" in refused(capsys, out, *given)
    write(source, {"images": [{"id": 5, **SIZE}], "annotations": [worker | {"image_id": 5}]})
    assert "expected questions about the images of" in refused(capsys, out, *given)


def test_options_that_are_missing_or_do_not_belong_are_one_line(tmp_path, capsys):
    source, out = write(tmp_path / "gaze.json", [gaze(7, [[100, 40]])]), tmp_path / "out"
    for words, found in (
        (["fixations"], "expected --sigma with fixations, found none; give --sigma 30px"),
        (["fixations", "--sigma", "30"], "expected a width such as 30px or 1deg, found '30'"),
        (["fixations", "--sigma", "0px"], "at least 1 pixel, found 0; correct --sigma"),
        (["fixations", "--sigma", "1deg"], "expected --pixels-per-degree with fixations, found none"),
        (["fixations", "--sigma", "1px", "--pixels-per-degree", 3], "expected no --pixels-per-degree"),
        (["fixations", "--sigma", "1deg", "--pixels-per-degree", -3], "above 0, found -3"),
        (["fixations", "--sigma", "1px", "--folders", "question"], "expected --folders with masks"),
        (["salicon", "--sigma", "1px"], "expected --questions with salicon"),
        (["masks", "--sigma", "1px"], "expected no --sigma with masks"),
    ):
        assert found in refused(capsys, out, words[0], source, *words[1:])
    assert "found no folder" in refused(capsys, out, "masks", tmp_path / "gone")
    for folder in ("a", "b"):
        save([[1]], tmp_path / f"masks/{folder}/same/7.png")
    assert "expected one map of question 7 by same, found two" in refused(
        capsys, out, "masks", tmp_path / "masks"
    )


def test_the_help_of_each_command_names_its_formats(capsys):
    for command, forms in (("convert", QUESTION_FORMS), ("attention", GAZE_FORMS)):
        with pytest.raises(SystemExit):
            prepare([command, "--help"])
        printed = capsys.readouterr().out
        assert all(form in printed for form in forms)
