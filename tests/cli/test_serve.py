"""`analyze.py serve`: a real process, asked by a real browser and by clients that mean no good."""

import http.client
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from web_server import WebServer

from lookwhy.cli.analyze import main
from lookwhy.cli.serve import QUIET

ROOT = Path(__file__).parent.parent.parent
PHONE = {"width": 390, "height": 844}
QUESTION = "What color is the ball?"
CALLS = {"image": "0" * 32, "question": QUESTION, "cells": [], "words": [], "answers": []}


class Proxy(WebServer):
    """What a telemetry call, or one to the server itself that no exception was made for, would run into."""

    def __init__(self):
        super().__init__()
        self.connections = 0

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)


class Served:
    """The process, where it listens, and what anyone asked of the proxy that it was told to use."""

    def __init__(self, process, port, proxy, folder):
        self.process, self.port, self.proxy, self.folder = process, port, proxy, folder
        self.url = f"http://127.0.0.1:{port}/"

    def ask(self, method, path, body=None, **headers):
        """Status and JSON (or bytes) of a raw request."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = json.dumps(body).encode() if isinstance(body, dict | list) else body
        client.request(method, path, content, headers)
        reply = client.getresponse()
        text = reply.read()
        client.close()
        is_json = reply.headers.get_content_type() == "application/json"
        return reply.status, json.loads(text) if is_json else text


@pytest.fixture(scope="module")
def served(tiny_checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with Proxy() as proxy:
        proxies = {f"{name}_{kind}": proxy.url for name in ("http", "https") for kind in ("proxy", "PROXY")}
        names = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "analyze.py"), "serve", str(tiny_checkpoint), "--port", "0"],
            env=names | {name.upper(): url for name, url in proxies.items()} | {"OMP_NUM_THREADS": "1"},
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if not found:
            process.kill()
        assert found, (line, process.communicate()[1])
        yield Served(process, int(found[1]), proxy, folder)
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def picture(tiny_world):
    return min((tiny_world / "images" / "shapes_val").glob("*.png"))


@pytest.fixture
def opened(browser, served):
    """Opens the page; at the end nothing was complained of, and nothing but this server was asked."""
    contexts, complaints, fetched = [], [], []

    def open_page(viewport=None, quiet=True, **settings):
        context = browser.new_context(viewport=viewport or {"width": 1200, "height": 1000}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        if quiet:
            page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(served.url)
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
    assert fetched
    assert all(url.startswith((served.url, "data:", "blob:")) for url in fetched)


def ask(page, picture, question=QUESTION):
    page.set_input_files("#file", picture)
    page.wait_for_selector("#chosen:not([hidden])")
    page.fill("#question", question)
    page.click("#go")
    page.wait_for_selector("#result:not([hidden])[aria-busy=false]")


def bars(page):
    """Answers and what stands beside their bars."""
    rows = page.locator("#bars li")
    return [
        (rows.nth(i).locator(".name").inner_text(), rows.nth(i).locator(".value").inner_text())
        for i in range(rows.count())
    ]


def changed(page):
    """The first answer's probability in percent, before and after, once there is an after."""
    page.wait_for_selector("#bars li:first-child .value:has-text('→')")
    page.wait_for_selector("#result[aria-busy=false]")
    before, after = bars(page)[0][1].replace("%", "").split(" → ")
    return float(before), float(after)


def click_cell(page, row, column, panel="Image"):
    canvas = page.locator(f'canvas[data-panel="{panel}"]')
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(
        box["x"] + box["width"] * (column + 0.5) / 16, box["y"] + box["height"] * (row + 0.5) / 16
    )


@pytest.fixture(scope="module")
def numbers(tiny_checkpoint, tiny_world, tmp_path_factory):
    """What `explain` says of the same image and question."""
    picture = min((tiny_world / "images" / "shapes_val").glob("*.png"))
    out = tmp_path_factory.mktemp("numbers") / "why.json"
    arguments = ["--image", str(picture), "--question", QUESTION, "--out", str(out)]
    assert main(["explain", str(tiny_checkpoint), *arguments]) == 0
    return json.loads(out.read_text())


