import numpy as np
import pytest
import torch
from tiny_runs import make_data

from lookwhy.data.datamodule import EvaluationBatches, TrainBatches
from lookwhy.errors import LookwhyError


def drawn(**settings):
    options = {"rows": 103, "batch_size": 10, "sampling": "shuffled", "seed": 1}
    return [batch.tolist() for batch in TrainBatches(**(options | settings))]


def test_shuffled_batches_hold_each_question_once():
    batches = drawn()
    assert sorted(sum(batches, [])) == list(range(103))
    assert {len(batch) for batch in batches} <= {9, 10}


def test_batches_with_replacement_are_full_and_repeat_questions():
    batches = drawn(sampling="with_replacement")
    assert {len(batch) for batch in batches} == {10}
    assert len(set(sum(batches, []))) < 110


def test_an_epoch_with_replacement_is_as_many_steps_as_asked_for():
    batches = drawn(sampling="with_replacement", steps=25)
    assert [len(batch) for batch in batches] == [10] * 25
    shares = [drawn(sampling="with_replacement", steps=25, rank=rank, world_size=2) for rank in range(2)]
    assert [[len(batch) for batch in share] for share in shares] == [[10] * 25] * 2
    assert shares[0] != shares[1]


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


@pytest.mark.parametrize("world", [2, 3, 8])
def test_ranks_share_the_questions_and_take_the_same_number_of_steps(world):
    shares = [drawn(rank=rank, world_size=world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(sum((sum(share, []) for share in shares), [])) == list(range(103))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_each_validation_question_is_seen_once_over_all_ranks(world):
    seen = [
        row
        for rank in range(world)
        for batch in EvaluationBatches(21, 4, rank, world)
        for row in batch.tolist()
    ]
    assert sorted(seen) == list(range(21))


def test_a_rank_without_any_question_gets_no_batch():
    assert list(EvaluationBatches(2, 4, rank=3, world_size=8)) == []


def test_a_batch_is_padded_no_further_than_its_longest_question(tiny_world):
    data = make_data(tiny_world)
    data.setup()
    batch = data.datasets["train"][torch.arange(5)]
    assert batch.tokens.shape[1] == int(batch.lengths.max())
    assert ((batch.tokens > 0).sum(1) == batch.lengths).all()
    assert batch.features.shape == (5, *data.feature_shape)


def test_pixels_and_stored_features_belong_together(tiny_world):
    from lookwhy.models.tower import tower_from_description

    data = make_data(tiny_world)
    data.setup()
    tower = tower_from_description(data.describe()["tower"], data.folder)
    for batch in data.image_batches(np.arange(8), tower.recipe):
        assert len(set(batch.image_ids.tolist())) == 1
        torch.testing.assert_close(tower(batch.images), batch.features, rtol=1e-4, atol=1e-4)
