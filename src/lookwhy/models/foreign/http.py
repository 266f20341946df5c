"""A model behind an HTTP server: GET tells its answers, POST scores pictures and questions."""

from __future__ import annotations

import ipaddress
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from jaxtyping import UInt8
from numpy import ndarray

from lookwhy.errors import LookwhyError
from lookwhy.models.foreign.exchange import answers_of, request_of, scores_of

TRIES, FIRST_WAIT, TIMEOUT = 4, 0.5, 300.0
"""Calls of a server that does not answer or is busy, the first pause in seconds (doubled each time), and the
seconds that it may take to answer."""
BUSY = {429, 502, 503, 504}


class HttpModel:
    """A server that answers `GET` with `{"answers": [...]}`, and `POST` of `exchange.request_of` with scores.

    Args:
        url: address of the model. Only this machine is called unless `allow_remote` is set: pictures leave
            the machine otherwise.
        allow_remote: whether another machine may be called.

    Raises:
        LookwhyError: the host is another machine, or the server does not answer.
    """

    def __init__(self, url: str, allow_remote: bool = False) -> None:
        self.url = url
        if not allow_remote and not _is_this_machine(urlsplit(url).hostname or ""):
            raise LookwhyError(
                f"expected a server on this machine, found {urlsplit(url).hostname}; give --allow-remote to "
                "send it the pictures and questions"
            )
        self.answers: Sequence[str] = answers_of(self._call(None), url)

    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> list[list[float]]:
        """Scores of each answer, (B, A)."""
        return scores_of(self._call(request_of(images, questions)), self.url)

    def _call(self, content: dict[str, Any] | None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url, data, {"Content-Type": "application/json"})
        for number in range(TRIES):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
                    return json.loads(reply.read())
            except urllib.error.HTTPError as error:
                problem = f"status {error.code}: {error.read()[:200].decode(errors='replace')}"
                if error.code not in BUSY:
                    break
            except (OSError, ValueError) as error:
                problem = str(getattr(error, "reason", error))
            if number + 1 < TRIES:
                time.sleep(FIRST_WAIT * 2**number)
        raise LookwhyError(
            f"expected an answer of {self.url}, found {problem}; start the server, and give the same command "
            "again: what was answered is kept"
        )


def _is_this_machine(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(str(one).partition("%")[0]).is_loopback for one in found)
