"""One file over HTTP that goes on where it stopped.

A file arrives as `<name>.partial`. Beside it, `<name>.partial.json` says which version of the server's file
it is the beginning of (ETag, Last-Modified, length). The next try asks for the rest by `Range` and `If-Range`
(RFC 9110, sections 14.2 and 13.1.5), and starts anew when the version is another or the server knows no
ranges.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from lookwhy.errors import LookwhyError
from lookwhy.files import BYTES

ATTEMPTS = 5
"""Tries in a row without a new byte, or too slow, before giving up."""
SLOWEST = 1024
"""Bytes a second: what sends less for as long as the timeout is as good as dead, and never done."""
_CHUNK = 1 << 16
_LONGEST_WAIT = 300
"""Seconds; a server that wants more between two tries (Retry-After) is asked again after these."""


def open_session(backoff: float) -> requests.Session:
    """A session that asks again by itself until an answer begins: no connection, too busy, a passing error.

    Args:
        backoff: seconds before the third try (the second comes at once); each further wait is twice as long.
    """
    retry = Retry(
        total=ATTEMPTS - 1,
        status_forcelist=(429, 500, 502, 503, 504),
        backoff_factor=backoff,
        raise_on_status=False,
        retry_after_max=_LONGEST_WAIT,
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    # Lengths, ranges and sums are of the file's own bytes.
    session.headers["Accept-Encoding"] = "identity"
    return session


@dataclass(frozen=True)
class Version:
    """What a server tells of the file it has: two that differ are of different bytes."""

    etag: str | None
    modified: str | None
    size: int | None

    @classmethod
    def of(cls, response: requests.Response) -> Version:
        """From the headers of an answer with the file, its part, or nothing but headers."""
        headers = response.headers
        size = headers.get("Content-Length", "")
        if response.status_code == requests.codes.partial_content:
            size = headers.get("Content-Range", "").rpartition("/")[2]
        return cls(headers.get("ETag"), headers.get("Last-Modified"), int(size) if size.isdecimal() else None)

    def differs(self, other: Version) -> bool:
        """In what both tell: an answer with a part of the file may leave out its date."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return any(a != b for a, b in pairs if a is not None and b is not None)

    @property
    def if_range(self) -> dict[str, str]:
        """The header that asks for a part of this version only.

        A weak ETag does not promise the same bytes, so it must not be sent.
        """
        strong = self.etag if self.etag is not None and not self.etag.startswith("W/") else None
        value = strong or self.modified
        return {} if value is None else {"If-Range": value}


class _BrokeOff(Exception):
    """The file is not whole yet; another try may help."""


class _TooSlow(_BrokeOff):
    """The bytes that came do not count: a server that goes on like this would be asked forever."""


@dataclass(frozen=True)
class Partial:
    """The beginning of a file, and of which version."""

    path: Path

    @property
    def data(self) -> Path:
        """Its bytes so far."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def note(self) -> Path:
        """What is known of their version."""
        return self.path.with_name(f"{self.path.name}.partial.json")

    def read(self) -> tuple[int, Version]:
        """Bytes that are here, and their version; none where nothing of use is."""
        try:
            size, version = self.data.stat().st_size, Version(**json.loads(self.note.read_text()))
        except (OSError, ValueError, TypeError):
            return 0, Version(None, None, None)
        return size, version

    def begin(self, version: Version) -> None:
        """Forget what is here, for the bytes of this version."""
        # The note only after the old bytes are gone: it must never vouch for them.
        self.data.unlink(missing_ok=True)
        self.note.write_text(json.dumps(asdict(version)))

    def remove(self) -> None:
        """Forget what is here."""
        self.data.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its own name."""
        self.data.replace(self.path)
        self.note.unlink(missing_ok=True)


