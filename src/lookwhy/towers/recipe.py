"""Preprocessing from an image file to a network's input: two recipes of pretrained VGGs, and any in a file.

Wrong preprocessing is a frequent silent error: users of the original model got 24% or 49% accuracy instead of
58%. So a recipe is written into every feature file and checkpoint, and never guessed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import yaml
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from lookwhy.errors import LookwhyError
from lookwhy.files import regular

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats of image files, by Pillow's names. No other decoder runs: PostScript would start a program."""
CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
IMAGENET_MEAN_RGB, IMAGENET_STD_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Order = Literal["rgb", "bgr"]
Resize = Literal["bilinear", "bicubic", "lanczos", "box"]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class PixelFormat:
    """Pixels as a network wants them: `(value / scale - mean) / std` of each channel, values from 0 to 255.

    Attributes:
        order: order of the channels; mean and std are in this order.
        scale: what values are divided by: 255 for a range from 0 to 1.
        mean: what is subtracted then.
        std: what is divided by then.
        resize: interpolation of PIL, with antialiasing.
    """

    order: Order = "rgb"
    scale: float = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    resize: Resize = "bilinear"

    @classmethod
    def from_dict(cls, options: dict[str, Any], where: object) -> PixelFormat:
        """Format from options in plain types; `where` is their place, for the error line.

        Raises:
            LookwhyError: an option is unknown or has a value without sense.
        """
        known = [one.name for one in fields(cls)]
        if unknown := sorted({*map(str, options)} - {*known}):
            raise LookwhyError(
                f"expected the options {', '.join(known)} in the recipe {where}, found {unknown}; correct it"
            )
        found = dict(options)
        for name in ("mean", "std"):
            values = options.get(name, getattr(cls, name))
            if not isinstance(values, (list, tuple)) or len(values) != 3 or not all(map(_is_number, values)):
                raise LookwhyError(f"expected three numbers as {name} in {where}, found {values}; correct it")
            found[name] = tuple(map(float, values))
        scale = found["scale"] = options.get("scale", cls.scale)
        if not _is_number(scale) or scale == 0 or 0 in found["std"]:
            raise LookwhyError(
                f"expected scale and std other than 0 in {where}, found {scale} and {found['std']}; they "
                "divide: 1 changes nothing"
            )
        for name, choices in (("order", get_args(Order)), ("resize", get_args(Resize))):
            if (chosen := options.get(name, getattr(cls, name))) not in choices:
                raise LookwhyError(
                    f"expected {name} to be one of {', '.join(choices)} in {where}, found {chosen!r}; "
                    "correct it"
                )
        return cls(**found | {"scale": float(scale)})


FORMATS = {
    "caffe": PixelFormat("bgr", 1.0, CAFFE_MEAN_BGR),
    "torchvision": PixelFormat("rgb", 255.0, IMAGENET_MEAN_RGB, IMAGENET_STD_RGB),
    "rgb": PixelFormat("rgb", 1.0),
}
"""Recipes with a name."""
OWN = "own"
"""Name of a recipe that a file states."""


@dataclass(frozen=True)
class ImageRecipe:
    """Preprocessing of a network's images.

    Attributes:
        name: `caffe`: BGR, 0-255, minus the mean pixel; `torchvision`: RGB, 0-1, minus ImageNet's mean,
            divided by its standard deviation; `rgb`: RGB, 0-255, as a person sees it; `own`: `own_format`.
        height: rows, in pixels.
        width: columns, in pixels. An image is resized to both; its aspect ratio is not preserved.
        own_format: format of the pixels of a recipe without a name of these.

    Example:
        >>> recipe = ImageRecipe("own", 2, 2, PixelFormat(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
        >>> recipe.color((255.0, 127.5, 0.0))
        tensor([ 1.,  0., -1.])
    """

    name: str = "caffe"
    height: int = 224
    width: int = 224
    own_format: PixelFormat | None = None

    def __post_init__(self) -> None:
        if (self.name == OWN) != (self.own_format is not None) or self.name not in (*FORMATS, OWN):
            raise LookwhyError(
                f"expected the image recipe {' or '.join(FORMATS)}, or {OWN} with a format, found "
                f"{self.name!r}; correct it, or prepare the features again"
            )

    @property
    def format(self) -> PixelFormat:
        """Format of the pixels."""
        return self.own_format or FORMATS[self.name]

    @classmethod
    def from_yaml(cls, path: Path, height: int, width: int) -> ImageRecipe:
        """Recipe from a file with the options of `PixelFormat`: `mean: [0.48, 0.46, 0.41]`, and so on.

        Raises:
            LookwhyError: the file is missing, is no YAML, or holds other options.
        """
        try:
            content = yaml.safe_load(regular(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise LookwhyError(
                f"expected a recipe in YAML, found none in {path} ({reason:.120}); correct it"
            ) from error
        if not isinstance(content, dict):
            raise LookwhyError(
                f"expected options in the recipe {path}, found {type(content).__name__}; docs/towers.md has "
                "an example"
            )
        return cls(OWN, height, width, PixelFormat.from_dict(content, path))

    def load(self, path: Path) -> Float[Tensor, "3 H W"]:
        """Load an image file (see `read_rgb`) as pixels in the recipe's input range.

        The image is resized by PIL with antialiasing, and not cropped.

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
            how = Image.Resampling[self.format.resize.upper()]
            rgb = rgb.resize((self.width, self.height), how)
        return torch.from_numpy(np.array(rgb))

    def from_rgb(self, rgb: UInt8[Tensor, "*B H W 3"]) -> Float[Tensor, "*B 3 H W"]:
        """Convert resized images to pixels in the recipe's input range: the same numbers on every device."""
        return self._in_range(rgb.movedim(-1, -3).float()).contiguous()

    def color(self, rgb: tuple[float, float, float]) -> Float[Tensor, "3"]:
        """A colour (red, green, blue; 0-255) in the recipe's input range."""
        return self._in_range(torch.tensor(rgb)[:, None, None])[:, 0, 0]

    def to_dict(self) -> dict[str, Any]:
        """The recipe in plain types."""
        found = asdict(self)
        # Recipes with a name are stored as before there were others.
        return found if self.own_format else {key: found[key] for key in ("name", "height", "width")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ImageRecipe:
        """The recipe from plain types.

        Raises:
            LookwhyError: the name is unknown.
        """
        own = values.get("own_format")
        form = PixelFormat.from_dict(own, "a description") if isinstance(own, dict) else None
        return cls(str(values.get("name")), int(values["height"]), int(values["width"]), form)

    def _in_range(self, pixels: Float[Tensor, "*B 3 H W"]) -> Float[Tensor, "*B 3 H W"]:
        form, on = self.format, pixels.device
        if form.order == "bgr":
            pixels = pixels.flip(-3)
        # By tensors: a GPU multiplies by the reciprocal of a number, which rounds differently.
        if form.scale != 1:
            pixels = pixels / _column((form.scale,) * 3, on)
        if any(form.mean):
            pixels = pixels - _column(form.mean, on)
        return pixels if form.std == (1.0, 1.0, 1.0) else pixels / _column(form.std, on)


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
