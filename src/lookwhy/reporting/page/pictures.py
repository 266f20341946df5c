"""Pictures of the report page: each image once and small, for all its questions and runs."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

from lookwhy.errors import LookwhyError
from lookwhy.towers.recipe import read_rgb

LONGEST_SIDE, QUALITY = 288, 75
"""Longest side in pixels, and quality of the JPEG: about 15 kB a photograph."""

NOT_FOUND = "Image not found"
CHANGED = "The image file changed after the analysis, so its maps would lie over another picture"


class Pictures:
    """Small JPEGs, one for each image; several files with equal content share one."""

    def __init__(self) -> None:
        self.encoded: list[bytes] = []
        self._of_path: dict[str, int] = {}
        self._of_bytes: dict[bytes, int] = {}

    def add(self, path: str, until: float) -> tuple[int | None, str]:
        """Add an image file.

        Args:
            path: path of the file; empty if the analysis knew none.
            until: time in seconds since 1970; a newer file is not the one analysed.

        Returns:
            Number of the picture, or None and the reason.
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
    """Read an image file and shrink it to a small JPEG.

    Raises:
        LookwhyError: the file cannot be read.
    """
    # The network reads its images with the same function, so a rotated photograph lies under its maps.
    return small_jpeg(read_rgb(path))


def small_jpeg(rgb: Image.Image) -> bytes:
    """Shrink an image to a small JPEG."""
    image = rgb.copy()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
