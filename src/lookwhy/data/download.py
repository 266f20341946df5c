"""Download a data set: resume broken transfers, verify the published checksums, unpack the zips.

Received bytes are written to `<file>.partial`. A note beside it (JSON) holds the version of the file on the
server. The next attempt requests the rest of that version (Range and If-Range: RFC 9110, 14.2 and 13.1.5).
"""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import requests
from filelock import FileLock, Timeout
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from lookwhy.data.sources import Source
from lookwhy.data.unzip import require_space, unzip
from lookwhy.errors import LookwhyError
from lookwhy.progress import BYTES, progress, readable

ATTEMPTS = 5  # consecutive attempts without progress
BACKOFF = 1.0  # seconds before the second try; each further wait is twice as long
SLOWEST = 1024  # bytes per second; a connection below this for a whole timeout counts as dead
LONGEST_WAIT = 300  # seconds that a server may ask for before the next try (Retry-After)
BUSY = (429, 500, 502, 503, 504)
BREAKS = (requests.ConnectionError, HTTPError, ConnectionError, TimeoutError)
_say = partial(print, flush=True)


def download(
    label: str, sources: Sequence[Source], root: Path, base_url: str | None = None, timeout: float = 30.0
) -> None:
    """Download files into `root`, verify them, and unpack the zips; skip files that are there already.

    Processes that fetch the data set of one `label` into the same `root` take turns. A source without a
    checksum is not checked. `base_url` is a mirror that holds the files, by their names, in one folder. After
    `timeout` seconds without a byte, or below 1 KiB/s, a connection counts as dead.

    Raises:
        LookwhyError: the server lacks a file or keeps failing, a checksum differs, or the disk is full.
    """
    retry = Retry(ATTEMPTS - 1, backoff_factor=BACKOFF, status_forcelist=BUSY, retry_after_max=LONGEST_WAIT)
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / f".{label}.lock")  # the kernel releases it when a process dies
        try:
            turn = lock.acquire(blocking=False)
        except Timeout:
            _say(f"another process is fetching {label} into {root}; waiting until it is done")
            turn = lock.acquire()
        with turn, requests.Session() as session:
            session.headers["Accept-Encoding"] = "identity"  # so that Content-Length is the file's size
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=retry))
            files = [_File(one, root, base_url, session, timeout) for one in sources]
            missing = [file for file in files if not file.is_complete()]
            needed = kept = 0
            for file in missing:
                size, here = file.sizes()
                # A zip is deleted only after unpacking; its content is assumed to be as large as the zip.
                needed = max(needed, kept + size - here + size * file.is_zip)
                kept += size - here
            if missing:
                require_space(root, needed, "to download, zips counted twice to unpack them")
            for file in missing:
                file.fetch()
    except (requests.RequestException, *BREAKS) as error:
        raise LookwhyError(
            f"expected the file {file.url}, found: {_reason(error)}; check the network, or give --base-url "
            "of a mirror that has it; the same command continues"
        ) from error
    except OSError as error:
        raise LookwhyError(
            f"expected to write to {root}, found {error.strerror or error} ({error.filename or root}); "
            "make room or give another --root; the same command continues"
        ) from error


