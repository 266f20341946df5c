"""Bottom-up features from tsv and npz files, written here from the description of their formats."""

import json

import h5py
import numpy as np
import pytest
from box_files import SIDE, WIDTH, base64_of, ids_of, line, record, write_tsv
from official_files import copy_prepared

from lookwhy.cli.prepare import main
from lookwhy.data.box_features import read_boxes, write_boxes
from lookwhy.data.datamodule import VQADataModule
from lookwhy.data.features import read_description, read_features
from lookwhy.data.prepro import read_prepro
from lookwhy.errors import LookwhyError


@pytest.fixture
def folder(tiny_world, tmp_path):
    return copy_prepared(tiny_world, tmp_path / "boxes")


def check(folder, most=None):
    found, boxes = read_features(folder / "data_img.h5"), read_boxes(folder / "data_img.h5")
    for split, ids in ids_of(folder).items():
        for row, image_id in enumerate(ids):
            corners, features = (one[:most] for one in record(image_id))
            own, count = found[split][row].numpy()[:, 0], len(corners)
            np.testing.assert_array_equal(own[:, :count], features.T)
            assert (own[:, count:] == 0).all()
            np.testing.assert_allclose(boxes[split][row][:count], corners / SIDE, rtol=1e-6)
            assert boxes[split][row][count:].isnan().all()


def test_rows_of_tsv_files_are_padded_and_in_the_order_of_the_images(folder):
    path, others = write_tsv(folder), ids_of(folder)["train"][:9]
    first = write_tsv(folder, "b.tsv", skip=others)
    (folder.parent / "c.tsv").write_text("".join(map(line, others)))
    digests = []
    for sources in ([path], [first, folder.parent / "c.tsv"]):
        done = write_boxes(sources, read_prepro(folder), folder)
        assert done == (52, WIDTH, 5, 2)
        check(folder)
        digests.append(read_description(folder / "data_img.h5")["weights_sha256"])
    assert digests[0] == digests[1]  # of the records, in whatever files they lie
    data = VQADataModule(str(folder))
    data.setup()
    assert data.feature_shape == (WIDTH, 1, 5)
    assert data.datasets["test"].features.source is not None  # mapped, not copied
    batch = next(data.image_batches(np.array([0]), None))
    np.testing.assert_array_equal(batch.boxes[0], data.boxes["test"][data.prepro.test.image_pos[0]])


def test_a_field_may_be_longer_than_the_csv_module_allows(folder):
    image_id = ids_of(folder)["test"][0]
    boxes, features = record(image_id)
    wide = [np.tile(record(one)[1], (1, 2200)) for one in sum(ids_of(folder).values(), [])]
    assert len(base64_of(wide[0])) > 131072
    lines = "".join(
        "\t".join(map(str, [one, SIDE, SIDE, len(wide[at]), base64_of(record(one)[0]), base64_of(wide[at])]))
        + "\n"
        for at, one in enumerate(sum(ids_of(folder).values(), []))
    )
    (folder.parent / "a.tsv").write_text(lines)
    assert write_boxes([folder.parent / "a.tsv"], read_prepro(folder), folder, 2).width == 2200 * WIDTH


@pytest.mark.parametrize("form", ["ids", "names", "openvqa", "relative"])
def test_npz_files_are_named_by_id_or_image_and_have_the_names_of_several_projects(folder, form):
    source = folder.parent / "npz"
    for split, ids in ids_of(folder).items():
        (source / split).mkdir(parents=True)
        for one in ids:
            boxes, features = record(one)
            name, kind = str(one), "val" if split == "test" else split
            arrays = {"features": features, "boxes": boxes, "image_w": SIDE, "image_h": SIDE}
            if form == "names":  # without a size, which is the image file's
                name, arrays = f"COCO_shapes_{kind}_{one:012d}.png", {"x": features, "bbox": boxes}
            if form == "openvqa":
                arrays = {"x": features.T, "bbox": boxes, "image_width": SIDE, "image_height": SIDE}
            if form == "relative":
                arrays = {"x": features, "bbox": boxes / SIDE}
            np.savez(source / split / f"{name}.npz", **arrays)
    if form == "names":
        path = folder / "data_prepro.json"
        names = json.loads(path.read_text()) | {"image_root": str(folder.parent / "images")}
        path.write_text(json.dumps(names))
        from PIL import Image

        for split in ("train", "test"):
            for name in names[f"unique_img_{split}"]:
                image = folder.parent / "images" / name
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (SIDE, SIDE)).save(image)
    write_boxes([source], read_prepro(folder), folder)
    check(folder)


