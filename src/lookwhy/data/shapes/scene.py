"""Scenes of the shapes world: a few objects on a 3x3 grid of places, and their pictures.

The background is a gray texture around the mean pixel that occlusion paints with. A patch that is
foreign to the picture acts as a new object: on a light background occlusion maps are worse than useless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

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
"""Share of the things that have their shape's favourite colour; the colour of the rest is drawn evenly."""

MEAN_PIXEL = (123.68, 116.779, 103.939)
_OVERSAMPLING = 4


@dataclass(frozen=True)
class Thing:
    """One object.

    Attributes:
        shape: one of SHAPES.
        color: one of COLORS.
        size: one of SIZES.
        texture: one of TEXTURES.
        row: of its place, 0 is at the top.
        column: of its place, 0 is at the left.
        x: centre in pixels from the left.
        y: centre in pixels from the top.
    """

    shape: str
    color: str
    size: str
    texture: str
    row: int
    column: int
    x: float
    y: float

    def to_dict(self) -> dict[str, Any]:
        """In plain types."""
        return dict(vars(self))


def make_scene(random: np.random.Generator) -> list[Thing]:
    """Two to five things, more often few, in different places, jittered about the middle of each."""
    count = int(random.choice([2, 3, 4, 5], p=[0.4, 0.3, 0.2, 0.1]))
    places = random.choice(PLACES * PLACES, size=count, replace=False)
    step = SIDE / PLACES
    things = []
    for place in sorted(int(p) for p in places):
        row, column = divmod(place, PLACES)
        jitter = random.uniform(-1.5, 1.5, size=2)
        shape = str(random.choice(SHAPES))
        things.append(
            Thing(
                shape=shape,
                color=_color_of(shape, random),
                size=str(random.choice(list(SIZES))),
                texture=str(random.choice(TEXTURES)),
                row=row,
                column=column,
                x=float((column + 0.5) * step + jitter[0]),
                y=float((row + 0.5) * step + jitter[1]),
            )
        )
    return things


def _color_of(shape: str, random: np.random.Generator) -> str:
    """A colour; each shape has a favourite, as things in the world do.

    Without any such bias a question's noun tells nothing by itself, and a model that multiplies question
    and image must find both at once or neither: training stays on that plateau for very long.
    """
    if random.random() < FAVOURITE:
        return FAVOURITES[shape]
    return str(random.choice(list(COLORS)))


def draw_scene(things: list[Thing], random: np.random.Generator) -> Image.Image:
    """The picture of a scene, RGB, SIDE x SIDE."""
    picture = Image.fromarray(_background(random))
    large = picture.resize((SIDE * _OVERSAMPLING,) * 2, Image.Resampling.BICUBIC)
    for thing in things:
        shade = np.clip(np.array(COLORS[thing.color]) + random.normal(0, 7, 3), 0, 255)
        color = tuple(int(value) for value in shade)
        large.paste(_paint(thing, color), mask=_silhouette(thing))
    return large.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def mask_of(thing: Thing) -> Float[np.ndarray, "64 64"]:
    """Which pixels the thing covers, 0..1."""
    mask = _silhouette(thing).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(mask, np.float64) / 255


def _background(random: np.random.Generator) -> UInt8[np.ndarray, "64 64 3"]:
    waves = gaussian_filter(random.normal(0, 1, (SIDE, SIDE)), 3)
    texture = 9 * waves / waves.std() + random.normal(0, 5, (SIDE, SIDE))
    # Less its own mean: the background of every picture lies around the mean pixel.
    pixels = np.array(MEAN_PIXEL) + (texture - texture.mean())[..., None]
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def _silhouette(thing: Thing) -> Image.Image:
    side = SIDE * _OVERSAMPLING
    mask = Image.new("L", (side, side), 0)
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
    side = SIDE * _OVERSAMPLING
    paint = Image.new("RGB", (side, side), color)
    if thing.texture == "striped":
        draw = ImageDraw.Draw(paint)
        dark = tuple(int(0.35 * value) for value in color)
        period, top = 4 * _OVERSAMPLING, int((thing.y - SIZES[thing.size]) * _OVERSAMPLING)
        for y in range(top + period // 2, side, period):
            draw.rectangle((0, y, side, y + period // 2 - 1), fill=dark)
    return paint
