"""The process of the live page, how tests ask it, and a picture to send."""

import http.client
import io
import json

import numpy as np
from PIL import Image
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
