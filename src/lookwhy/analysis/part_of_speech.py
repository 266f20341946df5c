"""Which parts of speech matter: P(word is the most important of its question | its tag) (Figure 3).

Words are tagged with Penn Treebank tags in the context of the whole question; similar tags share a
group. The tagger that ran is named wherever its tags are shown: two taggers agree on about 94% of the
tags of questions, so one must never stand in for the other silently.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from tqdm import tqdm

from lookwhy.analysis.statistics import clustered_mean
from lookwhy.types import ImportanceMaps

GROUPS: dict[str, tuple[str, ...]] = {
    "wh_word": ("WDT", "WP", "WP$", "WRB"),
    "noun": ("NN", "NNS", "NNP", "NNPS"),
    "verb": ("VB", "VBD", "VBG", "VBN", "VBP", "VBZ"),
    "adjective": ("JJ", "JJR", "JJS"),
    "adverb": ("RB", "RBR", "RBS"),
    "determiner": ("DT", "PDT"),
    "preposition": ("IN", "TO"),
    "pronoun": ("PRP", "PRP$"),
    "modal": ("MD",),
    "number": ("CD",),
    "existential": ("EX",),
    "conjunction": ("CC",),
    "particle": ("RP",),
    "punctuation": (".", ",", ":", "(", ")", "``", "''", "#", "$", "POS", "SYM", "LS"),
}
GROUP_OF = {tag: group for group, tags in GROUPS.items() for tag in tags}
MAX_COUNTED = 20_000
"""Questions whose tags are counted to find the most frequent ones; more would not change their order."""

Tagged = list[tuple[str, str]]


@dataclass(frozen=True)
class Tagger:
    """A named part-of-speech tagger: words of one question -> their Penn Treebank tags."""

    name: str
    tag: Callable[[Sequence[str]], list[str]]


def find_tagger() -> Tagger:
    """NLTK's perceptron tagger where its data is found or can be downloaded, else TextBlob's bundled one.

    The data is looked for where NLTK does: in the folders of `NLTK_DATA`, in `~/nltk_data` and so on.
    """
    import nltk

    resource = "averaged_perceptron_tagger_eng"
    # Offline, nltk.download raises nothing, says False and prints why. That another tagger ran stands in the
    # manifest and in the figure.
    if _has_tagger(resource) or (
        nltk.download(resource, quiet=True, print_error_to=io.StringIO()) and _has_tagger(resource)
    ):
        name = f"NLTK {nltk.__version__} {resource}"
        return Tagger(name, lambda words: [tag for _, tag in nltk.pos_tag(list(words))])
    from importlib.metadata import version

    return Tagger(f"TextBlob {version('textblob')} PatternTagger", _tag_with_textblob)


def _has_tagger(resource: str) -> bool:
    import nltk

    for name in (f"taggers/{resource}", f"taggers/{resource}.zip"):
        try:
            nltk.data.find(name)
        except LookupError:
            continue
        return True
    return False


def _tag_with_textblob(words: Sequence[str]) -> list[str]:
    from textblob.en import tag

    tagged = tag(" ".join(words), tokenize=False)
    if len(tagged) == len(words):
        return [tag for _, tag in tagged]
    # A word that the tagger splits or swallows (a slash, say): tag each by itself, keep the first tag.
    return [next(iter(tag(word, tokenize=False)), (word, "SYM"))[1] for word in words]


def group_of(tag: str) -> str:
    """The group a tag belongs to; "other" for the rare rest."""
    return GROUP_OF.get(tag, "other")


def count_tags(tagger: Tagger, questions: Iterable[Sequence[str]]) -> Counter[str]:
    """How often each tag occurs in the questions; of very many, in a fixed sample chosen by hash."""
    chosen = list(questions)
    if len(chosen) > MAX_COUNTED:
        chosen.sort(key=lambda words: hashlib.sha256(" ".join(words).encode()).digest())
        chosen = chosen[:MAX_COUNTED]
    bar = tqdm(chosen, "tagging questions", unit="question", leave=False, disable=None, delay=1)
    return Counter(tag for words in bar for tag in tagger.tag(words))


def frequent_groups(counts: Counter[str], top: int) -> dict[str, list[str]]:
    """The `top` most frequent tags by group, groups by the summed frequency of their tags."""
    ordered = sorted(counts, key=lambda tag: (-counts[tag], tag))[:top]
    groups: dict[str, list[str]] = {}
    for tag in ordered:
        groups.setdefault(group_of(tag), []).append(tag)
    return dict(sorted(groups.items(), key=lambda item: -sum(counts[tag] for tag in item[1])))


def most_important_word(importance: Float[np.ndarray, " T"], valid: Bool[np.ndarray, " T"]) -> int | None:
    """Place of the word with the largest magnitude, the first of equals; None where nothing is defined."""
    if not valid.any():
        return None
    return int(np.where(valid, np.abs(importance), -np.inf).argmax())


def most_important_by_group(
    maps: ImportanceMaps,
    tags: Sequence[Sequence[str]],
    groups: dict[str, list[str]],
    image_ids: Int64[np.ndarray, " N"],
    samples: int,
    seed: int,
) -> dict[str, float]:
    """P(most important | group) over the words of all questions, with counts and what chance would give.

    Args:
        maps: of one question method.
        tags: of each question's words, in the order of the maps.
        groups: as `frequent_groups` gives them; words of other tags count in no group.
        image_ids: of the questions; the bootstrap draws whole images.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        `<group>` with its 95% interval `<group>/ci_low` and `/ci_high`, `<group>/n` (words of the group)
        and `<group>/expected` (the mean of 1 / length of the question over those words: what a random
        choice of word would give).
    """
    group_by_tag = {tag: group for group, members in groups.items() for tag in members}
    hits: defaultdict[str, list[float]] = defaultdict(list)
    images: defaultdict[str, list[int]] = defaultdict(list)
    chance: defaultdict[str, float] = defaultdict(float)
    for row, question_tags in enumerate(tags):
        valid = maps.valid[row].numpy()
        top = most_important_word(maps.values[row].numpy(), valid)
        if top is None:
            continue
        length = int(valid.sum())
        for place, tag in enumerate(question_tags[:length]):
            group = group_by_tag.get(tag)
            if group is None:
                continue
            hits[group].append(float(place == top))
            images[group].append(int(image_ids[row]))
            chance[group] += 1 / length
    summary: dict[str, float] = {}
    for group in groups:
        found = clustered_mean(np.array(hits[group]), np.array(images[group], np.int64), samples, seed)
        if found.n:
            summary[group] = found.mean
            summary[f"{group}/expected"] = chance[group] / found.n
        if not np.isnan(found.ci_low):
            summary |= {f"{group}/ci_low": found.ci_low, f"{group}/ci_high": found.ci_high}
        summary[f"{group}/n"] = float(found.n)
    return summary
