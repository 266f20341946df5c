"""The callback on a real, tiny shapes world: when it runs, and that training never notices."""

import json

import pytest
import pytorch_lightning as pl
import torch
from tiny_runs import Recorder, make_data, make_head, make_trainer

from lookwhy import store
from lookwhy.analysis import AnalysisPlan, Faithfulness
from lookwhy.analysis.sanity import Sanity
from lookwhy.analysis.session import AnalysisSession
from lookwhy.attribution import GuidedBackprop, Occlusion, WordDrop
from lookwhy.callbacks import ImportanceCallback
from lookwhy.errors import LookwhyError
from lookwhy.models import VQASystem

PLAN = {"num_questions": 12, "num_examples": 2, "bootstrap_samples": 50}


def train(world, folder, callbacks, epochs=2):
    pl.seed_everything(7)
    data = make_data(world)
    # The tests' type checker looks at random items of a list; here it does so before the training.
    for name in ("questions", "answers10", "question_types", "answer_types"):
        assert getattr(data.prepro.test, name)
    for name in ("question_id_texts", "image_id_texts", "original_ids"):  # the shapes world has numbers
        getattr(data.prepro.test, name)
    system = VQASystem(make_head(data), learning_rate=1e-3)
    recorder = Recorder()
    make_trainer(folder, epochs, [recorder, *callbacks]).fit(system, data)
    return system, recorder


@pytest.mark.slow
def test_training_is_bit_identical_with_the_callback_on_or_off_and_the_run_folder_is_complete(
    tiny_world, tmp_path
):
    plain, without = train(tiny_world, tmp_path / "off", [])
    watched, with_it = train(tiny_world, tmp_path / "on", [ImportanceCallback(AnalysisPlan(**PLAN))])
    assert without.losses == with_it.losses
    assert without.states == with_it.states
    for (name, a), (_, b) in zip(plain.state_dict().items(), watched.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert list(store.stored_epochs(tmp_path / "on")) == [-1, 0, 1]
    check_run_folder(store.epoch_folder(tmp_path / "on", 0))


def check_run_folder(folder):
    """Check that an epoch's folder holds everything that the design says."""
    for name in ("manifest.json", "summary.json", "records.parquet", "maps.h5", "figures/*.png"):
        assert list(folder.glob(name)), name
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["schema_version"], manifest["annotators"]) == (1, "simulated annotators")
    assert manifest["tagger"]
    assert manifest["plan"]["num_questions"] == 12
    result = store.load(folder)
    assert len(result.question_ids) == 12
    assert len(result.records) == 12 * 4
    methods = {"image/guided_backprop", "image/occlusion", "question/gradient", "question/word_drop"}
    assert set(result.maps) == methods
    assert result.human.shape == (12, 3, 16, 16)
    for method in ("guided_backprop", "occlusion", "random", "centre_prior", "human"):
        assert -1 <= result.summary[f"image/{method}/rank_correlation"] <= 1
    assert {"accuracy/overall", "failure/all/n"} <= set(result.summary)


EPOCHS = [({"every_n_epochs": 2}, [0, 2]), ({"epochs": [1]}, [1]), ({"epochs": [], "untrained": True}, [-1])]


@pytest.mark.parametrize(("settings", "expected"), EPOCHS)
def test_the_chosen_epochs_are_analysed(settings, expected, tiny_world, tmp_path):
    plan = AnalysisPlan([GuidedBackprop()], [WordDrop()], num_questions=4, num_examples=1)
    settings = {"untrained": False} | settings
    train(tiny_world, tmp_path, [ImportanceCallback(plan, **settings)], epochs=3)
    assert list(store.stored_epochs(tmp_path)) == expected


