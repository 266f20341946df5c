"""The cache of arrays an image: real processes, really killed; the file read back by hand."""

import errno
import hashlib
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lookwhy.data import image_cache
from lookwhy.data.image_cache import ImageCache
from lookwhy.errors import LookwhyError

KEY = {"network": "vgg19", "grid": 16, "fill": [0.5, 0.25, 0.0]}


def name_of(number):
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def arrays_of(number, side=8):
    """Different for each number, and at each place of an array."""
    values = np.arange(side * side) + number
    return {
        "features": values.reshape(side, side).astype(np.float32),
        "half": (values % 2048).reshape(2, side // 2, side).astype(np.float16),
        "mask": (values % 251).astype(np.uint8)[: side * side - 3],
    }


def open_cache(folder, name="occluded"):
    return ImageCache(Path(folder), name, KEY)


def filled(folder, count):
    cache = open_cache(folder)
    for number in range(count):
        cache.put(name_of(number), arrays_of(number))
    return cache


def assert_holds(cache, number, side=8):
    found, expected = cache.get(name_of(number)), arrays_of(number, side)
    assert found is not None, number
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, strict=True)


def process(script, *arguments, **options):
    """A Python process that has this module's helpers."""
    start = f"import os, signal, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    start += "from test_image_cache import *\n"
    command = [sys.executable, "-c", start + script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def finish(child):
    out, _ = child.communicate(timeout=60)
    return out


def test_arrays_come_back_as_they_were_also_from_a_file_opened_anew(tmp_path):
    given = {
        "scalar": np.array(2.5),
        "row": np.arange(5, dtype=np.uint8),
        "strided": np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2].T,
        "cube": np.arange(24, dtype=np.float16).reshape(2, 3, 4),
        "flags": np.array([True, False, True]),
        "big_endian": np.arange(3, dtype=">i8"),
        "digest": np.array([np.nan, -0.0, np.inf]),  # the name of a field of the file's own
        "empty": np.zeros((0, 3), np.complex64),
    }
    cache = open_cache(tmp_path)
    cache.put(name_of(1), given)
    for opened in (cache, open_cache(tmp_path)):
        found = opened.get(name_of(1))
        assert found.keys() == given.keys()
        for name, values in given.items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values, strict=True)
        assert opened.get(name_of(2)) is None
        assert name_of(1) in opened
        assert name_of(2) not in opened
        assert len(opened) == 1


def test_nothing_is_made_before_the_first_put(tmp_path):
    cache = open_cache(tmp_path / "deep" / "folder")
    assert cache.get(name_of(1)) is None
    assert len(cache) == 0
    assert list(tmp_path.iterdir()) == []
    cache.put(name_of(1), arrays_of(1))
    assert list((tmp_path / "deep" / "folder").iterdir()) == [cache.path]
    assert_holds(cache, 1)


def test_the_file_is_as_its_documentation_says(tmp_path):
    content = filled(tmp_path, 3).path.read_bytes()
    magic, version, length = struct.unpack_from("<8sII", content)
    assert (magic, version) == (b"LOOKWHYC", 1)
    assert json.loads(content[16 : 16 + length]) == {
        "key": KEY,
        "arrays": [["features", "<f4", [8, 8]], ["half", "<f2", [2, 4, 8]], ["mask", "|u1", [61]]],
    }
    # 256, 128 and 61 bytes, each filled up to a multiple of 64; then 64 of digest and marker.
    size = 256 + 128 + 64 + 64
    assert len(content) == 4096 + 3 * size
    for number, at in enumerate(range(4096, len(content), size)):
        expected = arrays_of(number)
        assert content[at : at + 256] == expected["features"].tobytes()
        assert content[at + 256 : at + 384] == expected["half"].tobytes()
        assert content[at + 384 : at + 448] == expected["mask"].tobytes() + bytes(3)
        assert content[at + 448 : at + 512] == bytes.fromhex(name_of(number)) + bytes(40) + b"complete"


def test_views_are_read_only_aligned_and_of_the_map(tmp_path):
    cache = filled(tmp_path, 3)
    for values in cache.get(name_of(2)).values():
        assert type(values) is np.ndarray
        assert values.ctypes.data % 64 == 0
        assert not values.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 0


