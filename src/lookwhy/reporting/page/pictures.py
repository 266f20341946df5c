"""Pictures of the report page: each image once and small, for all its questions and runs."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

from lookwhy.errors import LookwhyError
from lookwhy.towers.recipe import read_rgb

LONGEST_SIDE = 288
"""Longest side in pixels, which makes about 15 kB of a photograph."""

_CHANGED = "The image file changed after the analysis, so its maps would lie over another picture"


class Pictures:
    """Small JPEGs, one for each image; several files with equal content share one."""

    def __init__(self) -> None:
        self.encoded: list[bytes] = []
        self._of_path: dict[str, int] = {}

    def add(self, path: str, until: float) -> tuple[int | None, str]:
        """Add an image file.

        Args:
            path: path of the file; empty if the analysis knew none.
            until: time in seconds since 1970; a newer file is not the one analysed.

        Returns:
            Number of the picture, or None and the reason.
        """
        if path not in self._of_path:
            try:
                if os.path.getmtime(path) > until:
                    return None, _CHANGED
                # The network uses the same function, so maps and picture agree for rotated photographs.
                small = small_jpeg(read_rgb(Path(path)))
            except (OSError, LookwhyError):
                return None, "Image not found"
            if small not in self.encoded:
                self.encoded.append(small)
            self._of_path[path] = self.encoded.index(small)
        return self._of_path[path], ""


def small_jpeg(rgb: Image.Image) -> bytes:
    """Shrink an image to a small JPEG."""
    image = rgb.copy()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75, optimize=True)
    return buffer.getvalue()
