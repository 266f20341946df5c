"""Runs of one group, which differ in their seed alone, as one curve: its members and its numbers."""

import numpy as np
import pytest
import yaml
from made_measures import CHANCE, FAITHFUL, add_measures
from made_results import make_run
from made_seeds import seeded
from scipy import stats
from test_html import content

from lookwhy.errors import LookwhyError
from lookwhy.reporting.page.html import write_report


def test_faithfulness_and_localisation_of_a_group_are_means_too(tmp_path):
    def change(result):
        add_measures(result)
        result.summary["image/occlusion/faithfulness/correlation"] += 0.1 * int(result.manifest["seed"])

    runs = []
    for seed in range(3):
        run = make_run(
            tmp_path / f"run-{seed}",
            None,
            2,
            lambda one, seed=seed: (one.manifest.update(seed=seed), change(one)),
        )
        (run / "config.yaml").write_text(yaml.safe_dump({"seed_everything": seed, "group": "seeds"}))
        runs.append(run)
    (found,) = groups(tmp_path, *runs)
    value = FAITHFUL["correlation"]["occlusion"] + 0.1
    assert found["measures"]["faithfulness/correlation"]["occlusion"][0][:2] == pytest.approx([0, value])
    assert found["levels"]["localisation/mass_accuracy"]["chance"] == pytest.approx(CHANCE)


def groups(tmp_path, *runs):
    return content(write_report(list(runs), tmp_path / "r.html").read_text())["groups"]


def test_three_seeds_are_one_curve_with_a_t_interval_and_two_have_the_range(tmp_path):
    (found,) = groups(tmp_path, *(seeded(tmp_path / f"run-{seed}", seed) for seed in range(3)))
    assert (found["name"], found["members"]) == ("seeds", [0, 1, 2])
    assert found["band"] == "95% t interval over runs"
    interval = stats.ttest_1samp(np.array([0.2, 0.3, 0.4]), 0.0).confidence_interval(0.95)
    for epoch, point in enumerate(found["measures"]["rank_correlation"]["occlusion"]):
        assert point == pytest.approx([epoch, 0.3, interval.low, interval.high, 3], abs=1e-4)
    assert found["accuracy"]["1"]["overall"][0] == pytest.approx(0.42)
    assert found["levels"]["rank_correlation"]["centre_prior"] == 0.41
    (found,) = groups(tmp_path, tmp_path / "run-0", tmp_path / "run-1")
    assert found["band"] == "from the smaller to the larger of two runs"
    assert found["measures"]["rank_correlation"]["occlusion"][0] == [0, 0.25, 0.2, 0.3, 2]


def test_epochs_of_a_single_run_are_left_out_and_those_of_two_are_named(tmp_path):
    runs = [seeded(tmp_path / f"run-{seed}", seed, epochs) for seed, epochs in enumerate((1, 2, 3))]
    (found,) = groups(tmp_path, *runs)
    points = found["measures"]["rank_correlation"]["occlusion"]
    assert [(epoch, runs) for epoch, *_, runs in points] == [(0, 3), (1, 2)]
    assert found["band"].endswith("or from the smaller to the larger of two runs where only two have a value")
    assert set(found["accuracy"]) == {"0", "1"}


def test_only_runs_of_the_same_settings_are_averaged(tmp_path):
    rates = [("slow", 0.003, 0), ("slow", 0.003, 1), ("fast", 0.1, 0), ("fast", 0.1, 1)]
    runs = [
        seeded(tmp_path / f"{name}-{seed}", seed, model={"learning_rate": rate}) for name, rate, seed in rates
    ]
    runs += [seeded(tmp_path / "alone", 0, group="another"), make_run(tmp_path / "bare", None, 1)]
    # Without a group, the name of a run is its group.
    runs += [seeded(tmp_path / f"mine-{seed}", seed, name="mine", group=None) for seed in range(2)]
    # The same seed again is no other member: it says nothing about the spread over seeds.
    runs += [seeded(tmp_path / "again", 1, name="mine", group=None)]
    found = {one["name"]: one["members"] for one in groups(tmp_path, *runs)}
    assert found == {"seeds, slow-0 ...": [0, 1], "seeds, fast-0 ...": [2, 3], "mine": [6, 7]}


def test_runs_that_share_no_group_or_no_epoch_are_shown_one_by_one(tmp_path):
    runs = [seeded(tmp_path / name, 0, group=None) for name in ("a", "b")]
    runs += [seeded(tmp_path / f"{epochs.start}", 0, epochs) for epochs in (range(2), range(2, 4))]
    assert groups(tmp_path, *runs) == []


def test_a_config_that_is_not_yaml_is_refused(tmp_path):
    run = seeded(tmp_path / "a", 0)
    (run / "config.yaml").write_text("name: [")
    with pytest.raises(LookwhyError, match=r"expected YAML in .*config\.yaml, found .*; remove the file"):
        groups(tmp_path, run)