LEFT_OUT = [
    ({}, (3, 1), []),
    ({"every_n_epochs": 2}, (3, 1), []),
    (
        {"every_n_epochs": 2},
        (4, 1),
        ["the last epoch, 3, will not be analysed: analysis.every_n_epochs is 2"],
    ),
    ({"epochs": [1, 9]}, (4, 1), ["the last epoch, 3, will not be analysed: analysis.epochs is [1, 9]"]),
    ({}, (3, 2), ["the last epoch, 2, will not be analysed: it has no validation"]),
    ({"epochs": []}, (4, 1), []),
    ({}, (-1, 1), []),
    (
        {"sanity": Sanity(epochs=[11])},
        (6, 1),
        ["no sanity card: no epoch of the plan's sanity.epochs [11] will be analysed"],
    ),
    ({"sanity": Sanity(epochs=[-1])}, (6, 1), []),
    ({"faithfulness": Faithfulness(epochs=[2, 5])}, (6, 2), []),
    (
        {"faithfulness": Faithfulness(epochs=[2, 4]), "epochs": [1, 5]},
        (6, 2),
        ["no deletion and insertion: no epoch of the plan's faithfulness.epochs [2, 4] will be analysed"],
    ),
]


@pytest.mark.parametrize(("settings", "lengths", "expected"), LEFT_OUT)
def test_what_the_epochs_leave_out_is_said(settings, lengths, expected):
    of_plan = {name: settings[name] for name in ("sanity", "faithfulness") if name in settings}
    rest = {name: value for name, value in settings.items() if name not in of_plan}
    callback = ImportanceCallback(AnalysisPlan(**PLAN, **of_plan), **rest)
    assert callback._left_out(*lengths) == expected


def test_the_line_is_printed_before_the_training(tiny_world, tmp_path, capfd):
    plan = AnalysisPlan([GuidedBackprop()], [], num_questions=4, num_examples=0, sanity=Sanity(epochs=[7]))
    train(tiny_world, tmp_path, [ImportanceCallback(plan, epochs=[0], untrained=False)], epochs=2)
    printed = capfd.readouterr().err
    assert "lookwhy: the last epoch, 1, will not be analysed: analysis.epochs is [0]" in printed
    assert "lookwhy: no sanity card: no epoch of the plan's sanity.epochs [7] will be analysed" in printed
    assert list(store.stored_epochs(tmp_path)) == [0]


def test_a_validation_outside_of_training_is_not_taken_for_an_epoch(tiny_world, tmp_path):
    data = make_data(tiny_world)
    trainer = make_trainer(tmp_path, 1, [ImportanceCallback(AnalysisPlan(**PLAN))])
    trainer.validate(VQASystem(make_head(data)), data, verbose=False)
    assert not (tmp_path / "analysis").exists()


def test_occluded_features_are_kept_beside_the_data_and_reused(tiny_world, tmp_path):
    plan = AnalysisPlan(image_methods=[Occlusion()], question_methods=[], num_questions=4, num_examples=1)
    train(tiny_world, tmp_path, [ImportanceCallback(plan, untrained=False)], epochs=1)
    files = [*(tiny_world / "cache").rglob("occluded-features-*/*/*.npz")]
    kept = {path: path.stat().st_mtime_ns for path in files}
    assert kept
    train(tiny_world, tmp_path / "again", [ImportanceCallback(plan, untrained=False)], epochs=1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize("grid", [0, 1, 65])
def test_a_grid_that_the_images_do_not_have_is_refused(tiny_world, grid):
    plan = AnalysisPlan(image_methods=[], grid=grid)
    with pytest.raises(LookwhyError, match=f"expected a grid of 2 to 64 cells .*, found {grid}; correct"):
        AnalysisSession(make_data(tiny_world), plan)


def test_masks_do_not_change_the_questions_unless_there_are_no_annotators(tiny_world, tmp_path):
    plan = AnalysisPlan([], [], num_questions=30)

    def asked(**settings):
        data = make_data(tiny_world, **settings)
        data.setup()
        session = AnalysisSession(data, plan)
        return data.prepro.test.question_ids[session.rows].tolist(), session

    (with_both, session), (with_annotators, _) = asked(), asked(truth_masks=None)
    assert with_both == with_annotators
    assert 0 < len(session.truth) < len(with_both)
    with_masks, session = asked(annotator_maps=None)
    assert len(with_masks) == len(session.truth) == 30
    assert set(with_masks) <= {int(path.stem) for path in (tiny_world / "truth").iterdir()}
    (tmp_path / "7.png").write_bytes((tiny_world / "truth" / f"{with_masks[0]}.png").read_bytes())
    with pytest.raises(LookwhyError, match="questions with truth masks, found none .*; correct data.truth_m"):
        asked(truth_masks=str(tmp_path))
