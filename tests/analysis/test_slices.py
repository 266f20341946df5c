"""Slices of an analysis: statsmodels and a loop over the stored rows are the judges."""

import re
import time
from dataclasses import replace

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
from known_models import make_maps
from scipy.stats import t
from statsmodels.api import OLS

from lookwhy import store
from lookwhy.analysis import AnalysisPlan, sliced
from lookwhy.analysis.evaluate import evaluate
from lookwhy.analysis.questions import QuestionRecord
from lookwhy.analysis.slices import FEWEST_QUESTIONS, Slice, slices, terciles
from lookwhy.analysis.statistics import clustered_auroc
from lookwhy.keys import table
from lookwhy.reporting.page.slices import slices_of
from lookwhy.types import AnalysisResult

COUNT, IMAGES = 90, 24
AREAS = ("deletion_patch", "insertion_patch")


@pytest.fixture(scope="module")
def result():
    return analysis()


def analysis(types=("yes/no", "number", "other"), **plan):
    """An analysis of questions that cluster by image; a mask, an annotator and a type are missing here and there."""
    rng = np.random.default_rng(0)
    image = np.sort(rng.integers(IMAGES, size=COUNT))
    questions = [
        QuestionRecord(
            100 + at, int(image[at]), "", "", ["is", "it"], ["VBZ", "PRP"], ("is the", "", "how many")[at % 3],
            types[at % len(types)], ["a"] * int(rng.integers(11)) + ["b"] * 10, "a",
            float(rng.random().__round__(1)),
        )
        for at in range(COUNT)
    ]  # fmt: skip
    questions = [
        replace(one, answers=(one.answers[:10] if at % 11 else [])) for at, one in enumerate(questions)
    ]
    maps = {}
    for method in ("x", "y"):
        made = make_maps(rng.normal(size=(COUNT, 6, 6)))
        maps[f"image/{method}"] = replace(made, method=method)
    maps["question/words"] = replace(make_maps(rng.random((COUNT, 2)), "question"), method="words")
    human = rng.random((COUNT, 2, 6, 6)).astype(np.float32)
    human[5] = np.nan
    truth = np.zeros((COUNT, 6, 6), np.float32)
    for at in range(COUNT):
        truth[at, : rng.integers(1, 6), : rng.integers(1, 4)] = 1
    truth[[3, 8]], truth[9] = np.nan, 0
    values = {}
    for method in ("x", "y", "centre_prior", "random"):
        key = f"image/{method}/faithfulness"
        values[f"{key}/correlation"] = {100 + at: float(rng.normal()) for at in range(COUNT)}
        for area in AREAS:
            values[f"{key}/{area}"] = {100 + at: float(rng.random()) for at in range(0, COUNT, 4)}
    values["question/words/faithfulness/deletion"] = {100 + at: float(rng.random()) for at in range(20)}
    values["modality/text_share"] = {100 + at: float(rng.random()) for at in range(30)}
    settings = AnalysisPlan([], [], grid=6, bootstrap_samples=5, **plan)
    found = evaluate(maps, questions, human, {}, settings, truth=truth, values=values)
    found.question_ids = np.array([one.question_id for one in questions])
    found.maps = {
        name: replace(one, question_ids=one.question_ids + 100, valid=~one.values.isnan())
        for name, one in maps.items()
    }
    found.manifest["plan"] = settings.describe()
    return found


def one_slice(found, by, value) -> Slice:
    return next(one for one in found if (one.by, one.value) == (by, value))