def test_views_stay_right_while_the_file_grows_and_after_it_is_gone(tmp_path):
    cache = filled(tmp_path, 1)
    early = [cache.get(name_of(0))]
    for number in range(1, 40):
        cache.put(name_of(number), arrays_of(number))
        early.append(cache.get(name_of(number)))
    cache.path.unlink()
    assert_holds(cache, 39)
    del cache
    for number, found in enumerate(early):
        for name, values in arrays_of(number).items():
            np.testing.assert_array_equal(found[name], values)


def test_many_views_share_one_map(tmp_path):
    cache = filled(tmp_path, 200)
    cache.get(name_of(199))
    before = len(os.listdir("/dev/fd"))
    views = [cache.get(name_of(number)) for number in range(200)]
    assert len(os.listdir("/dev/fd")) == before
    assert len(views) == 200


def test_another_instance_sees_what_is_added(tmp_path):
    reader, writer = open_cache(tmp_path), open_cache(tmp_path)
    for number in range(3):
        assert reader.get(name_of(number)) is None
        writer.put(name_of(number), arrays_of(number))
        assert_holds(reader, number)
        assert len(reader) == number + 1


def test_the_first_of_two_puts_counts(tmp_path):
    one, two = open_cache(tmp_path), open_cache(tmp_path)
    assert one.get(name_of(7)) is two.get(name_of(7)) is None
    one.put(name_of(7), arrays_of(7))
    size = one.path.stat().st_size
    two.put(name_of(7), arrays_of(8))
    assert one.path.stat().st_size == size
    assert_holds(two, 7)


@pytest.mark.parametrize(
    "change",
    [
        {"half": None},
        {"more": np.zeros(3)},
        {"features": np.zeros((8, 8))},
        {"features": np.zeros((8, 9), np.float32)},
        {"features": np.zeros(64, np.float32)},
        {"features": np.zeros((8, 8), ">f4")},
    ],
)
def test_arrays_unlike_the_first_are_refused(tmp_path, change):
    cache = filled(tmp_path, 1)
    before = cache.path.read_bytes()
    other = {name: values for name, values in (arrays_of(1) | change).items() if values is not None}
    with pytest.raises(ValueError, match="expected the arrays .*'features', '<f4', .* found "):
        open_cache(tmp_path).put(name_of(1), other)
    assert cache.path.read_bytes() == before
    assert name_of(1) not in cache


def test_only_numbers_are_kept(tmp_path):
    cache = open_cache(tmp_path)
    for values in (np.array([None]), np.array(["a"]), np.zeros(2, "i4,f4")):
        with pytest.raises(ValueError, match="expected numbers or booleans, .* 'x'"):
            cache.put(name_of(1), {"x": values})
    assert not cache.path.exists()


@pytest.mark.parametrize("image", ["", "12", "g" * 32, "A" * 32, "0" * 31 + "\n", "0" * 33])
def test_an_image_is_named_by_a_digest(tmp_path, image):
    cache = open_cache(tmp_path)
    with pytest.raises(ValueError, match="expected 32 hexadecimal digits"):
        cache.put(image, arrays_of(1))
    with pytest.raises(ValueError, match="expected 32 hexadecimal digits"):
        cache.get(image)


def test_each_key_has_its_own_file(tmp_path):
    same = ImageCache(tmp_path, "occluded", dict(reversed(KEY.items())))
    assert same.path == open_cache(tmp_path).path
    other = ImageCache(tmp_path, "occluded", KEY | {"grid": 8})
    filled(tmp_path, 1)
    assert other.path != same.path
    assert other.get(name_of(0)) is None
    assert_holds(same, 0)
    with pytest.raises(TypeError):
        ImageCache(tmp_path, "occluded", {"path": tmp_path})


