import json

import h5py
import numpy as np
import pytest
import torch
from official_files import copy_prepared
from tiny_runs import make_data

from lookwhy.data.datamodule import TrainBatches, evaluation_batches
from lookwhy.errors import LookwhyError


def ready(world, **settings):
    data = make_data(world, **settings)
    data.setup()
    return data


def drawn(**settings):
    options = {"rows": 103, "batch_size": 10, "sampling": "shuffled", "seed": 1}
    return [batch.tolist() for batch in TrainBatches(**(options | settings))]


def test_batches_with_replacement_are_full_repeat_questions_and_are_as_many_as_asked_for():
    batches = drawn(sampling="with_replacement")
    assert {len(batch) for batch in batches} == {10}
    assert len(set(sum(batches, []))) < 103
    ranks = {"world_size": 1}, {"world_size": 2, "rank": 0}, {"world_size": 2, "rank": 1}
    shares = [drawn(sampling="with_replacement", steps=25, **rank) for rank in ranks]
    assert [[len(batch) for batch in share] for share in shares] == [[10] * 25] * 3
    assert shares[1] != shares[2]


def test_an_epoch_of_shuffled_questions_has_its_own_length(tiny_world):
    with pytest.raises(LookwhyError, match="steps_per_epoch of at least 1 with data.sampling"):
        make_data(tiny_world, sampling="shuffled", steps_per_epoch=3)


def test_the_draw_depends_on_seed_and_epoch_and_nothing_else():
    first = drawn()
    torch.rand(5), np.random.rand(5)  # noqa: NPY002
    assert drawn() == first
    assert drawn(seed=2) != first
    sampler = TrainBatches(103, 10, "shuffled", seed=1)
    sampler.set_epoch(1)
    assert [batch.tolist() for batch in sampler] != first


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_ranks_share_training_and_validation_questions_and_take_the_same_number_of_steps(world):
    shares = [drawn(rank=rank, world_size=world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(sum((sum(share, []) for share in shares), [])) == list(range(103))
    assert world > 1 or {len(batch) for batch in shares[0]} <= {9, 10}
    batches = sum((evaluation_batches(21, 4, rank, world) for rank in range(world)), [])
    assert sorted(torch.cat(batches).tolist()) == list(range(21))
    assert evaluation_batches(2, 4, rank=3, world_size=8) == []


@pytest.mark.parametrize("features", ["auto", "ram"])
def test_a_batch_holds_the_rows_of_the_files(tiny_world, features):
    data = ready(tiny_world, features=features)
    rows = torch.tensor([7, 2, 2, 30])
    with h5py.File(tiny_world / "data_prepro.h5") as file, h5py.File(tiny_world / "data_img.h5") as images:
        column = {name: file[f"{name}_train"][:][rows.numpy()] for name in
                  ("ques", "ques_length", "question_id", "image_id", "img_pos")}  # fmt: skip
        labels = file["answers"][:][rows.numpy()]
        expected = images["images_train"][:][column["img_pos"].astype(int) - 1]
        texts = [file["question_train"].asstr()[int(row)] for row in rows]
        ten = [file["answers10_train"].asstr()[int(row)].tolist() for row in rows]
    batch = data.datasets["train"][rows]
    width = int(column["ques_length"].max())  # padded no further than its longest question
    expected_numbers = {
        "tokens": column["ques"][:, :width], "lengths": column["ques_length"], "labels": labels.astype(int) - 1,
        "question_ids": column["question_id"], "image_ids": column["image_id"],
    }  # fmt: skip
    for name, numbers in expected_numbers.items():
        assert getattr(batch, name).tolist() == numbers.tolist(), name
    assert (batch.questions, batch.answers) == (texts, ten)
    np.testing.assert_array_equal(batch.features.numpy(), expected)
    assert batch.features.shape == (4, *data.feature_shape)


def test_training_batches_have_every_number_and_no_text(tiny_world):
    data = ready(tiny_world)
    loader = data.train_dataloader()
    batch = next(iter(loader))
    whole = data.datasets["train"][next(iter(loader.sampler))]
    for name in ("question_ids", "tokens", "lengths", "labels", "image_ids", "features"):
        assert torch.equal(getattr(batch, name), getattr(whole, name)), name
    assert batch.questions == batch.answers == batch.image_files == []
    assert next(iter(data.val_dataloader())).answers


def test_features_of_another_shape_than_when_the_run_began_are_refused(tiny_world, tmp_path):
    data = make_data(copy_prepared(tiny_world, tmp_path), annotator_maps=None)
    with h5py.File(tmp_path / "data_img.h5", "a") as file:
        for split in ("images_train", "images_test"):
            file[split] = np.ones((len(file.pop(split)), 3), np.float32)
    with pytest.raises(LookwhyError, match=r"\A.*found .* of \(3,\).*\Z"):
        data.setup()


def test_pixels_and_stored_features_belong_together(tiny_world):
    from lookwhy.towers.image_tower import tower_from_description

    data = ready(tiny_world)
    tower = tower_from_description(data.describe()["tower"], data.folder)
    for batch in data.image_batches(np.arange(8), tower.recipe):
        assert len(set(batch.image_ids.tolist())) == 1
        torch.testing.assert_close(tower(batch.images), batch.features, rtol=1e-4, atol=1e-4)


def test_features_of_other_images_of_the_same_number_are_refused(tiny_world, tmp_path):
    copy_prepared(tiny_world, tmp_path)
    content = json.loads((tmp_path / "data_prepro.json").read_text())
    content["unique_img_test"].reverse()
    (tmp_path / "data_prepro.json").write_text(json.dumps(content))
    with pytest.raises(LookwhyError, match=r"expected images_test of the images .*, found others in"):
        make_data(tmp_path, annotator_maps=None).setup()
    with h5py.File(tmp_path / "data_img.h5", "a") as file:
        del file["images_test"].attrs["files_sha256"]  # the original's own files do not say
    make_data(tmp_path, annotator_maps=None).setup()
