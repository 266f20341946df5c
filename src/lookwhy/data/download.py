"""Whole data sets: fetched, checked, unpacked, by one process at a time."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from lookwhy.data.archive import is_unpacked, unpack, unpacked_bytes
from lookwhy.data.sources import Source
from lookwhy.data.transfer import Partial, Transfer, open_session, readable
from lookwhy.errors import LookwhyError
from lookwhy.files import BYTES

_CHUNK = 1 << 20


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
    """Fetch files into `root`, check them, and unpack the zips there; what is there already is not fetched.

    Processes that fetch the same `label` into the same `root` take turns.

    Args:
        label: name of the whole, for messages and the lock.
        sources: the files.
        root: folder, made if needed.
        base_url: address of a mirror that holds the files flat under their names.
        checked: False leaves the published sums aside, for a mirror that packed the files anew.
        timeout: seconds without a byte, or below 1 KiB/s, after which a connection counts as dead.
        backoff: seconds before the second try; each further wait is twice as long.
        report: gets each line of progress.

    Raises:
        LookwhyError: a file is not there, the server does not answer or breaks off again and again, the bytes
            are wrong, the disk is too small, or `root` cannot be written to.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _turn(label, root, report), open_session(backoff) as session:
            transfer = Transfer(session, timeout, backoff, report)
            _Fetcher(transfer, root, base_url, checked).fetch(sources)
    except OSError as error:
        raise LookwhyError(
            f"expected to write to {root}, found {error.strerror or error} ({error.filename or root}); "
            "make room or give another --root; the same command continues"
        ) from error


@contextmanager
def _turn(label: str, root: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Of the processes that want the same, one works. The kernel drops the lock of a process that dies."""
    lock = FileLock(root / f".{label}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        report(f"another process is fetching {label} into {root}; waiting until it is done")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class _Fetcher:
    transfer: Transfer
    root: Path
    base_url: str | None
    checked: bool

    def fetch(self, sources: Sequence[Source]) -> None:
        missing = []
        for source in sources:
            if self._is_done(source):
                self.transfer.report(f"{source.name}: here already")
            else:
                missing.append(source)
        if not missing:
            return
        self._plan(missing)
        for source in missing:
            path = self.root / source.name
            if path.exists():
                self._check(source, path)
            else:
                part = Partial(path)
                self.transfer.receive(source.at(self.base_url), part)
                try:
                    self._check(source, part.data)
                except LookwhyError:
                    part.remove()  # wrong bytes must not be resumed
                    raise
                part.finish()
            if source.is_archive:
                self._require(unpacked_bytes(path), f"to unpack {source.name}")
                unpack(path, self.root, source.folder)

    def _is_done(self, source: Source) -> bool:
        path = self.root / source.name
        if source.is_archive:
            return is_unpacked(path)
        if path.exists():
            self._check(source, path)
        return path.exists()

    def _plan(self, sources: Sequence[Source]) -> None:
        """Say what will be fetched, and refuse at once what the disk cannot hold.

        Archives are unpacked and removed one after the other. How large a content is shows only in the
        archive; until then it counts as large as the archive, and the true size is compared before unpacking.
        """
        needed = kept = 0
        for source in sources:
            path = self.root / source.name
            if path.exists():
                here = size = path.stat().st_size
                stated = f"{readable(size)}, here already"
            else:
                here, version = Partial(path).read()
                found = self.transfer.ask(source.at(self.base_url))
                here = 0 if version.differs(found) else here
                size = here if found.size is None else found.size
                stated = "size not stated" if found.size is None else readable(size)
                stated += f", {readable(here)} of it here" if here else ""
            algorithm = source.checksum.partition(":")[0] if source.checksum else "no sum published"
            self.transfer.report(
                f"{source.name}: {stated} ({algorithm if self.checked else 'sum not checked'})"
            )
            content, removed = (size, size) if source.is_archive else (0, 0)
            peak = kept + size - here + content
            needed, kept = max(needed, peak), peak - removed
        zips = ", zips counted twice to unpack them" if any(source.is_archive for source in sources) else ""
        self._require(needed, f"to download{zips}")

    def _require(self, needed: int, purpose: str) -> None:
        free = shutil.disk_usage(self.root).free
        self.transfer.report(f"needs {readable(needed)} {purpose}; {readable(free)} free in {self.root}")
        if needed > free:
            raise LookwhyError(
                f"expected {readable(needed)} free {purpose}, found {readable(free)} in {self.root}; "
                "make room or give another --root; the same command continues"
            )

    def _check(self, source: Source, path: Path) -> None:
        if source.checksum is None or not self.checked:
            return
        algorithm, _, expected = source.checksum.partition(":")
        digest = hashlib.new(algorithm)
        size = path.stat().st_size
        # Minutes for the largest.
        with (
            path.open("rb") as file,
            tqdm(
                desc=f"checking {source.name}", total=size, leave=False, disable=None, delay=1, **BYTES
            ) as bar,
        ):
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                bar.update(len(chunk))
        found = digest.hexdigest()
        if found != expected:
            path.unlink()
            raise LookwhyError(
                f"expected {algorithm} {expected} of {source.name}, found {found} in {path}; it was removed: "
                "run the command again, with --base-url of another mirror if this comes back, or with "
                "--no-checksum for a mirror that packed the file anew"
            )
