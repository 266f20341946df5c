"""The pictures of the report page: each image once, small, whatever many questions and runs ask about it."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

from lookwhy.data.recipe import read_rgb
from lookwhy.types import LookwhyError

LONGEST_SIDE, QUALITY = 288, 75
"""In pixels, and JPEG's: about 15 kB a photograph."""

NOT_FOUND = "Image not found"
CHANGED = "The image file changed after the analysis, so its maps would lie over another picture"


class Pictures:
    """Small JPEGs, one for each image, however many files hold it."""

    def __init__(self) -> None:
        self.encoded: list[bytes] = []
        self._of_path: dict[str, int] = {}
        self._of_bytes: dict[bytes, int] = {}

    def add(self, path: str, until: float) -> tuple[int | None, str]:
        """Take in an image file.

        Args:
            path: of the file; empty where the analysis knew none.
            until: a file newer than this, in seconds since 1970, is not what was analysed.

        Returns:
            Its number, and why there is none.
        """
        if path not in self._of_path:
            if not path or not Path(path).is_file():
                return None, NOT_FOUND
            if os.path.getmtime(path) > until:
                return None, CHANGED
            try:
                small = shrink(Path(path))
            except LookwhyError:
                return None, NOT_FOUND
            if small not in self._of_bytes:
                self._of_bytes[small] = len(self.encoded)
                self.encoded.append(small)
            self._of_path[path] = self._of_bytes[small]
        return self._of_path[path], ""


def shrink(path: Path) -> bytes:
    """An image file as a small JPEG.

    Raises:
        LookwhyError: it cannot be read.
    """
    # The same reading as the network's: a photograph on its side would not lie under its maps.
    return small_jpeg(read_rgb(path))


def small_jpeg(rgb: Image.Image) -> bytes:
    """An image as a page shows it."""
    image = rgb.copy()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
