"""Questions about a scene of the shapes world, their answers, and the things that an answer depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lookwhy.data.shapes.scene import COLORS, SHAPES, TEXTURES, Thing

SIDES = ("left", "middle", "right")
DIRECTIONS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
YES_NO = ("yes", "no")
QUESTION_TYPES = (
    "what color is the", "what is the", "what is", "which", "how many", "is there a", "is the", "can you",
    "are the", "on which side",
)  # fmt: skip


@dataclass(frozen=True)
class SceneQuestion:
    """One question about a scene.

    Attributes:
        text: wording of the question.
        answer: the true answer.
        needed: indices of the things that one must look at to answer.
        wrong: possible answers of an inattentive annotator; the true answer among them is ignored.
    """

    text: str
    answer: str
    needed: list[int]
    wrong: Sequence[str]

    @property
    def question_type(self) -> str:
        """First words of the question, as in the official annotations."""
        return next(words for words in QUESTION_TYPES if self.text.lower().startswith(words))

    @property
    def answer_type(self) -> str:
        """Kind of the answer: "yes/no", "number" or "other"."""
        kind = "number" if self.answer.isdecimal() else "other"
        return "yes/no" if self.answer in YES_NO else kind


Family = Callable[[list[Thing], np.random.Generator], SceneQuestion | None]


def ask(things: list[Thing], count: int, random: np.random.Generator) -> list[SceneQuestion]:
    """Make up to `count` different, unambiguous questions about a scene, of randomly drawn families."""
    found: dict[str, SceneQuestion] = {}
    for _ in range(20 * count):
        family = FAMILIES[int(random.choice(len(FAMILIES), p=WEIGHTS))]
        question = family(things, random)
        if question is not None:
            found.setdefault(question.text, question)
        if len(found) == count:
            break
    return list(found.values())


def _pick(random: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(random.integers(len(options)))]


def _name(things: list[Thing], number: int) -> str | None:
    """A name that only this thing has, without its colour ("cube", "large cube"); None if there is none."""
    thing = things[number]
    same = [other for other in things if other.shape == thing.shape]
    if len(same) == 1:
        return thing.shape
    for mark in ("size", "texture"):
        if sum(getattr(other, mark) == getattr(thing, mark) for other in same) == 1:
            return f"{getattr(thing, mark)} {thing.shape}"
    return None


def _any(things: list[Thing], random: np.random.Generator) -> tuple[int, Thing]:
    number = int(random.integers(len(things)))
    return number, things[number]


def _color(things: list[Thing], random: np.random.Generator) -> SceneQuestion | None:
    number, thing = _any(things, random)
    if (name := _name(things, number)) is None:
        return None
    text = _pick(random, [f"What color is the {name}?", f"What is the color of the {name}?"])
    return SceneQuestion(text, thing.color, [number], tuple(COLORS))


def _shape(things: list[Thing], random: np.random.Generator) -> SceneQuestion | None:
    number, thing = _any(things, random)
    if sum(other.color == thing.color for other in things) > 1:
        return None
    color = thing.color
    text = _pick(random, [f"What is the {color} object?", f"Which shape does the {color} thing have?"])
    return SceneQuestion(text, thing.shape, [number], SHAPES)


def _count(things: list[Thing], random: np.random.Generator) -> SceneQuestion:
    if random.random() < 0.5:
        shape = _pick(random, SHAPES)
        needed = [i for i, thing in enumerate(things) if thing.shape == shape]
        text = f"How many {shape}s are there?"
    else:
        color = _pick(random, list(COLORS))
        needed = [i for i, thing in enumerate(things) if thing.color == color]
        text = f"How many {color} objects are there?"
    count = len(needed)
    wrong = (str(count + 1), str(max(count - 1, 0)))
    return SceneQuestion(text, str(count), _or_all(needed, things), wrong)


def _exists(things: list[Thing], random: np.random.Generator) -> SceneQuestion:
    if random.random() < 0.5:
        name = _any(things, random)[1].name
    else:
        name = f"{_pick(random, list(COLORS))} {_pick(random, SHAPES)}"
    needed = [i for i, thing in enumerate(things) if thing.name == name]
    text = _pick(random, [f"Is there a {name}?", f"Can you see a {name}?"])
    return SceneQuestion(text, "yes" if needed else "no", _or_all(needed, things), YES_NO)


def _or_all(needed: list[int], things: list[Thing]) -> list[int]:
    """The found things, or all things if none was found, because the annotator had to look everywhere."""
    return needed or list(range(len(things)))


def _unique(family: Callable[..., SceneQuestion | None]) -> Family:
    """Make a family of questions about one thing, which colour and shape must identify."""

    def ask_about_one(things: list[Thing], random: np.random.Generator) -> SceneQuestion | None:
        number, thing = _any(things, random)
        is_unique = sum(other.name == thing.name for other in things) == 1
        return family(things, number, thing, random) if is_unique else None

    return ask_about_one


@_unique
def _relation(
    things: list[Thing], number: int, base: Thing, random: np.random.Generator
) -> SceneQuestion | None:
    direction = _pick(random, list(DIRECTIONS))
    down, right = DIRECTIONS[direction]
    place = base.row + down, base.column + right
    beside = [i for i, thing in enumerate(things) if (thing.row, thing.column) == place]
    if not beside:
        return None
    needed, other = [number, beside[0]], things[beside[0]]
    if random.random() < 0.5:
        text = f"What is {direction} the {base.name}?"
        return SceneQuestion(text, other.shape, needed, SHAPES)
    text = f"What color is the thing {direction} the {base.name}?"
    return SceneQuestion(text, other.color, needed, tuple(COLORS))


@_unique
def _side(things: list[Thing], number: int, thing: Thing, random: np.random.Generator) -> SceneQuestion:
    return SceneQuestion(f"On which side is the {thing.name}?", SIDES[thing.column], [number], SIDES)


@_unique
def _size(things: list[Thing], number: int, thing: Thing, random: np.random.Generator) -> SceneQuestion:
    return SceneQuestion(f"Is the {thing.name} large or small?", thing.size, [number], ("large", "small"))


@_unique
def _texture(things: list[Thing], number: int, thing: Thing, random: np.random.Generator) -> SceneQuestion:
    pattern = _pick(random, TEXTURES)
    answer = "yes" if thing.texture == pattern else "no"
    return SceneQuestion(f"Is the {thing.name} {pattern}?", answer, [number], YES_NO)


def _same_color(things: list[Thing], random: np.random.Generator) -> SceneQuestion | None:
    first, second = (int(i) for i in random.choice(len(things), 2, replace=False))
    names = [_name(things, i) for i in (first, second)]
    if None in names:
        return None
    answer = "yes" if things[first].color == things[second].color else "no"
    # Few pairs have equal colours by chance, so most of the other pairs are dropped for balance.
    if answer == "no" and random.random() < 0.6:
        return None
    text = f"Are the {names[0]} and the {names[1]} equally colored?"
    return SceneQuestion(text, answer, [first, second], YES_NO)


FAMILIES: tuple[Family, ...] = (
    _color, _shape, _count, _exists, _relation, _side, _size, _texture, _same_color
)  # fmt: skip
WEIGHTS = np.array([0.3, 0.18, 0.1, 0.12, 0.06, 0.08, 0.06, 0.06, 0.04])