def test_a_slice_of_all_questions_has_the_keys_and_estimates_of_the_whole():
    whole = analysis(types=("yes/no",))
    found = {
        key.removeprefix("slice/answer_type/yes/no/"): value
        for key, value in sliced(whole).items()
        if key.startswith("slice/answer_type/yes/no/")
    }
    told = {key: value for key, value in found.items() if key in whole.summary}
    assert told == pytest.approx({key: whole.summary[key] for key in told}, abs=1e-12)
    wanted = ["rank_correlation", "specificity", "partial_rank_correlation", "other_question"]
    wanted += [f"localisation/{name}" for name in ("mass_accuracy", "rank_accuracy", "pointing_game")]
    wanted += ["faithfulness/correlation", *(f"faithfulness/{area}" for area in AREAS)]
    ends = ("", "/ci_low", "/ci_high", "/n", "/images")
    for method in ("x", "y", "centre_prior"):
        keys = {f"image/{method}/{one}{end}" for one in wanted for end in ends}
        missing = {key for key in keys if key not in told}
        # Nothing is left of the centre prior if the centre prior is held fixed.
        undefined = {f"image/centre_prior/partial_rank_correlation{end}" for end in ends}
        assert missing == (undefined if method == "centre_prior" else set())
    assert {"accuracy/overall", "question/words/faithfulness/deletion", "modality/text_share"} <= set(told)
    # The whole has no interval of the accuracy, and slices of a part of its questions.
    new = set(found) - set(whole.summary)
    assert new == {f"accuracy/overall/{end}" for end in ("ci_low", "ci_high", "n", "n_undefined", "images")}
    assert "image/x/localisation/mass_accuracy/expected" in told
    undefined = "image/x/rank_correlation/n_undefined"
    assert (found[undefined], "image/x/faithfulness/deletion_patch/n_undefined" in found) == (1, False)


COLUMNS = {
    "image/x/rank_correlation": ("x", "rho"), "image/y/specificity": ("y", "specificity"),
    "image/x/partial_rank_correlation": ("x", "partial_rank_correlation"),
    "image/y/other_question": ("y", "rank_correlation_other_question"),
    "image/centre_prior/rank_correlation": ("x", "centre_prior_rank_correlation"),
    "image/x/faithfulness/correlation": ("x", "faithfulness_correlation"),
    "accuracy/overall": ("x", "accuracy"),
    "image/y/localisation/rank_accuracy": ("y", "localisation_rank_accuracy"),
    "image/x/faithfulness/deletion_patch": ("x", "faithfulness_deletion_patch"),
    "question/words/faithfulness/deletion": ("words", "faithfulness_deletion"),
}  # fmt: skip
SHARES = [*COLUMNS][6:]
"""Measures whose values lie within 0 and 1, so that Wilson's interval is theirs."""


def by_hand(values, images, is_share):
    """Mean and interval by statsmodels' errors that cluster by image; Wilson's on the effective number."""
    model = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": images}, use_t=True)
    (mean,), ((low, high),) = model.params, model.conf_int()
    if is_share:
        n, z = mean * (1 - mean) / model.bse[0] ** 2, t.ppf(0.975, len(set(images)) - 1)
        middle = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
        low, high = middle - half, middle + half
    return mean, low, high


def test_values_are_those_of_a_loop_over_the_rows_with_statsmodels(result):
    rows, found, compared = pandas.DataFrame(result.records), sliced(result), 0
    for by in ("answer_type", "question_type"):
        for value in set(rows[by]):
            for key, (method, column) in COLUMNS.items():
                part = rows[(rows[by] == value) & (rows.method == method)].dropna(subset=[column])
                expected = by_hand(part[column].to_numpy(float), part.image_id.to_numpy(), key in SHARES)
                start = f"slice/{by}/{value or 'unknown'}/{key}"
                ours = [found[f"{start}{end}"] for end in ("", "/ci_low", "/ci_high")]
                np.testing.assert_allclose(ours, expected, atol=1e-9)
                counts = found[f"{start}/n"], found[f"{start}/images"]
                assert counts == (len(part), part.image_id.nunique())
                compared += 1
    assert compared == 6 * len(COLUMNS)


