"""Importance of parts of speech: P(word is the most important of its question | its tag) (Figure 3).

Words get Penn Treebank tags in the context of the whole question; similar tags form a group. Results always
name the tagger, because two taggers agree on only about 94% of the tags of questions.

Two levels stand beside each value. By chance, each word of a question is equally likely to be the most
important one. By place, only the place of a word in the question decides: a method that always takes the
first word finds wh-words important without reading them.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Bool, Float, Int64

from lookwhy.analysis.statistics import clustered_share
from lookwhy.data.tokens import is_word
from lookwhy.progress import progress

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
    "particle": ("RP", "POS"),
    "punctuation": (".", ",", ":", "(", ")", "``", "''", "#", "$"),
}
"""Tags of each group. Particles and punctuation are those of the universal tagset (Petrov et al. 2012)."""
GROUP_OF = {tag: group for group, tags in GROUPS.items() for tag in tags}
LEVEL = 0.05
"""Largest p-value of a part of speech that is marked as different from chance."""
FEWEST_WORDS = 30
"""Smallest number of words of a part of speech whose share is shown without a mark. A share of 20% of 30
words has a 95% interval of about 14 percent points to both sides."""
MAX_COUNTED = 20_000
"""Largest number of questions for counting tags; more would not change the order of frequent tags."""


@dataclass(frozen=True)
class Tagger:
    """A part-of-speech tagger: `tag` maps the words of one question to their Penn Treebank tags."""

    name: str
    tag: Callable[[Sequence[str]], list[str]]


def find_tagger() -> Tagger:
    """NLTK's perceptron tagger if its data is found or can be downloaded, otherwise TextBlob's tagger.

    NLTK looks for its data in the folders of `NLTK_DATA`, in `~/nltk_data` and others. The data of TextBlob's
    tagger is part of its package.
    """
    import nltk

    resource = "averaged_perceptron_tagger_eng"
    # Offline, nltk.download returns False and prints the reason.
    download = partial(nltk.download, resource, quiet=True, print_error_to=io.StringIO())
    for ready in (lambda: True, download):
        is_found = False
        try:
            if (
                ready()
                and (is_found := bool(nltk.data.find(f"taggers/{resource}/")))
                and nltk.pos_tag(["word"])
            ):
                name = f"NLTK {nltk.__version__} {resource}"
                return Tagger(name, lambda words: [tag for _, tag in nltk.pos_tag(list(words))])
        # An interrupted download leaves a part of an archive or of a folder.
        except (LookupError, OSError, ValueError, BadZipFile) as error:
            if isinstance(error, LookupError) and not is_found:
                continue
            found = " ".join(str(error).split())
            warnings.warn(
                f"expected NLTK's {resource} in a folder of NLTK_DATA, found a damaged one ({found}); "
                "TextBlob's tagger runs: remove the damaged files to have NLTK's",
                stacklevel=2,
            )
            break
    return Tagger(f"TextBlob {version('textblob')} PatternTagger", _tag_with_textblob)


def _tag_with_textblob(words: Sequence[str]) -> list[str]:
    from textblob.en import tag

    tagged = tag(" ".join(words), tokenize=False)
    if len(tagged) == len(words):
        return [tag for _, tag in tagged]
    # The tagger splits or drops a word ("cat/dog"): tag each word alone and take its first tag.
    return [next(iter(tag(word, tokenize=False)), (word, "SYM"))[1] for word in words]


def group_of(tag: str) -> str:
    """Group of a tag; "other" for a tag in no group."""
    return GROUP_OF.get(tag, "other")


def count_tags(tagger: Tagger, questions: Iterable[Sequence[str]]) -> Counter[str]:
    """Frequency of each tag in the questions; in a fixed sample if there are more than `MAX_COUNTED`."""
    chosen = list(questions)
    if len(chosen) > MAX_COUNTED:
        chosen.sort(key=lambda words: hashlib.sha256(" ".join(words).encode()).digest())
        chosen = chosen[:MAX_COUNTED]
    bar = progress(chosen, "tagging questions", unit="question", leave=False, delay=1)
    return Counter(tag for words in bar for tag in tagger.tag(words))


def frequent_groups(counts: Counter[str], top: int, punctuation: bool = False) -> dict[str, list[str]]:
    """The `top` most frequent tags by group; groups ordered by the summed frequency of their tags.

    Tags of punctuation are left out, unless `punctuation` is set.
    """
    counted = [tag for tag in counts if punctuation or group_of(tag) != "punctuation"]
    ordered = sorted(counted, key=lambda tag: (-counts[tag], tag))[:top]
    groups: dict[str, list[str]] = {}
    for tag in ordered:
        groups.setdefault(group_of(tag), []).append(tag)
    return dict(sorted(groups.items(), key=lambda item: -sum(counts[tag] for tag in item[1])))


def counted_words(
    valid: Bool[np.ndarray, "N T"], words: Sequence[Sequence[str]], punctuation: bool
) -> Bool[np.ndarray, "N T"]:
    """Which words of each question may be the most important one, and count in the length of the question.

    Punctuation marks are left out, unless `punctuation` is set. A word without text, of a batch without
    texts, counts.
    """
    counted = valid.copy()
    for row, question in enumerate(words):
        for place, word in enumerate(question):
            counted[row, place] &= punctuation or not word or is_word(word)
    return counted


def most_important_word(importance: Float[np.ndarray, " T"], counted: Bool[np.ndarray, " T"]) -> int | None:
    """Position of the first word with the largest magnitude; None if no word counts."""
    if not counted.any():
        return None
    return int(np.where(counted, np.abs(importance), -np.inf).argmax())


def most_important_by_group(
    importance: Float[np.ndarray, "N T"],
    counted: Bool[np.ndarray, "N T"],
    tags: Sequence[Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    image_ids: Int64[np.ndarray, " N"],
) -> dict[str, float]:
    """P(most important | group) over the words of all questions, with what chance and place alone would give.

    Args:
        importance: importance of each word, in the order of the tags.
        counted: the words that count (`counted_words`).
        tags: tag of each word.
        groups: tags by group (`frequent_groups`); words with other tags are in no group.
        image_ids: image of each question.

    Returns:
        Scalars by key: `<group>` with its 95% interval `<group>/ci_low` and `<group>/ci_high`
        (`clustered_share`), `<group>/n` (number of words of the group) and `<group>/images` (number of their
        images); `<group>/expected` (value at chance: the mean over those words of 1 / length of the
        question), `<group>/p_value` of a test against it (`chance_p_value`); and `<group>/expected_by_place`
        (`share_by_place`).
    """
    wins, kept = [], []
    for row, question in enumerate(counted):
        places = np.flatnonzero(question).tolist()
        top = most_important_word(importance[row], question)
        if top is not None:
            wins.append((int(image_ids[row]), len(places), places.index(top)))
            kept.append([tags[row][place] if place < len(tags[row]) else "" for place in places])
    by_place = share_by_place(wins)
    summary: dict[str, float] = {}
    for group, members in groups.items():
        hits, images, chance, placed = [], [], [], []
        chances: defaultdict[int, list[float]] = defaultdict(list)
        for (image, length, won), own, shares in zip(wins, kept, by_place, strict=True):
            words = [place for place, tag in enumerate(own) if tag in members]
            hits += [float(place == won) for place in words]
            images += [image] * len(words)
            chance += [1 / length] * len(words)
            placed += [float(shares[place]) for place in words]
            if words:
                chances[image].append(len(words) / length)
        summary[f"{group}/n"] = float(len(hits))
        if not hits:
            continue
        share = clustered_share(np.array(hits), np.array(images, np.int64))
        summary |= {
            group: share.mean,
            f"{group}/images": float(share.clusters),
            f"{group}/expected": float(np.mean(chance)),
            f"{group}/expected_by_place": float(np.mean(placed)),
            f"{group}/p_value": chance_p_value(int(sum(hits)), chances.values()),
        }
        if share.clusters > 1:
            summary |= {f"{group}/ci_low": share.ci_low, f"{group}/ci_high": share.ci_high}
    return summary


def chance_p_value(hits: int, chances: Iterable[Sequence[float]]) -> float:
    """Two-sided p-value of a permutation test within questions: each word is equally likely to win.

    Questions about one image may be alike, and then one word wins in all of them. How much, nobody knows. So
    the test assumes the most: all questions of an image share one draw `u`, uniform in [0, 1], and the group
    wins in each question whose chance is larger than `u`. The distribution of the number of hits is then
    computed exactly, image by image. For independent questions the test is conservative: it finds chance
    where it could find a difference. With one question an image it is the Poisson-binomial test.

    Args:
        hits: number of questions whose most important word is in the group.
        chances: for each image, for each of its questions with a word of the group, the words of the group
            divided by all words.

    Example:
        >>> chance_p_value(2, [[0.5], [0.5]])
        0.5
        >>> chance_p_value(2, [[0.5, 0.5]])
        1.0
    """
    distribution = np.ones(1)
    for image in chances:
        # The probabilities of at least 0, 1, 2, ... hits.
        reached = np.array([1.0, *sorted(image, reverse=True), 0.0])
        distribution = np.convolve(distribution, -np.diff(reached))
    tails = distribution[: hits + 1].sum(), distribution[hits:].sum()
    return float(min(1.0, 2 * min(tails)))


def share_by_place(wins: Sequence[tuple[int, int, int]]) -> list[Float[np.ndarray, " length"]]:
    """For each question, how often each place wins in the questions of the same length about other images.

    Questions about the same image are left out, because a question would else predict itself. Without any
    other question of this length, all places are equally likely.

    Args:
        wins: for each question its image, its length in words, and the place of its most important word.

    Example:
        >>> share_by_place([(1, 2, 0), (2, 2, 1), (3, 2, 1)])[0].tolist()
        [0.0, 1.0]
    """
    total: defaultdict[int, Counter[int]] = defaultdict(Counter)
    of_image: defaultdict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for image, length, place in wins:
        total[length][place] += 1
        of_image[image, length][place] += 1
    found = []
    for image, length, _ in wins:
        own = of_image[image, length]
        others = np.array([total[length][place] - own[place] for place in range(length)], np.float64)
        many = others.sum()
        found.append(others / many if many else np.full(length, 1 / length))
    return found