def test_the_command_keeps_the_first_boxes_and_says_what_a_head_needs(folder, capsys):
    assert main(["boxes", str(write_tsv(folder)), "--out", str(folder), "--most", "3"]) == 0
    expected = "52 images with 2 to 3 boxes of 6 features; train with --model.head.init_args.regions 3"
    assert expected in capsys.readouterr().out
    check(folder, most=3)


def test_a_box_without_any_feature_is_left_out(folder):
    image_id = ids_of(folder)["test"][0]
    boxes, features = record(image_id)
    more = [image_id, SIDE, SIDE, len(boxes) + 1, base64_of([[0, 0, 9, 9], *boxes])]
    more += [base64_of([[0.0] * WIDTH, *features])]
    path = write_tsv(folder, **{str(image_id): "\t".join(map(str, more)) + "\n"})
    write_boxes([path], read_prepro(folder), folder, 5)
    check(folder)


def wrong(*fields):
    return "\t".join(map(str, fields)) + "\n"


BOX, FEATURE = base64_of([[1, 2, 3, 4]]), base64_of([[1.0] * WIDTH])
ERRORS = {
    "": r"expected boxes of 12 images of unique_img_test, found none of \S+0500001.png \(1 missing\) in \S+; add",
    wrong(500001, 64, 64, 0, "", ""): r"found none of \S+0500001.png \(1 missing\)",
    wrong(500001, 64, 64): "expected image_id, .* between tabs, found 3 fields in line 12 of",
    wrong(500001, 64, 64, "many", BOX, FEATURE): "expected image_id, .*, found 6 fields in line 12 of",
    wrong(500001, 64, 64, 1, "a", FEATURE): "expected boxes .n, 4. and features .* as base64 of float32, found",
    wrong(500001, 64, 64, 2, BOX, FEATURE): "found 4 and 6 numbers for 2 boxes of 64 x 64 pixels in",
    wrong(500001, 64, 64, 1, base64_of([3, 2, 1, 4]), FEATURE): r"x1 <= x2, found \[0.047, 0.031, 0.016",
    wrong(500001, 64, 64, 1, BOX, base64_of([np.nan] * WIDTH)): "expected finite numbers, found others in",
    wrong(500001, 64, 64, 1, BOX, base64_of([1.0] * 5)): "expected boxes with 6 features each .* found 1 with 5",
    wrong(500001, 64, 64, 1, BOX, base64_of([0.0] * WIDTH)): "expected boxes with 6 features .* found 0 with 6",
}  # fmt: skip


@pytest.mark.parametrize("text", ERRORS, ids=range(len(ERRORS)))
def test_another_form_is_one_line_and_the_features_stay_as_they_were(folder, text):
    before = (folder / "data_img.h5").read_bytes()
    path = write_tsv(folder, **{"500001": text})
    with pytest.raises(LookwhyError, match=ERRORS[text]):
        write_boxes([path], read_prepro(folder), folder)
    assert (folder / "data_img.h5").read_bytes() == before
    assert sorted(one.name for one in folder.iterdir()) == [
        "data_img.h5",
        "data_prepro.h5",
        "data_prepro.json",
    ]


def test_sources_that_hold_nothing_are_one_line(folder, tmp_path):
    prepro = read_prepro(folder)
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "1.npz", x=np.ones((2, 3)), y=np.ones(4))
    (tmp_path / "2.npz").write_bytes(b"PK\3\4 nothing")
    np.savez(tmp_path / "3.npz", x=np.ones((2, 3)), bbox=np.full((2, 4), 9.0))
    for name, error in {
        "none.tsv": "expected a tsv file or a folder of npz files, found no",
        "empty": "expected a tsv file or a folder of npz files, found none of them in",
        "1.npz": r"expected boxes or bbox \(n, 4\) and features or x \(n, D\), found features \(2, 3\) in",
        "2.npz": "expected an npz file, found another",
    }.items():
        with pytest.raises(LookwhyError, match=error):
            write_boxes([tmp_path / name], prepro, folder)


def test_boxes_for_other_rows_are_refused(folder):
    write_boxes([write_tsv(folder)], read_prepro(folder), folder)
    with h5py.File(folder / "data_img.h5", "a") as file:
        del file["boxes_test"]
        file["boxes_test"] = np.zeros((3, 5, 4), np.float32)
    with pytest.raises(
        LookwhyError, match=r"expected boxes_test for 12 images of 5 regions, found \(3, 5, 4\)"
    ):
        read_boxes(folder / "data_img.h5")
