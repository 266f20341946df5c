"""Images that somebody sends: of four formats, no larger than stated, read from memory alone."""

from __future__ import annotations

import io
import struct
import threading
import zlib

from PIL import Image

from lookwhy.towers.recipe import as_rgb
from lookwhy.types import LookwhyError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""As Pillow names them: nothing else is even tried."""
MAX_BYTES, MAX_PIXELS = 10 * 2**20, 40_000_000
TYPES = "a JPEG, PNG, WebP or BMP image"
_ONE_AT_A_TIME = threading.Lock()
"""Decoded, a large image takes a hundred megabytes and more."""


def read_upload(content: bytes) -> Image.Image:
    """The bytes of an image file as red, green, blue, the right way up; of several frames the first.

    Raises:
        LookwhyError: no image of these formats, a damaged one, or one of too many bytes or pixels.
    """
    if not content:
        raise LookwhyError(f"expected {TYPES}, found an empty file; choose another")
    if len(content) > MAX_BYTES:
        raise too_large(len(content))
    try:
        with _ONE_AT_A_TIME, Image.open(io.BytesIO(content), formats=FORMATS) as file:
            width, height = file.size
            if width * height > MAX_PIXELS:
                raise _too_many(f"{width} x {height}")
            return as_rgb(file)
    except Image.UnidentifiedImageError as error:
        raise LookwhyError(f"expected {TYPES}, found something else in this file; choose another") from error
    # Its own limit is above ours.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many("far more") from error
    # Pillow's decoders raise almost anything on bytes that were made to break them.
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        OverflowError,
        MemoryError,
        struct.error,
        zlib.error,
    ) as error:
        raise LookwhyError(f"expected {TYPES}, found a damaged one ({error}); choose another file") from error


def too_large(size: int | None = None) -> LookwhyError:
    """The error for a file of so many bytes; None: more than anyone has counted."""
    found = "more" if size is None else f"{size / 2**20:.1f} MB"
    return LookwhyError(
        f"expected an image of at most {MAX_BYTES // 2**20} MB, found {found}; choose a smaller file"
    )


def _too_many(found: str) -> LookwhyError:
    return LookwhyError(
        f"expected an image of at most {MAX_PIXELS // 10**6} million pixels, found {found}; "
        "choose a smaller one"
    )
