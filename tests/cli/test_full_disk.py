"""A full disk, in a small file system: one line, nothing half-written, and the same work goes on later."""

import re
import shlex
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
from tiny_runs import ROOT, run, train_command

from lookwhy.hdf5 import new_hdf5
from lookwhy.models import load_checkpoint

SIZE = 1 << 20
EXTRACT = """
import sys
from pathlib import Path
import torch
from lookwhy.cli.errors import run_command
from lookwhy.data.features import extract_features
from lookwhy.towers.recipe import ImageRecipe

root, out, room = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
files = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
known = {"arch": "x", "layer": "x", "weights": "x", "weights_sha256": "x"}
if room == "unknown":  # as on a disk whose free room is not told, or is taken in the middle
    from lookwhy.data import features
    features._check_room = lambda path, size: None

def work():
    split = {"train": files[:40], "test": files[40:]}
    extract_features(lambda x: x.flatten(1)[:, :4096], known, ImageRecipe("caffe", 64, 64), root, split, out)
    return 0

sys.exit(run_command(work))
"""


@pytest.fixture
def disk(tmp_path):
    """Function that makes a file system of a size, of which only some bytes are free."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def make(size, free):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("this user may not mount a file system")
        (folder / "filler").write_bytes(bytes(size - free))
        return folder

    yield make
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


def only_line(done):
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert re.match(
        r"lookwhy: error: expected .*, found .*; make room on the disk, or write elsewhere; ", line
    )
    return line


@pytest.mark.parametrize("free", [0, 48_000, 150_000])
def test_questions_are_two_whole_files_or_none(tiny_world, tmp_path, disk, free):
    small = disk(SIZE, free)
    names = ("train_questions", "train_annotations", "val_questions", "val_annotations")
    files = [f"--{one.replace('_', '-')}={tiny_world}/{'_'.join(one.split('_')[::-1])}.json" for one in names]
    command = [
        sys.executable,
        ROOT / "data/prepare.py",
        "questions",
        *files,
        f"--images={tiny_world / 'images'}",
    ]
    command += [f"--out={small}/made"]
    only_line(run(command, tmp_path))
    assert [*small.glob("made/*")] == []
    (small / "filler").unlink()
    assert run(command, tmp_path).returncode == 0
    assert sorted(path.name for path in small.glob("made/*")) == ["data_prepro.h5", "data_prepro.json"]


@pytest.mark.parametrize(("free", "room"), [(0, "known"), (600_000, "known"), (600_000, "unknown")])
def test_features_end_in_one_line_and_go_on_when_there_is_room(tiny_world, tmp_path, disk, free, room):
    small = disk(2 * SIZE, free)
    command = [sys.executable, "-c", EXTRACT, tiny_world / "images", small / "data_img.h5", room]
    only_line(run(command, tmp_path))
    assert not (small / "data_img.h5").exists()
    (small / "filler").unlink()
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in small.iterdir()] == ["data_img.h5"]
    with h5py.File(small / "data_img.h5") as file:
        assert [len(file["images_train"]), len(file["images_test"])] == [40, 12]
        assert all(np.abs(file[name][:]).max(axis=1).min() > 0 for name in ("images_train", "images_test"))


@pytest.mark.slow
def test_a_training_keeps_its_last_good_checkpoint_and_goes_on_from_it(tiny_world, tmp_path, disk):
    small = disk(SIZE, 330_000)
    more = [
        "--trainer.logger=false",
        "--analysis.epochs=[]",
        "--trainer.max_epochs=3",
        f"--runs={small}/runs",
    ]
    command = train_command(tiny_world, *more)
    done = run(command, tmp_path, TMPDIR=tmp_path)
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert (
        f"expected room on the disk for {small}/runs/shapes, found No space left on device; make room" in line
    )
    files = sorted(path.name for path in small.glob("runs/shapes/checkpoints/*"))
    assert "last.ckpt" in files
    assert all(load_checkpoint(small / "runs/shapes/checkpoints" / name).epoch >= 0 for name in files)
    (small / "filler").unlink()
    again = [sys.executable, *shlex.split(line.rpartition("; go on with: python ")[2])]
    assert run(again, tmp_path).returncode == 0
    assert load_checkpoint(small / "runs/shapes/checkpoints/last.ckpt").epoch == 2


def test_an_hdf5_file_is_whole_or_not_there(tmp_path):
    with new_hdf5(tmp_path / "whole.h5") as file:
        file["x"] = np.arange(3)
    with h5py.File(tmp_path / "whole.h5") as file:
        assert file["x"][:].tolist() == [0, 1, 2]
    with pytest.raises(ZeroDivisionError), new_hdf5(tmp_path / "none.h5") as file:
        file["x"] = 1 / 0
    assert not (tmp_path / "none.h5").exists()
