"""Questions about a scene of the shapes world, their answers, and the things that an answer depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
        needed: indices of the things that one must look at to answer; empty if one must look everywhere.
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
Names = tuple[tuple[str, ...], ...]
"""Ways to name a thing, each by some of its attributes in this order."""
WITHOUT_COLOR: Names = (("shape",), ("size", "shape"), ("texture", "shape"))


def ask(things: list[Thing], count: int, random: np.random.Generator) -> list[SceneQuestion]:
    """Make up to `count` different, unambiguous questions about a scene, of randomly drawn families."""
    found: dict[str, SceneQuestion] = {}
    families, weights = list(FAMILIES), list(FAMILIES.values())
    for _ in range(20 * count):
        question = families[int(random.choice(len(families), p=weights))](things, random)
        if question is not None:
            found.setdefault(question.text, question)
        if len(found) == count:
            break
    return list(found.values())


def _pick(random: np.random.Generator, options: Iterable[str]) -> str:
    options = list(options)
    return options[int(random.integers(len(options)))]


def _name(things: list[Thing], number: int, ways: Names = WITHOUT_COLOR) -> str | None:
    """First of these names that only this thing has ("cube", "large cube"); None if there is none."""
    for marks in ways:
        names = [" ".join(getattr(thing, mark) for mark in marks) for thing in things]
        if names.count(names[number]) == 1:
            return names[number]
    return None


def _about_one(*ways: tuple[str, ...]) -> Callable[[Callable[..., SceneQuestion | None]], Family]:
    """Make a family of questions about one thing, which a name of one of these ways must identify."""

    def decorate(family: Callable[..., SceneQuestion | None]) -> Family:
        def ask_about_one(things: list[Thing], random: np.random.Generator) -> SceneQuestion | None:
            number = int(random.integers(len(things)))
            name = _name(things, number, ways)
            return None if name is None else family(things, number, name, random)

        return ask_about_one

    return decorate


@_about_one(*WITHOUT_COLOR)
def _color(things: list[Thing], number: int, name: str, random: np.random.Generator) -> SceneQuestion:
    text = _pick(random, [f"What color is the {name}?", f"What is the color of the {name}?"])
    return SceneQuestion(text, things[number].color, [number], tuple(COLORS))


@_about_one(("color",))
def _shape(things: list[Thing], number: int, color: str, random: np.random.Generator) -> SceneQuestion:
    text = _pick(random, [f"What is the {color} object?", f"Which shape does the {color} thing have?"])
    return SceneQuestion(text, things[number].shape, [number], SHAPES)


def _count(things: list[Thing], random: np.random.Generator) -> SceneQuestion:
    by_shape = random.random() < 0.5
    look = _pick(random, SHAPES if by_shape else list(COLORS))
    needed = [i for i, thing in enumerate(things) if look in (thing.shape, thing.color)]
    text = f"How many {look}{'s' if by_shape else ' objects'} are there?"
    count = len(needed)
    return SceneQuestion(text, str(count), needed, (str(count + 1), str(max(count - 1, 0))))


def _exists(things: list[Thing], random: np.random.Generator) -> SceneQuestion:
    if random.random() < 0.5:
        name = things[int(random.integers(len(things)))].name
    else:
        name = f"{_pick(random, COLORS)} {_pick(random, SHAPES)}"
    needed = [i for i, thing in enumerate(things) if thing.name == name]
    text = _pick(random, [f"Is there a {name}?", f"Can you see a {name}?"])
    return SceneQuestion(text, "yes" if needed else "no", needed, YES_NO)


@_about_one(("color", "shape"))
def _relation(
    things: list[Thing], number: int, name: str, random: np.random.Generator
) -> SceneQuestion | None:
    direction, base = _pick(random, DIRECTIONS), things[number]
    down, right = DIRECTIONS[direction]
    places = [(thing.row, thing.column) for thing in things]
    if (place := (base.row + down, base.column + right)) not in places:
        return None
    other = things[places.index(place)]
    needed = [number, places.index(place)]
    if random.random() < 0.5:
        return SceneQuestion(f"What is {direction} the {name}?", other.shape, needed, SHAPES)
    text = f"What color is the thing {direction} the {name}?"
    return SceneQuestion(text, other.color, needed, tuple(COLORS))


@_about_one(("color", "shape"))
def _side(things: list[Thing], number: int, name: str, random: np.random.Generator) -> SceneQuestion:
    return SceneQuestion(f"On which side is the {name}?", SIDES[things[number].column], [number], SIDES)


@_about_one(("color", "shape"))
def _size(things: list[Thing], number: int, name: str, random: np.random.Generator) -> SceneQuestion:
    return SceneQuestion(f"Is the {name} large or small?", things[number].size, [number], ("large", "small"))


@_about_one(("color", "shape"))
def _texture(things: list[Thing], number: int, name: str, random: np.random.Generator) -> SceneQuestion:
    pattern = _pick(random, TEXTURES)
    answer = "yes" if things[number].texture == pattern else "no"
    return SceneQuestion(f"Is the {name} {pattern}?", answer, [number], YES_NO)


def _same_color(things: list[Thing], random: np.random.Generator) -> SceneQuestion | None:
    first, second = (int(i) for i in random.choice(len(things), 2, replace=False))
    names = _name(things, first), _name(things, second)
    if None in names:
        return None
    answer = "yes" if things[first].color == things[second].color else "no"
    # Few pairs have equal colours by chance, so most of the other pairs are dropped for balance.
    if answer == "no" and random.random() < 0.6:
        return None
    text = f"Are the {names[0]} and the {names[1]} equally colored?"
    return SceneQuestion(text, answer, [first, second], YES_NO)


FAMILIES: dict[Family, float] = {
    _color: 0.3, _shape: 0.18, _count: 0.1, _exists: 0.12, _relation: 0.06, _side: 0.08, _size: 0.06,
    _texture: 0.06, _same_color: 0.04,
}  # fmt: skip
"""Share of each family among the draws."""
