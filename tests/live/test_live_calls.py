"""The server of the live page, called directly: what it answers, and what it refuses in one line."""

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from live_process import PHOTO, QUESTION, encoded
from PIL import Image

from lookwhy.api import load
from lookwhy.cli.analyze import main
from lookwhy.live.frame import find_examples

CALL = {"image": "0" * 32, "question": QUESTION, "cells": [], "words": [], "answers": []}


def huge_png(side):
    """A PNG whose header promises many pixels, with next to nothing behind it."""
    small = encoded(Image.new("RGB", (1, 1)))
    header = b"IHDR" + struct.pack(">II", side, side) + small[24:29]
    return small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]


TURNED = Image.Exif()
TURNED[0x0112] = 6
GOOD = {
    "1x1": encoded(PHOTO.resize((1, 1))),
    "gray": encoded(PHOTO.convert("L")),
    "16-bit": encoded(Image.fromarray(np.arange(3600, dtype=np.uint16).reshape(60, 60) * 18)),
    "palette": encoded(PHOTO.quantize(16)),
    "transparent palette": encoded(PHOTO.quantize(16), transparency=3),
    "RGBA": encoded(PHOTO.convert("RGBA")),
    "CMYK": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "turned": encoded(PHOTO, "JPEG", exif=TURNED),
    "animated PNG": encoded(PHOTO, save_all=True, append_images=[PHOTO.rotate(90)]),
    "animated WebP": encoded(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(90)]),
    "BMP": encoded(PHOTO, "BMP"),
    "very long": encoded(PHOTO.resize((3000, 2))),
}
BAD = {
    "nothing": (b"", "found an empty file"),
    "text": (b"no picture at all, whatever it is called", "found something else"),
    "half a JPEG": (encoded(PHOTO, "JPEG")[:900], "found a damaged one"),
    "half a PNG": (encoded(PHOTO)[:2000], "found a damaged one"),
    "GIF": (encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO]), "found something else"),
    "TIFF": (encoded(PHOTO, "TIFF"), "found something else"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "found something else"),
    "many pixels": (huge_png(7000), "at most 40 million pixels, found 7000 x 7000"),
    "more than Pillow warns of": (huge_png(12_000), "at most 40 million pixels"),
    "more than Pillow takes": (huge_png(30_000), "at most 40 million pixels"),
}  # fmt: skip


def sent(served, content):
    """Send an image to the server; returns the reply."""
    status, reply = served.ask("POST", "/image", content)
    assert status == 200, reply
    return reply


@pytest.fixture
def key(served, picture):
    """The server's name of the picture; sent again, because the server holds only the last images."""
    return sent(served, picture.read_bytes())["image"]


def refused(served, path, body, status, text):
    found, reply = served.ask("POST", path, body)
    assert (found, set(reply)) == (status, {"error"}), reply
    assert text in reply["error"]


@pytest.mark.parametrize("name", GOOD)
def test_images_of_every_sort_are_answered_about(served, name):
    image = sent(served, GOOD[name])
    status, found = served.ask("POST", "/ask", {"image": image["image"], "question": QUESTION})
    assert (status, len(found.get("answers", ()))) == (200, 5), found
    assert name != "turned" or (image["width"], image["height"]) == (60, 90)


@pytest.mark.parametrize(("content", "text"), BAD.values(), ids=BAD)
def test_bad_files_are_refused(served, content, text):
    refused(served, "/image", content, 400, text)


@pytest.mark.parametrize(("path", "size"), [("/image", 10 * 2**20), ("/ask", 2**18), ("/change", 2**18)])
def test_bodies_that_are_too_large_are_refused(served, path, size):
    refused(served, path, b"\xff" * (size + 1), 413, "at most 10 MB" if path == "/image" else "256 kB")
    # At the limit it is read, and refused for another reason.
    refused(served, path, b"\xff" * size, 400, "found something else")


@pytest.mark.parametrize(
    ("path", "wrong", "text"),
    [
        ("/ask", {"question": ""}, "expected a question"),
        ("/ask", {"question": " \t\n"}, "expected a question"),
        ("/ask", {"question": "w" * 10_001}, "at most 10,000 letters"),
        ("/ask", {"question": ["what"]}, "expected text as 'question', found list"),
        ("/ask", {"question": None}, "expected text as 'question'"),
        ("/change", {"words": [99]}, "expected words from 0 to 5, found 99"),
        ("/change", {"answers": [-1]}, "expected answers from 0"),
        ("/change", {"cells": "1"}, "expected a list of whole numbers as 'cells'"),
        ("/change", {"cells": [True]}, "expected a list of whole numbers as 'cells'"),
        ("/change", {"words": None}, "expected a list of whole numbers as 'words'"),
    ],
)
def test_wrong_fields_are_refused(served, key, path, wrong, text):
    refused(served, path, CALL | {"image": key} | wrong, 400, text)


def test_questions_that_the_model_reads_in_part_are_answered_with_a_note(served, key):
    notes = {
        "what is \ud83d\ude00 ?": "does not know",
        "what \ud83d is zyx ?": "does not know",
        "<script>alert(1)</script>": "knows none of these words",
    }
    for question, note in notes.items():
        status, reply = served.ask("POST", "/ask", {"image": key, "question": question})
        assert (status, any(note in one for one in reply["notes"])) == (200, True)


SECRETS = ("/etc/passwd", "http://127.0.0.1:9/secret.png", {"path": "/etc/passwd"})
NAMING = [{name: secret, "question": "x"} for name in ("path", "image") for secret in SECRETS]


