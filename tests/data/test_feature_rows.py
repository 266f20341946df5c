"""Features from a map, from RAM and on a device are the same numbers; h5py's own reading is the judge."""

import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lookwhy.data.feature_rows import free_memory, load_features, place_features
from lookwhy.errors import LookwhyError

SHAPES = {"train": (37, 6, 2, 2), "test": (11, 6, 2, 2)}
POSITIONS = torch.tensor([5, 0, 10, 10, 3])


def write(path, dtype=np.float32, userblock_size=0, **layout):
    random = np.random.default_rng(1)
    with h5py.File(path, "w", userblock_size=userblock_size) as file:
        for split, shape in SHAPES.items():
            file.create_dataset(f"images_{split}", data=random.standard_normal(shape).astype(dtype), **layout)
    return path


def rows_of(path):
    """Rows of both splits at POSITIONS, as h5py reads them."""
    with h5py.File(path) as file:
        return {split: file[f"images_{split}"][:][POSITIONS.numpy()].astype(np.float32) for split in SHAPES}


def mappings(path):
    """Permissions of each mapping of a file (or pattern) in this process, and how much of it is our own copy."""
    name = path.pattern if isinstance(path, re.Pattern) else re.escape(str(path))
    form = rf"(?m)^\S+-\S+ (\S+) .*{name}$(?s:.*?)^Anonymous: +(\d+)"
    found = re.findall(form, Path("/proc/self/smaps").read_text())
    return [(permissions, int(copied)) for permissions, copied in found]


def check(features, expected):
    for split, rows in expected.items():
        np.testing.assert_array_equal(features[split].take(POSITIONS).numpy(), rows)


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "data_img.h5")


@pytest.mark.parametrize("userblock_size", [0, 1024])
@pytest.mark.parametrize("keep", ["auto", "mapped", "ram"])
def test_mapped_and_ram_features_are_bit_for_bit_those_of_the_file(tmp_path, keep, userblock_size):
    path = write(tmp_path / "data_img.h5", userblock_size=userblock_size)
    found = load_features(path, keep)
    assert {split: one.rows.shape for split, one in found.items()} == SHAPES
    check(found, rows_of(path))


def test_features_larger_than_the_memory_are_mapped_and_their_rows_read_as_they_are_needed(path):
    load_features(path, "auto", free=10)
    features = load_features(path, "mapped", free=1000)
    assert not features["train"].source.is_read_ahead
    assert load_features(path, "mapped", free=10**9)["train"].source.is_read_ahead
    check(features, rows_of(path))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_a_map_is_read_only_and_shared(path):
    features = load_features(path)
    features["train"].take(POSITIONS)
    assert mappings(path)
    assert all(found == ("r--s", 0) for found in mappings(path))
    in_ram = load_features(path, "ram")
    del features
    assert mappings(path) == []
    assert len(in_ram["test"].take(POSITIONS)) == 5


UNMAPPABLE = [{"chunks": True}, {"compression": "gzip"}, {"dtype": np.float64}, {"dtype": ">f4"}]


@pytest.mark.parametrize("layout", UNMAPPABLE)
def test_unmappable_features_are_read_into_memory(tmp_path, layout):
    path = write(tmp_path / "data_img.h5", **layout)
    features = load_features(path)
    assert features["train"].source is features["test"].source is None
    check(features, rows_of(path))


@pytest.mark.parametrize(
    ("layout", "keep", "free", "cut_off", "found"),
    [
        *(
            (one, "mapped", None, 0, "expected contiguous, uncompressed float32 features")
            for one in UNMAPPABLE
        ),
        *(({}, keep, None, 100, "found one cut off in") for keep in ("mapped", "ram")),
        ({}, "ram", 10, 0, "set data.features to mapped"),
        ({"chunks": True}, "auto", 10, 0, "that cannot be mapped in .*data_img.h5; .*h5repack"),
    ],
)
def test_features_that_cannot_be_kept_are_refused_in_one_line(tmp_path, layout, keep, free, cut_off, found):
    path = write(tmp_path / "data_img.h5", **layout)
    os.truncate(path, path.stat().st_size - cut_off)
    with pytest.raises(LookwhyError, match=rf"\A.*{found}.*\Z"):
        load_features(path, keep, free)


