import json
import multiprocessing
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from lookwhy.data.features import extract_features, feature_shape, read_description, read_features
from lookwhy.data.workers import default_workers
from lookwhy.errors import LookwhyError
from lookwhy.towers.recipe import ImageRecipe

RECIPE = ImageRecipe("caffe", 6, 8)
STAMPS = {"arch": "shapes", "layer": "fc7", "weights": "tower.pt", "weights_sha256": "abc"}
DESCRIPTION = STAMPS | {"recipe": RECIPE.to_dict(), "normalised": False}
BATCHES = [[0, 10], [20, 30], [40, 50], [60], [70, 80], [0]]
FILES = {"train": [f"{i}.png" for i in range(7)], "test": ["7.png", "8.png", "0.png"]}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(9):
        Image.new("RGB", (8, 6), (0, 0, 10 * i)).save(folder / f"{i}.png")
    return folder


class Forward:
    """Features that identify their image: the blue that it was painted with, and twice that number."""

    def __init__(self, interrupt_at=None):
        self.batches, self.interrupt_at = [], interrupt_at

    def __call__(self, pixels):
        blue = (pixels[:, 0] + 103.939).mean((1, 2))
        self.batches.append(blue.round().int().tolist())
        if len(self.batches) == self.interrupt_at:
            raise KeyboardInterrupt
        return torch.stack([blue, 2 * blue], 1)


def extract(images, forward, description=DESCRIPTION, batch_size=2, workers=0):
    out = images.parent / "data_img.h5"
    options = {"batch_size": batch_size, "workers": workers}
    extract_features(forward, description, RECIPE, images, FILES, out, **options)
    return out


def check(out):
    with h5py.File(out) as file:
        assert set(file) == {"images_train", "images_test"}
        for split, numbers in (("train", range(7)), ("test", [7, 8, 0])):
            data = file[f"images_{split}"]
            assert data.dtype == np.float32
            assert data.chunks is None
            assert set(data.attrs) == {"files_sha256"}  # nothing is left of the work
            np.testing.assert_allclose(data[:], [[10 * i, 20 * i] for i in numbers], atol=1e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_contiguous_float32_in_the_order_of_the_files_and_stamped_with_how_they_were_made(
    images, workers
):
    forward = Forward()
    out = extract(images, forward, workers=workers)
    check(out)
    assert forward.batches == BATCHES
    with h5py.File(out) as file:
        stamps = dict(file.attrs)
    assert json.loads(stamps.pop("description")) == DESCRIPTION
    assert stamps.pop("image_size").tolist() == [6, 8]
    assert stamps.pop("normalised") == np.False_
    assert stamps == STAMPS | {"recipe": "caffe"}
    assert read_description(out) == DESCRIPTION


@pytest.mark.parametrize(
    ("interrupt_at", "changes", "batch_size", "batches"),
    [
        *((at, {}, 2, BATCHES[at - 1 :]) for at in (1, 3, 6)),
        (3, {}, 5, [[40, 50, 60], [70, 80, 0]]),
        # The content of the weights counts; their path may have become another.
        (3, {"weights": "/another/folder/tower.pt"}, 2, BATCHES[2:]),
        (3, {"weights_sha256": "other"}, 2, BATCHES),
    ],
)
def test_interrupted_work_of_the_same_tower_is_continued(images, interrupt_at, changes, batch_size, batches):
    out, again = images.parent / "data_img.h5", Forward()
    with pytest.raises(KeyboardInterrupt):
        extract(images, Forward(interrupt_at), DESCRIPTION | changes)
    assert not out.exists()
    check(extract(images, again, batch_size=batch_size))
    assert again.batches == batches
    assert not out.with_name("data_img.h5.partial").exists()


def test_partial_work_of_other_settings_is_set_aside_with_a_line_and_continued_later(images, capsys):
    other, again = DESCRIPTION | {"weights_sha256": "other"}, Forward()
    with pytest.raises(KeyboardInterrupt):
        extract(images, Forward(3), other)
    capsys.readouterr()
    check(extract(images, Forward()))
    [aside] = images.parent.glob("*.partial")
    assert f"held features with other settings; it is kept as {aside}" in capsys.readouterr().err
    check(extract(images, again, other))
    assert again.batches == BATCHES[2:]
    assert list(images.parent.glob("*.partial")) == []


def test_a_damaged_partial_file_is_started_over_and_one_of_a_running_process_left_alone(images):
    partial = images.parent / "data_img.h5.partial"
    partial.write_bytes(b"\x89HDF half a file")
    check(extract(images, Forward()))
    assert images.parent.joinpath("data_img.h5.damaged.partial").read_bytes() == b"\x89HDF half a file"
    hold = f"import h5py, sys; f = h5py.File({str(partial)!r}, 'a'); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=-1, stdout=-1) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LookwhyError, match="found another process writing it"):
            extract(images, Forward())
        holder.communicate(b"\n")
    assert partial.exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_image_is_named_before_any_work_and_the_work_before_a_damaged_one_kept(images, workers):
    path, forward, again = images / "4.png", Forward(), Forward()
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(LookwhyError, match=r"expected 9 images .* found no 4.png \(1 missing\)"):
        extract(images, forward)
    assert forward.batches == []
    path.write_bytes(b"no image")
    with pytest.raises(LookwhyError, match=r"\Aexpected an image .*4\.png.*; replace the file\Z"):
        extract(images, forward, workers=workers)
    path.write_bytes(whole)
    check(extract(images, again))
    assert again.batches[0] == [40, 50]


# When a connection breaks, PyTorch opens temporary files to see whether the process may open more, and its own
# signal handler, which tells of the killed worker, may interrupt that between opening and keeping one.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning"
)
def test_a_killed_worker_process_is_one_line_and_the_work_is_continued(images):
    forward, again = Forward(), Forward()

    def kill_and_forward(pixels):
        if forward.batches:
            for process in multiprocessing.active_children():
                process.kill()
        return forward(pixels)

    with pytest.raises(
        LookwhyError,
        match=r"\Aexpected each worker process .*found that one was killed [^\n]*fewer [^\n]*workers[^\n]*\Z",
    ):
        extract(images, kill_and_forward, batch_size=1, workers=1)
    check(extract(images, again, batch_size=1))
    assert len(again.batches) < 10


