"""Evaluation of importance maps: accuracy, agreement, localisation, parts of speech, failure prediction."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from lookwhy.analysis.agreement import (
    Agreement,
    agreement,
    annotators_agreement,
    centre_prior,
    mean_annotator,
    random_maps,
    summarise,
)
from lookwhy.analysis.failure import EXCLUDED, FAILURE, failure_features, predict_failure
from lookwhy.analysis.localisation import Sign, area, localisation
from lookwhy.analysis.meter import PointsOf, Values, mean_curves, minus_random
from lookwhy.analysis.method_tests import CENTRE, ENDING, localisation_of_other_questions, method_tests
from lookwhy.analysis.modality import MODALITY, by_type
from lookwhy.analysis.paired import Records
from lookwhy.analysis.part_of_speech import (
    counted_words,
    group_of,
    most_important_by_group,
    most_important_word,
)
from lookwhy.analysis.plan import AnalysisPlan
from lookwhy.analysis.questions import QuestionRecord
from lookwhy.analysis.sanity import RandomMaps, sanity_card
from lookwhy.analysis.selective import Outcomes
from lookwhy.analysis.statistics import Estimate, clustered_mean, clustered_share, in_summary
from lookwhy.analysis.together import with_agreement
from lookwhy.keys import parse
from lookwhy.types import AnalysisResult, Curve, ImportanceMaps

AREAS = {f"{kind}{fill}" for kind in ("deletion", "insertion") for fill in ("", "_patch", "_blur")}
"""Areas under a probability, in keys of the faithfulness."""
CERTAINTY = {"confidence": 1.0, "entropy": -1.0, "margin": 1.0}
"""Scores of selective prediction without any fit, and the sign that makes a higher one more certain."""


def evaluate(
    maps: dict[str, ImportanceMaps],
    questions: list[QuestionRecord],
    human: Float[np.ndarray, "N K G G"],
    groups: dict[str, list[str]],
    plan: AnalysisPlan,
    truth: Float[np.ndarray, "M C C"] | None = None,
    values: Values | None = None,
    curves: PointsOf | None = None,
    random: RandomMaps | None = None,
) -> AnalysisResult:
    """Measure explanations; the result's manifest counts the excluded items by reason.

    Maps (by "image/<method>" and "question/<method>"), annotator maps (a missing annotator is NaN) and
    `truth` (a missing mask is NaN, as in `AnalysisResult`) are in the order of `questions`; `groups` holds
    part-of-speech groups and their tags, most frequent first; `values` and `curves` come from meters;
    `random` holds maps of random models for a part of the questions.

    Localisation compares a signed map as the plan's `compared` says: its magnitude, or for `signed` its
    positive part.
    """
    question_ids = np.array([one.question_id for one in questions], np.int64)
    image_ids = np.array([one.image_id for one in questions], np.int64)
    words, tags = [one.words for one in questions], [one.tags for one in questions]
    counted: dict[str, Bool[np.ndarray, "N T"]] = {}
    excluded: dict[str, int] = {}
    summary = _accuracy(questions)
    found = _image_agreement(maps, human, question_ids, image_ids, plan, excluded)
    for method, one in found.items():
        summary |= summarise(one, f"image/{method}", image_ids)
    # A perfect method agrees with one annotator as well as that annotator does with the mean of very many.
    if (reliability := summary.get("image/human/rank_correlation", 0.0)) > 0:
        summary["image/human/noise_ceiling"] = float(np.sqrt(reliability))
    for name, one_map in maps.items():
        if one_map.domain == "question":
            counted[name] = counted_words(one_map.valid.numpy(), words, plan.punctuation)
            values_of_words = one_map.values.numpy()
            shares = most_important_by_group(values_of_words, counted[name], tags, groups, image_ids)
            summary |= {f"{name}/most_important/{key}": value for key, value in shares.items()}
            _count(excluded, f"{name}: no word to drop", int((~counted[name].any(1)).sum()))
    truth = np.zeros((0, 1, 1), np.float32) if truth is None else truth
    sign: Sign = "magnitude" if plan.compared == "magnitude" else "positive"
    localised = _localisation(maps, truth, human, question_ids, plan, sign, excluded)
    summary |= _chance(localised, truth)
    ids = question_ids.tolist()
    drawn = [one for one in maps.values() if one.domain == "image"]
    localised |= localisation_of_other_questions(drawn, truth, image_ids, sign)
    by_id = {key: dict(zip(ids, found.tolist(), strict=True)) for key, found in localised.items()}
    values = {**(values or {}), **by_id}
    agreements = _by_question(found, ids)
    image_of = dict(zip(ids, image_ids.tolist(), strict=True))

    def mean(key: str, values: Float[np.ndarray, " M"], ids: list[int]) -> Estimate:
        images = np.array([image_of[one] for one in ids], np.int64)
        return (clustered_share if is_share(key, plan.target) else clustered_mean)(values, images)

    for key, of_question in (values | minus_random(values) | by_type(values, questions)).items():
        summary |= in_summary(mean(key, np.array([*of_question.values()]), [*of_question]), key)
    compared = {one: found[one].rank_correlation for one in _image_methods(maps) if one in found}
    summary |= with_agreement(compared, values, question_ids, image_ids, plan.bootstrap_samples, plan.seed)
    summary |= method_tests(values | agreements, _image_methods(maps), image_of)
    summary |= _sanity(maps, random or {}, human, question_ids, image_ids, plan)
    failure, found_curves, predicted = _failure(maps, questions, image_ids, plan, excluded)
    summary |= failure
    return AnalysisResult(
        summary={key: float(value) for key, value in sorted(summary.items())},
        records=_records(maps, questions, found, values | agreements | predicted, counted),
        maps=maps,
        human=human,
        question_ids=question_ids,
        manifest={"excluded": excluded, "examples": _examples(question_ids, image_ids, plan.num_examples)},
        curves=found_curves | mean_curves(curves or {}, mean),
        truth=truth,
    )


def _by_question(found: Mapping[str, Agreement], ids: list[int]) -> Values:
    """The agreement of each method by question, with that of the maps of other questions about the image."""
    values = {}
    for method, one in found.items():
        named = {
            "rank_correlation": one.rank_correlation,
            f"rank_correlation{ENDING}": one.other_question,
            "specificity": one.specificity,
            "partial_rank_correlation": one.partial_rank_correlation,
        }
        for measure, column in named.items():
            values[f"image/{method}/{measure}"] = dict(zip(ids, column.tolist(), strict=True))
    return values


def is_share(key: str, target: str) -> bool:
    """Whether the values of a key lie within 0 and 1 by definition, so that their interval does, too.

    `target` is the plan's.
    """
    row, _ = parse(key)
    family, _, measure = row.measure.rpartition("/")
    if family == "faithfulness":  # a contrast is a difference of probabilities
        return measure in AREAS and target != "contrast"
    return row.domain in (MODALITY, "accuracy") or family == "localisation"


def _image_methods(maps: dict[str, ImportanceMaps]) -> list[str]:
    return [one.method for one in maps.values() if one.domain == "image"]


def _count(excluded: dict[str, int], reason: str, count: int) -> None:
    if count:
        excluded[reason] = count


def _accuracy(questions: list[QuestionRecord]) -> dict[str, float]:
    values: dict[str, list[float]] = {"accuracy/overall": []}
    for one in questions:
        if np.isnan(one.accuracy):
            continue
        values["accuracy/overall"].append(one.accuracy)
        for kind in ("answer_type", "question_type"):
            if name := getattr(one, kind):
                values.setdefault(f"accuracy/{kind}/{name}", []).append(one.accuracy)
    # Add one by one, as the official code does: np.mean may differ in the last bit.
    return {key: sum(found) / len(found) for key, found in values.items() if found}


def _image_agreement(
    maps: dict[str, ImportanceMaps],
    human: Float[np.ndarray, "N K G G"],
    question_ids: Int64[np.ndarray, " N"],
    image_ids: Int64[np.ndarray, " N"],
    plan: AnalysisPlan,
    excluded: dict[str, int],
) -> dict[str, Agreement]:
    if not human.shape[1]:
        return {}
    missing = np.isnan(human).all(axis=(1, 2, 3))
    cells = human.reshape(*human.shape[:2], -1)
    # A missing annotator is NaN, and a comparison with NaN is False.
    blank = ~missing & ~(cells.max(-1) > cells.min(-1)).any(1)
    _count(excluded, "no annotator map", int(missing.sum()))
    _count(excluded, "constant annotator maps only", int(blank.sum()))
    found: dict[str, Agreement] = {}
    for one in (one for one in maps.values() if one.domain == "image"):
        values = one.values.double().numpy()
        # The paper compares absolute values: evidence against an answer is also importance.
        compared = np.abs(values) if plan.compared == "magnitude" else values
        found[one.method] = agreement(compared, human, image_ids, plan.ranking)
        constant = np.isnan(found[one.method].rank_correlation) & ~missing & ~blank
        _count(excluded, f"image/{one.method}: constant map", int(constant.sum()))
    for name, values in _baselines(question_ids, plan).items():
        found[name] = agreement(values, human, image_ids, plan.ranking)
    if human.shape[1] > 1:
        found["human"] = annotators_agreement(human, image_ids, plan.ranking)
    return found


def _baselines(
    question_ids: Int64[np.ndarray, " N"], plan: AnalysisPlan
) -> dict[str, Float[np.ndarray, "N G G"]]:
    return {
        "random": random_maps(question_ids, plan.grid, plan.seed),
        "centre_prior": centre_prior(len(question_ids), plan.grid),
    }


def _localisation(
    maps: dict[str, ImportanceMaps],
    truth: Float[np.ndarray, "M C C"],
    human: Float[np.ndarray, "N K G G"],
    question_ids: Int64[np.ndarray, " N"],
    plan: AnalysisPlan,
    sign: Sign,
    excluded: dict[str, int],
) -> dict[str, Float[np.ndarray, " N"]]:
    """Agreement with the masks of the image methods, the baselines and the mean annotator."""
    if not len(truth):
        return {}
    _count(excluded, "no truth mask", int(np.isnan(truth).all((1, 2)).sum()))
    _count(excluded, "empty truth mask", int((truth == 0).all((1, 2)).sum()))
    compared = {one.method: one.values.double().numpy() for one in maps.values() if one.domain == "image"}
    compared |= _baselines(question_ids, plan)
    if human.shape[1]:
        compared["human"] = mean_annotator(human)
    return localisation(compared, truth, sign)


def _chance(
    measures: dict[str, Float[np.ndarray, " N"]], truth: Float[np.ndarray, "M C C"]
) -> dict[str, float]:
    """Mean area of the masks for each localisation measure, over the questions where it is defined."""
    found: dict[str, float] = {}
    for key, values in measures.items():
        if len(truth) and (defined := ~np.isnan(values)).any():
            found[f"{key}/expected"] = float(area(truth)[defined].mean())
    return found


def _sanity(
    maps: dict[str, ImportanceMaps],
    random: RandomMaps,
    human: Float[np.ndarray, "N K G G"],
    question_ids: Int64[np.ndarray, " N"],
    image_ids: Int64[np.ndarray, " N"],
    plan: AnalysisPlan,
) -> dict[str, float]:
    explained = [one for draws in random.values() for draw in draws for one in draw.values()]
    if not explained:
        return {}
    place = {one: row for row, one in enumerate(question_ids.tolist())}
    rows = np.array([place[one] for one in explained[0].question_ids.tolist()], np.int64)
    some = {name: one.take(torch.from_numpy(rows)) for name, one in maps.items()}
    signed = plan.compared == "signed"
    return sanity_card(some, random, human[rows], image_ids[rows], plan.ranking, signed=signed)


def _failure(
    maps: dict[str, ImportanceMaps],
    questions: list[QuestionRecord],
    image_ids: Int64[np.ndarray, " N"],
    plan: AnalysisPlan,
    excluded: dict[str, int],
) -> tuple[dict[str, float], dict[str, Curve], Values]:
    accuracy = np.array([one.accuracy for one in questions])
    known = ~np.isnan(accuracy)
    columns = {name: np.array([getattr(one, name) for one in questions]) for name in CERTAINTY}
    features = failure_features(maps, columns["confidence"])
    # A low entropy is a certain answer. Records without entropy and margin have NaN.
    certainty = {
        name: CERTAINTY[name] * one[known] for name, one in columns.items() if not np.isnan(one).any()
    }
    result = predict_failure(
        {name: one[known] for name, one in features.items()},
        certainty,
        Outcomes(accuracy[known], accuracy[known] >= plan.correct_above),
        image_ids[known],
        plan.folds,
        plan.bootstrap_samples,
        plan.seed,
    )
    if result.reason:
        _count(excluded, f"{EXCLUDED}: {result.reason}", int(known.sum()))
    counted = {f"failure/{name}/n": float(known.sum()) for name in features}
    ids = [one.question_id for one, is_known in zip(questions, known, strict=True) if is_known]
    predicted = {
        f"{FAILURE}/{name}": dict(zip(ids, one.tolist(), strict=True)) for name, one in result.scores.items()
    }
    return counted | result.summary, result.curves, predicted


def _examples(
    question_ids: Int64[np.ndarray, " N"], image_ids: Int64[np.ndarray, " N"], count: int
) -> list[int]:
    """Ids of the questions shown as pictures: two per image, to show whether maps depend on the question."""
    images = dict.fromkeys(image_ids.tolist())
    pairs = (number for image in images for number in question_ids[image_ids == image][:2].tolist())
    return list(islice(pairs, count))


def _records(
    maps: dict[str, ImportanceMaps],
    questions: list[QuestionRecord],
    found: dict[str, Agreement],
    measures: Values,
    counted: Mapping[str, Bool[np.ndarray, "N T"]],
) -> Records:
    records = []
    columns = {name: _columns(name, measures) for name in maps}
    of_answers = _columns(MODALITY, measures) | _columns(FAILURE, measures)
    for number, question in enumerate(questions):
        for name, one in maps.items():
            record = question.columns() | {"domain": one.domain, "method": one.method}
            record |= dict.fromkeys(("rho", "top_word", "top_tag", "top_group"))
            record["flips"] = None if one.flips is None else int(one.flips[number])
            if one.domain == "image" and one.method in found:
                rho = float(found[one.method].rank_correlation[number])
                record["rho"] = None if np.isnan(rho) else rho
            if one.domain == "question":
                top = most_important_word(one.values[number].numpy(), counted[name][number])
                if top is not None:
                    tag = question.tags[top]
                    record |= {"top_word": question.words[top], "top_tag": tag, "top_group": group_of(tag)}
            for column, of_question in (columns[name] | of_answers).items():
                value = of_question.get(question.question_id, np.nan)
                record[column] = None if np.isnan(value) else value
            records.append(record)
    return records


def _columns(name: str, measures: Values) -> Values:
    """Measures of a method, or of the answers, by column of records.parquet: "localisation_mass_accuracy"."""
    starts = {f"{name}/": f"{name}/" if name not in (MODALITY, FAILURE) else ""}
    if name.startswith("image/"):
        # Beside a method's own values, so that a difference from them can be computed from one record.
        starts[f"image/{CENTRE}/"] = "image/"
    return {
        key.removeprefix(prefix).replace("/", "_"): values
        for start, prefix in starts.items()
        for key, values in measures.items()
        if key.startswith(start) and key != f"{name}/rank_correlation"  # `rho` has it
    }