def damage(path, kind):
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    if kind == "other key":
        other = ImageCache(path.parent, "other", KEY | {"grid": 8})
        other.put(name_of(0), arrays_of(0))
        return other.path.read_bytes()
    return {
        "magic": b"\x89HDF\r\n\x1a\n" + content[8:],
        "version": content[:8] + struct.pack("<I", 2) + content[12:],
        "json": content[:20] + b"\0" + content[21:],
        "no key": content[:16] + b"{}".ljust(length) + content[16 + length :],
        "empty": b"",
        "in magic": content[:5],
        "in prefix": content[:13],
        "in text": content[: 16 + length // 2],
        "in padding": content[:4095],
    }[kind]


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("other key", r'found one of the key \{.*"grid":8,'),
        ("magic", "found something else"),
        ("version", "found version 2"),
        ("json", "found a damaged header"),
        ("no key", "found a damaged header"),
        ("empty", "found something else"),
        ("in magic", "found something else"),
        ("in prefix", "found a header cut short"),
        ("in text", "found a header cut short"),
        ("in padding", "found a header cut short"),
    ],
)
def test_a_foreign_file_is_never_used(tmp_path, kind, found):
    path = filled(tmp_path, 2).path
    path.write_bytes(damage(path, kind))
    before = path.read_bytes()
    cache = open_cache(tmp_path)
    message = rf'^expected .*"grid":16,.*{found}.* in {path}; delete it and it is computed again$'
    with pytest.raises(LookwhyError, match=message):
        cache.get(name_of(0))
    with pytest.raises(LookwhyError, match=message):
        cache.put(name_of(0), arrays_of(0))
    with pytest.raises(LookwhyError, match=message):
        len(cache)
    assert path.read_bytes() == before
    path.unlink()
    cache.put(name_of(0), arrays_of(0))
    assert_holds(cache, 0)


def test_a_file_removed_and_made_anew_is_read_anew(tmp_path):
    cache = filled(tmp_path, 3)
    assert_holds(cache, 0)
    cache.path.unlink()
    other = open_cache(tmp_path)
    for number in range(5, 25):  # longer than the one before: its size does not give it away
        other.put(name_of(number), {"x": np.arange(number)[-3:]})
    assert cache.get(name_of(5))["x"].tolist() == [2, 3, 4]
    assert cache.get(name_of(0)) is None


SIZE = 256 + 128 + 64 + 64


@pytest.mark.parametrize("back", [1, 4, 7, 8, 9, 48, 63, 64, 65, 100, 128, 300, SIZE - 1, SIZE])
@pytest.mark.parametrize("whole", [0, 2])
def test_a_record_cut_anywhere_is_not_read_and_is_written_over(tmp_path, whole, back):
    path = filled(tmp_path, whole + 1).path
    complete = path.read_bytes()
    os.truncate(path, 4096 + (whole + 1) * SIZE - back)
    cache = open_cache(tmp_path)
    assert len(cache) == whole
    assert cache.get(name_of(whole)) is None
    for number in range(whole):
        assert_holds(cache, number)
    cache.put(name_of(whole), arrays_of(whole))
    assert path.read_bytes() == complete
    for number in range(whole + 1):
        assert_holds(cache, number)


def test_a_record_whose_size_reached_the_disk_without_its_marker_does_not_count(tmp_path):
    path = filled(tmp_path, 2).path
    with path.open("ab") as file:
        file.write(b"\xff" * SIZE + bytes(SIZE))
    cache, reader = open_cache(tmp_path), open_cache(tmp_path)
    assert len(cache) == len(reader) == 2
    for number in range(2, 6):
        cache.put(name_of(number), arrays_of(number))
        assert_holds(reader, number)
    assert len(cache) == len(open_cache(tmp_path)) == 6


KILLED = """
moment, calls = sys.argv[2], []
cache = open_cache(sys.argv[1])
if not moment.startswith("header"):
    cache.put(name_of(0), arrays_of(0))

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def watch(name):
    original = getattr(os, name)
    def watched(*arguments):
        calls.append(name)
        step = f"{name} {calls.count(name)}"
        if moment.endswith(f"before {step}"):
            die()
        if moment.endswith(f"half of {step}"):
            file, content, at = arguments
            original(file, content[: len(content) // 2], at)
            die()
        result = original(*arguments)
        if moment.endswith(f"after {step}"):
            die()
        return result
    setattr(os, name, watched)

for name in ("pwrite", "fsync", "link"):
    watch(name)
cache.put(name_of(1), arrays_of(1))
print("not killed")
"""


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        ("header: before fsync 1", False),
        ("header: before link 1", False),
        ("header: after link 1", False),
        ("half of pwrite 1", False),
        ("after pwrite 1", False),
        ("after fsync 1", False),
        ("after pwrite 2", True),
    ],
)
def test_a_process_killed_at_any_step_costs_at_most_its_record(tmp_path, moment, kept):
    child = process(KILLED, tmp_path, moment)
    assert finish(child) == ""
    assert child.returncode == -signal.SIGKILL
    cache = open_cache(tmp_path)
    before = 0 if moment.startswith("header") else 1
    assert len(cache) == before + kept
    assert (name_of(1) in cache) == kept
    for number in range(3):
        cache.put(name_of(number), arrays_of(number))
    for number in range(3):
        assert_holds(cache, number)
    assert cache.path.stat().st_size == 4096 + 3 * SIZE


