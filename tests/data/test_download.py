"""Downloads from a real server on this machine that truncates, stalls, refuses and sends wrong bytes."""

import hashlib
import io
import os
import random
import re
import shutil
import signal
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
WEIGHTS, OTHER = (random.Random(seed).randbytes(400_000) for seed in (0, 1))
PICTURE, PICTURE2 = WEIGHTS[:300_000], OTHER[:200_000]
TRAIN_MAP, VAL_MAP = {"vqahat_train/1_1.png": PICTURE}, {"vqahat_val/2_1.png": PICTURE2}
WHOLE_HAT = TRAIN_MAP | VAL_MAP


def packed(entries, method=zipfile.ZIP_STORED, stated_size=None):
    """A zip file; its directory states the size of an entry that was packed, or another."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in entries.items():
            file.writestr(name, content)
            file.getinfo(name).file_size = stated_size or len(content)
    return buffer.getvalue()


HAT = {"vqahat_train.zip": packed(TRAIN_MAP), "vqahat_val.zip": packed(VAL_MAP)}


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setattr("lookwhy.data.download.BACKOFF", 0.01)
    with WebServer() as server:
        server.files = {"weights.bin": WEIGHTS, **HAT}
        yield server


def source(name="weights.bin", content=None):
    """A file without a checksum, or with the checksum of the content."""
    checksum = None if content is None else f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Source(f"https://nowhere.invalid/folder/{name}", checksum)


WHOLE, VAL = source(content=WEIGHTS), source("vqahat_val.zip")


def fetch(web, root, *sources, base_url=None):
    with redirect_stdout(io.StringIO()) as output:
        download("test", sources or [WHOLE], root, base_url or web.url, timeout=0.4)
    return output.getvalue().splitlines()


def arrives(web, root, content=WEIGHTS, one=WHOLE):
    """The file is here in the end; returns the lines printed."""
    lines = fetch(web, root, one)
    assert visible(root) == {"weights.bin": content}
    return lines


def refused(web, root, *sources, **options):
    with pytest.raises(LookwhyError) as caught:
        fetch(web, root, *sources, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def visible(root):
    """Content of the files under a folder; the lock and the marks are hidden files."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("[!.]*") if path.is_file()}


def starts(web, name="weights.bin"):
    """The first byte that each GET asked for."""
    return [int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0 for asked in web.gets(name)]


def test_files_arrive_and_archives_are_unpacked_and_removed(web, tmp_path):
    sources = [source(name, content) for name, content in {"weights.bin": WEIGHTS, **HAT}.items()]
    lines = fetch(web, tmp_path / "new", *sources)
    assert visible(tmp_path / "new") == {"weights.bin": WEIGHTS, **WHOLE_HAT}
    # 400,000 and 300,122 bytes over 1024; the sizes are told before anything is fetched.
    assert lines[:2] == ["weights.bin: 391kB (sha256)", "vqahat_train.zip: 293kB (sha256)"]
    # The first two and the second archive twice, 1,100,406 bytes over 1024^2: one archive is unpacked at a time.
    assert re.fullmatch(r"needs 1\.05MB to download, zips counted twice .*; \S+B free in .*/new", lines[3])


def test_files_here_already_are_not_fetched_again(web, tmp_path):
    fetch(web, tmp_path, WHOLE, VAL)
    web.log.clear()
    lines = ["weights.bin: here already", "vqahat_val.zip: here already"]
    assert fetch(web, tmp_path, WHOLE, VAL) == lines
    assert web.log == []
    shutil.rmtree(tmp_path / "vqahat_val")
    fetch(web, tmp_path, WHOLE, VAL)
    assert visible(tmp_path) == {"weights.bin": WEIGHTS, **VAL_MAP}
    assert web.gets("weights.bin") == []


