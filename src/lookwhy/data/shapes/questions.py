"""Questions about a scene of the shapes world, their answers and the things that each one needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lookwhy.data.shapes.scene import COLORS, SHAPES, TEXTURES, Thing

SIDES = ("left", "middle", "right")
DIRECTIONS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}


@dataclass(frozen=True)
class Asked:
    """One question about a scene.

    Attributes:
        text: as asked.
        answer: the true answer.
        question_type: how it begins, as in the official annotations.
        answer_type: "yes/no", "number" or "other".
        needed: numbers of the things that have to be looked at.
        wrong: what an inattentive annotator could say instead.
    """

    text: str
    answer: str
    question_type: str
    answer_type: str
    needed: list[int] = field(default_factory=list)
    wrong: tuple[str, ...] = ()


Family = Callable[[list[Thing], np.random.Generator], Asked | None]


def ask(things: list[Thing], count: int, random: np.random.Generator) -> list[Asked]:
    """Different questions about a scene, of families drawn at random, all unambiguous."""
    found: dict[str, Asked] = {}
    for _ in range(20 * count):
        family = FAMILIES[int(random.choice(len(FAMILIES), p=WEIGHTS))]
        asked = family(things, random)
        if asked is not None:
            found.setdefault(asked.text, asked)
        if len(found) == count:
            break
    return list(found.values())


def _pick(random: np.random.Generator, options: list[str] | tuple[str, ...]) -> str:
    return str(options[int(random.integers(len(options)))])


def _name(things: list[Thing], number: int, random: np.random.Generator) -> str | None:
    """Words that mean this thing alone, without giving its colour away: "cube", "large cube"; or None."""
    thing = things[number]
    same = [other for other in things if other.shape == thing.shape]
    if len(same) == 1:
        return thing.shape
    if sum(other.size == thing.size for other in same) == 1:
        return f"{thing.size} {thing.shape}"
    if sum(other.texture == thing.texture for other in same) == 1:
        return f"{thing.texture} {thing.shape}"
    return None


def _any(things: list[Thing], random: np.random.Generator) -> int:
    return int(random.integers(len(things)))


def _color(things: list[Thing], random: np.random.Generator) -> Asked | None:
    number = _any(things, random)
    name = _name(things, number, random)
    if name is None:
        return None
    text = _pick(random, [f"What color is the {name}?", f"What is the color of the {name}?"])
    kind = "what color is the" if text.startswith("What color") else "what is the"
    return Asked(text, things[number].color, kind, "other", [number], tuple(COLORS))


def _shape(things: list[Thing], random: np.random.Generator) -> Asked | None:
    number = _any(things, random)
    thing = things[number]
    if sum(other.color == thing.color for other in things) > 1:
        return None
    text = _pick(
        random, [f"What is the {thing.color} object?", f"Which shape does the {thing.color} thing have?"]
    )
    kind = "what is the" if text.startswith("What") else "which"
    return Asked(text, thing.shape, kind, "other", [number], SHAPES)


def _count(things: list[Thing], random: np.random.Generator) -> Asked | None:
    if random.random() < 0.5:
        shape = _pick(random, SHAPES)
        needed = [i for i, thing in enumerate(things) if thing.shape == shape]
        what = f"{shape}s"
    else:
        color = _pick(random, list(COLORS))
        needed = [i for i, thing in enumerate(things) if thing.color == color]
        what = f"{color} objects"
    answer = len(needed)
    wrong = (str(answer + 1), str(max(answer - 1, 0)))
    # Finding none means having looked everywhere.
    return Asked(
        f"How many {what} are there?",
        str(answer),
        "how many",
        "number",
        needed or list(range(len(things))),
        wrong,
    )


def _exists(things: list[Thing], random: np.random.Generator) -> Asked | None:
    if random.random() < 0.5:
        thing = things[_any(things, random)]
        color, shape = thing.color, thing.shape
    else:
        color, shape = _pick(random, list(COLORS)), _pick(random, SHAPES)
    needed = [i for i, thing in enumerate(things) if (thing.color, thing.shape) == (color, shape)]
    text = _pick(random, [f"Is there a {color} {shape}?", f"Can you see a {color} {shape}?"])
    kind = "is there a" if text.startswith("Is") else "can you"
    answer = "yes" if needed else "no"
    return Asked(text, answer, kind, "yes/no", needed or list(range(len(things))), ("yes", "no"))


def _relation(things: list[Thing], random: np.random.Generator) -> Asked | None:
    number = _any(things, random)
    base = things[number]
    if sum((other.color, other.shape) == (base.color, base.shape) for other in things) > 1:
        return None
    direction = _pick(random, list(DIRECTIONS))
    down, right = DIRECTIONS[direction]
    beside = [
        i
        for i, thing in enumerate(things)
        if (thing.row, thing.column) == (base.row + down, base.column + right)
    ]
    if not beside:
        return None
    other = things[beside[0]]
    wrong: tuple[str, ...]
    if random.random() < 0.5:
        text, answer, wrong = f"What is {direction} the {base.color} {base.shape}?", other.shape, SHAPES
        kind = "what is"
    else:
        text = f"What color is the thing {direction} the {base.color} {base.shape}?"
        answer, wrong, kind = other.color, tuple(COLORS), "what color is the"
    return Asked(text, answer, kind, "other", [number, beside[0]], wrong)


def _side(things: list[Thing], random: np.random.Generator) -> Asked | None:
    number = _any(things, random)
    thing = things[number]
    if sum((other.color, other.shape) == (thing.color, thing.shape) for other in things) > 1:
        return None
    text = f"On which side is the {thing.color} {thing.shape}?"
    return Asked(text, SIDES[thing.column], "on which side", "other", [number], SIDES)


def _size(things: list[Thing], random: np.random.Generator) -> Asked | None:
    number = _any(things, random)
    thing = things[number]
    if sum((other.color, other.shape) == (thing.color, thing.shape) for other in things) > 1:
        return None
    text = f"Is the {thing.color} {thing.shape} large or small?"
    return Asked(text, thing.size, "is the", "other", [number], ("large", "small"))


def _texture(things: list[Thing], random: np.random.Generator) -> Asked | None:
    number = _any(things, random)
    thing = things[number]
    if sum((other.color, other.shape) == (thing.color, thing.shape) for other in things) > 1:
        return None
    pattern = _pick(random, TEXTURES)
    answer = "yes" if thing.texture == pattern else "no"
    text = f"Is the {thing.color} {thing.shape} {pattern}?"
    return Asked(text, answer, "is the", "yes/no", [number], ("yes", "no"))


def _same_color(things: list[Thing], random: np.random.Generator) -> Asked | None:
    first, second = (int(i) for i in random.choice(len(things), 2, replace=False))
    names = [_name(things, i, random) for i in (first, second)]
    if None in names:
        return None
    answer = "yes" if things[first].color == things[second].color else "no"
    # Few pairs match by chance: most of those that do not are left out, for balance.
    if answer == "no" and random.random() < 0.6:
        return None
    text = f"Are the {names[0]} and the {names[1]} equally colored?"
    return Asked(text, answer, "are the", "yes/no", [first, second], ("yes", "no"))


FAMILIES: tuple[Family, ...] = (
    _color, _shape, _count, _exists, _relation, _side, _size, _texture, _same_color
)  # fmt: skip
WEIGHTS = np.array([0.3, 0.18, 0.1, 0.12, 0.06, 0.08, 0.06, 0.06, 0.04])