def test_processes_killed_at_random_lose_nothing_that_was_put(tmp_path):
    script = """
import random

def put_on_and_on(folder, count, told):
    os.write(told, b"started ")
    cache = open_cache(folder)
    while True:
        cache.put(name_of(count), arrays_of(count, 256))
        os.write(told, b"%d " % count)
        count += 1

folder, chance = sys.argv[1], random.Random(0)
count = kills = torn = 0
while kills < 20 or torn == 0:
    listening, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        put_on_and_on(folder, count, told)
    os.close(told)
    assert os.read(listening, 8) == b"started "
    time.sleep(chance.uniform(0.0, 0.08))
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    with open(listening) as file:
        done = [int(number) for number in file.read().split()]
    kills += 1
    assert done == list(range(count, count + len(done)))
    cache = open_cache(folder)
    assert len(cache) in (count + len(done), count + len(done) + 1)
    for number in range(max(0, count - 1), len(cache)):
        assert_holds(cache, number, 256)
    count = len(cache)
    torn += cache.path.exists() and (cache.path.stat().st_size - 4096) % (256 * 256 * 7 + 64) != 0
cache.put(name_of(count), arrays_of(count, 256))
for number in range(count + 1):
    assert_holds(cache, number, 256)
print(count)
"""
    child = process(script, tmp_path)
    assert int(finish(child)) > 0


def test_two_processes_add_different_images_and_the_same(tmp_path):
    script = """
folder, own = sys.argv[1], int(sys.argv[2])
cache = open_cache(folder)
print(flush=True)
sys.stdin.readline()
for step in range(100):
    for number in (step, 1000 * own + step):
        if cache.get(name_of(number)) is None:
            cache.put(name_of(number), arrays_of(number))
        assert_holds(cache, number)
"""
    children = [process(script, tmp_path, own, stdin=subprocess.PIPE) for own in (1, 2)]
    for child in children:
        child.stdout.readline()
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        finish(child)
        assert child.returncode == 0
    cache = open_cache(tmp_path)
    for number in (*range(100), *range(1000, 1100), *range(2000, 2100)):
        assert_holds(cache, number)
    assert len(cache) == 300
    assert list(tmp_path.iterdir()) == [cache.path]
    assert cache.path.stat().st_size == 4096 + 300 * SIZE


def test_two_that_make_the_file_at_once_agree_on_one(tmp_path, monkeypatch):
    link = os.link

    def overtaken(source, target):
        monkeypatch.setattr(image_cache.os, "link", link)
        open_cache(tmp_path).put(name_of(1), arrays_of(1))
        link(source, target)

    monkeypatch.setattr(image_cache.os, "link", overtaken)
    cache = open_cache(tmp_path)
    cache.put(name_of(2), arrays_of(2))
    assert_holds(cache, 1)
    assert_holds(cache, 2)
    assert list(tmp_path.iterdir()) == [cache.path]


