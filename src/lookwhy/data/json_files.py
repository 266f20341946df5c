"""JSON files of data sets, plain or gzipped."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from lookwhy.errors import LookwhyError
from lookwhy.files import regular


def read_json(path: Path, expected: str) -> Any:
    """The content of a `.json` or `.json.gz` file.

    Args:
        path: the file.
        expected: what it should be, for the message: "an official VQA questions file".

    Raises:
        LookwhyError: the file cannot be read, or it is not JSON.
    """
    try:
        raw = regular(path).read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return json.loads(raw)
    except OSError as error:
        raise LookwhyError(
            f"expected {expected}, found none that can be read at {path} ({error.strerror or error}); "
            "correct the path or fetch it again"
        ) from error
    except (ValueError, EOFError, RecursionError, zlib.error) as error:
        raise LookwhyError(
            f"expected JSON, found something else in {path} ({error}); fetch it again"
        ) from error