def test_answers_and_maps_are_those_of_the_explain_command(opened, picture, numbers):
    page = opened()
    ask(page, picture)
    assert bars(page) == [(one["answer"], f"{100 * one['probability']:.1f}%") for one in numbers["answers"]]
    panels = page.locator("#panels canvas")
    assert panels.evaluate_all("all => all.map((one) => one.dataset.panel)") == [
        "Image",
        "Guided backpropagation",
        "Occlusion",
    ]
    occlusion = np.array({one["method"]: one for one in numbers["image_maps"]}["occlusion"]["values"])
    assert f"largest value {np.abs(occlusion).max():#.2g}" in page.locator("#panels").inner_text()
    drop = {one["method"]: one for one in numbers["word_importances"]}["word_drop"]["words"]
    words = page.locator('ul[aria-label="Word drop"] button')
    assert words.all_inner_texts() == [one["word"] for one in drop]


def test_a_region_painted_over_changes_the_answer_by_what_occlusion_says_and_comes_back(
    opened, picture, numbers
):
    occlusion = np.array({one["method"]: one for one in numbers["image_maps"]}["occlusion"]["values"])
    row, column = np.unravel_index(np.abs(occlusion).argmax(), occlusion.shape)
    page = opened()
    ask(page, picture)
    untouched = bars(page)
    click_cell(page, row, column)
    before, after = changed(page)
    assert before - after == pytest.approx(100 * occlusion[row, column], abs=0.11)
    assert before != after
    assert "1 region painted over" in page.inner_text("#said")
    click_cell(page, row, column, "Occlusion")
    page.wait_for_selector("#bars:not(:has-text('→'))")
    assert bars(page) == untouched


def test_a_word_dropped_changes_the_answer_by_what_word_drop_says(opened, picture, numbers):
    drop = {one["method"]: one for one in numbers["word_importances"]}["word_drop"]["words"]
    place = max(range(len(drop)), key=lambda at: abs(drop[at]["importance"]))
    page = opened()
    ask(page, picture)
    page.locator(f'ul[aria-label="Gradient"] [data-word="{place}"]').click()
    before, after = changed(page)
    assert before - after == pytest.approx(100 * drop[place]["importance"], abs=0.11)
    assert f"without “{drop[place]['word']}”" in page.inner_text("#said")
    pressed = page.locator('[data-word][aria-pressed="true"]')
    assert pressed.all_inner_texts() == [drop[place]["word"]] * 2
    page.click("#reset")
    page.wait_for_selector("#bars:not(:has-text('→'))")
    assert pressed.count() == 0
    assert page.locator("#reset").is_disabled()


def test_without_any_word_the_last_state_stays(opened, picture):
    # The browser itself writes a line about a refused request.
    page = opened(quiet=False)
    ask(page, picture, "red ball")
    words = page.locator('ul[aria-label="Word drop"] button')
    words.nth(0).click()
    state = changed(page)
    words.nth(1).click()
    page.wait_for_selector("#trouble:not(:empty)")
    assert "Expected a word left to ask" in page.inner_text("#trouble")
    assert changed(page) == state
    assert words.nth(1).get_attribute("aria-pressed") == "false"


def test_cells_and_words_are_reached_with_the_keyboard_and_by_numbers(opened, picture):
    page = opened()
    ask(page, picture)
    page.locator(".stage").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "End", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.inner_text("#cell").startswith("Row 3, column 15: Guided backpropagation ")
    page.keyboard.press("Enter")
    first = changed(page)
    page.fill("#row", "7")
    page.fill("#column", "5")
    page.click("#paint")
    page.wait_for_selector("#said:has-text('2 regions')")
    assert "Row 7, column 5" in page.inner_text("#cell")
    assert page.inner_text("#paint") == "Take back"
    assert changed(page)[0] == first[0]
    word = page.locator('ul[aria-label="Word drop"] button').nth(2)
    word.focus()
    page.keyboard.press("Space")
    page.wait_for_selector("#said:has-text('without')")


def test_a_painted_cell_is_shown_in_the_colour_of_the_patch(opened, picture):
    page = opened()
    ask(page, picture)
    click_cell(page, 4, 9)
    changed(page)
    middle = "(c) => [...c.getContext('2d').getImageData(9.5 * c.width / 16, 4.5 * c.height / 16, 1, 1).data]"
    for panel in ("Image", "Occlusion"):
        assert page.eval_on_selector(f'canvas[data-panel="{panel}"]', middle) == [124, 117, 104, 255]