@pytest.mark.parametrize("body", [*NAMING, [], b"{", b"[" * 100_000, b"\xff\xfe"])
@pytest.mark.parametrize("path", ["/ask", "/change"])
def test_calls_that_name_files_or_addresses_or_are_none_get_nothing(served, path, body):
    filled = CALL | body if isinstance(body, dict) and path == "/change" else body
    status, reply = served.ask("POST", path, filled)
    assert (status in (400, 410), set(reply)) == (True, {"error"})
    assert "root:" not in reply["error"]


ABSENT = {
    "GET": "/file=/etc/passwd /static/../../../etc/passwd /example/../../etc/passwd //etc/passwd "
    "/example/%2e%2e%2f%2e%2e%2fetc%2fpasswd /config /docs /openapi.json /image",
    "POST": "/ /upload /login /ask/ /example/0",
    "PUT": "/image",
    "DELETE": "/",
    "OPTIONS": "/ask",
}


@pytest.mark.parametrize("method", ABSENT)
def test_nothing_else_is_reachable(served, method):
    body = {"path": "/etc/passwd", "url": "http://127.0.0.1:9/x"} if method == "POST" else None
    nothing = (404, {"error": "there is nothing here"})
    replies = {path: served.ask(method, path, body) for path in ABSENT[method].split()}
    assert replies == dict.fromkeys(replies, nothing)


def test_an_example_that_is_not_there_is_refused(served):
    assert served.ask("GET", "/example/0")[0] == 200
    for name in ("99", "6", "-1", "x", "..", "9" * 5000):
        status, reply = served.ask("GET", f"/example/{name}")
        assert (status, "expected one of 6 examples, found" in reply["error"]) == (400, True)


def test_an_example_whose_image_was_deleted_meanwhile_is_one_line(served, tiny_checkpoint):
    example = find_examples(load(tiny_checkpoint).explainer)[1]
    away = example.image.rename(example.image.with_suffix(".away"))
    try:
        status, reply = served.ask("GET", "/example/1")
    finally:
        away.rename(example.image)
    assert (status, f"found no file {example.image}; it was moved" in reply["error"]) == (400, True)
    assert served.ask("GET", "/example/1")[0] == 200


def test_the_page_itself_may_ask_by_either_name_and_other_sites_cannot(served, key):
    hosts = ("evil.example", f"evil.example:{served.port}", "127.0.0.1", "127.0.0.1:1")
    origins = ("http://evil.example", "http://127.0.0.1:1", "null")
    for header in [*({"Host": host} for host in hosts), *({"Origin": origin} for origin in origins)]:
        for method, path in (("GET", "/"), ("GET", "/example/0"), ("POST", "/ask"), ("OPTIONS", "/ask")):
            reply = served.ask(method, path, CALL if method == "POST" else None, **header)
            assert reply == (403, {"error": "this server answers its own page only"}), header
    for host in (f"127.0.0.1:{served.port}", f"localhost:{served.port}"):
        reply = served.ask("POST", "/change", CALL | {"image": key}, Host=host, Origin=f"http://{host}")
        assert reply[0] == 200


def test_bytes_that_are_no_request_and_clients_that_leave_do_no_harm(served):
    for content in ("no HTTP\r\n\r\n", served.half_an_upload):
        served.send(content).close()
    assert served.ask("GET", "/")[0] == 200
    # The fixture finds nothing about them on stderr.


def test_several_who_click_at_once_get_what_one_gets(served, pictures):
    keys = [sent(served, path.read_bytes())["image"] for path in pictures[:4]]
    calls = [("/ask", {"image": key, "question": q}) for key in keys for q in (QUESTION, "how many balls ?")]
    some = {"cells": [70, 71], "words": [1], "answers": [0, 1, 2]}
    calls += [("/change", CALL | {"image": key} | some) for key in keys]
    alone = [served.ask("POST", *call) for call in calls]
    with ThreadPoolExecutor(len(calls)) as threads:
        assert list(threads.map(lambda call: served.ask("POST", *call), calls)) == alone


@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="Linux tells which sockets a process has")
def test_it_listens_on_loopback_alone_and_asks_no_one(served):
    names = [os.readlink(path) for path in Path(f"/proc/{served.process.pid}/fd").iterdir()]
    sockets = {name[8:-1] for name in names if name.startswith("socket:[")}
    tables = [Path(f"/proc/net/{kind}").read_text().splitlines()[1:] for kind in ("tcp", "tcp6")]
    own = [row for table in tables for line in table if (row := line.split())[9] in sockets]
    assert [row[1] for row in own if row[3] == "0A"] == [f"0100007F:{served.port:04X}"]
    assert all(row[2].split(":")[0] in ("0100007F", "00000000") for row in own)
    assert served.proxy.connections == 0
    assert list(served.folder.iterdir()) == []


def test_a_port_that_is_taken_is_one_line_and_exit_code_2(served, tiny_checkpoint, capsys):
    assert main(["serve", str(tiny_checkpoint), "--port", str(served.port)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"expected port {served.port} of 127.0.0.1 to be free, found it is not" in line


def test_a_run_whose_data_is_gone_has_no_examples(tiny_checkpoint, tmp_path):
    explainer = load(tiny_checkpoint).explainer
    assert len({example.image for example in find_examples(explainer)}) == 6
    explainer.run.data["folder"] = str(tmp_path)
    assert find_examples(explainer) == []