@pytest.mark.parametrize("keep", ["mapped", "ram"])
def test_a_split_without_images_is_no_reason_not_to_map(path, keep):
    with h5py.File(path, "a") as file:
        del file["images_test"]
        file["images_test"] = np.ones((0, 2), np.float32)
    assert load_features(path, keep)["test"].rows.shape == (0, 2)


@pytest.mark.parametrize("size", [0, 100, None])
def test_a_file_cut_off_or_written_to_while_it_is_trained_from_is_an_error_and_no_crash(path, size):
    features = load_features(path, "mapped")
    os.utime(path, (1, 1)) if size is None else os.truncate(path, size)
    found = r"\A.*unchanged during training, found it written to or cut off.*\Z"
    with pytest.raises(LookwhyError, match=found):
        features["train"].take(POSITIONS)


def test_a_new_file_under_the_same_name_does_no_harm(tmp_path, path):
    features, expected = load_features(path, "mapped"), rows_of(path)
    os.replace(write(tmp_path / "other.h5", np.float64), path)
    check(features, expected)


def test_features_go_to_a_device_if_they_fill_less_than_half_of_it(path):
    features = load_features(path)
    nbytes = sum(one.rows.nbytes for one in features.values())
    # The device without any memory: it shows where the gathering happens, on any machine.
    placed = place_features(features, torch.device("meta"), free=2 * nbytes + 2)
    taken = placed["train"].take(POSITIONS)
    assert (taken.device.type, taken.shape) == ("meta", (5, *SHAPES["train"][1:]))
    assert place_features(features, torch.device("meta"), free=2 * nbytes) is features
    assert features["train"].take(POSITIONS).device.type == "cpu"
    assert place_features(features, torch.device("cpu")) is features  # without an accelerator they stay
    copied = place_features(features, torch.device("cpu"), free=10**9)
    assert copied["train"].source is None
    check(copied, rows_of(path))


def test_free_memory_is_a_part_of_the_machines_memory():
    assert 10**7 < free_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(("value", "found"), [(np.nan, "NaN"), (-np.inf, "an infinite value")])
@pytest.mark.parametrize("keep", ["mapped", "ram"])
def test_a_row_that_is_not_finite_is_refused_with_its_image(path, value, found, keep):
    with h5py.File(path, "a") as file:
        file["images_train"][5] = np.finfo(np.float32).max  # finite, but the sum of the row overflows
    assert torch.isfinite(load_features(path, keep)["train"].take(POSITIONS)).all()
    with h5py.File(path, "a") as file:
        file["images_test"][7, 3, 1, 0] = value
    files = {split: [f"{split}/{row}.png" for row in range(shape[0])] for split, shape in SHAPES.items()}
    message = rf"found {found} in row 7 \(test/7\.png\) of images_test in {re.escape(str(path))}; write"
    with pytest.raises(LookwhyError, match=message):
        load_features(path, keep, image_files=files)


def test_rows_of_a_file_larger_than_the_memory_are_checked_when_they_are_taken(path):
    with h5py.File(path, "a") as file:
        file["images_test"][7, 3] = np.nan
    rows = load_features(path, "mapped", free=1000)["test"]
    assert len(rows.take(POSITIONS)) == 5
    with pytest.raises(LookwhyError, match="found NaN in row 7 of images_test"):
        rows.take(torch.tensor([2, 7]))
    with pytest.raises(LookwhyError, match="found NaN in row 7 of images_test"):
        place_features({"test": rows}, torch.device("meta"), free=10**9)