def test_an_example_is_one_click(opened, served, tiny_world):
    page = opened()
    example = page.locator("#examples button").first
    asked = example.inner_text()
    official = json.loads((tiny_world / "questions_val.json").read_text())["questions"]
    assert asked in {one["question"] for one in official}
    example.click()
    page.wait_for_selector("#result:not([hidden])[aria-busy=false]")
    assert page.inner_text("#asked") == asked
    assert len(bars(page)) == 5


def test_two_tabs_know_nothing_of_each_other(opened, tiny_world):
    first, second, *_ = sorted((tiny_world / "images" / "shapes_val").glob("*.png"))
    one, other = opened(), opened()
    ask(one, first)
    ask(other, second, "How many things are there?")
    alone = bars(other)
    one.locator('ul[aria-label="Word drop"] button').nth(1).click()
    changed(one)
    assert bars(other) == alone
    assert one.inner_text("#asked") == QUESTION
    click_cell(other, 3, 3)
    changed(other)
    assert "without" not in other.inner_text("#said")


def test_an_image_that_the_server_no_longer_holds_is_sent_again(opened, served, picture):
    page = opened(quiet=False)
    ask(page, picture)
    for number in range(16):
        assert served.ask("POST", "/image", png(Image.new("RGB", (4, 4), (number, 0, 0))))[0] == 200
    click_cell(page, 8, 8)
    changed(page)


def test_opacity_changes_the_maps_and_not_the_image(opened, picture):
    page = opened()
    ask(page, picture)
    shot = "() => [...document.querySelectorAll('#panels canvas')].map((one) => one.toDataURL())"
    image, *maps = page.evaluate(shot)
    page.locator("#opacity").fill("20")
    assert page.inner_text("#strength") == "20%"
    image_after, *maps_after = page.evaluate(shot)
    assert image_after == image
    assert all(one != other for one, other in zip(maps, maps_after, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling_in_either_theme(opened, picture, scheme):
    page = opened(viewport=PHONE, color_scheme=scheme)
    ask(page, picture, "What is the color of the unmistakably" + "y" * 60 + " striped ball left of the box ?")
    page.locator('ul[aria-label="Word drop"] button').nth(1).click()
    changed(page)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 600) == (scheme == "light")


def test_every_control_has_a_name(opened, picture):
    page = opened()
    ask(page, picture)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, [tabindex]")].filter((one) =>
             !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML)"""
    )
    assert nameless == []


def png(image, **settings):
    file = io.BytesIO()
    image.save(file, "PNG", **settings)
    return file.getvalue()


def encoded(image, kind, **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def huge_png(side):
    """A header that promises many pixels, and next to nothing behind it."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