def test_the_features_of_any_batch_are_computed_alike_by_one_thread_and_two(tmp_path):
    weights = torch.randn(16 * 16 * 3, 1024, generator=torch.Generator().manual_seed(0))
    noise = np.random.default_rng(0).integers(0, 256, (13, 16, 16, 3), np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    files = {"train": [f"{i}.png" for i in range(13)], "test": ["0.png"]}
    usual, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            recipe, out = ImageRecipe("torchvision", 16, 16), tmp_path / f"{threads}.h5"
            extract_features(
                lambda x: x.flatten(1) @ weights, DESCRIPTION, recipe, tmp_path, files, out, batch_size=8
            )
            assert torch.get_num_threads() == threads
            found.append(read_features(out))
    finally:
        torch.set_num_threads(usual)
    assert torch.equal(found[0]["train"], found[1]["train"])


PAGES = """
from contextlib import nullcontext
import resource
import torch
from lookwhy.data.heap import reused_memory
for memory in (nullcontext(), reused_memory()):
    with memory:
        for _ in range(20):  # small tensors between them find their places
            torch.ones(1 << 24)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(1 << 24)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another C library")
def test_large_tensors_take_the_same_pages_again():
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    usual, reused = map(int, done.stdout.split())
    assert reused < 0.2 * usual


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_features_of_a_gpu_are_those_of_the_cpu(images):
    forward = Forward()
    out = images.parent / "gpu.h5"
    options = {"batch_size": 1, "workers": 2, "device": "cuda"}
    extract_features(forward, DESCRIPTION, RECIPE, images, FILES, out, **options)
    check(out)
    assert forward.batches == [[one] for batch in BATCHES for one in batch]


def test_reading_gives_both_splits_in_any_shape(images):
    grid = torch.arange(8.0).view(2, 2, 2)
    out = extract(images, lambda pixels: grid * (pixels[:, 0].mean((1, 2)) + 103.939)[:, None, None, None])
    assert feature_shape(out) == (2, 2, 2)
    found = read_features(out)
    for split, blue in (("train", torch.arange(7) * 10), ("test", torch.tensor([70, 80, 0]))):
        torch.testing.assert_close(found[split], blue[:, None, None, None] * grid, atol=1e-2, rtol=0)


def test_missing_foreign_and_incomplete_files_are_named_and_the_original_ones_have_no_stamp(
    tmp_path,
):
    path = tmp_path / "data_img.h5"
    with pytest.raises(LookwhyError, match=f"found no file {path}"):
        read_features(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(LookwhyError, match=f"found something else in {path}"):
        read_features(path)
    for name, values, found in (
        ("features", np.ones((2, 8), np.float32), "the dataset images_train, found features in"),
        ("images_train", np.ones(2, np.float32), r"the shape \(M, ...\) of images_train, found \(2,\) in"),
        ("images_train", np.ones((2, 8), np.complex64), "real numbers in images_train, found complex64"),
        ("images_train", np.ones((2, 8), bool), "real numbers in images_train, found bool"),
    ):
        with h5py.File(path, "w") as file:
            file[name] = values
        with pytest.raises(
            LookwhyError, match=rf"\Aexpected .*{found}.*rows in the order of unique_img_train"
        ):
            read_features(path)
    with h5py.File(path, "w") as file:
        file["images_train"] = np.ones((2, 4096), np.float32)
    with pytest.raises(LookwhyError, match=f"images_test.* {path}"):
        read_features(path)
    with h5py.File(path, "a") as file:
        file["images_test"] = np.zeros((1, 4096), np.float32)
    assert read_features(path)["train"].shape == (2, 4096)
    with pytest.raises(LookwhyError, match="found no stamp"):
        read_description(path)


@pytest.mark.parametrize(
    ("stamp", "found"),
    [
        ("{", "found '{'"),
        ("[]", "found a list"),
        ('{"arch": 1}', "found arch: 1"),
        (7, "found "),
        ("{}", "no arch"),
    ],
)
def test_a_damaged_stamp_is_refused_by_its_field(stamp, found, images):
    out = extract(images, Forward())
    with h5py.File(out, "a") as file:
        file.attrs["description"] = stamp
    with pytest.raises(LookwhyError, match="expected the stamp of an image network") as error:
        read_description(out)
    assert found in str(error.value)


def test_a_process_of_a_pool_which_may_start_no_others_decodes_itself():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(default_workers) == 0
    assert default_workers() >= 1
