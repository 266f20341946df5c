"""SAN against a forward pass written in NumPy from the equations of the paper."""

import h5py
import numpy as np
import pytest
import test_deeper_lstm as deeper_lstm
import test_mcan as mcan
import torch
from official_files import copy_prepared
from test_deeper_lstm import QUESTIONS, linear, numpy_lstm, padded
from tiny_runs import make_data, make_trainer

from lookwhy.errors import LookwhyError
from lookwhy.models import SAN, VQASystem

SIZES = {"vocab_size": 11, "num_answers": 7, "image_dim": 5 * 4, "regions": 4, "embedding_size": 5}
SIZES |= {"hidden_size": 6, "attention_size": 3}


def make(**settings):
    torch.manual_seed(0)
    head = SAN(**(SIZES | settings)).double().eval()
    for parameter in head.parameters():  # larger than at the start, so that attention is not flat
        parameter.data.mul_(15)
    return head


def inputs():
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(len(QUESTIONS), 5, 2, 2, dtype=torch.float64, generator=generator)
    return features, *padded(QUESTIONS)


def numpy_forward(state, grid, words):
    """One question."""
    parts = (linear(state, "lstm", f"_{part}_l0") for part in ("ih", "hh"))
    _, (_, h) = numpy_lstm([state["word_table.weight"][word - 1] for word in words], *parts, 6)
    look = linear(state, "project_image")
    regions = [np.tanh(look(f / np.sqrt((f**2).sum()))) for f in grid.reshape(5, 4).T]
    u, attention = h, []
    for hop in range(2):
        question = linear(state, f"score_question.{hop}")(u)
        met = [np.tanh(state[f"score_region.{hop}.weight"] @ region + question) for region in regions]
        scores = np.array(met) @ state[f"score.{hop}.weight"][0]
        weights = np.exp(scores - scores.max())
        attention.append(weights / weights.sum())
        u = u + sum(weight * region for weight, region in zip(attention[-1], regions, strict=True))
    return linear(state, "classify")(u), np.array(attention)


def test_logits_and_attention_equal_an_independent_forward_pass():
    head = make()
    features, tokens, lengths = inputs()
    state = {name: value.numpy() for name, value in head.state_dict().items()}
    logits = head(features, tokens, lengths).detach().numpy()
    attention = head.attend(head.look(features), head.read(head.embed(tokens), lengths)).detach().numpy()
    both = (numpy_forward(state, features[i].numpy(), words) for i, words in enumerate(QUESTIONS))
    expected, attended = zip(*both, strict=True)
    np.testing.assert_allclose(logits, expected, atol=1e-12)
    np.testing.assert_allclose(attention, attended, atol=1e-12)
    assert attention.std(axis=2).max() > 0.05


def test_features_without_a_grid_and_heads_without_a_hop_are_refused_in_one_line():
    with pytest.raises(LookwhyError, match="found 4097 features for 49 regions; set") as error:
        SAN(vocab_size=3, num_answers=2, image_dim=4097, regions=49)
    assert "\n" not in str(error.value)
    with pytest.raises(LookwhyError, match="hops of at least 1, found 0"):
        make(hops=0)


def test_a_grid_of_another_number_of_regions_is_refused_before_training(tiny_world, tmp_path):
    copy_prepared(tiny_world, tmp_path)
    with h5py.File(tmp_path / "data_img.h5", "a") as file:
        for split in ("images_train", "images_test"):
            rows = file.pop(split)[:]
            file[split] = rows.reshape(len(rows), -1, 3, 3)  # the tiny world's own grid
    data = make_data(tmp_path, annotator_maps=None)
    head = SAN(data.vocab_size, data.num_answers, data.image_dim, regions=27, embedding_size=4, hidden_size=4)
    with pytest.raises(LookwhyError, match=r"expected 9 regions for features of \d+ x 3 x 3, found 27; set"):
        make_trainer(tmp_path, 1, []).fit(VQASystem(head), data)


@pytest.fixture(params=["DeeperLSTM", "SAN", "MCAN"])
def kind(request):
    """A function that makes a head, and a batch for it."""
    if request.param != "DeeperLSTM":
        return {"SAN": (make, inputs()), "MCAN": (mcan.make, mcan.inputs())}[request.param]
    features, tokens, lengths = deeper_lstm.inputs()
    return deeper_lstm.make, (features.view(-1, 3, 3, 1), tokens, lengths)


def test_heads_flatten_grids_never_read_padding_and_are_built_again_from_their_settings(kind):
    make, (features, tokens, lengths) = kind
    head = make()
    expected = head(features, tokens, lengths)
    assert torch.equal(head(features.flatten(1), tokens, lengths), expected)
    longer = torch.nn.functional.pad(tokens, (0, 4), value=8)
    # Attention adds up more zeros then, in another order.
    torch.testing.assert_close(head(features, longer, lengths), expected, rtol=0, atol=1e-13)
    for row, length in enumerate(lengths):
        alone = head(features[row, None], tokens[row, None, :length], length[None])[0]
        torch.testing.assert_close(alone, expected[row], rtol=0, atol=1e-13)
    again = type(head)(**head.settings).double().eval()
    again.load_state_dict(head.state_dict())
    assert torch.equal(again(features, tokens, lengths), expected)


def test_question_only_heads_ignore_the_image(kind):
    make, (features, tokens, lengths) = kind
    head = make(use_image=False)
    assert torch.equal(head(features, tokens, lengths), head(torch.rand_like(features), tokens, lengths))
