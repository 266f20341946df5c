import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torchvision
from official_files import entry, write_official
from PIL import Image

from lookwhy.cli.prepare import main
from lookwhy.towers.image_tower import ImageTower

ROOT = Path(__file__).parents[2]
TRAIN = [
    entry(10, 1, "Is it red?", ["yes"] * 10),
    entry(11, 1, "Is it blue?", ["no"] * 10),
    entry(20, 2, "Is it?", ["yes"] * 10),
]
VAL = [entry(30, 3, "Is it red?", ["yes"] * 10)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Official files, three pictures, and random weights of VGG-16's convolutions."""
    folder = tmp_path_factory.mktemp("world")
    write_official(folder, "train", TRAIN)
    write_official(folder, "val", VAL)
    (folder / "images/val2014").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for i in (1, 2, 3):
        pixels = noise.integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"images/val2014/COCO_val2014_00000000000{i}.png")
    torch.manual_seed(0)
    features = torchvision.models.vgg16(weights=None, init_weights=False).features
    state = {f"features.{name}": value.half() for name, value in features.state_dict().items()}
    torch.save(state, folder / "vgg16.pt")
    return folder


def questions_of(world, train="train"):
    return [
        "--train-questions", world / f"questions_{train}.json",
        "--train-annotations", world / f"annotations_{train}.json",
        "--val-questions", world / "questions_val.json",
        "--val-annotations", world / "annotations_val.json",
    ]  # fmt: skip


def features_of(world):
    return ["--arch", "vgg16", "--layer", "pool5_mean", "--recipe", "caffe", "--weights", world / "vgg16.pt"]


def prepare(command, world, out, *options):
    return main([str(part) for part in (command, *options, "--images", world / "images", "--out", out)])


def refused(capsys, *arguments):
    assert main([str(part) for part in arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"lookwhy: error: [^\n]+\n", output.err), output.err
    return output.err


def test_official_files_and_images_become_the_training_files(world, tmp_path, capsys):
    options = [*questions_of(world), *features_of(world), "--num-answers", 1]
    assert prepare("vqa", world, tmp_path, *options) == 0
    output = capsys.readouterr()
    assert re.fullmatch(
        rf"wrote {tmp_path}: 2 questions to train on \(1 dropped, their answer is not among the 1 kept\), "
        r"1 to validate on, 5 words; 3 images, features 512 \(vgg16 pool5_mean\); \d+ s\n",
        output.out,
    )
    assert output.err == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "data_img.h5",
        "data_prepro.h5",
        "data_prepro.json",
    ]
    names = json.loads((tmp_path / "data_prepro.json").read_text())
    assert names["unique_img_train"] == [f"val2014/COCO_val2014_00000000000{i}.png" for i in (1, 2)]
    assert names["image_root"] == str(world / "images")
    with h5py.File(tmp_path / "data_prepro.h5") as questions, h5py.File(tmp_path / "data_img.h5") as images:
        assert questions["question_id_train"][:].tolist() == [10, 20]
        assert questions["img_pos_train"][:].tolist() == [1, 2]
        assert images["images_train"].shape == (2, 512)
        assert images["images_test"].shape == (1, 512)
        assert images.attrs["recipe"] == "caffe"


def test_the_two_halves_give_the_files_of_the_whole(world, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert prepare("vqa", world, whole, *questions_of(world), *features_of(world)) == 0
    assert prepare("questions", world, halves, *questions_of(world)) == 0
    assert not (halves / "data_img.h5").exists()
    assert prepare("features", world, halves, *features_of(world), "--batch-size", 1) == 0
    for name in ("data_prepro.h5", "data_img.h5"):
        with h5py.File(whole / name) as a, h5py.File(halves / name) as b:
            assert set(a) == set(b)
            for key in a:
                if a[key].dtype == np.float32:
                    np.testing.assert_allclose(a[key][:], b[key][:], rtol=1e-4, atol=1e-5)
                else:
                    assert (a[key][:] == b[key][:]).all(), key


def test_larger_images_give_a_finer_grid(world, tmp_path, capsys):
    assert prepare("questions", world, tmp_path, *questions_of(world)) == 0
    grid = ["--arch", "vgg16", "--layer", "pool5", "--recipe", "caffe", "--weights", world / "vgg16.pt"]
    assert prepare("features", world, tmp_path, *grid, "--size", 448) == 0
    with h5py.File(tmp_path / "data_img.h5") as file:
        assert file["images_train"].shape == (2, 512, 14, 14)
        assert json.loads(file.attrs["description"])["recipe"]["height"] == 448
    for more in (["--size", 230], ["--layer", "fc7", "--size", 448]):
        capsys.readouterr()
        assert prepare("features", world, tmp_path, *grid, *more) == 2
        assert "expected --size 224 for fc7" in capsys.readouterr().err


def test_the_shapes_world_goes_the_way_of_real_data(tiny_world):
    names = json.loads((tiny_world / "data_prepro.json").read_text())
    assert names["unique_img_train"][0].startswith("shapes_train/COCO_shapes_train_")
    assert (tiny_world / "images" / names["unique_img_train"][0]).is_file()
    with h5py.File(tiny_world / "data_img.h5") as file:
        assert file.attrs["arch"] == "shapes"
        assert file["images_train"].shape[0] == len(names["unique_img_train"]) == 40
        assert file["images_test"].shape[0] == len(names["unique_img_test"]) == 12


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["vqa"], "required: --train-questions"),
        (["pictures"], "invalid choice: 'pictures'"),
        (["download", "vqa-v3", "--root", "."], "invalid choice: 'vqa-v3'"),
        (["download", "coco"], "required: --root"),
        (["download", "coco", "--root", ".", "--base-url", "mirror.org"], "begins with http://"),
        (["shapes", "--train-scenes", "0"], "expected a number of at least 1, found '0'"),
        (["shapes", "--sed", "3"], "unrecognized arguments: --sed"),
        (["features", "--layer", "fc8", "--images", ".", "--out", "."], "invalid choice: 'fc8'"),
    ],
)
def test_wrong_options_are_one_line(capsys, arguments, expected):
    message = refused(capsys, *arguments)
    assert expected in message
    assert "--help" in message


