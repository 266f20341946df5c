"""Images that a browser sends: four formats, a limited number of pixels, decoded in memory only."""

from __future__ import annotations

import io
import struct
import threading
import zlib

from PIL import Image

from lookwhy.errors import LookwhyError
from lookwhy.towers.recipe import as_rgb

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Accepted formats, by Pillow's names; no other decoder runs."""
FORMATS_TEXT = "a JPEG, PNG, WebP or BMP image"
MAX_BYTES, MAX_PIXELS = 10 * 2**20, 40_000_000
_ONE_AT_A_TIME = threading.Lock()
"""Lock around decoding: one large image takes more than a hundred megabytes."""
_DECODER_ERRORS = (
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
)
"""Errors that Pillow's decoders raise on malicious bytes."""


def read_upload(content: bytes) -> Image.Image:
    """Decode an image file (an animation: its first frame) to RGB, rotated as its EXIF data says.

    Args:
        content: bytes of the file; the server limits their number to `MAX_BYTES`.

    Raises:
        LookwhyError: the bytes are not an image of these formats, are damaged, or hold too many pixels.
    """
    if not content:
        raise LookwhyError(f"expected {FORMATS_TEXT}, found an empty file; choose another")
    try:
        with _ONE_AT_A_TIME, Image.open(io.BytesIO(content), formats=FORMATS) as file:
            width, height = file.size
            if width * height > MAX_PIXELS:
                raise _too_many_pixels(f"{width} x {height}")
            return as_rgb(file)
    except Image.UnidentifiedImageError as error:
        raise LookwhyError(
            f"expected {FORMATS_TEXT}, found something else in this file; choose another"
        ) from error
    # Pillow's own limit is higher than ours.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels("far more") from error
    except _DECODER_ERRORS as error:
        raise LookwhyError(
            f"expected {FORMATS_TEXT}, found a damaged one ({error}); choose another file"
        ) from error


def _too_many_pixels(found: str) -> LookwhyError:
    return LookwhyError(
        f"expected an image of at most {MAX_PIXELS // 10**6} million pixels, found {found}; "
        "choose a smaller one"
    )