def test_outcome_confidence_and_region_are_what_they_say(result):
    rows = pandas.DataFrame(result.records).drop_duplicates("question_id").set_index("question_id")
    found = slices(result)
    right = rows.accuracy >= 0.5
    assert one_slice(found, "outcome", "right").questions == right.sum()
    assert one_slice(found, "outcome", "unknown").questions == rows.accuracy.isna().sum() > 0
    mean = one_slice(found, "outcome", "right").estimates["accuracy/overall"].mean
    assert mean == pytest.approx(rows.accuracy[right].mean())
    # A third ends where at least so many questions have no higher value.
    ordered = sorted(rows.confidence)
    ends = [next(x for x in ordered if sum(y <= x for y in ordered) >= part * COUNT / 3) for part in (1, 2)]
    sizes = [(rows.confidence <= ends[0]).sum(), (rows.confidence <= ends[1]).sum()]
    expected = [sizes[0], sizes[1] - sizes[0], COUNT - sizes[1]]
    of_thirds = [one_slice(found, "confidence", name).questions for name in ("low", "middle", "high")]
    assert of_thirds == expected
    small, large = (one_slice(found, "region", name) for name in ("small", "large"))
    assert one_slice(found, "region", "unknown").questions == 3, "two without a mask, an empty one"
    covered = result.truth.mean((1, 2))
    largest = covered[covered <= sorted(covered[covered > 0])[-(-87 // 3) - 1]].max()
    assert small.questions == ((covered > 0) & (covered <= largest)).sum()
    key = "image/x/localisation/mass_accuracy"
    chance = covered[(covered > 0) & (covered <= largest)].mean()
    assert small.expected[key] == pytest.approx(chance)
    assert large.expected[key] > small.expected[key]


def test_the_slices_of_each_way_cover_each_question_once(result):
    found = slices(result)
    counts, sums = {}, {}
    for one in found:
        counts[one.by] = counts.get(one.by, 0) + one.questions
        for key, estimate in one.estimates.items():
            sums.setdefault((one.by, key), []).append((estimate.n, estimate.n * estimate.mean))
    assert counts == dict.fromkeys(("answer_type", "question_type", "outcome", "confidence", "region"), COUNT)
    for (_, key), parts in sums.items():
        n, total = np.sum(parts, axis=0)
        if key != "accuracy/overall" and not key.startswith("image/centre_prior"):
            assert n == result.summary[f"{key}/n"], key
        assert total / n == pytest.approx(result.summary[key], abs=1e-9), key


def test_keys_are_read_as_rows_and_types_come_by_size_unknown_last(result):
    rows = table(sliced(result))
    assert {row.slice[0] for row in rows} == {
        "answer_type",
        "question_type",
        "outcome",
        "confidence",
        "region",
    }
    yes_no = next(row for row in rows if row.slice == ("answer_type", "yes/no") and row.method == "x")
    assert (yes_no.domain, yes_no.n is not None) == ("image", True)
    order = [one.value for one in slices(result) if one.by == "question_type"]
    assert order == ["how many", "is the", "unknown"]
    assert [one.value for one in slices(result) if one.by == "region"] == [
        "small",
        "middle",
        "large",
        "unknown",
    ]
    only = slices(result, lambda key: key == "accuracy/overall")
    assert {key for one in only for key in one.estimates} == {"accuracy/overall"}
    assert FEWEST_QUESTIONS == 30


def test_equal_values_stay_together():
    draw = np.random.default_rng(3)
    for count in (1, 2, 3, 4, 100, 299):
        assert [terciles(draw.permutation(count) / 7).count(one) for one in ("low", "middle", "high")] == [
            -(-count // 3), -(-2 * count // 3) - -(-count // 3), count - -(-2 * count // 3)
        ]  # fmt: skip
        values = draw.integers(4, size=count) / 4
        thirds = {(value, third) for value, third in zip(values, terciles(values), strict=True)}
        assert len(thirds) == len(set(values.tolist()))
        order = ["low", "middle", "high"]
        assert [order.index(third) for _, third in sorted(thirds)] == sorted(
            order.index(x) for _, x in thirds
        )
    assert terciles(np.full(5, 0.3)) == ["low"] * 5
    assert terciles(np.array([np.nan, 0.3])) == ["unknown", "low"]


def record(at, **more):
    base = {"question_id": at, "image_id": at // 2, "domain": "image", "method": "x", "rho": 0.1 * at}
    return base | {"answer_type": "", "question_type": None, "accuracy": 1.0, "confidence": 0.7} | more


def test_all_right_all_wrong_and_all_of_one_confidence_are_one_slice():
    for accuracy, outcome in ((1.0, "right"), (0.0, "wrong")):
        found = slices(AnalysisResult({}, [record(at, accuracy=accuracy) for at in range(6)]))
        assert [(one.by, one.value, one.questions) for one in found] == [
            ("outcome", outcome, 6), ("confidence", "low", 6)
        ]  # fmt: skip
    accurate = [record(at, accuracy=at / 5) for at in range(6)]
    strict = AnalysisResult({}, accurate, manifest={"plan": {"correct_above": 0.8}})
    assert one_slice(slices(strict), "outcome", "right").questions == 2


def test_a_single_image_has_no_interval_and_nothing_to_slice_has_no_slices():
    found = sliced(AnalysisResult({}, [record(0), record(1)]))
    key = "slice/outcome/right/image/x/rank_correlation"
    assert (found[key], found[f"{key}/n"], f"{key}/ci_low" in found) == (0.05, 2, False)
    assert slices(AnalysisResult({})) == []
    bare = [record(at, accuracy=None, confidence=None) for at in range(3)]
    assert slices(AnalysisResult({}, bare)) == []


def test_an_older_folder_without_the_columns_and_masks_leaves_them_out(result, tmp_path):
    store.save(result, tmp_path / "new")
    assert sliced(store.load(tmp_path / "new")) == pytest.approx(sliced(result))
    old = tmp_path / "old"
    store.save(replace(result, truth=np.zeros((0, 1, 1), np.float32)), old)
    names = store.RECORD_COLUMNS.names
    pq.write_table(pq.read_table(old / "records.parquet", columns=names), old / "records.parquet")
    found = sliced(store.load(old))
    measures = {row.measure for row in table(found)}
    assert measures == {"overall", "rank_correlation"}
    assert {row.slice[0] for row in table(found)} == {"answer_type", "question_type", "outcome", "confidence"}
    key = "slice/answer_type/number/image/y/rank_correlation"
    assert found[key] == sliced(result)[key]


def test_a_contrast_is_no_share_so_its_interval_may_leave_0_and_1():
    found = analysis(target="contrast")
    key = "image/x/faithfulness/deletion_patch"
    part = one_slice(slices(found), "answer_type", "number").estimates[key]
    rows = pandas.DataFrame(found.records).query("method == 'x' and answer_type == 'number'")
    rows = rows.dropna(subset=["faithfulness_deletion_patch"])
    values = rows.faithfulness_deletion_patch.to_numpy(float), rows.image_id.to_numpy()
    assert (part.mean, part.ci_low, part.ci_high) == pytest.approx(by_hand(*values, is_share=False))


def test_slicing_takes_much_less_than_a_second(result):
    start = time.perf_counter()
    slices(result)
    assert time.perf_counter() - start < 1


@pytest.fixture(scope="module")
def rich():
    """An analysis with parts of speech and a failure prediction: 300 questions of one answer type."""
    rng, count = np.random.default_rng(1), 300
    image = np.sort(rng.integers(60, size=count))
    right = rng.random(count) < 0.6
    confidence = np.clip(0.4 + 0.25 * right + 0.2 * rng.normal(size=count), 0.01, 0.99)
    questions = []
    for at in range(count):
        tags = ["WP", *rng.choice(["NN", "NNS", "JJ"], size=2).tolist(), "."]
        kind = ("what", "which")[int(at >= 280)]
        questions.append(
            QuestionRecord(
                at, int(image[at]), "", "", ["what", "red", "ball", "?"], tags, kind, "other",
                ["a" if right[at] else "b"] * 10, "a", float(confidence[at]),
                entropy=float(rng.random()), margin=float(rng.random()),
            )
        )  # fmt: skip
    maps = {"question/words": replace(make_maps(rng.random((count, 4)), "question"), method="words")}
    groups = {"noun": ["NN", "NNS"], "wh_word": ["WP"], "adjective": ["JJ"]}
    settings = AnalysisPlan([], [], grid=6, bootstrap_samples=200)
    found = evaluate(maps, questions, np.zeros((count, 0, 6, 6), np.float32), groups, settings)
    found.question_ids = np.arange(count)
    found.manifest |= {"plan": settings.describe(), "tag_groups": groups}
    return found


def test_parts_of_speech_of_a_slice_of_all_questions_are_those_of_the_whole(rich):
    found, start = sliced(rich), "slice/answer_type/other/"
    for group in ("noun", "wh_word", "adjective"):
        for end in ("", "/ci_low", "/ci_high", "/n", "/images"):
            key = f"question/words/most_important/{group}{end}"
            assert found[start + key] == pytest.approx(rich.summary[key], abs=1e-12), key
    # The 20 questions of the smaller type have 20 wh-words: too few.
    assert "slice/question_type/which/question/words/most_important/wh_word" not in found
    assert found["slice/question_type/what/question/words/most_important/wh_word/n"] == 280


def test_the_auroc_of_a_slice_is_that_of_scikit_learn_for_every_score(rich):
    from sklearn.metrics import roc_auc_score

    found, start = sliced(rich), "slice/answer_type/other/"
    records = [one for one in rich.records if one["domain"] == "question"]
    right = [one["accuracy"] >= 0.5 for one in records]
    for name, sign in (("confidence", 1), ("entropy", -1), ("margin", 1)):
        key = f"selective/{name}/auroc"
        assert found[start + key] == pytest.approx(
            roc_auc_score(right, [sign * one[name] for one in records])
        )
        # The bootstrap's interval, of another kind, is nearly as wide.
        for end in ("/ci_low", "/ci_high"):
            assert found[start + key + end] == pytest.approx(rich.summary[key + end], abs=0.02)
    for name in ("maps", "confidence", "confidence_and_all"):
        key, scores = f"failure/{name}/auroc", [one[f"failure_{name}"] for one in records]
        assert found[start + key] == pytest.approx(roc_auc_score(right, scores))
        # The whole has the mean over ten splits of the folds; a slice has the mean prediction of them.
        assert found[start + key] == pytest.approx(rich.summary[key], abs=0.03)
    # Every measure of a score without a fit is that of the whole, and its interval is nearly as wide.
    for name in ("confidence", "entropy"):
        keys = [key for key in rich.summary if re.fullmatch(rf"selective/{name}/(?!effective|n$)\w+", key)]
        assert len(keys) == (20 if name == "confidence" else 15)
        for key in keys:
            assert found[start + key] == pytest.approx(rich.summary[key], abs=1e-12), key
            if "percent_risk" not in key and "ece" not in key:
                for end in ("/ci_low", "/ci_high"):
                    assert found[start + key + end] == pytest.approx(rich.summary[key + end], abs=0.04), key
    assert found[f"{start}failure/maps/aurc"] == found[f"{start}selective/maps/aurc_binary"]
    assert not [key for key in found if key.startswith("slice/outcome/") and key.endswith("/auroc")]
    assert not [key for key in found if key.startswith("slice/question_type/which/") and "/auroc" in key]


def test_intervals_of_the_auroc_hold_the_truth_as_often_as_they_say():
    rng, truth, held = np.random.default_rng(0), 0.7602, 0  # of two normals that are one deviation apart
    for _ in range(400):
        image = np.repeat(np.arange(30), 4)
        shared = np.repeat(rng.normal(size=30), 4)
        right = rng.random(120) < 0.6
        score = right + np.sqrt(0.5) * (shared + rng.normal(size=120))
        found = clustered_auroc(score, right, image)
        held += found.ci_low <= truth <= found.ci_high
    assert 0.92 <= held / 400 <= 0.98
    whole = clustered_auroc(np.array([0.2, 0.9]), np.array([False, True]), np.array([1, 1]))
    assert (whole.mean, np.isnan(whole.ci_low)) == (1.0, True)
    assert np.isnan(clustered_auroc(np.ones(3), np.ones(3, bool), np.arange(3)).mean)


def test_the_page_offers_words_and_scores_by_slice(rich):
    found, shown = sliced(rich), slices_of(rich)["answer_type"]
    assert shown["slices"] == [["other", 300]]
    (noun,) = shown["values"]["question/most_important/noun"]["words"]
    key = "slice/answer_type/other/question/words/most_important/noun"
    assert noun == pytest.approx(
        [found[f"{key}{end}"] for end in ("", "/ci_low", "/ci_high", "/n")], abs=6e-5
    )
    scores = {"confidence", "entropy", "margin", "fitted_confidence", "maps", "confidence_and_all"}
    assert set(shown["values"]["selective/auroc"]) == set(shown["values"]["selective/aurc_soft"]) == scores
    assert set(shown["values"]["failure/accuracy_gain"]) == {"confidence", "maps", "confidence_and_all"}