def test_wrong_folders_are_one_line(world, tmp_path, capsys):
    out, gone = tmp_path / "out", tmp_path / "gone"
    options = ["features", *features_of(world)]
    assert f"found none at {gone}" in refused(capsys, *options, "--images", gone, "--out", out)
    out.write_text("a file")
    assert f"{out} cannot be made" in refused(capsys, *options, "--images", world / "images", "--out", out)


def test_wrong_files_are_one_line(world, tmp_path, capsys):
    where = ["--images", world / "images", "--out", tmp_path]
    options = ["questions", *questions_of(world, train="trian"), *where]
    assert str(world / "questions_trian.json") in refused(capsys, *options)
    assert f"found no file {tmp_path / 'data_prepro.json'}" in refused(
        capsys, "features", *features_of(world), *where
    )


def test_a_missing_image_is_one_line(world, tmp_path, capsys):
    assert prepare("questions", world, tmp_path, *questions_of(world)) == 0
    capsys.readouterr()
    where = ["--images", tmp_path, "--out", tmp_path]
    message = refused(capsys, "features", *features_of(world), *where)
    assert "found no val2014/COCO_val2014_000000000001.png (3 missing)" in message


def test_the_recipe_of_a_weights_file_is_never_guessed(world, tmp_path, capsys):
    options = [*questions_of(world), "--arch", "vgg16", "--layer", "pool5", "--weights", world / "vgg16.pt"]
    message = refused(capsys, "vqa", *options, "--images", world / "images", "--out", tmp_path)
    assert "found no --recipe" in message
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_one_line(world, tmp_path, capsys):
    where = ["--images", world / "images", "--out", tmp_path]
    message = refused(capsys, "features", *features_of(world), "--device", "abacus", *where)
    assert "found 'abacus'" in message


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["vqa", "--help"], ["shapes", "--help"], ["import", "--help"], ["download", "--help"]],
)
def test_help_needs_no_heavy_library(arguments):
    watch = (
        "import sys\n"
        "from lookwhy.cli.prepare import main\n"
        "try: main()\n"
        "finally: print('heavy:', {'torch', 'h5py', 'nltk', 'numpy', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", watch, *arguments], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: lookwhy prepare")
    assert "heavy: set()" in done.stdout
    assert done.stderr == ""


def test_the_script_leaves_with_the_commands_exit_code():
    command = [sys.executable, ROOT / "data/prepare.py", "pictures"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"lookwhy: error: [^\n]+\n", done.stderr)


def test_ctrl_c_leaves_with_130_and_one_line_and_the_same_command_continues(
    world, tmp_path, capsys, monkeypatch
):
    options = [*questions_of(world), *features_of(world), "--batch-size", 1]
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert prepare("vqa", world, whole, *options) == 0
    capsys.readouterr()
    images, forward = [], ImageTower.forward

    def forward_until_ctrl_c(tower, pixels):
        images.append(pixels)
        if len(images) == 2:
            signal.raise_signal(signal.SIGINT)
        return forward(tower, pixels)

    monkeypatch.setattr(ImageTower, "forward", forward_until_ctrl_c)
    assert prepare("vqa", world, out, *options) == 130
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "lookwhy: interrupted; the same command continues\n")
    assert not (out / "data_img.h5").exists()
    assert prepare("vqa", world, out, *options) == 0
    # The first image was not seen again: the second twice, the third once.
    assert len(images) == 4
    assert torch.equal(images[1], images[2])
    with h5py.File(whole / "data_img.h5") as a, h5py.File(out / "data_img.h5") as b:
        for split in ("train", "test"):
            np.testing.assert_allclose(a[f"images_{split}"][:], b[f"images_{split}"][:], rtol=1e-4, atol=1e-5)