@dataclass(frozen=True)
class Transfer:
    """How files are fetched."""

    session: requests.Session
    timeout: float
    """Seconds without a byte, or below `SLOWEST`, after which a connection counts as dead."""
    backoff: float
    """Seconds before the second try; each further wait is twice as long."""
    report: Callable[[str], None]

    def ask(self, url: str) -> Version:
        """The version on the server, without its bytes.

        Raises:
            LookwhyError: there is none, or no answer.
        """
        with _one_line(url):
            response = self.session.head(url, timeout=self.timeout, allow_redirects=True)
            if response.status_code in (403, 405, 501):  # how servers say that they know no HEAD
                response = self.session.get(url, timeout=self.timeout, stream=True)
                response.close()
        _refuse_error(response)
        return Version.of(response)

    def receive(self, url: str, part: Partial) -> None:
        """Until all bytes are here, with a new try after each break.

        Raises:
            LookwhyError: there is no such file, no answer, or breaks without a new byte between them, or each
                time too slow.
        """
        most, failures = part.read()[0], 0
        with _one_line(url):
            while True:
                try:
                    self._once(url, part)
                    break
                except (requests.ConnectionError, _BrokeOff) as error:
                    here = part.read()[0]
                    failures = 1 if here > most and not isinstance(error, _TooSlow) else failures + 1
                    most = max(most, here)
                    if failures >= ATTEMPTS:
                        raise
                    wait = self.backoff * 2 ** (failures - 1)
                    self.report(
                        f"{part.path.name}: {_reason(error)}, {readable(here)} here; going on in {wait:g} s"
                    )
                    time.sleep(wait)

    def _once(self, url: str, part: Partial) -> None:
        """One answer of the server, appended to what is here or begun anew."""
        here, known = part.read()
        if here and here == known.size:
            return
        asked = {"Range": f"bytes={here}-", **known.if_range} if here else {}
        with self.session.get(url, headers=asked, timeout=self.timeout, stream=True) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                part.remove()
                raise _BrokeOff("the server's file is shorter than the part here")
            _refuse_error(response)
            version = Version.of(response)
            if response.status_code == requests.codes.partial_content:
                begins = response.headers.get("Content-Range", "").startswith(f"bytes {here}-")
                if not begins or version.differs(known):
                    part.remove()
                    raise _BrokeOff("the server's file has changed")
            else:
                here = 0
                part.begin(version)
            with (
                part.data.open("ab") as file,
                tqdm(
                    desc=part.path.name,
                    total=version.size,
                    initial=here,
                    disable=None,
                    **BYTES,
                ) as bar,
            ):
                for chunk in self._chunks(response):
                    file.write(chunk)
                    bar.update(len(chunk))
        if version.size is not None and part.data.stat().st_size != version.size:
            raise _BrokeOff("the server sent another length than it stated")

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it arrives: requests' own iterator waits until a chunk is full, however slowly."""
        start, arrived = time.monotonic(), 0
        try:
            while chunk := response.raw.read1(_CHUNK):
                yield chunk
                arrived += len(chunk)
                seconds = time.monotonic() - start
                if seconds > self.timeout:
                    if arrived < SLOWEST * seconds:
                        raise _TooSlow(f"only {readable(arrived)} in {seconds:.1f} s")
                    start, arrived = time.monotonic(), 0
        # A body that ends early, stalls or loses its connection.
        except HTTPError as error:
            raise _BrokeOff(_reason(error)) from error


@contextmanager
def _one_line(url: str) -> Iterator[None]:
    try:
        yield
    # HTTPError: requests lets through what urllib3 says of a host name that is too long.
    except (requests.RequestException, HTTPError, _BrokeOff) as error:
        raise LookwhyError(
            f"expected the file {url}, found: {_reason(error)} ({ATTEMPTS} tries); check the network or give "
            "--base-url of a mirror; the same command continues"
        ) from error


def _refuse_error(response: requests.Response) -> None:
    if not response.ok:
        raise LookwhyError(
            f"expected the file {response.url}, found HTTP {response.status_code} {response.reason}; "
            "give --base-url of a mirror that has it"
        )


def _reason(error: Exception) -> str:
    """The innermost message: requests wraps urllib3's errors, which wrap the socket's."""
    inner: object = error
    while isinstance(inner, Exception) and inner.args:
        inner = getattr(inner, "reason", None) or inner.args[0]
    return " ".join(str(inner or type(error).__name__).split())


def readable(count: int) -> str:
    """A number of bytes in powers of 1024."""
    return tqdm.format_sizeof(count, "B", 1024) if count >= 1024 else f"{count} B"
