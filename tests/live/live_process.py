"""The process of the live page, how tests ask it, and a picture to send."""

import http.client
import io
import json
import os
import re
import socket
import subprocess
import sys

import numpy as np
from PIL import Image
from tiny_runs import ROOT
from web_server import WebServer

QUESTION = "What color is the ball?"
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))


def encoded(image, kind="PNG", **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


class Proxy(WebServer):
    """A proxy that counts connections: any request of the server to anybody would go through it."""

    connections = 0

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)


class LiveProcess:
    """The process of `analyze.py serve`, its port, its proxy and its working directory."""

    def __init__(self, model, proxy, folder):
        """`model` are the words of the command that name a checkpoint or another model."""
        self.proxy, self.folder = proxy, folder
        others = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy.url)
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "analyze.py"), "serve", *map(str, model), "--port", "0"],
            env=others | proxies | {"OMP_NUM_THREADS": "1"},
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, (line, self.process.communicate(timeout=10)[1])
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}/"

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

    def send(self, text):
        """A connection on which this text has been sent."""
        client = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(text.encode())
        return client

    @property
    def half_an_upload(self):
        return f"POST /image HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Length: 99\r\n\r\nhalf"
