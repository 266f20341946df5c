"""Download a data set: fetch its files, check the published sums, unpack the zips."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import requests
from filelock import FileLock, Timeout
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from lookwhy.data.archive import is_unpacked, unpack
from lookwhy.data.sources import Source
from lookwhy.data.transfer import ATTEMPTS, Transfer, readable
from lookwhy.errors import LookwhyError
from lookwhy.files import BYTES

LONGEST_WAIT = 300
"""Seconds that a server may ask for between two tries (Retry-After)."""


def download(
    label: str,
    sources: Sequence[Source],
    root: Path,
    base_url: str | None = None,
    *,
    checked: bool = True,
    timeout: float = 30.0,
    backoff: float = 1.0,
    report: Callable[[str], None] = print,
) -> None:
    """Fetch files into `root`, check them, and unpack the zips; skip what is there already.

    Args:
        label: name of the data set; processes that fetch the same one into the same `root` take turns.
        sources: the files.
        root: folder, made if needed.
        base_url: address of a mirror that holds the files flat under their names.
        checked: whether the published sums are compared.
        timeout: seconds without a byte, or below 1 KiB/s, after which a connection counts as dead.
        backoff: seconds before the second try; each further wait is twice as long.
        report: receives each line of progress.

    Raises:
        LookwhyError: a missing file, a server that fails again and again, wrong bytes, or a full disk.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / f".{label}.lock")  # the kernel releases it when a process dies
        try:
            turn = lock.acquire(blocking=False)
        except Timeout:
            report(f"another process is fetching {label} into {root}; waiting until it is done")
            turn = lock.acquire()
        with turn, _session(backoff) as session:
            missing = [one for one in sources if not _is_here(one, root, checked, report)]
            transfers = [
                Transfer(one.at(base_url), root / one.name, session, timeout, report) for one in missing
            ]
            if missing:
                _plan(missing, transfers, root, checked, report)
            for source, transfer in zip(missing, transfers, strict=True):
                path = root / source.name
                if path.exists():
                    _check(source, path, checked)
                else:
                    transfer.receive(backoff)
                    _check(source, transfer.partial, checked)
                    transfer.partial.replace(path)
                    transfer.note.unlink(missing_ok=True)
                if source.is_archive:
                    unpack(path, source.folder, partial(_require, root, report))
    except OSError as error:
        raise LookwhyError(
            f"expected to write to {root}, found {error.strerror or error} ({error.filename or root}); "
            "make room or give another --root; the same command continues"
        ) from error


class _Retry(Retry):
    """Retry until an answer begins, and wait as long as a busy server asks, up to `LONGEST_WAIT`."""

    def get_retry_after(self, response: Any) -> int | float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_WAIT)


def _session(backoff: float) -> requests.Session:
    session = requests.Session()
    busy = (429, 500, 502, 503, 504)
    retry = _Retry(ATTEMPTS - 1, backoff_factor=backoff, status_forcelist=busy, raise_on_status=False)
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    session.headers["Accept-Encoding"] = "identity"  # lengths and sums are those of the file itself
    return session


def _is_here(source: Source, root: Path, checked: bool, report: Callable[[str], None]) -> bool:
    path = root / source.name
    if source.is_archive:
        here = is_unpacked(path)
    elif here := path.exists():
        _check(source, path, checked)
    if here:
        report(f"{source.name}: here already")
    return here


def _plan(
    sources: Sequence[Source],
    transfers: Sequence[Transfer],
    root: Path,
    checked: bool,
    report: Callable[[str], None],
) -> None:
    """Report the sizes, and refuse at once what the disk cannot hold."""
    needed = kept = 0
    for source, transfer in zip(sources, transfers, strict=True):
        path = root / source.name
        if path.exists():
            here = size = path.stat().st_size
            stated = f"{readable(size)}, here already"
        else:
            found, here = transfer.sizes()
            size = here if found is None else found
            stated = "size not stated" if found is None else readable(size)
            stated += f", {readable(here)} of it here" if here else ""
        algorithm = (source.checksum or "no sum published").partition(":")[0]
        report(f"{source.name}: {stated} ({algorithm if checked else 'sum not checked'})")
        # An unpacked zip is removed. Before that, its content is taken to be as large as the zip.
        needed = max(needed, kept + size - here + (size if source.is_archive else 0))
        kept += size - here
    zips = ", zips counted twice to unpack them" if any(one.is_archive for one in sources) else ""
    _require(root, report, needed, f"to download{zips}")


def _require(root: Path, report: Callable[[str], None], needed: int, purpose: str) -> None:
    free = shutil.disk_usage(root).free
    report(f"needs {readable(needed)} {purpose}; {readable(free)} free in {root}")
    if needed > free:
        raise LookwhyError(
            f"expected {readable(needed)} free {purpose}, found {readable(free)} in {root}; "
            "make room or give another --root; the same command continues"
        )


def _check(source: Source, path: Path, checked: bool) -> None:
    if source.checksum is None or not checked:
        return
    algorithm, _, expected = source.checksum.partition(":")
    digest = hashlib.new(algorithm)
    size = path.stat().st_size
    bar = tqdm(desc=f"checking {source.name}", total=size, leave=False, disable=None, delay=1, **BYTES)
    with path.open("rb") as file, bar:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            bar.update(len(chunk))
    found = digest.hexdigest()
    if found != expected:
        path.unlink()  # wrong bytes must not be resumed
        path.with_name(f"{path.name}.json").unlink(missing_ok=True)
        raise LookwhyError(
            f"expected {algorithm} {expected} of {source.name}, found {found} in {path}; it was removed: "
            "run the command again, with --base-url of another mirror if this comes back, or with "
            "--no-checksum for a mirror that packed the file anew"
        )