TURNED = Image.Exif()
TURNED[0x0112] = 6
GOOD = {
    "1x1": png(PHOTO.resize((1, 1))),
    "gray": png(PHOTO.convert("L")),
    "16-bit": png(Image.fromarray(np.arange(3600, dtype=np.uint16).reshape(60, 60) * 18)),
    "palette": png(PHOTO.quantize(16)),
    "transparent palette": png(PHOTO.quantize(16), transparency=3),
    "RGBA": png(PHOTO.convert("RGBA")),
    "CMYK": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "turned": encoded(PHOTO, "JPEG", exif=TURNED),
    "animated PNG": png(PHOTO, save_all=True, append_images=[PHOTO.rotate(90)]),
    "animated WebP": encoded(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(90)]),
    "BMP": encoded(PHOTO, "BMP"),
    "very long": png(PHOTO.resize((3000, 2))),
}
BAD = {
    "nothing": (b"", "found an empty file"),
    "text": (b"no picture at all, whatever it is called", "found something else"),
    "half a JPEG": (encoded(PHOTO, "JPEG")[:900], "found a damaged one"),
    "half a PNG": (png(PHOTO)[:2000], "found a damaged one"),
    "GIF": (encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO]), "found something else"),
    "TIFF": (encoded(PHOTO, "TIFF"), "found something else"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "found something else"),
    "many pixels": (huge_png(7000), "at most 40 million pixels, found 7000 x 7000"),
    "more than Pillow warns of": (huge_png(12_000), "at most 40 million pixels"),
    "more than Pillow takes": (huge_png(30_000), "at most 40 million pixels"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_images_of_every_sort_are_answered_about(served, name):
    status, seen = served.ask("POST", "/image", GOOD[name])
    assert status == 200, seen
    status, found = served.ask("POST", "/ask", {"image": seen["image"], "question": QUESTION})
    assert status == 200, found
    assert len(found["answers"]) == 5
    if name == "turned":
        assert (seen["width"], seen["height"]) == (60, 90)


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_words(served, name):
    content, told = BAD[name]
    status, reply = served.ask("POST", "/image", content)
    assert status == 400
    assert told in reply["error"]


def test_a_file_that_is_too_large_is_refused(served):
    status, reply = served.ask("POST", "/image", b"\xff" * (10 * 2**20 + 1))
    assert status == 413
    assert "at most 10 MB" in reply["error"]


def test_bad_files_leave_the_page_as_it_was(opened, served, picture, tmp_path):
    page = opened(quiet=False)
    ask(page, picture)
    before = bars(page)
    files = {
        "text.png": b"text",
        "empty.jpg": b"",
        "half.jpg": encoded(PHOTO, "JPEG")[:900],
        "large.png": b"1" * (11 * 2**20),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        page.wait_for_selector("#error:not(:empty)")
        assert page.inner_text("#error").startswith("Expected "), name
        assert bars(page) == before
        page.locator('ul[aria-label="Word drop"] button').nth(1).click()
        changed(page)
        page.click("#reset")
    assert page.inner_text("#error") == ""


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("", "expected a question"),
        (" \t\n", "expected a question"),
        ("w" * 10_001, "at most 10,000 letters"),
        (["what"], "expected text as 'question', found list"),
        (None, "expected text as 'question'"),
    ],
)
def test_questions_that_are_none_are_refused_in_words(served, picture, question, told):
    _, seen = served.ask("POST", "/image", picture.read_bytes())
    status, reply = served.ask("POST", "/ask", {"image": seen["image"], "question": question})
    assert status == 400
    assert told in reply["error"]


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("zyx wvu", "knows none of these words"),
        ("what " * 1000, "reads the first 26 words"),
        ("what is \ud83d\ude00 ?", "does not know"),
        ("<script>alert(1)</script>", "knows none of these words"),
    ],
)
def test_questions_that_the_model_reads_in_part_are_answered_with_a_note(served, picture, question, told):
    _, seen = served.ask("POST", "/image", picture.read_bytes())
    status, reply = served.ask("POST", "/ask", {"image": seen["image"], "question": question})
    assert status == 200
    assert any(told in note for note in reply["notes"])


def test_a_question_is_shown_as_text_whatever_is_in_it(opened, picture):
    page = opened()
    evil = "<img src=x onerror=alert(1)> what ?"
    ask(page, picture, evil)
    assert page.inner_text("#asked") == evil
    assert page.locator("#result img").count() == 0


