"""Annotator maps on the grid, judged by NumPy."""

import numpy as np
import pytest
from PIL import Image

from lookwhy.data.annotators import find_annotator_maps, load_annotator_maps
from lookwhy.errors import LookwhyError


@pytest.fixture
def picture(tmp_path):
    gray = np.random.default_rng(0).integers(0, 256, (32, 48), np.uint8)
    Image.fromarray(gray).save(tmp_path / "77_1.png")
    return gray.astype(float), find_annotator_maps(tmp_path)


def test_bilinear_weighs_neighbours_by_their_distance(picture):
    gray, files = picture
    found = load_annotator_maps(files, [77], 16, "bilinear")[77][0]

    def weights(length):  # a triangle as wide as two cells round each cell's middle
        scale = length / 16
        apart = np.abs(np.arange(length) + 0.5 - (np.arange(16)[:, None] + 0.5) * scale) / scale
        triangle = np.clip(1 - apart, 0, None)
        return triangle / triangle.sum(1, keepdims=True)

    np.testing.assert_allclose(found, weights(32) @ gray @ weights(48).T, rtol=1e-4)


@pytest.mark.parametrize("kind", ["L", "I;16", "RGB", "RGBA", "P", "LA"])
def test_area_averages_over_each_cell_however_the_gray_is_stored(tmp_path, picture, kind):
    gray, files = picture
    wide = Image.fromarray(gray.astype(np.uint16) * 257)
    (wide if kind == "I;16" else Image.fromarray(gray.astype(np.uint8)).convert(kind)).save(
        tmp_path / "77_1.png"
    )
    found = load_annotator_maps(files, [77], 16)[77][0]
    np.testing.assert_allclose(found, gray.reshape(16, 2, 16, 3).mean((1, 3)), rtol=1e-5)


def test_maps_lie_anywhere_below_the_folder_in_the_order_of_their_numbers(tmp_path):
    maps = {7: ["b/7_2.png", "a/c/7_3.png", "b/7_10.png"], 8: ["8_1.png"]}
    for name in ["b/7_10.png", *maps[7], *maps[8], "b/._7_2.png", "b/notes.txt", "b/7.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = find_annotator_maps(tmp_path)
    assert found == {number: [tmp_path / name for name in names] for number, names in maps.items()}


def test_maps_without_an_annotators_number_and_in_other_files_are_read_where_they_stand_alone(tmp_path):
    for name in ("7.png", "7_1.PNG", "8.jpg", "9_2.jpeg", "9_1.png", "notes_1.txt"):
        (tmp_path / name).touch()
    found = {number: [path.name for path in paths] for number, paths in find_annotator_maps(tmp_path).items()}
    assert found == {7: ["7_1.PNG"], 8: ["8.jpg"], 9: ["9_1.png", "9_2.jpeg"]}
    (tmp_path / "8.png").touch()
    with pytest.raises(LookwhyError, match="found .*8.jpg and .*8.png; remove one"):
        find_annotator_maps(tmp_path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0, 0.25], [0.5, 1]], [[0, 63.75], [127.5, 255]]),
        ([[0, 64], [128, 255]], [[0, 64], [128, 255]]),
        ([[0, -1], [0, 1]], "expected attention from 0 on, found -1 to 1 in"),
        ([[0, np.nan], [0, 1]], "expected attention from 0 on, found nan to nan in"),
    ],
)
def test_maps_of_floats_are_scaled_and_never_black(tmp_path, values, expected):
    Image.fromarray(np.array(values, np.float32)).save(tmp_path / "7_1.png", format="TIFF")
    files = find_annotator_maps(tmp_path)
    if isinstance(expected, str):
        with pytest.raises(LookwhyError, match=expected):
            load_annotator_maps(files, [7], 2)
    else:
        np.testing.assert_allclose(load_annotator_maps(files, [7], 2)[7][0], expected)


def test_maps_of_a_question_whose_id_is_text_are_named_by_the_text(tmp_path):
    for name in ("q_a_2.png", "q_a_1.png", "5_1.png", "3_1.png", "other_1.png"):
        (tmp_path / name).touch()
    # The number of a text is no name of a map: 5 is another question's.
    found = find_annotator_maps(str(tmp_path), {"q_a": 5})
    assert found == {5: [tmp_path / "q_a_1.png", tmp_path / "q_a_2.png"], 3: [tmp_path / "3_1.png"]}


def test_a_folder_without_maps_no_folder_and_two_maps_of_one_annotator_are_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(LookwhyError, match="expected .*<question_id>_<k>.png.* found no"):
            find_annotator_maps(folder)
    (tmp_path / "copy").mkdir()
    for name in ("7_1.png", "copy/7_1.png"):
        (tmp_path / name).touch()
    with pytest.raises(LookwhyError, match="found .*7_1.png and .*7_1.png; remove one"):
        find_annotator_maps(tmp_path)


def test_a_damaged_map_is_read_or_refused_in_one_line(tmp_path, picture):
    path = tmp_path / "77_1.png"
    whole = path.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 7)]
    damaged += [whole[:i] + bytes([byte]) + whole[i + 1 :] for i in range(60) for byte in (0, 255)]
    huge = whole[:16] + (20_000).to_bytes(4, "big") * 2 + whole[24:29] + b"\0\0\0\0" + whole[33:]
    messages = []
    for content in [*damaged, huge]:
        path.write_bytes(content)
        try:
            load_annotator_maps({77: [path]}, [77], 16)
        except LookwhyError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(str(path) in message and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("mode", "clear_rows", "found"),
    [
        ("RGB", 0, "a coloured one"),
        ("P", 0, "a coloured one"),
        ("RGBA", 2, "one with transparency"),
        ("RGBA", 4, "one with transparency"),
        ("LA", 4, "one with transparency"),
    ],
)
def test_a_coloured_or_transparent_map_is_refused(tmp_path, mode, clear_rows, found):
    pixels = np.full((4, 4, 4), 255, np.uint8)
    if clear_rows:
        pixels[:clear_rows, :, 3] = 0
    else:
        pixels[:2, :, :3] = (128, 0, 0)  # the hottest colour of jet, as dark as its coldest
    Image.fromarray(pixels).convert(mode).save(tmp_path / "77_1.png")
    with pytest.raises(LookwhyError, match=f"found {found} in .*77_1.png; save the values"):
        load_annotator_maps(find_annotator_maps(tmp_path), [77], 2)