class _File:
    """One file to download; the arguments are those of `download`."""

    def __init__(
        self, source: Source, root: Path, base_url: str | None, session: requests.Session, timeout: float
    ) -> None:
        self.source, self.root, self.timeout = source, root, timeout
        self.name = source.url.rpartition("/")[2]
        self.algorithm, _, self.digest = (source.checksum or "").partition(":")
        self.url = source.url if base_url is None else f"{base_url.rstrip('/')}/{self.name}"
        self.head = partial(session.head, self.url, timeout=timeout, allow_redirects=True)
        self.get = partial(session.get, self.url, timeout=timeout, stream=True)
        self.is_zip = self.name.endswith(".zip")
        self.path, self.partial = root / self.name, root / f"{self.name}.partial"
        self.note, self.mark = root / f"{self.name}.partial.json", root / f".{self.name}.unpacked"

    def is_complete(self) -> bool:
        names = _read_json(self.mark) if self.is_zip else [self.name]
        if not names or not all((self.root / name).exists() for name in names):
            return False
        if not self.is_zip:
            self._check()
        _say(f"{self.name}: here already")
        return True

    def sizes(self) -> tuple[int, int]:
        """Size of the whole file in bytes, as far as it is known, and number of bytes already on disk."""
        here, version = self._arrived()
        if here != version.get("size"):
            response = self.head()
            if response.status_code in (403, 405, 501):  # a server that does not offer HEAD
                response = self.get()
                response.close()
            version = _version(response)
        size = max(version.get("size", 0), here)
        stated = readable(size) if size else "size not stated"
        stated += f", {readable(here)} of it here" if here else ""
        _say(f"{self.name}: {stated} ({self.algorithm or 'sum not checked'})")
        return size, here

    def fetch(self) -> None:
        most, failures = self._arrived()[0], 0
        while not self.path.exists():
            try:
                self._receive()
            except BREAKS as error:
                here = self._arrived()[0]
                # A timeout is no progress: at such a speed the file would never be complete.
                failures = 1 if here > most and not isinstance(error, TimeoutError) else failures + 1
                if failures == ATTEMPTS:
                    raise
                most, wait = max(most, here), BACKOFF * 2 ** (failures - 1)
                _say(f"{self.name}: {_reason(error)}, {readable(here)} here; going on in {wait:g} s")
                time.sleep(wait)
        self._check()
        if self.is_zip:
            self._unpack()

    def _arrived(self) -> tuple[int, dict[str, Any]]:
        """Number of bytes on disk, and the version of the file that they belong to; 0, {} if unknown."""
        if self.path.exists():
            return (size := self.path.stat().st_size), {"size": size}
        is_known = self.note.exists() and self.partial.exists()
        return (self.partial.stat().st_size, _read_json(self.note)) if is_known else (0, {})

    def _receive(self) -> None:
        """Append one response of the server to the partial file, or start that file again."""
        here, known = self._arrived()
        if here != known.get("size"):
            asked: Any = {"Range": f"bytes={here}-", "If-Range": known.get("validator")} if here else None
            with self.get(headers=asked) as response:
                version = _version(response)
                goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {here}-")
                stated = version.keys() & known.keys()  # a server may omit some of these headers
                if response.status_code == 200:
                    self.partial.unlink(missing_ok=True)  # before the note, which must not describe old bytes
                    self.note.write_text(json.dumps(version))
                elif not goes_on or any(version[key] != known[key] for key in stated):
                    self.partial.unlink(missing_ok=True)
                    raise ConnectionError("the server's file has changed")
                self._append(response, version.get("size"))
        self.partial.replace(self.path)
        self.note.unlink()

    def _append(self, response: requests.Response, size: int | None) -> None:
        """Write the body as it arrives; `iter_content` would wait until a whole chunk is full."""
        with (
            self.partial.open("ab") as file,
            progress(desc=self.name, total=size, initial=file.tell(), **BYTES) as bar,
        ):
            start, counted = time.monotonic(), file.tell()
            while chunk := response.raw.read1(1 << 16):
                bar.update(file.write(chunk))
                if (seconds := time.monotonic() - start) > self.timeout:
                    if (arrived := file.tell() - counted) < SLOWEST * seconds:
                        raise TimeoutError(f"only {readable(arrived)} in {seconds:.1f} s")
                    start, counted = time.monotonic(), file.tell()
            if size not in (None, file.tell()):
                raise ConnectionError("the server sent another length than it stated")

    def _check(self) -> None:
        if self.algorithm:
            with self.path.open("rb") as file:
                found = hashlib.file_digest(file, self.algorithm).hexdigest()
            if found != self.digest:
                raise self._remove(f"{self.algorithm} {self.digest} of {self.name}", found)

    def _remove(self, expected: str, found: str) -> LookwhyError:
        """Delete a wrong file, so that no later attempt resumes it; returns the error to raise."""
        self.path.unlink()
        return LookwhyError(
            f"expected {expected}, found {found} in {self.path}; it was removed: run the command again; if "
            "this repeats, give --base-url of another mirror (and --no-checksum if it repacked the file)"
        )

    def _unpack(self) -> None:
        try:
            names = unzip(self.path, self.source.folder)
        except Exception as error:  # zipfile raises many kinds on garbled bytes
            # Damaged bytes raise OSError without an errno (bz2) or with EINVAL. Other errnos mean the disk.
            if getattr(error, "errno", None) not in (None, errno.EINVAL):
                raise
            raise self._remove("a whole zip file", str(error)) from error
        self.mark.write_text(json.dumps(names))
        self.path.unlink()


def _read_json(path: Path) -> Any:
    with suppress(OSError, ValueError):
        return json.loads(path.read_text())
    return {}


def _version(response: requests.Response) -> dict[str, Any]:
    """ETag or Last-Modified ("validator") and size of the file on the server, as far as the response says."""
    if response.status_code != 416:
        response.raise_for_status()
    headers = response.headers
    etag = headers.get("ETag", "W/")  # a weak one ("W/...") does not promise equal bytes
    validator = headers.get("Last-Modified") if etag.startswith("W/") else etag
    size = headers.get("Content-Range", headers.get("Content-Length", "")).rpartition("/")[2]
    found = {"validator": validator, "size": int(size) if size.isdecimal() else None}
    return {name: value for name, value in found.items() if value is not None}


def _reason(error: BaseException) -> str:
    """Message of the original error: requests wraps errors of urllib3, which wrap errors of the socket."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split()) or type(error).__name__
