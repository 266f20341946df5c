"""Scenes of the shapes world: a few objects on a 3x3 grid of places, and their pictures.

The background is a gray texture around the mean pixel, which is also the colour of occlusion patches. On a
light background a patch would look like a new object, and occlusion maps would be misleading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from lookwhy.towers.recipe import CAFFE_MEAN_BGR
from lookwhy.towers.shapes_cnn import SIDE

PLACES = 3
"""Places along each side."""

SHAPES = ("ball", "cube", "cone")
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (208, 44, 40),
    "green": (38, 150, 62),
    "blue": (42, 82, 200),
    "yellow": (236, 204, 44),
}
SIZES: dict[str, float] = {"small": 5.5, "large": 9.0}
"""Half the width of an object in pixels."""
TEXTURES = ("plain", "striped")
FAVOURITES = {"ball": "red", "cube": "blue", "cone": "yellow"}
FAVOURITE = 0.4
"""Share of the things in the favourite colour of their shape; the rest have any colour equally often.

Without such a bias a question's noun alone predicts nothing. A model that multiplies question and image must
then learn both at once, and its training stays on a plateau for very long.
"""

MEAN_PIXEL = CAFFE_MEAN_BGR[::-1]
_OVERSAMPLING = 4
_LARGE = (SIDE * _OVERSAMPLING,) * 2


@dataclass(frozen=True)
class Thing:
    """One object: its look (of SHAPES, COLORS, SIZES and TEXTURES), its place and its centre.

    Attributes:
        row: row of its place, 0 at the top.
        column: column of its place, 0 at the left.
        x: centre, pixels from the left.
        y: centre, pixels from the top.
    """

    shape: str
    color: str
    size: str
    texture: str
    row: int
    column: int
    x: float
    y: float

    @property
    def name(self) -> str:
        """Colour and shape: "red cube"."""
        return f"{self.color} {self.shape}"


def make_scene(random: np.random.Generator) -> list[Thing]:
    """Draw a scene of two to five things (fewer are more likely), each near the middle of its own place."""
    count = int(random.choice([2, 3, 4, 5], p=[0.4, 0.3, 0.2, 0.1]))
    places = random.choice(PLACES * PLACES, size=count, replace=False)
    step = SIDE / PLACES
    things = []
    for place in sorted(int(p) for p in places):
        row, column = divmod(place, PLACES)
        right, down = random.uniform(-1.5, 1.5, size=2)
        x, y = float((column + 0.5) * step + right), float((row + 0.5) * step + down)
        shape = str(random.choice(SHAPES))
        color = FAVOURITES[shape] if random.random() < FAVOURITE else str(random.choice(list(COLORS)))
        size, texture = str(random.choice(list(SIZES))), str(random.choice(TEXTURES))
        things.append(Thing(shape, color, size, texture, row, column, x, y))
    return things


def draw_scene(things: list[Thing], random: np.random.Generator) -> Image.Image:
    """Draw the picture of a scene: RGB, SIDE x SIDE pixels."""
    picture = Image.fromarray(_background(random))
    large = picture.resize(_LARGE, Image.Resampling.BICUBIC)
    for thing in things:
        shade = np.clip(np.array(COLORS[thing.color]) + random.normal(0, 7, 3), 0, 255)
        color = tuple(int(value) for value in shade)
        mask = _silhouette(thing)
        box = mask.getbbox()
        large.paste(_paint(thing, color).crop(box), box, mask.crop(box))
    return large.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def mask_of(thing: Thing) -> Float[np.ndarray, "64 64"]:
    """Share of each pixel that the thing covers, 0..1."""
    mask = _silhouette(thing).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(mask, np.float64) / 255


def _background(random: np.random.Generator) -> UInt8[np.ndarray, "64 64 3"]:
    waves = gaussian_filter(random.normal(0, 1, (SIDE, SIDE)), 3)
    texture = 9 * waves / waves.std() + random.normal(0, 5, (SIDE, SIDE))
    # The texture's mean is subtracted, so that every background lies around the mean pixel.
    pixels = np.array(MEAN_PIXEL) + (texture - texture.mean())[..., None]
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def _silhouette(thing: Thing) -> Image.Image:
    mask = Image.new("L", _LARGE, 0)
    draw = ImageDraw.Draw(mask)
    x, y, r = (value * _OVERSAMPLING for value in (thing.x, thing.y, SIZES[thing.size]))
    if thing.shape == "ball":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    elif thing.shape == "cube":
        draw.rectangle((x - 0.88 * r, y - 0.88 * r, x + 0.88 * r, y + 0.88 * r), fill=255)
    else:
        draw.polygon([(x, y - r), (x - r, y + 0.85 * r), (x + r, y + 0.85 * r)], fill=255)
    return mask


def _paint(thing: Thing, color: tuple[int, ...]) -> Image.Image:
    paint = Image.new("RGB", _LARGE, color)
    if thing.texture == "striped":
        draw = ImageDraw.Draw(paint)
        dark = tuple(int(0.35 * value) for value in color)
        period, top = 4 * _OVERSAMPLING, int((thing.y - SIZES[thing.size]) * _OVERSAMPLING)
        for y in range(top + period // 2, _LARGE[1], period):
            draw.rectangle((0, y, _LARGE[0], y + period // 2 - 1), fill=dark)
    return paint
