"""A real web server on a free port that misbehaves on demand."""

import hashlib
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(handler):
    """Serve with a handler that sees each request; yields the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that logs nothing."""

    def log_message(self, *_):
        pass

    def reply(self, code, content=b"", **headers):
        self.send_response(code)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": len(content),
            **headers,
        }.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)


USELESS = {"refuses the key": 401, "asks to wait": 429, "answers 500": 500, "hangs": None}
"""The only answer of a useless server to everything; None: it never answers."""


@contextmanager
def useless_server(code):
    """A server that gives one answer to everything, or none; yields its address."""
    over = threading.Event()

    class Handler(QuietHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if code is None:
                over.wait()
            else:
                self.reply(code, b"{}")

        do_GET = do_POST = do_PUT = answer  # noqa: N815

    with serving(Handler) as address:
        yield address
        over.set()


class WebServer(ThreadingHTTPServer):
    """Serve `files`, and misbehave as `plan[name]` says: one step for each GET of the name.

    Steps: a number (answer with that status), "truncate" and "empty" (state the length, send half of the bytes
    or none), "stall" and "hang" (send half, then nothing for a second, or until the end of the test), "trickle"
    (send half, then a byte now and then), or a function to call before a proper answer.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.plan: defaultdict[str, list] = defaultdict(list)
        self.log: list[tuple[str, str, str | None]] = []
        """(method, name, Range) of each request."""
        self.knows_ranges = self.knows_if_range = self.knows_head = self.states_versions = True
        self.stated_length: int | None = None
        self.retry_after: str | None = None
        self.end = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """Ignore the error: a client that was killed is no fault of the server."""

    def gets(self, name):
        return [asked for method, of, asked in self.log if method == "GET" and of == name]


class _Handler(QuietHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer("HEAD")

    def do_GET(self):
        self.answer("GET")

    def answer(self, method):
        web, name = self.server, self.path.lstrip("/")
        web.log.append((method, name, self.headers["Range"]))
        step = web.plan[name].pop(0) if method == "GET" and web.plan[name] else None
        if callable(step):
            step()
        if name not in web.files or (method == "HEAD" and not web.knows_head):
            step = 404 if name not in web.files else 405
        if isinstance(step, int):
            self.reply(step, **({} if web.retry_after is None else {"Retry-After": web.retry_after}))
            return
        content, start = web.files[name], 0
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        if self.headers["Range"] and web.knows_ranges:
            same = self.headers["If-Range"] in (None, etag) or not web.knows_if_range
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if same else 0
        if start > len(content):
            self.reply(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if web.states_versions:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(web.stated_length or len(content) - start))
        self.end_headers()
        if method == "HEAD":
            return
        half = start + (len(content) - start) // 2
        ends = {"empty": start, "truncate": half, "stall": half, "hang": half, "trickle": half}
        end = ends.get(step, len(content))
        self.wfile.write(content[start:end])
        self.wfile.flush()
        if step == "stall":
            time.sleep(1)
        if step == "hang":
            web.end.wait()
        while step == "trickle" and end < len(content) and not web.end.wait(0.05):
            self.wfile.write(content[end : end + 1])
            end += 1
        self.close_connection = step is not None
