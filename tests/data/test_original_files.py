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


def annotated(world, split="val"):
    return {f"val_{kind}": str(world / f"{kind}_{split}.json") for kind in ("questions", "annotations")}


def test_with_the_official_json_beside_them_they_train_as_ours_do(original, tiny_world, tmp_path):
    trained = []
    for data in (make_data(tiny_world), make_data(original, annotator_maps=None, **annotated(tiny_world))):
        torch.manual_seed(0)
        trainer = make_trainer(tmp_path, 1, [])
        trainer.fit(VQASystem(make_head(data)), datamodule=data)
        trained.append((data.prepro.test, trainer))
    trainer.save_checkpoint(tmp_path / "original.ckpt")
    (expected, ours), (_, theirs) = trained
    accuracies = [float(one.callback_metrics["val/accuracy/overall"]) for one in (ours, theirs)]
    assert accuracies[0] == accuracies[1] > 0
    for name, value in ours.model.head.state_dict().items():
        assert torch.equal(value, theirs.model.head.state_dict()[name]), name
    again = load_checkpoint(tmp_path / "original.ckpt").datamodule().prepro.test
    assert again.questions == expected.questions
    assert again.labels.tolist() == expected.labels.tolist()


def test_json_of_another_split_and_missing_json_are_refused(original, tiny_world):
    other = annotated(tiny_world, "train")
    with pytest.raises(LookwhyError, match=r"\A.*of them missing from.*\Z"):
        make_data(original, annotator_maps=None, **other)
    with pytest.raises(LookwhyError, match="expected both"):
        make_data(original, annotator_maps=None, val_questions=other["val_questions"])
    data = make_data(original, annotator_maps=None)
    with pytest.raises(LookwhyError, match=r"give data\.val_questions and data\.val_annotations"):
        data.setup()
