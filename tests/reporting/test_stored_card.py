"""The sanity card of a stored analysis beside single explanations: only for the same weights and settings."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

from lookwhy import store
from lookwhy.api import load
from lookwhy.attribution import Occlusion
from lookwhy.cli.analyze import main
from lookwhy.reporting import sanity
from lookwhy.reporting.stored_card import lights, stored_card

NAMES = ["image/guided_backprop", "image/occlusion", "question/gradient", "question/word_drop"]


@pytest.fixture
def model(carded_checkpoint):
    return load(carded_checkpoint, "cpu")


@pytest.fixture
def stored(carded_checkpoint, model):
    """Folder of the analysis with the card."""
    run = carded_checkpoint.parent.parent
    return store.epoch_folder(run / "analyze" / "last", model.origin["epoch"])


def test_the_card_is_that_of_the_analysis_of_this_checkpoint(model, stored):
    analysed = store.load_scalars(stored)
    assert sanity.methods(model.card) == NAMES
    assert model.card.summary == {key: one for key, one in analysed.summary.items() if "/sanity/" in key}
    assert lights(model.card) == {name: sanity.light(analysed, name) for name in NAMES}


def test_a_method_with_other_settings_has_no_light(model):
    explainer = model.explainer
    others = [
        Occlusion(patch_rgb=(0.0, 0.0, 0.0)) if one.name == "occlusion" else one
        for one in explainer.plan.image_methods
    ]
    card = stored_card(explainer.run, replace(explainer.plan, image_methods=others))
    assert sanity.methods(card) == [name for name in NAMES if name != "image/occlusion"]


def test_an_analysis_of_other_weights_of_another_epoch_or_a_damaged_one_is_no_card(
    model, stored, carded_checkpoint, tmp_path
):
    run, plan = model.explainer.run, model.explainer.plan
    assert not stored_card(replace(run, epoch=run.epoch + 1), plan).summary
    with torch.no_grad():
        weight = next(run.head.parameters())
        weight.add_(1.0)
        assert not stored_card(run, plan).summary
        weight.sub_(1.0)
    copy = tmp_path / "tiny"
    shutil.copytree(carded_checkpoint.parent.parent, copy)
    moved = load(copy / "checkpoints" / "last.ckpt", "cpu")
    assert moved.card.summary == model.card.summary
    for manifest in copy.rglob("manifest.json"):
        manifest.write_text("{")
    assert not load(copy / "checkpoints" / "last.ckpt", "cpu").card.summary


def test_explain_prints_a_line_a_method_and_writes_the_light_into_numbers_and_pictures(
    model, carded_checkpoint, tiny_checkpoint, tiny_world, tmp_path, capsys
):
    picture = min((tiny_world / "images" / "shapes_val").glob("*.png"))

    def explain(checkpoint, ending):
        path = tmp_path / f"why.{ending}"
        words = ["--image", str(picture), "--question", "What color is the ball?", "--out", str(path)]
        assert main(["explain", str(checkpoint), *words]) == 0
        return path.read_text(), capsys.readouterr().out

    numbers, printed = explain(carded_checkpoint, "json")
    assert [line for line in printed.splitlines() if "trained head" in line] == sanity.lines(model.card)
    assert len(sanity.lines(model.card)) == 4
    found = json.loads(numbers)
    assert {f"image/{one['method']}": one["sanity"] for one in found["image_maps"]} | {
        f"question/{one['method']}": one["sanity"] for one in found["word_importances"]
    } == {name: light.words for name, light in lights(model.card).items()}
    texts = " ".join(re.sub(r"<[^>]+>", " ", explain(carded_checkpoint, "svg")[0]).split())
    light = lights(model.card)["image/occlusion"]
    assert f"{light.sign} Occlusion" in texts
    assert "Sanity card: ●" in texts
    # Without an analysis nothing is said.
    numbers, printed = explain(tiny_checkpoint, "json")
    assert "sanity" not in json.loads(numbers)["image_maps"][0]
    assert "trained head" not in printed
    texts = " ".join(re.sub(r"<[^>]+>", " ", explain(tiny_checkpoint, "svg")[0]).split())
    assert "Sanity card" not in texts
