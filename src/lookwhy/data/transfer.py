"""Fetch one file over HTTP, and resume it where it broke off.

The bytes that arrive go to a file `.partial`. A note beside it holds the version of the server's file that
they begin. The next try asks for the rest of that version (Range, If-Range: RFC 9110, 14.2 and 13.1.5).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from lookwhy.errors import LookwhyError
from lookwhy.files import BYTES

ATTEMPTS = 5
"""Tries in a row that bring no new byte, or bytes too slowly, before giving up."""
SLOWEST = 1024
"""Bytes a second; a connection below this for the whole timeout counts as dead."""


class _BreakError(Exception):
    """The file is not complete; another try may help."""


class _SlowError(_BreakError):
    """At this speed the file would never be complete, so its bytes do not count as progress."""


class Transfer:
    """A file on its way from `url` to `path`; the other arguments are those of `download`."""

    def __init__(
        self, url: str, path: Path, session: requests.Session, timeout: float, report: Callable[[str], None]
    ) -> None:
        self.url, self.session, self.timeout, self.report = url, session, timeout, report
        self.partial, self.note = (path.with_name(f"{path.name}.partial{end}") for end in ("", ".json"))

    def sizes(self) -> tuple[int | None, int]:
        """Bytes of the server's file (None: not stated), and how many of them are here."""
        with self._one_line():
            response = self.session.head(self.url, timeout=self.timeout, allow_redirects=True)
            if response.status_code in (403, 405, 501):  # a server that does not offer HEAD
                response = self.session.get(self.url, timeout=self.timeout, stream=True)
                response.close()
        found = _version(response)
        here, known = self._arrived()
        return found.get("size"), 0 if _differ(known, found) else here

    def receive(self, backoff: float) -> None:
        """Fetch until the file is complete, with a new try after each break.

        Raises:
            LookwhyError: the file does not exist, or tries in a row failed.
        """
        most, failures = self._arrived()[0], 0
        with self._one_line():
            while True:
                try:
                    return self._try()
                except (requests.ConnectionError, HTTPError, _BreakError) as error:
                    here = self._arrived()[0]
                    failures = 1 if here > most and not isinstance(error, _SlowError) else failures + 1
                    most = max(most, here)
                    if failures == ATTEMPTS:
                        raise
                    wait = backoff * 2 ** (failures - 1)
                    found = f"{_reason(error)}, {readable(here)} here"
                    self.report(f"{self.partial.stem}: {found}; going on in {wait:g} s")
                    time.sleep(wait)

    def _arrived(self) -> tuple[int, dict[str, Any]]:
        """Bytes that are here, and the version of the file that they begin; nothing without a note."""
        try:
            known = json.loads(self.note.read_text())
            return self.partial.stat().st_size, {name: value for name, value in known.items() if value}
        except (OSError, ValueError, AttributeError):
            return 0, {}

    def _try(self) -> None:
        """Append one answer of the server to the bytes that are here, or start anew."""
        here, known = self._arrived()
        if here and here == known.get("size"):
            return
        etag = known.get("etag", "W/")
        # A weak ETag does not promise equal bytes.
        validator = known.get("modified") if etag.startswith("W/") else etag
        asked = {"Range": f"bytes={here}-"} if here else {}
        asked |= {"If-Range": validator} if here and validator else {}
        with self.session.get(self.url, headers=asked, timeout=self.timeout, stream=True) as response:
            version = _version(response)
            if response.status_code in (206, 416):
                begins = response.headers.get("Content-Range", "").startswith(f"bytes {here}-")
                if not begins or _differ(known, version):
                    self.partial.unlink(missing_ok=True)
                    raise _BreakError("the server's file has changed")
            else:
                self.partial.unlink(missing_ok=True)  # first: the note must never vouch for older bytes
                self.note.write_text(json.dumps(version))
            with self.partial.open("ab") as file:
                self._append(response, file, version.get("size"))
        if self.partial.stat().st_size != version.get("size", self.partial.stat().st_size):
            raise _BreakError("the server sent another length than it stated")

    def _append(self, response: requests.Response, file: BinaryIO, size: int | None) -> None:
        """Write the body as it arrives; `iter_content` would wait for a full chunk, however slow."""
        name, here = self.partial.stem, file.tell()
        with tqdm(desc=name, total=size, initial=here, disable=None, **BYTES) as bar:
            start, counted = time.monotonic(), here
            while chunk := response.raw.read1(1 << 16):
                file.write(chunk)
                bar.update(len(chunk))
                seconds, arrived = time.monotonic() - start, file.tell() - counted
                if seconds > self.timeout:
                    if arrived < SLOWEST * seconds:
                        raise _SlowError(f"only {readable(arrived)} in {seconds:.1f} s")
                    start, counted = time.monotonic(), file.tell()

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        # urllib3's own error: requests passes it on for a broken body, and for a host name that is too long.
        except (requests.RequestException, HTTPError, _BreakError) as error:
            raise LookwhyError(
                f"expected the file {self.url}, found: {_reason(error)} ({ATTEMPTS} tries); check the "
                "network or give --base-url of a mirror; the same command continues"
            ) from error


def _version(response: requests.Response) -> dict[str, Any]:
    """ETag, Last-Modified and size of the server's file, as far as they are stated."""
    if not response.ok and response.status_code != 416:
        raise LookwhyError(
            f"expected the file {response.url}, found HTTP {response.status_code} {response.reason}; "
            "give --base-url of a mirror that has it"
        )
    headers = response.headers
    size = headers.get("Content-Range", headers.get("Content-Length", "")).rpartition("/")[2]
    stated = {"etag": headers.get("ETag"), "modified": headers.get("Last-Modified")}
    known = {name: value for name, value in stated.items() if value}
    return known | ({"size": int(size)} if size.isdecimal() else {})


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two versions contradict each other; one may leave out what the other states."""
    return any(one[name] != other[name] for name in one.keys() & other.keys())


def _reason(error: Exception) -> str:
    """The innermost message: requests wraps urllib3's errors, which wrap the socket's."""
    inner: object = error
    while isinstance(inner, Exception) and inner.args:
        inner = getattr(inner, "reason", None) or inner.args[0]
    return " ".join(str(inner or type(error).__name__).split())


def readable(count: int) -> str:
    """A number of bytes in powers of 1024."""
    return tqdm.format_sizeof(count, "B", 1024) if count >= 1024 else f"{count} B"