def test_an_archive_that_was_put_there_by_hand_is_used(web, tmp_path):
    (tmp_path / "vqahat_val").mkdir()
    (tmp_path / "vqahat_val/own.txt").write_text("stays")
    (tmp_path / "vqahat_val.zip").write_bytes(HAT["vqahat_val.zip"])
    fetch(web, tmp_path, VAL)
    assert web.log == []
    assert visible(tmp_path) == VAL_MAP | {"vqahat_val/own.txt": b"stays"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (["vqahat_val/2_1.png"], ["2_1.png"]),
        (["2_1.png", "3_1.png"], ["2_1.png", "3_1.png"]),
        (["maps/2_1.png"], ["maps/2_1.png"]),
        (["vqahat_val/2_1.png", "__MACOSX/2_1.png"], ["__MACOSX/2_1.png", "vqahat_val/2_1.png"]),
    ],
)
def test_maps_lie_below_the_folder_of_the_config_however_they_were_packed(web, tmp_path, content, expected):
    web.files["vqahat_val.zip"] = packed(dict.fromkeys(content, PICTURE2))
    _, hat = DATASETS["vqa-hat"]
    fetch(web, tmp_path, hat)
    assert sorted(visible(tmp_path)) == [f"vqahat_val/{name}" for name in expected]
    assert fetch(web, tmp_path, hat) == ["vqahat_val.zip: here already"]
    config = (ROOT / "configs/vqa_v1.yaml").read_text()
    assert f"annotator_maps: data/official/{hat.folder}\n" in config


TRICKLES = r"only \d+\.\d+B in 0\.\d s"


@pytest.mark.parametrize("states_versions", [True, False])
@pytest.mark.parametrize(
    ("fault", "said", "least", "most"),
    [
        # Half of the rest was sent each time; at most one chunk of 64 KiB is lost where it broke.
        ("truncate", "IncompleteRead", 200_000 - 2**16, 200_000),
        ("stall", "timed out", 200_000 - 2**16, 200_000),
        ("trickle", TRICKLES, 200_001, 201_000),  # also the bytes that trickled are kept
    ],
)
def test_a_broken_body_goes_on_where_it_stopped(web, tmp_path, fault, said, least, most, states_versions):
    web.states_versions = states_versions
    web.plan["weights.bin"] = [fault, fault]
    lines = arrives(web, tmp_path)
    first, second, third = starts(web)
    assert first == 0
    assert least <= second <= most
    assert second < third <= most + 100_000
    assert sum(bool(re.search(rf"{said}.* going on in", line)) for line in lines) == 2


@pytest.mark.parametrize(
    ("plan", "gets", "found"),
    [
        # The first try brought bytes: it is not one of the five.
        (["truncate", *["empty"] * 20], 1 + 4, "IncompleteRead"),
        (["trickle"] * 20, 5, TRICKLES),
        ([503] * 20, 5, "too many 503 error responses"),
    ],
)
def test_a_server_that_fails_again_and_again_ends_in_one_line(web, tmp_path, plan, gets, found):
    web.plan["weights.bin"] = plan
    message = refused(web, tmp_path)
    expected = rf"expected the file {web.url}/weights\.bin, found: .*{found}.*; check the network"
    assert re.match(f"{expected}.* the same command continues", message)
    assert len(web.gets("weights.bin")) == gets
    web.plan.clear()
    arrives(web, tmp_path)
    assert (starts(web)[-1] > 0) == (plan[0] != 503)


@pytest.mark.parametrize(("asked", "longest"), [("1", 300), ("86400", 1)])
def test_a_busy_server_is_asked_again_when_it_says_within_reason(web, tmp_path, monkeypatch, asked, longest):
    monkeypatch.setattr("lookwhy.data.download.LONGEST_WAIT", longest)
    web.plan["weights.bin"], web.retry_after = [503], asked
    start = time.monotonic()
    arrives(web, tmp_path)
    assert time.monotonic() - start >= 1


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (None, "/gone.bin, found: 404 Client Error: Not Found"),
        ("http://127.0.0.1:1", r"127\.0\.0\.1:1/gone\.bin, found: .*Connection refused"),
        *((address, "") for address in ("http://[", "http://" + "a" * 64, "http://host:99999", "http://")),
    ],
)
def test_a_missing_file_no_server_and_no_address_fail_at_once_in_one_line(web, tmp_path, address, found):
    message = refused(web, tmp_path, source("gone.bin"), base_url=address)
    assert re.match(rf"expected the file http:.*{found}.* give --base-url of a mirror that has it", message)
    assert len(web.log) == (address is None)


@pytest.mark.parametrize("lacks", ["knows_ranges", "knows_head"])
def test_a_server_without_ranges_starts_anew_and_one_without_head_is_asked_otherwise(web, tmp_path, lacks):
    setattr(web, lacks, False)
    web.plan["weights.bin"] = ["truncate"]
    assert arrives(web, tmp_path)[0] == "weights.bin: 391kB (sha256)"
    assert len(web.gets("weights.bin")) == 2


