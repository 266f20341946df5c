"""Importance of parts of speech: P(word is the most important of its question | its tag) (Figure 3).

Words get Penn Treebank tags in the context of the whole question; similar tags form a group. Results always
name the tagger, because two taggers agree on only about 94% of the tags of questions.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Bool, Float, Int64

from lookwhy.analysis.statistics import clustered_mean
from lookwhy.progress import progress
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


def frequent_groups(counts: Counter[str], top: int) -> dict[str, list[str]]:
    """The `top` most frequent tags by group; groups ordered by the summed frequency of their tags."""
    ordered = sorted(counts, key=lambda tag: (-counts[tag], tag))[:top]
    groups: dict[str, list[str]] = {}
    for tag in ordered:
        groups.setdefault(group_of(tag), []).append(tag)
    return dict(sorted(groups.items(), key=lambda item: -sum(counts[tag] for tag in item[1])))


def most_important_word(importance: Float[np.ndarray, " T"], valid: Bool[np.ndarray, " T"]) -> int | None:
    """Position of the first word with the largest magnitude; None if no value is defined."""
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
    """P(most important | group) over the words of all questions, with counts and values at chance.

    The tags of each question's words are in the order of the maps. `groups` is a result of `frequent_groups`;
    words with other tags are in no group. The bootstrap draws whole images.

    Returns:
        Scalars by key: `<group>` with its 95% interval `<group>/ci_low` and `<group>/ci_high`, `<group>/n`
        (number of words of the group) and `<group>/expected` (value at chance: the mean over those words of
        1 / length of the question).
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
            if group := group_by_tag.get(tag):
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
