"""The model's own attention as a map."""

import numpy as np
import pytest
import torch
from tiny_runs import make_data

from lookwhy.attribution import Attention, GuidedBackprop, Occlusion, WordDrop, WordGradient, explaining
from lookwhy.errors import LookwhyError
from lookwhy.models import MCAN, SAN, Pipeline
from lookwhy.towers.image_tower import tower_from_description


@pytest.fixture(params=[SAN, MCAN])
def questions(tiny_world, request):
    """A head that attends on the tiny world's own tower, a batch of questions about one picture, and answers to explain."""
    data = make_data(tiny_world)
    data.setup()
    tower = tower_from_description(data.describe()["tower"], data.folder)
    torch.manual_seed(0)
    sizes = {"regions": 9, "embedding_size": 8, "hidden_size": 8}
    head = request.param(data.vocab_size, data.num_answers, data.image_dim, **sizes)
    for parameter in head.parameters():
        parameter.data.mul_(10)
    pictures = data.prepro.test.image_pos
    batch = next(iter(data.image_batches(np.flatnonzero(pictures == pictures[0]), tower.recipe)))
    return Pipeline(tower, head).eval(), batch, torch.zeros(len(batch), dtype=torch.int64)


def test_the_map_is_the_chosen_hops_attention_on_the_grid(questions):
    model, batch, target = questions
    with torch.no_grad():
        code = model.head.read(model.head.embed(batch.tokens), batch.lengths)
        attention = model.head.attend(model.head.look(batch.features), code)
    for method, hop in ((Attention(grid=3), -1), (Attention(grid=3, hop=0), 0)):
        maps = method(model, batch, target)
        torch.testing.assert_close(maps.values.flatten(1), attention[:, hop], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(maps.values.sum((1, 2)), torch.ones(len(batch)))
        assert not maps.signed
        assert "same for every answer" in maps.target


def test_a_head_without_that_hop_is_refused(questions):
    hops = 2 if isinstance(questions[0].head, SAN) else 1
    line = f"found {hops} hops over 9 regions; set `hop` between 0 and {hops - 1}"
    with pytest.raises(LookwhyError, match=line):
        Attention(hop=2)(*questions)


@pytest.mark.parametrize("method", [GuidedBackprop(), Occlusion(), WordGradient(), WordDrop()])
def test_every_other_method_explains_it_unchanged(questions, method):
    model, batch, _ = questions
    with explaining(model):
        target = model.answer_scores(batch.images, batch.tokens, batch.lengths).argmax(1)
        maps = method(model, batch, target)
    assert maps.values[maps.valid].abs().sum() > 0
    assert torch.isfinite(maps.values).all()
