"""Directions of values, and the best values so far."""

import json

import pytest
from made_results import make_run

from lookwhy import store
from lookwhy.reporting.wandb.summary import best_values, direction, read_summaries


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("accuracy/overall", 1), ("accuracy/question_type/what is", 1), ("failure/all/auroc", 1),
        ("failure/flips/aurc", -1), ("failure/all/accuracy", 1), ("image/occlusion/specificity", 1),
        ("image/occlusion/rank_correlation", 1), ("image/occlusion/mean_map", 1),
        ("image/occlusion/other_question", None), ("image/occlusion/rank_correlation/ci_low", None),
        ("image/occlusion/rank_correlation/n", None), ("image/random/rank_correlation", None),
        ("image/human/specificity", None), ("failure/all/majority_accuracy", None), ("failure/all/n", None),
        ("question/gradient/most_important/noun", None),
        ("image/rise/faithfulness/correlation", 1), ("image/rise/faithfulness/insertion_patch", 1),
        ("image/rise/faithfulness/deletion_patch", -1), ("image/rise/localisation/mass_accuracy", 1),
        ("image/rise/localisation/pointing_game", 1), ("image/rise/localisation/mass_accuracy/expected", None),
        ("image/rise/faithfulness/deletion_patch_minus_random", None), ("modality/text_share", None),
        ("failure/all/accuracy_gain", 1), ("selective/entropy/auroc", 1), ("selective/all/aurc_soft", -1),
        ("selective/confidence_and_all/auroc_increment", None), ("selective/confidence/auroc/ci_low", None),
        ("image/random/faithfulness/deletion_patch", None), ("image/rise/faithfulness/deletion_blur", None),
    ],
)  # fmt: skip
def test_only_values_that_can_be_better_have_a_direction(key, expected):
    assert direction(key) == expected


def test_the_best_of_several_epochs_is_the_highest_or_the_lowest_and_never_the_untrained_one():
    epochs = {
        -1: {"accuracy/overall": 0.9, "failure/all/aurc": 0.01},
        0: {"accuracy/overall": 0.3, "failure/all/aurc": 0.4, "image/random/rank_correlation": 0.1},
        2: {"accuracy/overall": 0.5, "failure/all/aurc": 0.2},
        5: {"accuracy/overall": 0.5, "failure/all/aurc": 0.3},
    }
    assert best_values(epochs) == {
        "accuracy/overall/best": 0.5, "accuracy/overall/best_epoch": 2.0,
        "failure/all/aurc/best": 0.2, "failure/all/aurc/best_epoch": 2.0,
    }  # fmt: skip
    assert best_values({-1: epochs[-1]}) == {}


def test_epochs_that_a_resumed_run_has_not_come_to_yet_do_not_count(tmp_path):
    run = make_run(tmp_path, None, range(-1, 4))
    assert list(read_summaries(run)) == [-1, 0, 1, 2, 3]
    assert list(read_summaries(run, last=1)) == [-1, 0, 1]
    stored = json.loads((store.epoch_folder(run, 1) / "summary.json").read_text())
    assert read_summaries(run)[1] == stored
    assert read_summaries(tmp_path / "nothing") == {}
