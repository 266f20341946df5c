"""Images that a browser sends: four formats, a limited number of pixels, decoded in memory only."""

from __future__ import annotations

import io
import threading

from PIL import Image

from lookwhy.errors import LookwhyError
from lookwhy.towers.recipe import as_rgb

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Accepted formats, by Pillow's names; no other decoder runs."""
FORMATS_TEXT = "a JPEG, PNG, WebP or BMP image"
MAX_BYTES, MAX_PIXELS = 10 * 2**20, 40_000_000
_ONE_AT_A_TIME = threading.Lock()
"""Lock around decoding: one large image takes more than a hundred megabytes."""


def read_upload(content: bytes) -> Image.Image:
    """Decode an image file (an animation: its first frame) to RGB, rotated as its EXIF data says.

    Raises:
        LookwhyError: the bytes are not an image of these formats, are damaged, or hold too many pixels.
    """
    if not content:
        raise LookwhyError(f"expected {FORMATS_TEXT}, found an empty file; choose another")
    try:
        with _ONE_AT_A_TIME, Image.open(io.BytesIO(content), formats=FORMATS) as file:
            if file.width * file.height <= MAX_PIXELS:
                return as_rgb(file)
            found = f"{file.width} x {file.height}"
    except Image.UnidentifiedImageError as error:
        raise LookwhyError(
            f"expected {FORMATS_TEXT}, found something else in this file; choose another"
        ) from error
    # Pillow's own limit is higher than ours.
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        found = "far more"
    # On malicious bytes, Pillow's decoders raise errors of a dozen classes.
    except Exception as error:
        raise LookwhyError(
            f"expected {FORMATS_TEXT}, found a damaged one ({error}); choose another file"
        ) from error
    most = MAX_PIXELS // 10**6
    raise LookwhyError(
        f"expected an image of at most {most} million pixels, found {found}; choose a smaller one"
    )
