"""Figure 3 is computed again from the files of a run folder, maps.h5 and records.parquet alone."""

import json
import re
from collections import defaultdict

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from lookwhy.analysis.part_of_speech import GROUPS, chance_p_value
from lookwhy.analysis.statistics import clustered_share
from lookwhy.cli.analyze import main

QUESTIONS = 40


@pytest.fixture(scope="module")
def analysed(tiny_checkpoint, tmp_path_factory):
    """Folders of two analyses of the same questions: punctuation marks left out, and counted as words."""
    found = {}
    for punctuation in (False, True):
        folder = tmp_path_factory.mktemp("analysis")
        plan = folder / "plan.yaml"
        plan.write_text(f"num_questions: {QUESTIONS}\nfrequent_tags: 60\npunctuation: {punctuation}\n")
        assert main([str(tiny_checkpoint), "--out", str(folder), "--plan", str(plan)]) == 0
        (summary,) = folder.glob("**/summary.json")
        found[punctuation] = summary.parent
    return found


def words_that_count(folder, punctuation):
    """For each question method and question: image, tags of its words, and position of the winner among them."""
    found = defaultdict(list)
    with h5py.File(folder / "maps.h5") as file:
        ids = file["question_id"][:].tolist()
        values = {method: data[:] for method, data in file["question"].items()}
    for record in pq.read_table(folder / "records.parquet").to_pylist():
        if record["domain"] != "question":
            continue
        importance = abs(values[record["method"]][ids.index(record["question_id"])])
        assert len(record["words"]) == len(record["tags"])
        read = list(zip(record["words"], record["tags"], importance.tolist(), strict=False))
        read = [one for one in read if not np.isnan(one[2]) and (punctuation or re.search(r"[^\W_]", one[0]))]
        if read:
            winner = max(range(len(read)), key=lambda place: (read[place][2], -place))
            found[record["method"]].append((record, [tag for _, tag, _ in read], winner))
    return found


@pytest.mark.parametrize("punctuation", [False, True])
def test_every_value_of_figure_three_is_that_of_the_stored_words_tags_and_maps(analysed, punctuation):
    # Both settings are computed from the same files: those of the other setting hold the same maps.
    expected = json.loads((analysed[punctuation] / "summary.json").read_text())
    expected = {key: value for key, value in expected.items() if "/most_important/" in key}
    computed = {}
    for method, questions in words_that_count(analysed[not punctuation], punctuation).items():
        for group, members in GROUPS.items():
            if punctuation or group != "punctuation":
                found = summary_of(questions, members)
                key = f"question/{method}/most_important/{group}"
                computed |= {key + ending: value for ending, value in found.items()}
    computed = {key: value for key, value in computed.items() if value != 0 or key in expected}
    # Words about a single image have no interval, and the summary has no key for it.
    computed = {key: value for key, value in computed.items() if not np.isnan(value)}
    assert len(expected) > 100
    assert computed == pytest.approx(expected)


def summary_of(questions, members):
    hits, images, chance, place_alone, chances = [], [], [], [], defaultdict(list)
    for record, tags, winner in questions:
        image, length = record["image_id"], len(tags)
        own = [place for place, tag in enumerate(tags) if tag in members]
        others = [w for other, t, w in questions if len(t) == length and other["image_id"] != image]
        for place in own:
            hits.append(float(place == winner))
            images.append(image)
            chance.append(1 / length)
            place_alone.append(others.count(place) / len(others) if others else 1 / length)
        if own:
            chances[image].append(len(own) / length)
    if not hits:
        return {"/n": 0.0}
    share = clustered_share(np.array(hits), np.array(images))
    return {
        "": np.mean(hits), "/n": len(hits), "/images": len({*images}), "/expected": np.mean(chance),
        "/expected_by_place": np.mean(place_alone), "/ci_low": share.ci_low, "/ci_high": share.ci_high,
        "/p_value": chance_p_value(int(sum(hits)), chances.values()),
    }  # fmt: skip


def test_the_top_word_of_a_record_is_the_most_important_word_that_counts(analysed):
    winners = {}
    for punctuation, folder in analysed.items():
        for questions in words_that_count(folder, punctuation).values():
            assert [record["top_tag"] for record, _, _ in questions] == [tags[w] for _, tags, w in questions]
            winners.setdefault(punctuation, []).extend(record["top_word"] for record, _, _ in questions)
    assert "?" not in winners[False]
    assert "?" in winners[True]
