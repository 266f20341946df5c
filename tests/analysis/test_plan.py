"""Plans: selection of questions, contradictions, and the way to plain settings and back."""

import json

import numpy as np
import pytest

from lookwhy.analysis import AnalysisPlan, select_questions
from lookwhy.attribution import Gradient, Occlusion, WordDrop
from lookwhy.errors import LookwhyError

QUESTIONS = np.arange(1000)
IMAGES = QUESTIONS // 4


def chosen(order=QUESTIONS, annotated=None, **limits):
    rows = select_questions(AnalysisPlan(**limits), QUESTIONS[order], IMAGES[order], annotated)
    return QUESTIONS[order][rows]


def test_the_choice_of_whole_images_depends_on_ids_alone_and_a_larger_plan_keeps_a_smaller_ones_questions():
    few = set(chosen(num_questions=40))
    assert set(chosen(np.random.default_rng(0).permutation(1000), num_questions=40)) == few
    assert len(few) == 40
    assert few <= set(chosen(num_questions=200))
    assert set(chosen(annotated={8, 9, 500})) == {8, 9, 500}
    images = IMAGES[chosen(num_questions=None, num_images=20)]
    assert len(images) == 80
    assert len(np.unique(images)) == 20
    assert (np.diff(images.reshape(20, 4), axis=1) == 0).all()


def changed(**attributes):
    method = Occlusion()
    vars(method).update(attributes)
    return {"image_methods": [method]}


class MeanMap(Occlusion):
    name = "human"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_methods": [WordDrop()]}, "move it to question_methods"),
        ({"grid": 14}, "expected grid 14 as in the plan, found grid 16"),
        ({"num_questions": 0}, "expected num_questions of at least 1, found 0"),
        ({"num_images": -1}, "expected num_images of at least 1, found -1"),
        ({"num_examples": -1}, "expected num_examples of at least 0, found -1"),
        ({"folds": 1}, "expected folds of at least 2, found 1"),
        ({"seed": -1}, "expected seed of at least 0, found -1"),
        ({"image_methods": [Occlusion(), Occlusion(patch_rgb=(0.0, 0.0, 0.0))]}, "found occlusion 2 times"),
        ({"image_methods": [MeanMap()]}, "names of methods other than human, .*, found human in MeanMap"),
        (changed(patch_rgb=np.zeros(3)), "found a ndarray as Occlusion.patch_rgb"),
        (changed(network=1), "found Occlusion.network; begin the name .* with an underscore"),
    ],
)
def test_a_plan_that_contradicts_itself_or_does_not_fit_a_checkpoint_is_refused(settings, message):
    with pytest.raises(LookwhyError, match=message):
        AnalysisPlan(**settings)


def test_the_description_names_every_setting_and_is_read_back():
    plan = AnalysisPlan(image_methods=[Gradient(channels="l2"), Occlusion()], num_questions=None)
    described = plan.describe()
    assert described["image_methods"][0]["init_args"]["channels"] == "l2"
    assert AnalysisPlan.from_dict(described, "a test").describe() == described
    assert AnalysisPlan.from_dict({}, "a test").describe() == AnalysisPlan().describe()
    assert {one.grid for one in plan.on_grid(8).image_methods} == {plan.on_grid(8).grid} == {8}


@pytest.mark.parametrize("settings", [{"grid": "wide"}, {"no_such": 1}, [1], None])
def test_settings_of_another_kind_are_refused_with_their_source(settings, tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps(settings))
    with pytest.raises(LookwhyError, match=rf"expected the options of an analysis plan in {path}, found: "):
        AnalysisPlan.from_yaml(path)
