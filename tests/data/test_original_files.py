"""Training on the original's own files: Torch's quirks, no texts, and the official JSON beside them."""

import h5py
import numpy as np
import pytest
import torch
from official_files import write_original
from tiny_runs import make_data, make_head, make_trainer

from lookwhy.errors import LookwhyError
from lookwhy.models import VQASystem, load_checkpoint


@pytest.fixture
def original(tiny_world, tmp_path):
    """The tiny world in the original's files."""
    folder = write_original(tiny_world, tmp_path / "original")
    with h5py.File(tiny_world / "data_img.h5") as ours, h5py.File(folder / "data_img.h5", "w") as file:
        for name, images in ours.items():
            file[name] = images[:].reshape(len(images), -1).astype(np.float32)
    return folder


def annotated(world):
    return {
        "annotator_maps": None,
        "val_questions": str(world / "questions_val.json"),
        "val_annotations": str(world / "annotations_val.json"),
    }


def test_with_the_official_json_beside_them_they_train_as_ours_do(original, tiny_world, tmp_path):
    weights, accuracies = [], []
    both = {"ours": make_data(tiny_world), "original": make_data(original, **annotated(tiny_world))}
    for name, data in both.items():
        torch.manual_seed(0)
        trainer = make_trainer(tmp_path / name, 1, [])
        trainer.fit(VQASystem(make_head(data)), datamodule=data)
        trainer.save_checkpoint(tmp_path / f"{name}.ckpt")
        weights.append(trainer.model.head.state_dict())
        accuracies.append(float(trainer.callback_metrics["val/accuracy/overall"]))
    assert accuracies[0] == accuracies[1] > 0
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
    again, expected = (
        load_checkpoint(tmp_path / "original.ckpt").datamodule().prepro.test,
        both["ours"].prepro.test,
    )
    assert again.questions == expected.questions
    assert again.labels.tolist() == expected.labels.tolist()


def test_missing_answers_name_the_remedy(original):
    data = make_data(original, annotator_maps=None)
    with pytest.raises(LookwhyError, match=r"give data\.val_questions and data\.val_annotations"):
        data.setup()


def test_json_of_another_split_is_refused(original, tiny_world, tmp_path):
    settings = {
        key: value and value.replace("_val", "_train") for key, value in annotated(tiny_world).items()
    }
    with pytest.raises(LookwhyError, match="of them missing from") as error:
        make_data(original, **settings)
    assert "\n" not in str(error.value)
    with pytest.raises(LookwhyError, match="expected both"):
        make_data(original, annotator_maps=None, val_questions=settings["val_questions"])
