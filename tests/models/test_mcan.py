"""MCAN against a forward pass written in NumPy from the equations of the paper."""

import numpy as np
import pytest
import torch
from test_deeper_lstm import QUESTIONS, linear, numpy_lstm, padded

from lookwhy.errors import LookwhyError
from lookwhy.models import MCAN

SIZES = {"vocab_size": 11, "num_answers": 7, "image_dim": 5 * 4, "regions": 4, "embedding_size": 5}
SIZES |= {"hidden_size": 6, "heads": 3, "feed_forward_size": 8, "common_size": 9}


def make(**settings):
    torch.manual_seed(0)
    head = MCAN(**(SIZES | settings)).double().eval()
    for parameter in head.parameters():  # scales and biases that are not 1 and 0
        parameter.data.add_(0.4 * torch.randn_like(parameter))
    return head


def inputs():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(len(QUESTIONS), 5, 2, 2, dtype=torch.float64, generator=generator)
    return features, *padded(QUESTIONS)


def softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def layer_norm(state, name, x):
    centred = x - x.mean(1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def attend(state, name, x, y):
    """Multi-head attention of each row of x to the rows of y."""
    weights = np.split(state[f"{name}.in_proj_weight"], 3)
    biases = np.split(state[f"{name}.in_proj_bias"], 3)
    q, k, v = (rows @ w.T + b for rows, w, b in zip((x, y, y), weights, biases, strict=True))
    seen = np.zeros_like(q)
    for one in np.split(np.arange(6), 3):  # the columns of a head
        for row in range(len(x)):
            seen[row, one] = softmax(k[:, one] @ q[row, one] / np.sqrt(2)) @ v[:, one]
    return seen @ state[f"{name}.out_proj.weight"].T + state[f"{name}.out_proj.bias"]


def two_layers(state, first, second, x):
    first, second = linear(state, first), linear(state, second)
    return np.array([second(np.maximum(first(row), 0)) for row in x])


def encode(state, name, x, y=None):
    """A layer of self attention, of guided attention if there is a y, and of two linear layers."""
    steps = [lambda x: attend(state, f"{name}.self_attn", x, x)]
    if y is not None:
        steps.append(lambda x: attend(state, f"{name}.multihead_attn", x, y))
    steps.append(lambda x: two_layers(state, f"{name}.linear1", f"{name}.linear2", x))
    for number, step in enumerate(steps, 1):
        x = layer_norm(state, f"{name}.norm{number}", x + step(x))
    return x


def numpy_forward(state, grid, words):
    """Logits and weights of the regions, of one question."""
    parts = (linear(state, "lstm", f"_{part}_l0") for part in ("ih", "hh"))
    y = np.array(numpy_lstm([state["word_table.weight"][word - 1] for word in words], *parts, 6)[0])
    look = linear(state, "project_image")
    x = np.array([look(f / np.sqrt((f**2).sum())) for f in grid.reshape(5, 4).T])
    for layer in range(2):
        y = encode(state, f"encoder.{layer}", y)
    for layer in range(2):
        x = encode(state, f"decoder.{layer}", x, y)
    of_words = softmax(two_layers(state, "score_word.0", "score_word.3", y)[:, 0])
    of_regions = softmax(two_layers(state, "score_region.0", "score_region.3", x)[:, 0])
    merged = linear(state, "merge_image")(of_regions @ x) + linear(state, "merge_question")(of_words @ y)
    return linear(state, "classify")(layer_norm(state, "norm", merged[None])[0]), of_regions


def test_logits_and_attention_equal_an_independent_forward_pass():
    head = make()
    features, tokens, lengths = inputs()
    state = {name: value.numpy() for name, value in head.state_dict().items()}
    expected, attended = zip(
        *(numpy_forward(state, features[i].numpy(), words) for i, words in enumerate(QUESTIONS)), strict=True
    )
    logits = head(features, tokens, lengths).detach().numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-12)
    with torch.no_grad():  # PyTorch has a path of its own without gradients
        np.testing.assert_allclose(head(features, tokens, lengths).numpy(), expected, atol=1e-12)
        attention = head.attend(head.look(features), head.read(head.embed(tokens), lengths)).numpy()
    np.testing.assert_allclose(attention[:, 0], attended, atol=1e-12)
    assert np.std(attended, axis=1).max() > 0.01


def test_every_relu_is_a_module_whose_backward_pass_a_method_can_change():
    head, called = make(), []
    for module in head.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda *_: called.append(1))
    head(*inputs())
    assert len(called) == 2 * 2 + 2  # encoder and decoder of two layers, and two scores


def test_padding_gets_no_gradient_and_words_and_regions_get_one():
    head = make(dropout=0.5).train()
    features, tokens, lengths = inputs()
    embedded = head.embed(torch.nn.functional.pad(tokens, (0, 4), value=8)).detach().requires_grad_()
    leaf = features.clone().requires_grad_()
    head.answer(head.look(leaf), head.read(embedded, lengths)).pow(2).sum().backward()
    is_word = torch.arange(embedded.shape[1]) < lengths[:, None]
    assert not embedded.grad[~is_word].any()
    assert embedded.grad[is_word].abs().sum(1).min() > 0
    assert leaf.grad.isfinite().all()
    assert leaf.grad.abs().sum((1, 2, 3)).min() > 0
    others = [weights for weights in head.parameters() if weights is not head.word_table.weight]
    assert all(weights.grad.isfinite().all() for weights in others)


def test_pooled_features_are_one_region():
    head = make(image_dim=5, regions=1)
    features, tokens, lengths = inputs()
    pooled = features.mean((2, 3))
    assert torch.equal(head(pooled, tokens, lengths), head(pooled[..., None, None], tokens, lengths))
    weights = head.attend(head.look(pooled), head.read(head.embed(tokens), lengths))
    assert torch.equal(weights, torch.ones(len(QUESTIONS), 1, 1, dtype=torch.float64))
    with pytest.raises(LookwhyError, match="expected 4 regions for features of 5 x 2 x 2, found 1; set"):
        head.check_features((5, 2, 2))


def test_sizes_that_do_not_fit_are_refused_in_one_line():
    with pytest.raises(LookwhyError, match="hidden_size to be a multiple of heads, found 6 and 4; change"):
        make(heads=4)
    with pytest.raises(LookwhyError, match="layers of at least 1, found 0"):
        make(layers=0)
    with pytest.raises(LookwhyError, match="found 21 features for 4 regions; set"):
        make(image_dim=21)
