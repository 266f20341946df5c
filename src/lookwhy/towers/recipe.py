"""Preprocessing from an image file to a network's input: the two recipes of pretrained VGGs.

Wrong preprocessing is a frequent silent error: users of the original model got 24% or 49% accuracy instead of
58%. So a recipe is written into every feature file and checkpoint, and never guessed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from lookwhy.errors import LookwhyError
from lookwhy.files import regular

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats of image files, by Pillow's names. No other decoder runs: PostScript would start a program."""
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
WHITE = (255.0, 255.0, 255.0)
IMAGENET_MEAN_RGB, IMAGENET_STD_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageRecipe:
    """Preprocessing of a network's images.

    Attributes:
        name: `caffe`: BGR, 0-255, minus the mean pixel; `torchvision`: RGB, 0-1, minus ImageNet's mean,
            divided by its standard deviation; `rgb`: RGB, 0-255, as a person sees it.
        height: rows, in pixels.
        width: columns, in pixels. An image is resized to both; its aspect ratio is not preserved.
    """

    name: Literal["caffe", "torchvision", "rgb"] = "caffe"
    height: int = 224
    width: int = 224

    def load(self, path: Path) -> Float[Tensor, "3 H W"]:
        """Load an image file (see `read_rgb`) as pixels in the recipe's input range.

        The image is resized by PIL's bilinear interpolation with antialiasing, and not cropped.

        Raises:
            LookwhyError: the file is missing or damaged.
        """
        return self.pixels(read_rgb(path))

    def pixels(self, rgb: Image.Image) -> Float[Tensor, "3 H W"]:
        """Convert an RGB image to pixels in the recipe's input range, resized as in `load`."""
        return self.from_rgb(self.resized(rgb))

    def resized(self, rgb: Image.Image) -> UInt8[Tensor, "H W 3"]:
        """Resize an RGB image as in `load`; red, green and blue, 0-255."""
        if rgb.size != (self.width, self.height):
            rgb = rgb.resize((self.width, self.height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(rgb))

    def from_rgb(self, rgb: UInt8[Tensor, "*B H W 3"]) -> Float[Tensor, "*B 3 H W"]:
        """Convert resized images to pixels in the recipe's input range: the same numbers on every device."""
        return self._in_range(rgb.movedim(-1, -3).float()).contiguous()

    def color(self, rgb: tuple[float, float, float]) -> Float[Tensor, "3"]:
        """A colour (red, green, blue; 0-255) in the recipe's input range."""
        return self._in_range(torch.tensor(rgb)[:, None, None])[:, 0, 0]

    def to_dict(self) -> dict[str, Any]:
        """The recipe in plain types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageRecipe:
        """The recipe from plain types.

        Raises:
            LookwhyError: the name is unknown.
        """
        if values.get("name") not in ("caffe", "torchvision"):
            raise LookwhyError(
                f"expected the image recipe caffe or torchvision, found {values.get('name')!r}; "
                "prepare the features again"
            )
        return cls(values["name"], int(values["height"]), int(values["width"]))

    def _in_range(self, pixels: Float[Tensor, "*B 3 H W"]) -> Float[Tensor, "*B 3 H W"]:
        on = pixels.device
        if self.name == "rgb":
            return pixels
        if self.name == "caffe":
            return pixels.flip(-3) - _column(CAFFE_MEAN_BGR, on)
        # By a tensor: a GPU multiplies by the reciprocal of a number, which rounds differently.
        scaled = pixels / _column(WHITE, on)
        return (scaled - _column(IMAGENET_MEAN_RGB, on)) / _column(IMAGENET_STD_RGB, on)


Picture = str | Path | Image.Image | np.ndarray
"""An image file's path, a PIL image, or an RGB array (H, W, 3), uint8 0-255."""


def rgb_of(picture: Picture) -> Image.Image:
    """Convert any picture to an upright RGB image.

    Raises:
        LookwhyError: the file is missing or damaged, or the array has another shape or type.
    """
    if isinstance(picture, (str, Path)):
        return read_rgb(Path(picture).expanduser())
    if isinstance(picture, Image.Image):
        return as_rgb(picture)
    found = np.asarray(picture)
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3 or not found.size:
        raise LookwhyError(
            f"expected an array (H, W, 3) of uint8, red, green and blue, found {found.dtype} of the shape "
            f"{found.shape}; convert it, or give a path or a PIL image"
        )
    return Image.fromarray(found)


def read_rgb(path: Path) -> Image.Image:
    """Read an image file as an upright RGB image, the input of every network and figure.

    Gray is repeated in three channels, 16-bit gray is scaled to 8 bits, transparency is dropped, palettes and
    CMYK are converted, and the camera's rotation (EXIF) is applied.

    Raises:
        LookwhyError: the file is missing or damaged.
    """
    try:
        with Image.open(regular(path), formats=IMAGE_FORMATS) as file:
            return as_rgb(file)
    except FileNotFoundError as error:
        raise LookwhyError(
            f"expected an image, found no file {path}; correct its path, or the folder of the images"
        ) from error
    # On damaged bytes, Pillow's decoders raise errors of a dozen classes.
    except Exception as error:
        raise LookwhyError(
            f"expected an image ({', '.join(IMAGE_FORMATS)}), found something else in {path} ({error}); "
            "replace the file"
        ) from error


def as_rgb(file: Image.Image) -> Image.Image:
    """Convert a PIL image to an upright RGB image; a damaged image raises Pillow's own error."""
    file.load()
    try:
        picture: Image.Image = ImageOps.exif_transpose(file)
    except Exception:  # cameras write EXIF values of wrong types: the picture stays as it lies
        picture = file
    if picture.mode.startswith("I"):
        # 16-bit gray: PIL would clip values above 255 instead of scaling them.
        picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
    elif picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # PIL warns if it converts directly to RGB
    return picture.convert("RGB")


@cache  # copying numbers to a GPU waits for all that it has to do
def _column(values: tuple[float, float, float], device: torch.device) -> Float[Tensor, "3 1 1"]:
    return torch.tensor(values, device=device)[:, None, None]
