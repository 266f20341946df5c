import io
import itertools
import json
import os
import re
import shutil
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import PIPE, Popen

import h5py
import numpy as np
import pytest
import torch
import torchvision
from official_files import entry, write_official
from PIL import Image
from tiny_runs import ROOT, clean_environment, run

from lookwhy.cli.prepare import KINDS, main
from lookwhy.towers.image_tower import ImageTower

ASKED = ((10, 1, "Is it red?", "yes"), (11, 1, "Is it blue?", "no"), (20, 2, "Is it?", "yes"))
TRAIN = [entry(question, image, text, [answer] * 10) for question, image, text, answer in ASKED]
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
    state = torchvision.models.vgg16(weights=None, init_weights=False).features.state_dict()
    torch.save({f"features.{name}": value.half() for name, value in state.items()}, folder / "vgg16.pt")
    return folder


def questions_of(world, train="train"):
    names = {f"--{one}-{kind}": name for one, name in (("train", train), ("val", "val")) for kind in KINDS}
    files = [(option, world / f"{option.split('-')[-1]}_{name}.json") for option, name in names.items()]
    return [*itertools.chain(*files), "--num-answers", 1]


def features_of(world, layer="pool5_mean", size=32):
    weights = ["--recipe", "caffe", "--weights", world / "vgg16.pt"]
    return ["--arch", "vgg16", "--layer", layer, *weights, "--size", size]


def prepare(command, world, out, *options):
    return main([str(part) for part in (command, *options, "--images", world / "images", "--out", out)])


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """Folder of the training files, and what the command printed."""
    out = tmp_path_factory.mktemp("whole")
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(printed):
        assert prepare("vqa", world, out, *questions_of(world), *features_of(world)) == 0
    return out, printed.getvalue()