@pytest.mark.parametrize("knows_if_range", [True, False])
@pytest.mark.parametrize("new", [OTHER, OTHER[:100_000]], ids=["same length", "shorter"])
def test_a_file_that_changed_meanwhile_is_fetched_anew(web, tmp_path, new, knows_if_range):
    web.knows_if_range = knows_if_range
    web.plan["weights.bin"] = ["truncate", lambda: web.files.update({"weights.bin": new})]
    arrives(web, tmp_path, new, source())
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


SMALL = {"1_1.png": bytes(9)}
BAD = {
    "CRC": (HAT["vqahat_val.zip"].replace(PICTURE2[:9], bytes(9)), "Bad CRC-32 for file 'vqahat_val/2_1.png'"),
    "no zip": (b"<html>log in</html>", "File is not a zip file"),
    "dots": (packed({"../outside.png": PICTURE}), "entry '../outside.png' leads outside"),
    "absolute": (packed({"vqahat_val/ok.png": PICTURE, "/etc/a.png": PICTURE}), "'/etc/a.png' leads outside"),
    "backslash": (packed({"..\\outside.png": PICTURE}), "leads outside"),
    "drive": (packed({"C:/outside.png": PICTURE}), "leads outside"),
    "empty": (packed({}), "no file in it"),
    "version": (packed(SMALL).replace(b"\1\2\x14\3\x14", b"\1\2\x14\3\xff"), "zip file version 25.5"),
    "name": (packed({"é.png": b""}).replace("é".encode(), b"\xff\xff"), "can't decode byte 0xff"),
    "lzma": (packed(SMALL, zipfile.ZIP_LZMA).replace(b"]\0\0", b"\xff\0\0"), "Invalid or unsupported options"),
    "bzip2": (packed(SMALL, zipfile.ZIP_BZIP2).replace(b"BZh9", b"BZh0"), "Invalid data stream"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "found"), BAD.values(), ids=BAD)
def test_a_bad_archive_is_removed_and_nothing_of_it_unpacked(web, tmp_path, content, found):
    web.files["vqahat_val.zip"] = content
    root = tmp_path / "in" / "root"
    expected = (
        rf"expected a whole zip file, found .*{re.escape(found)}.* in {root}/vqahat_val\.zip; it was removed"
    )
    assert re.match(expected, refused(web, root, VAL))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [root / ".test.lock"]
    web.files.update(HAT)
    fetch(web, root, VAL)
    assert visible(root) == VAL_MAP


def test_a_disk_too_small_is_refused_before_anything_is_fetched(web, tmp_path):
    web.stated_length = 10**18
    # 10^18 bytes over 1024^5.
    assert re.search(r"found \S+B free of 888PB needed to download", refused(web, tmp_path))
    assert web.gets("weights.bin") == []
    assert visible(tmp_path) == {}
    assert "free of 1.73EB needed to download, zips counted twice" in refused(web, tmp_path, VAL)


def test_a_disk_too_small_for_the_content_is_refused_before_unpacking(web, tmp_path):
    web.files["vqahat_val.zip"] = content = packed({"big.json": b"[]"}, stated_size=10**18)
    found = r"found \S+B free of 888PB needed to unpack vqahat_val\.zip "
    assert re.search(found, refused(web, tmp_path, VAL))
    # The archive is whole: with more room the same command unpacks it.
    assert visible(tmp_path) == {"vqahat_val.zip": content}


def options(web, root, dataset="vqa-hat"):
    return ["download", dataset, "--root", str(root), "--base-url", web.url]


def command(web, root):
    return [str(ROOT / "data/prepare.py"), *options(web, root)]