@pytest.mark.parametrize(
    "body",
    [
        {"path": "http://127.0.0.1:9/secret.png", "question": "x"},
        {"path": "/etc/passwd", "question": "x"},
        {"image": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "question": "x"},
        {"image": "/etc/passwd", "question": "x"},
        {"image": "http://127.0.0.1:9/secret.png", "question": "x"},
        [],
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("path", ["/ask", "/change"])
def test_calls_that_name_files_or_addresses_or_are_none_get_nothing(served, path, body):
    filled = CALLS | body if isinstance(body, dict) and path == "/change" else body
    status, reply = served.ask("POST", path, filled)
    assert status in (400, 410)
    assert set(reply) == {"error"}
    assert "root:" not in reply["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"cells": [256]},
        {"words": [99]},
        {"answers": [-1]},
        {"cells": "1"},
        {"cells": [True]},
        {"words": None},
    ],
)
def test_numbers_out_of_range_are_refused_in_words(served, picture, wrong):
    _, seen = served.ask("POST", "/image", picture.read_bytes())
    status, reply = served.ask("POST", "/change", CALLS | {"image": seen["image"]} | wrong)
    assert status == 400
    assert reply["error"].startswith("expected ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file=http://127.0.0.1:9/x"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1:9/x"),
        ("GET", "/file=/etc/passwd"),
        ("GET", "/static/../../../etc/passwd"),
        ("GET", "/example/../../etc/passwd"),
        ("GET", "/example/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
        ("GET", "/config"),
        ("GET", "/gradio_api/info"),
        ("GET", "/monitoring"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/call/ask"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/login"),
        ("DELETE", "/"),
        ("POST", "/"),
        ("GET", "/image"),
    ],
)
def test_nothing_else_of_the_web_server_is_reachable(served, method, path):
    body = {
        "data": [{"path": "/etc/passwd", "url": "http://127.0.0.1:9/x", "meta": {"_type": "gradio.FileData"}}]
    }
    status, reply = served.ask(method, path, body if method == "POST" else None)
    assert (status, reply) == (404, {"error": "there is nothing here"})


def test_an_example_that_is_not_there_is_refused(served):
    assert served.ask("GET", "/example/0")[0] == 200
    assert served.ask("GET", "/example/99")[0] == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_other_sites_cannot_ask_through_the_readers_browser(served, headers):
    filled = {name: value.format(port=served.port) for name, value in headers.items()}
    for method, path in (("GET", "/"), ("POST", "/ask")):
        status, reply = served.ask(method, path, CALLS if method == "POST" else None, **filled)
        assert status == 403, (method, reply)


def test_two_who_click_at_once_get_what_one_gets(served, tiny_world):
    pictures = sorted((tiny_world / "images" / "shapes_val").glob("*.png"))[:4]
    keys = [served.ask("POST", "/image", path.read_bytes())[1]["image"] for path in pictures]
    calls = [("/ask", {"image": key, "question": q}) for key in keys for q in (QUESTION, "how many balls ?")]
    calls += [
        ("/change", CALLS | {"image": key, "cells": [70, 71], "words": [1], "answers": [0, 1, 2]})
        for key in keys
    ]
    alone = [served.ask("POST", *call) for call in calls]
    together = [None] * len(calls)

    def work(number):
        together[number] = served.ask("POST", *calls[number])

    threads = [threading.Thread(target=work, args=[number]) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="Linux tells which sockets a process has")
def test_it_listens_on_loopback_alone_and_asks_no_one(served):
    names = [os.readlink(path) for path in Path(f"/proc/{served.process.pid}/fd").iterdir()]
    sockets = {name[8:-1] for name in names if name.startswith("socket:[")}
    rows = [
        line.split()
        for kind in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]
    ]
    own = [row for row in rows if row[9] in sockets]
    listening = [row[1] for row in own if row[3] == "0A"]
    assert listening == [f"0100007F:{served.port:04X}"]
    assert all(row[2].split(":")[0] in ("0100007F", "00000000") for row in own)
    assert served.proxy.connections == 0
    assert list(served.folder.iterdir()) == []


def test_a_taken_port_is_one_line_and_exit_code_2(tiny_checkpoint, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", str(tiny_checkpoint), "--port", str(port)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"expected port {port} of 127.0.0.1 to be free" in line
    assert "--port 0" in line


def test_a_port_that_is_none_is_one_line_and_exit_code_2(tiny_checkpoint, capsys):
    assert main(["serve", str(tiny_checkpoint), "--port", "70000"]) == 2
    assert "from 0 to 65535, found 70000" in capsys.readouterr().err


def test_without_gradio_it_says_what_to_install(tiny_checkpoint, capsys, monkeypatch):
    # None in sys.modules: an import of it fails, as where it is not installed.
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in (*QUIET, "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    assert main(["serve", str(tiny_checkpoint), "--port", "0"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install gradio" in line


def test_a_run_whose_data_is_gone_has_no_examples(tiny_checkpoint, tmp_path, monkeypatch):
    from lookwhy.analysis import AnalysisPlan
    from lookwhy.analysis.explain import Explainer
    from lookwhy.cli.live import find_examples
    from lookwhy.models import load_checkpoint

    run = load_checkpoint(tiny_checkpoint)
    explainer = Explainer(run, AnalysisPlan())
    found = find_examples(explainer)
    assert len({example.image for example in found}) == 6
    run.data["folder"] = str(tmp_path)
    assert find_examples(explainer) == []


def test_ctrl_c_ends_it_with_130_and_nothing_went_wrong_before(opened, served, picture):
    page = opened(quiet=False)
    ask(page, picture)
    served.process.send_signal(signal.SIGINT)
    _, errors = served.process.communicate(timeout=20)
    assert served.process.returncode == 130
    (line,) = errors.strip().splitlines()
    assert line == "lookwhy: interrupted; the page is closed"
    click_cell(page, 3, 3)
    page.wait_for_selector("#trouble:has-text('The server does not answer')")
    assert len(bars(page)) == 5