def refused(capsys, *arguments):
    assert main([str(part) for part in arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(r"lookwhy: error: [^\n]+\n", output.err), output.err
    return output.err


def same(one, other, name):
    with h5py.File(one / name) as a, h5py.File(other / name) as b:
        assert set(a) == set(b)
        for key in a:
            if a[key].dtype == np.float32:
                np.testing.assert_allclose(a[key][:], b[key][:], rtol=1e-4, atol=1e-5)
            else:
                assert (a[key][:] == b[key][:]).all(), key


def test_official_files_and_images_become_the_training_files(world, whole):
    out, printed = whole
    assert re.fullmatch(
        rf"device  (cpu \(no GPU found\)|cuda:0 \(.+\))\nwrote {out}: 2 questions to train on \(1 dropped, their answer is not among the 1 kept\), "
        r"1 to validate on, 5 words; 3 images, features 512 \(vgg16 pool5_mean\); \d+ s\n",
        printed,
    )
    files = ["data_img.h5", "data_prepro.h5", "data_prepro.json"]
    assert sorted(path.name for path in out.iterdir()) == files
    names = json.loads((out / "data_prepro.json").read_text())
    assert names["unique_img_train"] == [f"val2014/COCO_val2014_00000000000{i}.png" for i in (1, 2)]
    assert names["image_root"] == str(world / "images")
    with h5py.File(out / "data_prepro.h5") as questions, h5py.File(out / "data_img.h5") as images:
        assert questions["question_id_train"][:].tolist() == [10, 20]
        assert questions["img_pos_train"][:].tolist() == [1, 2]
        assert images["images_train"].shape == (2, 512)
        assert images["images_test"].shape == (1, 512)
        assert images.attrs["recipe"] == "caffe"


def test_the_two_halves_give_the_files_of_the_whole_and_larger_images_a_finer_grid(
    world, whole, tmp_path, capsys
):
    assert prepare("questions", world, tmp_path, *questions_of(world)) == 0
    assert not (tmp_path / "data_img.h5").exists()
    assert prepare("features", world, tmp_path, *features_of(world), "--batch-size", 1) == 0
    for name in ("data_prepro.h5", "data_img.h5"):
        same(whole[0], tmp_path, name)
    for size, cells in ((64, 2), (224, 7)):
        assert prepare("features", world, tmp_path, *features_of(world, "pool5", size)) == 0
        with h5py.File(tmp_path / "data_img.h5") as file:
            assert file["images_train"].shape == (2, 512, cells, cells)
            assert json.loads(file.attrs["description"])["recipe"]["height"] == size
    for wrong in (("pool5", 230), ("fc7", 448)):
        capsys.readouterr()
        assert prepare("features", world, tmp_path, *features_of(world, *wrong)) == 2
        assert "expected --size 224 for fc7" in capsys.readouterr().err


def test_the_shapes_world_goes_the_way_of_real_data(tiny_world):
    names = json.loads((tiny_world / "data_prepro.json").read_text())
    assert names["unique_img_train"][0].startswith("shapes_train/COCO_shapes_train_")
    assert (tiny_world / "images" / names["unique_img_train"][0]).is_file()
    with h5py.File(tiny_world / "data_img.h5") as file:
        assert file.attrs["arch"] == "shapes"
        assert file["images_train"].shape[0] == len(names["unique_img_train"]) == 40
        assert file["images_test"].shape[0] == len(names["unique_img_test"]) == 12


def test_the_network_of_a_shapes_world_serves_other_drawn_pictures(tiny_world, tmp_path, capsys):
    for name in ("data_prepro.h5", "data_prepro.json"):
        shutil.copy(tiny_world / name, tmp_path)
    given = ["--images", tiny_world / "images", "--out", tmp_path, "--arch", "shapes"]
    weights = ["--weights", tiny_world / "tower.pt"]
    for wrong in (
        [],
        [*weights, "--size", 224],
        [*weights, "--recipe", "torchvision"],
        [*weights, "--layer", "pool5"],
    ):
        assert "expected --arch shapes with --weights WORLD/tower.pt" in refused(
            capsys, "features", *given, *wrong
        )
    assert main([str(part) for part in ("features", *given, *weights, "--batch-size", 128)]) == 0
    assert "features 864 (shapes fc7)" in capsys.readouterr().out
    same(tiny_world, tmp_path, "data_img.h5")


def test_the_same_command_makes_the_same_bytes(tmp_path, monkeypatch):
    files = []
    for process in (111, 222):
        monkeypatch.setattr("os.getpid", lambda number=process: number)  # stands in temporary names
        out = tmp_path / "world"
        assert main(["shapes", f"--out={out}", "--train-scenes=4", "--val-scenes=2", "--epochs=1"]) == 0
        files.append({path: path.read_bytes() for path in out.rglob("*") if path.is_file()})
        shutil.rmtree(out)
    assert len(files[0]) > 20
    assert files[0] == files[1]


def test_wrong_folders_files_and_devices_are_one_line(world, tmp_path, capsys):
    images, out = ["--images", world / "images"], ["--out", tmp_path]
    features, gone, file = ["features", *features_of(world), *out], tmp_path / "gone", world / "vgg16.pt"
    assert f"found none at {gone}" in refused(capsys, *features, "--images", gone)
    assert f"found File exists at {file}" in refused(capsys, *features, *images, "--out", file)
    trian = ["questions", *questions_of(world, train="trian"), *images, *out]
    assert str(world / "questions_trian.json") in refused(capsys, *trian)
    assert f"found no file {tmp_path / 'data_prepro.json'}" in refused(capsys, *features, *images)
    assert "found no abacus" in refused(capsys, *features, *images, "--device", "abacus")
    # Weights do not tell their recipe, and it is never guessed.
    unstated = ["--arch", "vgg16", "--layer", "pool5", "--weights", world / "vgg16.pt"]
    assert "found no --recipe" in refused(capsys, "vqa", *questions_of(world), *unstated, *images, *out)
    assert list(tmp_path.iterdir()) == []
    assert prepare("questions", world, tmp_path, *questions_of(world)) == 0
    capsys.readouterr()
    message = refused(capsys, *features, "--images", tmp_path)
    assert "found no val2014/COCO_val2014_000000000001.png (3 missing)" in message


def test_help_needs_no_heavy_library(tmp_path):
    watch = (
        "import sys\n"
        "from lookwhy.cli.prepare import main\n"
        "for command in ('', 'vqa', 'shapes', 'import', 'download'):\n"
        "    try: main([*command.split(), '--help'])\n"
        "    except SystemExit as end: print('code:', end.code)\n"
        "print('heavy:', {'torch', 'h5py', 'nltk', 'numpy', 'requests'} & set(sys.modules))"
    )
    done = run([sys.executable, "-c", watch], tmp_path)
    assert done.stdout.count("usage: lookwhy prepare") == done.stdout.count("code: 0") == 5
    assert done.stdout.endswith("heavy: set()\n")
    assert done.stderr == ""


def test_ctrl_c_leaves_with_130_and_one_line_and_the_same_command_continues(
    world, whole, tmp_path, capsys, monkeypatch
):
    options = [*questions_of(world), *features_of(world), "--batch-size", 1]
    images, forward = [], ImageTower.forward

    def forward_until_ctrl_c(tower, pixels):
        images.append(pixels)
        if len(images) == 2:
            signal.raise_signal(signal.SIGINT)
        return forward(tower, pixels)

    monkeypatch.setattr(ImageTower, "forward", forward_until_ctrl_c)
    assert prepare("vqa", world, tmp_path, *options) == 130
    output = capsys.readouterr()
    assert output.out == ""
    device, *lines = output.err.splitlines()
    assert device.startswith("device  c")
    assert lines == ["lookwhy: interrupted; the same command continues"]
    assert not (tmp_path / "data_img.h5").exists()
    assert prepare("vqa", world, tmp_path, *options) == 0
    # The first image was not seen again: the second twice, the third once.
    assert len(images) == 4
    assert torch.equal(images[1], images[2])
    same(whole[0], tmp_path, "data_img.h5")


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def own_lines(text):
    """Lines of the command itself on stderr, without the report of torchrun and its warnings."""
    return [line for line in text.splitlines() if line.startswith(("lookwhy: ", "device "))]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux tells who started whom")
def test_processes_of_torchrun_share_the_images_and_one_that_is_killed_ends_all(world, tmp_path):
    names = [f"COCO_val2014_{i:012d}.png" for i in range(1, 41)]
    (tmp_path / "images/val2014").mkdir(parents=True)
    for i, name in enumerate(names):
        (tmp_path / "images/val2014" / name).symlink_to(world / "images/val2014" / names[i % 3])
    (tmp_path / "vgg16.pt").symlink_to(world / "vgg16.pt")
    asked = [entry(i, i, "Is it red?", ["yes"] * 10) for i in range(1, 41)]
    write_official(tmp_path, "train", asked[:33])
    write_official(tmp_path, "val", asked[33:])
    for out in ("one", "several"):
        assert prepare("questions", tmp_path, tmp_path / out, *questions_of(tmp_path)) == 0
    options = [*features_of(tmp_path, size=128), "--batch-size", "4", "--workers", "1"]
    assert prepare("features", tmp_path, tmp_path / "one", *options) == 0
    words = [ROOT / "data/prepare.py", "features", *options]
    words = [str(word) for word in [*words, "--images", tmp_path / "images", "--out", tmp_path / "several"]]
    one, several = (tmp_path / out / "data_img.h5" for out in ("one", "several"))
    partial = several.with_name("data_img.h5.partial")

    done = run([*TORCHRUN, "2", *words], tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(own_lines(done.stderr)) == done.stdout.count("wrote ") == 1
    assert several.read_bytes() == one.read_bytes()
    several.unlink()

    pipes = {"stdout": PIPE, "stderr": PIPE, "text": True, "env": clean_environment()}
    with Popen([*TORCHRUN, "2", *words], **pipes) as process:
        while not (partial.exists() and partial.stat().st_size > 33 * 512 * 4) and process.poll() is None:
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ranks = {pid: Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") for pid in children}
        (second,) = [int(pid) for pid, environment in ranks.items() if b"RANK=1" in environment]
        os.kill(second, signal.SIGKILL)
        start = time.monotonic()
        printed, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 60
    assert (process.returncode, printed) == (1, "")  # torchrun's own
    _, line = own_lines(errors)
    assert line.startswith("lookwhy: error: expected 2 processes to run until the end, found that another")

    with h5py.File(partial, "a") as file:
        file["images_train"][0] = -1  # this row is not computed again
    assert prepare("features", tmp_path, tmp_path / "several", *options) == 0
    with h5py.File(one) as a, h5py.File(several) as b:
        assert (b["images_train"][0] == -1).all()
        assert (a["images_train"][1:] == b["images_train"][1:]).all()
        assert (a["images_test"][:] == b["images_test"][:]).all()
