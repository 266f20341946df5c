"""The tower's memory: whole files or none, one a image, for several processes."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from lookwhy.towers import Memory
from lookwhy.towers.memory import fingerprint


def recall(memory, image, made, name="sums", key=None, pack=lambda result: {"sum": np.array(result)}):
    def make():
        made.append(float(image.flatten()[0]))
        return float(image.sum())

    return memory.recall(name, key or {}, image, make, pack, lambda arrays: float(arrays["sum"]))


def pictures(count):
    return [torch.full((3, 2, 2), float(value)) for value in range(count)]


@pytest.mark.parametrize("images", [0, 5])
def test_a_result_is_made_once_and_found_by_every_later_memory(tmp_path, images):
    made = []
    for memory in (Memory(tmp_path, images), Memory(tmp_path), Memory(tmp_path)):
        for number in (0, 1, 0):
            # A copy: known by its content.
            assert recall(memory, pictures(2)[number].clone(), made) == 12 * number
    assert made == [0, 1]
    assert len(list(tmp_path.rglob("*.npz"))) == 2


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"key": {"grid": 2}}, {"image": torch.zeros(3, 2, 3)},
     {"image": torch.zeros(3, 2, 2, dtype=torch.float64)}],
    ids=["name", "key", "size", "type"],
)  # fmt: skip
def test_results_of_another_kind_are_never_mixed_up(tmp_path, change):
    made, memory = [], Memory(tmp_path, images=3)
    recall(memory, torch.zeros(3, 2, 2), made, key={"grid": 1})
    recall(memory, **({"image": torch.zeros(3, 2, 2), "made": made, "key": {"grid": 1}} | change))
    assert len(made) == 2


def test_the_images_used_last_stay_in_memory_where_there_is_no_folder():
    made, memory = [], Memory(images=2)
    for number in (0, 1, 0, 1, 2, 1, 0):
        assert recall(memory, pictures(3)[number], made) == 12 * number
    assert made == [0, 1, 2, 0]
    nowhere = Memory()
    for _ in range(3):
        recall(nowhere, torch.zeros(3, 2, 2), made)
    assert len(made) == 7


def test_a_result_that_cannot_be_stored_is_made_each_time(tmp_path):
    made, memory = [], Memory(tmp_path)
    for _ in range(2):
        assert recall(memory, torch.ones(3, 2, 2), made, pack=lambda result: None) == 12
    assert len(made) == 2
    assert not list(tmp_path.rglob("*"))


def test_a_file_damaged_in_any_byte_is_made_again(tmp_path):
    made = []
    recall(Memory(tmp_path), torch.ones(3, 2, 2), made)
    (file,) = tmp_path.rglob("*.npz")
    whole, other = file.read_bytes(), tmp_path / "other.npz"
    np.savez(other, something=np.ones(3))
    damages = [b"", b"PK\x03\x04 cut", b"no archive", whole[:-9], other.read_bytes()]
    damages += [whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :] for i in range(len(whole))]
    # A flipped bit inside the array's data is noticed, too.
    damages.append(whole.replace(np.float64(12).tobytes(), np.float64(13).tobytes()))
    for damage in damages:
        file.write_bytes(damage)
        assert recall(Memory(tmp_path), torch.ones(3, 2, 2), made) == 12
    count = len(made)
    assert count > 100  # some bytes of an archive have no meaning
    assert recall(Memory(tmp_path), torch.ones(3, 2, 2), made) == 12
    assert len(made) == count


def test_a_full_disk_is_told_once_and_costs_no_result(tmp_path):
    made, memory = [], Memory(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.warns(UserWarning, match="computed again each time from here on") as told:
            found = [recall(memory, image, made) for image in pictures(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(told) == 1
    assert found == [0, 12, 24]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.warns(UserWarning, match="make room, or make the folder writable"):
        assert recall(Memory(tmp_path / "cache"), torch.ones(3, 2, 2), made) == 12


FILL = """
import sys, torch
from lookwhy.towers import Memory

def fill(folder, say):
    memory = Memory(folder)
    for value in range(200):
        image = torch.full((3, 64, 64), float(value))
        memory.recall("images", {}, image, lambda: image, lambda x: {"x": x.numpy()}, lambda a: torch.tensor(a["x"]))
        say(value)

if __name__ == "__main__":
    fill(sys.argv[1], lambda value: print(value, flush=True))
"""
filling = {"__name__": "filling"}
exec(FILL, filling)


def whole_images(folder):
    return sorted(float(np.load(path)["x"][0, 0, 0]) for path in folder.rglob("*.npz"))


def test_a_killed_process_leaves_whole_files_and_two_at_once_agree(tmp_path):
    with subprocess.Popen([sys.executable, "-c", FILL, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert int(other.stdout.readline()) == 0
        filling["fill"](tmp_path, lambda value: os.kill(other.pid, signal.SIGKILL) if value == 40 else None)
        last = int(other.communicate()[0].split()[-1])
    assert last < 199
    assert whole_images(tmp_path) == list(range(200))  # nothing is lost, and each file is whole


def test_the_fingerprint_of_a_network_depends_on_layers_and_weights():
    torch.manual_seed(0)
    one, other = (torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3)) for _ in range(2))
    assert fingerprint(one) != fingerprint(other)
    other.load_state_dict(one.state_dict())
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(torch.nn.Sequential(*one, torch.nn.ReLU())) != fingerprint(one)


class Scaled(torch.nn.Module):
    def __init__(self, factor, offset):
        super().__init__()
        self.factor, self.offset = factor, torch.tensor(offset)

    def forward(self, x):
        return self.factor * x + self.offset


def test_the_fingerprint_of_any_module_depends_on_settings_that_its_text_does_not_show():
    found = {
        fingerprint(torch.nn.Sequential(Scaled(*one))) for one in ((1, 2.0), (2, 2.0), (1, 3.0), (1, 2.0))
    }
    assert len(found) == 3