def start(*words):
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def failed(*words):
    """The error line of a process that leaves with 2."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    (error,) = done.stderr.splitlines()
    return error


def continued(web, root):
    """The rest arrives; returns the first byte that each GET of the first archive asked for."""
    assert main(options(web, root)) == 0
    assert visible(root) == WHOLE_HAT
    return starts(web, "vqahat_train.zip")


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_disk_that_runs_full_halfway_is_one_line_and_the_rest_is_fetched_later(web, tmp_path):
    limit = 'ulimit -f 100; exec "$@"'  # blocks of 512 or 1024 bytes, the largest file: as a full disk
    error = failed("sh", "-c", limit, "sh", sys.executable, *command(web, tmp_path))
    assert f"expected to write to {tmp_path}, found File too large" in error
    assert "make room or give another --root; the same command continues" in error
    assert continued(web, tmp_path)[-1] > 0


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [(signal.SIGKILL, -9, ""), (signal.SIGINT, 130, "lookwhy: interrupted; the same command continues\n")],
)
def test_a_process_that_died_halfway_is_continued(web, tmp_path, sent, code, said):
    web.plan["vqahat_train.zip"] = ["hang"]
    part = tmp_path / "vqahat_train.zip.partial"
    with start(sys.executable, *command(web, tmp_path)) as process:
        until(lambda: part.exists() and part.stat().st_size)
        time.sleep(0.05)
        os.kill(process.pid, sent)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (code, said)
    arrived = part.stat().st_size
    assert arrived > 0
    assert continued(web, tmp_path) == [0, arrived]


def test_two_processes_fetch_each_file_once(web, tmp_path):
    web.plan["vqahat_train.zip"] = ["hang"]
    words = [sys.executable, *command(web, tmp_path)]
    with start(*words) as one:
        until(lambda: web.gets("vqahat_train.zip"))
        with start(*words) as two:
            waiting = f"another process is fetching vqa-hat into {tmp_path}; waiting until it is done\n"
            assert two.stdout.readline() == waiting
            web.end.set()
            outputs = [process.communicate(timeout=10) for process in (one, two)]
    assert [one.returncode, two.returncode] == [0, 0], outputs
    assert outputs[1][0].startswith("vqahat_train.zip: here already\nvqahat_val.zip: here already\n")
    # The server let go of the first connection halfway: the second GET is the same process's.
    assert [position > 0 for position in starts(web, "vqahat_train.zip")] == [False, True]
    assert starts(web, "vqahat_val.zip") == [0]
    assert visible(tmp_path) == WHOLE_HAT


def test_the_command_tells_its_results_and_leaves_with_2_on_errors(web, tmp_path, capsys):
    assert main(options(web, tmp_path)) == 0
    output = capsys.readouterr()
    assert "vqahat_train.zip: 293kB (sum not checked)\n" in output.out
    assert re.search(rf"\nwrote {tmp_path}: vqa-hat; \d s\n$", output.out)
    assert output.err == ""  # no progress bar where nobody watches
    assert main(options(web, tmp_path, "vqa-v1")) == 2
    found = r"lookwhy: error: [^\n]+/Questions_Train_mscoco\.zip, found: 404[^\n]+\n"
    assert re.fullmatch(found, capsys.readouterr().err)
    file = tmp_path / "vqahat_val" / "2_1.png"
    assert f"expected to write to {file}, found " in refused(web, file)  # no folder can be made there


def test_the_published_sums_are_checked_by_the_command(web, tmp_path, capsys):
    web.files |= (content := {"VGG_ILSVRC_19_layers.caffemodel": WEIGHTS})
    web.url += "/"
    words = options(web, tmp_path, "vgg19-caffe")
    assert main(words) == 2
    # The length and beginning of the digest that OpenVINO's Open Model Zoo lists.
    assert re.search(r"expected sha384 86b83739d448[0-9a-f]{84} of VGG", capsys.readouterr().err)
    assert main([*words, "--no-checksum"]) == 0
    assert visible(tmp_path) == content


def test_the_table_has_the_official_files():
    kinds = ("Questions_Train", "Questions_Val", "Annotations_Train", "Annotations_Val", "Questions_Test")
    v1 = [f"{kind}_mscoco.zip" for kind in kinds]
    assert {label: [Path(one.url).name for one in files] for label, files in DATASETS.items()} == {
        "vqa-v1": v1, "vqa-v2": [f"v2_{name}" for name in v1], "coco": ["train2014.zip", "val2014.zip"],
        "vqa-hat": list(HAT), "vgg19-caffe": ["VGG_ILSVRC_19_layers.caffemodel"],
    }  # fmt: skip
    everything = sum(map(list, DATASETS.values()), [])
    assert all(one.url.startswith("http") for one in everything)
    for algorithm, digest in (one.checksum.split(":") for one in everything if one.checksum):
        assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size


@pytest.mark.parametrize("missing", ["requests", "filelock"])
def test_without_the_extra_one_line_names_it(web, tmp_path, missing):
    script = f"import runpy, sys\nsys.modules[{missing!r}] = None\nsys.argv = sys.argv[1:]\n"
    script += "runpy.run_path(sys.argv[0], run_name='__main__')"
    error = failed(sys.executable, "-c", script, *command(web, tmp_path))
    assert "expected requests, filelock, urllib3 to be installed, found: " in error
    assert missing in error.partition("found: ")[2].partition(";")[0]
    remedy = "pip install requests filelock urllib3, or in a clone of lookwhy pip install -e '.[download]'"
    assert error.endswith(remedy)