def test_a_folder_made_read_only_is_read_and_left_alone(tmp_path):
    # The user root may write anywhere: the process leaves it once it is in the folder.
    script = """
import numpy.testing
os.chdir(sys.argv[1])
os.chmod("frozen", 0o555)
os.chmod("without", 0o555)
if os.geteuid() == 0:
    os.chmod(".", 0o755)
    for path in Path("frozen").iterdir():
        os.chmod(path, 0o666)
    os.setuid(65534)
cache = open_cache("frozen")
assert_holds(cache, 1)
for folder, number in (("frozen", 9), ("without", 1)):
    try:
        open_cache(folder).put(name_of(number), arrays_of(number))
    except LookwhyError as error:
        print(error)
assert_holds(cache, 0)
"""
    path = filled(tmp_path / "frozen", 2).path
    (tmp_path / "without").mkdir()
    before = path.read_bytes()
    child = process(script, tmp_path)
    lines = finish(child).splitlines()
    for folder in ("frozen", "without"):
        (tmp_path / folder).chmod(0o755)
    assert child.returncode == 0
    assert lines == [
        f"expected to add 512 bytes to {folder}/{path.name}, found Permission denied; "
        "make room, or give a folder that can be written to"
        for folder in ("frozen", "without")
    ]
    assert path.read_bytes() == before
    assert list((tmp_path / "without").iterdir()) == []


# Room for half of the header; for two records and nothing, a half and half of a marker.
@pytest.mark.parametrize(
    ("limit", "count"),
    [(2000, 0), (4096 + 2 * SIZE, 2), (4096 + 2 * SIZE + 300, 2), (4096 + 3 * SIZE - 4, 2)],
)
def test_a_full_disk_is_said_and_costs_nothing_of_what_is_there(tmp_path, limit, count):
    # Python ignores SIGXFSZ, so a file at its limit fails as one on a full disk does: first a part is taken.
    script = """
import resource
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
cache = open_cache(sys.argv[1])
for number in range(int(sys.argv[3])):
    cache.put(name_of(number), arrays_of(number))
for attempt in range(2):
    try:
        cache.put(name_of(99), arrays_of(99))
    except LookwhyError as error:
        print(error)
assert cache.get(name_of(99)) is None
assert len(cache) == int(sys.argv[3])
"""
    child = process(script, tmp_path, limit, count)
    lines = finish(child).splitlines()
    assert child.returncode == 0
    cache = open_cache(tmp_path)
    assert lines == 2 * [
        f"expected to add 512 bytes to {cache.path}, found {os.strerror(errno.EFBIG)}; "
        "make room, or give a folder that can be written to"
    ]
    assert list(tmp_path.iterdir()) == ([cache.path] if count else [])
    cache.put(name_of(99), arrays_of(99))
    for number in (*range(count), 99):
        assert_holds(cache, number)
    assert cache.path.stat().st_size == 4096 + (count + 1) * SIZE


def test_a_disk_that_fails_to_flush_gives_no_record(tmp_path, monkeypatch):
    cache = filled(tmp_path, 1)

    def fail(file):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(image_cache.os, "fsync", fail)
        with pytest.raises(LookwhyError, match="expected to add 512 bytes .* found Input/output error"):
            cache.put(name_of(1), arrays_of(1))
    assert len(cache) == len(open_cache(tmp_path)) == 1
    cache.put(name_of(1), arrays_of(1))
    assert_holds(cache, 1)


def test_what_cannot_be_read_is_said(tmp_path):
    cache = open_cache(tmp_path)
    cache.path.mkdir()
    with pytest.raises(LookwhyError, match=f"^expected to read {cache.path}, found Is a directory; "):
        cache.get(name_of(0))


def test_a_hundred_thousand_records_are_found_within_a_second(tmp_path):
    path = filled(tmp_path, 1).path
    content = path.read_bytes()
    names = [name_of(number) for number in range(100_000)]
    records = np.tile(np.frombuffer(content[4096:], np.uint8), (len(names), 1))
    digests = np.frombuffer(bytes.fromhex("".join(names)), np.uint8).reshape(-1, 16)
    records[:, SIZE - 64 : SIZE - 48] = digests
    path.write_bytes(content[:4096] + records.tobytes())
    cache = open_cache(tmp_path)
    start = time.process_time()
    assert names[-1] in cache
    assert time.process_time() - start < 1
    assert len(cache) == 100_000
    assert all(name in cache for name in names[::997])


def test_a_copy_opens_the_file_itself(tmp_path):
    cache = filled(tmp_path, 20)
    assert_holds(cache, 3)
    content = pickle.dumps(cache)
    assert len(content) < 1000
    assert_holds(pickle.loads(content), 3)
