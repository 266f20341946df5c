"""Downloads from a real server on this machine that truncates, stalls, refuses and sends wrong bytes."""

import hashlib
import io
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from web_server import WebServer

from lookwhy.cli.prepare import main
from lookwhy.data.download import download
from lookwhy.data.sources import DATASETS, Source
from lookwhy.errors import LookwhyError

ROOT = Path(__file__).parents[2]
WEIGHTS = random.Random(0).randbytes(400_000)
OTHER = random.Random(1).randbytes(400_000)
PICTURE, PICTURE2 = WEIGHTS[:300_000], OTHER[:200_000]
WHOLE_HAT = {"vqahat_train/1_1.png": PICTURE, "vqahat_val/2_1.png": PICTURE2}


def packed(entries, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


HAT = {
    "vqahat_train.zip": packed({"vqahat_train/1_1.png": PICTURE}),
    "vqahat_val.zip": packed({"vqahat_val/2_1.png": PICTURE2}),
}


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr("lookwhy.data.download.BACKOFF", 0.01)
    with WebServer() as server:
        server.files = {"weights.bin": WEIGHTS, **HAT}
        yield server


def source(name="weights.bin", content=WEIGHTS):
    sum_ = None if content is None else f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Source(f"https://nowhere.invalid/folder/{name}", sum_)


def fetch(web, root, *sources, base_url=None):
    with redirect_stdout(io.StringIO()) as output:
        download("test", sources or [source()], root, base_url or web.url, timeout=0.4)
    return output.getvalue().splitlines()


def arrives(web, root, content=WEIGHTS):
    """The file is here in the end; returns the lines printed."""
    lines = fetch(web, root, source(content=content if content is WEIGHTS else None))
    assert visible(root) == {"weights.bin": content}
    return lines


def refused(web, root, *sources, **options):
    with pytest.raises(LookwhyError) as caught:
        fetch(web, root, *sources, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def visible(root):
    """Files under a folder, less the lock and the marks of what is done."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("[!.]*") if path.is_file()}


def starts(web, name="weights.bin"):
    """The first byte that each GET asked for."""
    return [int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0 for asked in web.gets(name)]


def test_files_arrive_and_archives_are_unpacked_and_removed(web, tmp_path):
    lines = fetch(web, tmp_path / "new", source(), *(source(name, content) for name, content in HAT.items()))
    assert visible(tmp_path / "new") == {"weights.bin": WEIGHTS, **WHOLE_HAT}
    # 400,000 and 300,122 bytes over 1024; the sizes are told before anything is fetched.
    assert lines[0] == "weights.bin: 391kB (sha256)"
    assert lines[1] == "vqahat_train.zip: 293kB (sha256)"
    assert re.fullmatch(r"needs \S+B to download, zips counted twice .*; \S+B free in .*/new", lines[3])


def test_what_is_here_is_not_fetched_again(web, tmp_path):
    sources = [source(), source("vqahat_val.zip", None)]
    fetch(web, tmp_path, *sources)
    web.log.clear()
    lines = fetch(web, tmp_path, *sources)
    assert lines == ["weights.bin: here already", "vqahat_val.zip: here already"]
    assert web.log == []
    (tmp_path / "vqahat_val/2_1.png").unlink()
    (tmp_path / "vqahat_val").rmdir()
    fetch(web, tmp_path, *sources)
    assert (tmp_path / "vqahat_val/2_1.png").read_bytes() == PICTURE2
    assert web.gets("weights.bin") == []


def test_an_archive_that_was_put_there_by_hand_is_used(web, tmp_path):
    (tmp_path / "vqahat_val.zip").write_bytes(HAT["vqahat_val.zip"])
    (tmp_path / "vqahat_val").mkdir()
    (tmp_path / "vqahat_val/own.txt").write_text("stays")
    fetch(web, tmp_path, source("vqahat_val.zip", None))
    assert web.log == []
    assert visible(tmp_path) == {"vqahat_val/2_1.png": PICTURE2, "vqahat_val/own.txt": b"stays"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["vqahat_val/2_1.png"], ["vqahat_val/2_1.png"]),
        (["2_1.png", "3_1.png"], ["vqahat_val/2_1.png", "vqahat_val/3_1.png"]),
        (["maps/2_1.png"], ["vqahat_val/maps/2_1.png"]),
        (["vqahat_val/2_1.png", "__MACOSX/2_1.png"], ["vqahat_val/__MACOSX/2_1.png", "vqahat_val/vqahat_val/2_1.png"]),
    ],
)  # fmt: skip
def test_maps_lie_below_the_folder_that_the_config_names_however_they_were_packed(
    web, tmp_path, content, expected
):
    web.files["vqahat_val.zip"] = packed(dict.fromkeys(content, PICTURE2))
    _, hat = DATASETS["vqa-hat"]
    fetch(web, tmp_path, hat)
    assert sorted(visible(tmp_path)) == expected
    assert fetch(web, tmp_path, hat) == ["vqahat_val.zip: here already"]
    config = (ROOT / "configs/vqa_v1.yaml").read_text()
    assert f"annotator_maps: data/official/{hat.folder}\n" in config


@pytest.mark.parametrize("states_versions", [True, False])
@pytest.mark.parametrize("fault", ["truncate", "stall"])
def test_a_broken_body_goes_on_where_it_stopped(web, tmp_path, fault, states_versions):
    web.states_versions = states_versions
    web.plan["weights.bin"] = [fault, fault]
    lines = arrives(web, tmp_path)
    first, second, third = starts(web)
    assert first == 0
    # Half of the rest was sent each time; at most one chunk of 64 KiB is lost where it broke.
    assert 200_000 - 2**16 <= second <= 200_000
    assert second < third <= 300_000
    word = {"truncate": "IncompleteRead", "stall": "timed out"}[fault]
    assert sum(word in line and "going on in" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("plan", "gets", "found"),
    [
        (
            ["truncate", *["empty"] * 20],
            1 + 4,
            "IncompleteRead",
        ),  # the first brought bytes: not one of the five
        (["trickle"] * 20, 5, r"only \d+\.\d+B in 0\.\d s"),
        ([503] * 20, 5, "too many 503 error responses"),
    ],
)
def test_a_server_that_fails_again_and_again_ends_in_one_line(web, tmp_path, plan, gets, found):
    web.plan["weights.bin"] = plan
    message = refused(web, tmp_path)
    assert re.match(
        rf"expected the file {web.url}/weights\.bin, found: .*{found}.*; check the network", message
    )
    assert "the same command continues" in message
    assert len(web.gets("weights.bin")) == gets
    web.plan.clear()
    arrives(web, tmp_path)
    assert (starts(web)[-1] > 0) == (plan[0] != 503)


def test_a_trickle_is_a_break_too(web, tmp_path):
    web.plan["weights.bin"] = ["trickle"]
    lines = arrives(web, tmp_path)
    first, second = starts(web)
    assert (first, second > 200_000) == (0, True)  # also what trickled is kept
    assert sum(bool(re.search(r"only \d+\.\d+B in 0\.\d s, .* going on in", line)) for line in lines) == 1


@pytest.mark.parametrize(("asked", "longest"), [("1", 300), ("86400", 1)])
def test_a_busy_server_is_asked_again_when_it_says_but_within_reason(
    web, tmp_path, monkeypatch, asked, longest
):
    monkeypatch.setattr("lookwhy.data.download.LONGEST_WAIT", longest)
    web.plan["weights.bin"], web.retry_after = [503], asked
    start = time.monotonic()
    arrives(web, tmp_path)
    assert time.monotonic() - start >= 1


def test_a_file_that_is_not_there_fails_at_once(web, tmp_path):
    message = refused(web, tmp_path, source("gone.bin"))
    assert f"expected the file {web.url}/gone.bin, found: 404 Client Error: Not Found" in message
    assert "give --base-url of a mirror that has it" in message
    assert len(web.log) == 1


def test_no_server_is_one_line(web, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    message = refused(web, tmp_path, base_url=f"http://127.0.0.1:{port}")
    assert f"127.0.0.1:{port}/weights.bin, found: " in message
    assert "Connection refused" in message


@pytest.mark.parametrize("address", ["http://[", "http://" + "a" * 64, "http://host:99999", "http://"])
def test_an_address_that_is_none_is_one_line(web, tmp_path, address):
    assert "give --base-url of a mirror" in refused(web, tmp_path, base_url=address)


def test_a_server_without_ranges_starts_anew(web, tmp_path):
    web.knows_ranges, web.plan["weights.bin"] = False, ["truncate"]
    arrives(web, tmp_path)
    assert len(web.gets("weights.bin")) == 2


def test_a_server_without_head_is_asked_otherwise(web, tmp_path):
    web.knows_head = False
    assert arrives(web, tmp_path)[0] == "weights.bin: 391kB (sha256)"


@pytest.mark.parametrize("knows_if_range", [True, False])
@pytest.mark.parametrize("new", [OTHER, OTHER[:100_000]], ids=["same length", "shorter"])
def test_a_file_that_changed_meanwhile_is_fetched_anew(web, tmp_path, new, knows_if_range):
    web.knows_if_range = knows_if_range
    web.plan["weights.bin"] = ["truncate", lambda: web.files.update({"weights.bin": new})]
    arrives(web, tmp_path, new)
    # A server that knows If-Range sends the new file at once; else its answer shows that another try is needed.
    assert len(web.gets("weights.bin")) == (2 if knows_if_range else 3)


@pytest.mark.parametrize("is_here", [False, True])
def test_wrong_bytes_are_removed_and_not_resumed(web, tmp_path, is_here):
    web.files["weights.bin"] = OTHER
    if is_here:
        (tmp_path / "weights.bin").write_bytes(OTHER)
    expected, found = (hashlib.sha256(content).hexdigest() for content in (WEIGHTS, OTHER))
    assert f"expected sha256 {expected} of weights.bin, found {found} in " in refused(web, tmp_path)
    assert visible(tmp_path) == {}
    web.files["weights.bin"] = WEIGHTS
    arrives(web, tmp_path)
    assert starts(web) == ([0] if is_here else [0, 0])


def flipped(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


BAD = {
    "CRC": (flipped(HAT["vqahat_val.zip"], 100_000), "Bad CRC-32 for file 'vqahat_val/2_1.png'"),
    "no zip": (b"<html>log in</html>", "File is not a zip file"),
    "dots": (packed({"../outside.png": PICTURE}), "entry '../outside.png' leads outside"),
    "absolute": (packed({"vqahat_val/ok.png": PICTURE, "/etc/a.png": PICTURE}), "'/etc/a.png' leads outside"),
    "backslash": (packed({"..\\outside.png": PICTURE}), "leads outside"),
    "drive": (packed({"C:/outside.png": PICTURE}), "leads outside"),
    "empty": (packed({}), "no file in it"),
    "version": (
        packed({"1_1.png": b""}).replace(b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\xff"),
        "zip file version 25.5",
    ),
    "name": (packed({"é.png": b""}).replace("é".encode(), b"\xff\xff"), "can't decode byte 0xff"),
    "lzma": (
        packed({"1_1.png": bytes(9)}, zipfile.ZIP_LZMA).replace(b"\x5d\0\0", b"\xff\0\0"),
        "Invalid or unsupported options",
    ),
    "bzip2": (
        packed({"1_1.png": bytes(9)}, zipfile.ZIP_BZIP2).replace(b"BZh9", b"BZh0"), "Invalid data stream",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "found"), BAD.values(), ids=BAD)
def test_a_bad_archive_is_removed_and_nothing_of_it_unpacked(web, tmp_path, content, found):
    web.files["vqahat_val.zip"] = content
    root = tmp_path / "in" / "root"
    message = refused(web, root, source("vqahat_val.zip", None))
    assert found in message
    assert message.startswith("expected a whole zip file, found ")
    assert f"in {root / 'vqahat_val.zip'}; it was removed" in message
    assert visible(tmp_path) == {}
    assert sorted(path.name for path in root.iterdir()) == [".test.lock"]
    web.files.update(HAT)
    fetch(web, root, source("vqahat_val.zip", None))
    assert visible(root) == {"vqahat_val/2_1.png": PICTURE2}


def test_a_disk_too_small_is_refused_before_anything_is_fetched(web, tmp_path):
    web.stated_length = 10**18
    message = refused(web, tmp_path)
    # 10^18 bytes over 1024^5.
    assert re.search(r"found \S+B free of 888PB needed to download", message)
    assert web.gets("weights.bin") == []
    assert visible(tmp_path) == {}
    zipped = refused(web, tmp_path, source("vqahat_val.zip", None))
    assert "free of 1.73EB needed to download, zips counted twice" in zipped


def test_a_disk_too_small_for_the_content_is_refused_before_unpacking(web, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("big.json", b"[]")
        file.infolist()[0].file_size = 10**18  # goes into the directory, as of a file that packs well
    web.files["vqahat_val.zip"] = buffer.getvalue()
    message = refused(web, tmp_path, source("vqahat_val.zip", None))
    assert re.search(r"found \S+B free of 888PB needed to unpack vqahat_val\.zip ", message)
    # The archive is whole: with more room the same command unpacks it.
    assert visible(tmp_path) == {"vqahat_val.zip": buffer.getvalue()}


def test_archives_that_fit_one_after_the_other_are_not_refused_for_their_sum(web, tmp_path):
    lines = fetch(web, tmp_path, *(source(name, None) for name in HAT))
    # The larger (300,130) twice; after it, the smaller twice beside its content would be 700,246.
    train, val = map(len, HAT.values())
    most = max(2 * train, train + 2 * val)
    assert f"needs {most / 1024:.0f}kB to download" in lines[2]


def test_a_disk_that_runs_full_halfway_is_one_line_and_the_rest_is_fetched_later(web, tmp_path):
    limit = 'ulimit -f 100; exec "$@"'  # blocks of 512 or 1024 bytes, the largest file: as a full disk
    done = subprocess.run(
        ["sh", "-c", limit, "sh", *command(web, tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    (error,) = done.stderr.splitlines()
    assert f"expected to write to {tmp_path}, found File too large" in error
    assert "make room or give another --root; the same command continues" in error
    assert main(command(web, tmp_path)[2:]) == 0
    assert starts(web, "vqahat_train.zip")[-1] > 0
    assert visible(tmp_path) == WHOLE_HAT


def test_a_folder_that_cannot_be_made_is_one_line(web, tmp_path):
    (tmp_path / "file").write_text("a file")
    assert f"expected to write to {tmp_path / 'file'}, found " in refused(web, tmp_path / "file")


def command(web, root, *options):
    script = [sys.executable, ROOT / "data/prepare.py", "download", "vqa-hat", "--root", root]
    return [*map(str, script), "--base-url", web.url, *options]


def start(web, root, *options):
    return subprocess.Popen(
        command(web, root, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_process_that_died_halfway_is_continued(web, tmp_path, sent, code):
    web.plan["vqahat_train.zip"] = ["hang"]
    part = tmp_path / "vqahat_train.zip.partial"
    with start(web, tmp_path) as process:
        until(lambda: part.exists() and part.stat().st_size)
        time.sleep(0.05)
        os.kill(process.pid, sent)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == code
    assert errors == ("" if sent == signal.SIGKILL else "lookwhy: interrupted; the same command continues\n")
    arrived = part.stat().st_size
    assert arrived > 0
    assert main(command(web, tmp_path)[2:]) == 0
    assert starts(web, "vqahat_train.zip") == [0, arrived]
    assert visible(tmp_path) == WHOLE_HAT


def test_two_processes_fetch_each_file_once(web, tmp_path):
    web.plan["vqahat_train.zip"] = ["hang"]
    with start(web, tmp_path) as one:
        until(lambda: web.gets("vqahat_train.zip"))
        with start(web, tmp_path) as two:
            assert two.stdout.readline() == (
                f"another process is fetching vqa-hat into {tmp_path}; waiting until it is done\n"
            )
            web.end.set()
            outputs = [process.communicate(timeout=10) for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], outputs
    assert outputs[1][0].startswith("vqahat_train.zip: here already\nvqahat_val.zip: here already\n")
    # The server let go of the first connection halfway: the second GET is the same process's.
    assert [position > 0 for position in starts(web, "vqahat_train.zip")] == [False, True]
    assert starts(web, "vqahat_val.zip") == [0]
    assert visible(tmp_path) == WHOLE_HAT


def test_the_command_tells_what_it_wrote_and_leaves_with_2_on_errors(web, tmp_path, capsys):
    arguments = command(web, tmp_path)[2:]
    assert main(arguments) == 0
    output = capsys.readouterr()
    assert "vqahat_train.zip: 293kB (sum not checked)\n" in output.out
    assert re.search(rf"\nwrote {tmp_path}: vqa-hat; \d s\n$", output.out)
    assert output.err == ""  # no progress bar where nobody watches
    assert main(["download", "vqa-v1", *arguments[2:]]) == 2
    output = capsys.readouterr()
    assert re.fullmatch(r"lookwhy: error: [^\n]+/Questions_Train_mscoco\.zip, found: 404[^\n]+\n", output.err)


def test_the_published_sums_are_checked_by_the_command(web, tmp_path, capsys):
    web.files["VGG_ILSVRC_19_layers.caffemodel"] = WEIGHTS
    arguments = ["download", "vgg19-caffe", "--root", str(tmp_path), "--base-url", web.url + "/"]
    assert main(arguments) == 2
    # The length and beginning of the digest that OpenVINO's Open Model Zoo lists.
    assert re.search(r"expected sha384 86b83739d448[0-9a-f]{84} of VGG", capsys.readouterr().err)
    assert main([*arguments, "--no-checksum"]) == 0
    assert visible(tmp_path) == {"VGG_ILSVRC_19_layers.caffemodel": WEIGHTS}


def test_the_table_has_the_official_files():
    names = {
        label: [source.url.rsplit("/", 1)[1] for source in sources] for label, sources in DATASETS.items()
    }
    kinds = ("Questions_Train", "Questions_Val", "Annotations_Train", "Annotations_Val", "Questions_Test")
    v1 = [f"{kind}_mscoco.zip" for kind in kinds]
    assert names == {
        "vqa-v1": v1,
        "vqa-v2": [f"v2_{name}" for name in v1],
        "coco": ["train2014.zip", "val2014.zip"],
        "vqa-hat": ["vqahat_train.zip", "vqahat_val.zip"],
        "vgg19-caffe": ["VGG_ILSVRC_19_layers.caffemodel"],
    }
    for source in itertools.chain(*DATASETS.values()):
        assert source.url.startswith("http")
        if source.checksum is not None:
            algorithm, digest = source.checksum.split(":")
            assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size


@pytest.mark.parametrize("missing", ["requests", "filelock"])
def test_without_the_extra_one_line_names_it(web, tmp_path, missing):
    script = f"import runpy, sys\nsys.modules[{missing!r}] = None\nsys.argv = sys.argv[1:]\n"
    script += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", script, *command(web, tmp_path)[1:]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    (error,) = done.stderr.splitlines()
    assert "expected requests, filelock, urllib3 to be installed, found: " in error
    assert missing in error.partition("found: ")[2].partition(";")[0]
    assert error.endswith(
        "pip install requests filelock urllib3, or in a clone of lookwhy pip install -e '.[download]'"
    )
