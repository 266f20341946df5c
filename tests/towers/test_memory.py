"""The tower's memory: one whole file for each image or none, shared by several processes."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from lookwhy.towers import Memory, Tower


def recall(memory, image, made, name="sums", key=None, pack=lambda result: {"sum": np.array(result)}):
    def make():
        made.append(float(image.flatten()[0]))
        return float(image.sum())

    return memory.recall(name, key or {}, image, make, pack, lambda arrays: float(arrays["sum"]))


def picture(value):
    return torch.full((3, 2, 2), float(value))


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("images", [0, 5])
def test_a_result_is_made_once_and_found_by_every_later_memory(tmp_path, images):
    made = []
    for memory in (Memory(tmp_path, images), Memory(tmp_path), Memory(tmp_path)):
        for number in (0, 1, 0):
            # A new tensor each time: the content identifies an image.
            assert recall(memory, picture(number), made) == 12 * number
    assert made == [0, 1]
    assert len(files(tmp_path)) == 2


def test_results_of_another_kind_are_never_mixed_up(tmp_path):
    made, memory = [], Memory(tmp_path, images=3)
    images = [{"image": torch.zeros(3, 2, 3)}, {"image": picture(0).double()}]
    for count, change in enumerate([{}, {"name": "other"}, {"key": {"grid": 2}}, *images], 1):
        recall(memory, **({"image": picture(0), "made": made, "key": {"grid": 1}} | change))
        assert len(made) == count


def test_a_digest_is_computed_once_for_views_of_an_unchanged_image_and_anew_after_a_change():
    from lookwhy.towers.memory import digest_of, digest_of_image

    images = torch.rand(2, 3, 4, 4)
    first = digest_of_image(images[0])
    assert first == digest_of(images[0])
    # A write that torch does not count would not be noticed: proof that nothing was computed again.
    np.asarray(images)[0] += 1
    assert digest_of_image(images[0]) == first != digest_of(images[0])
    images[0] += 1
    for other in (images[0], images[1], images[0].mT, images[0].clone()):
        assert digest_of_image(other) == digest_of(other)
    with torch.inference_mode():
        image = torch.rand(3, 4, 4)
        assert digest_of_image(image) == digest_of(image)
        np.asarray(image)[:] = 0
        assert digest_of_image(image) == digest_of(image)


def test_recently_used_images_stay_in_memory_and_other_results_without_a_place_are_made_each_time(tmp_path):
    made, memory = [], Memory(images=2)
    for number in (0, 1, 0, 1, 2, 1, 0):
        assert recall(memory, picture(number), made) == 12 * number
    assert made == [0, 1, 2, 0]
    for memory in [Memory()] * 3 + [Memory(tmp_path)] * 2:
        assert recall(memory, picture(1), made, pack=lambda result: None) == 12
    assert len(made) == 9
    assert not list(tmp_path.rglob("*"))


def test_a_file_damaged_in_any_byte_is_made_again(tmp_path):
    made = []
    recall(Memory(tmp_path), picture(1), made)
    (file,) = files(tmp_path)
    whole, other = file.read_bytes(), tmp_path / "other.npz"
    np.savez(other, something=np.ones(3))
    damages = [b"", b"PK\x03\x04 cut", b"no archive", whole[:-9], other.read_bytes()]
    damages += [whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :] for i in range(len(whole))]
    # A flipped bit inside the array's data is noticed, too.
    damages.append(whole.replace(np.float64(12).tobytes(), np.float64(13).tobytes()))
    for damage in damages:
        file.write_bytes(damage)
        assert recall(Memory(tmp_path), picture(1), made) == 12
    count = len(made)
    assert count > 100  # some bytes of an archive have no meaning
    assert recall(Memory(tmp_path), picture(1), made) == 12
    assert len(made) == count


def test_a_full_disk_gives_one_warning_for_all_memories_of_a_folder_and_every_result(tmp_path):
    made, memories = [], (Memory(tmp_path), Memory(tmp_path), Memory(str(tmp_path)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.warns(UserWarning, match="computed again each time from here on") as warned:
            found = [recall(memory, picture(number), made) for memory in memories for number in range(3)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(warned) == 1
    assert found == [0, 12, 24] * 3
    assert not files(tmp_path)
    (tmp_path / "cache").write_text("a file instead of a folder")
    with pytest.warns(UserWarning, match="make room, or make the folder writable"):
        assert recall(Memory(tmp_path / "cache"), picture(1), made) == 12


def fill(folder, report):
    memory, images = Memory(folder), torch.arange(200.0)[:, None, None, None].expand(-1, 3, 64, 64)
    for number, image in enumerate(images):
        memory.recall("images", {}, image, image.clone, lambda x: {"x": x.numpy()}, lambda found: found["x"])
        report(number)


def test_a_killed_process_leaves_whole_files_and_two_processes_agree(tmp_path):
    with subprocess.Popen([sys.executable, __file__, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        assert int(other.stdout.readline()) == 0
        fill(tmp_path, lambda value: os.kill(other.pid, signal.SIGKILL) if value == 40 else None)
        last = int(other.communicate()[0].split()[-1])
    assert last < 199
    # Nothing is lost, and each file is whole.
    written = [float(np.load(path)["x"][0, 0, 0]) for path in tmp_path.rglob("*.npz")]
    assert sorted(written) == list(range(200))


class Scaler(nn.Module):
    def __init__(self, factor, offset):
        super().__init__()
        self.factor, self.offset = factor, torch.tensor(offset)

    def forward(self, x):
        return self.factor * x + self.offset


def test_the_fingerprint_of_a_network_depends_on_layers_weights_and_settings_that_its_text_does_not_show():
    torch.manual_seed(0)
    one, other = (nn.Sequential(nn.Conv2d(3, 2, 3)) for _ in range(2))
    copy = nn.Sequential(nn.Conv2d(3, 2, 3))
    copy.load_state_dict(one.state_dict())
    networks = [one, other, copy, nn.Sequential(*one, nn.ReLU())]
    networks += [nn.Sequential(Scaler(*values)) for values in ((1, 2.0), (2, 2.0), (1, 3.0), (1, 2.0))]
    found = [Tower(network)._fingerprint for network in networks]
    assert (found[0], found[4]) == (found[2], found[7])
    assert len(set(found)) == 6


if __name__ == "__main__":
    fill(sys.argv[1], lambda number: print(number, flush=True))


def test_what_was_read_ahead_is_what_would_be_read(tmp_path):
    made, images = [], [picture(value) for value in range(5)]
    for image in images[:4]:
        recall(Memory(tmp_path), image, made)
    kind = next(path for path in tmp_path.iterdir())
    memory = Memory(tmp_path)
    for image in images:
        memory.read_ahead("sums", {}, image)
    images[4] += 1  # the file of another image was asked for
    assert [recall(memory, image, made) for image in images] == [0, 12, 24, 36, 60]
    assert made == [0, 1, 2, 3, 5]
    # The file is not read again: it may be gone by then.
    memory.read_ahead("sums", {}, images[2])
    [*memory._ahead.values()][-1][1].result()
    for path in files(kind):
        path.unlink()
    assert recall(memory, images[2], made) == 24
    assert made == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "values", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3)), np.array(2.5)]
)
def test_files_are_read_as_numpy_reads_them_and_damaged_or_foreign_ones_are_made_anew(
    tmp_path, write, values
):
    from lookwhy.towers.memory import _read

    path = tmp_path / "one.npz"
    write(path, first=values, second=values.astype(np.float16))
    found = _read(path)
    if write is np.savez_compressed:  # `Memory` writes no such files
        assert found is None
        return
    for name, expected in np.load(path).items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == expected.dtype
        assert found[name].flags.writeable
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    assert _read(path) is None
    path.write_bytes(content[: len(content) // 2])
    assert _read(path) is None
