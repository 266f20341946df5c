"""The backward pass from stored masks, against autograd through the whole network and against Captum."""

import captum.attr
import pytest
import torch
from known_models import draw
from networks import nested_with_linear_tail, ready
from test_incremental import NETS

from lookwhy.towers import backward, winograd
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.relu_rules import deconv, guided, plain, relu_rule


@pytest.mark.parametrize("fewest", [1, 1000], ids=["winograd", "direct"])
@pytest.mark.parametrize("rule", [plain, guided, deconv], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("at_once", [1, backward.AT_ONCE], ids=["one by one", "together"])
def test_equals_autograd_also_from_packed_masks(name, rule, fewest, at_once, monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", fewest)
    monkeypatch.setattr(backward, "AT_ONCE", at_once)
    net, image = ready(NETS[name]), draw(3, 37, 45, seed=1)
    back = BackwardPass(net)
    trace = back.forward(image[None])
    given = draw(3, *trace.features.shape[1:], seed=2)
    pixels = image.expand(3, -1, -1, -1).clone().requires_grad_()
    with relu_rule(net, rule):
        features = net(pixels)
        (expected,) = torch.autograd.grad(features, pixels, given)
    torch.testing.assert_close(trace.features, features[:1].detach(), atol=1e-12, rtol=0)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(back.backward(trace, given, rule, image), expected, atol=1e-10, rtol=0)
    again = BackwardPass(net)
    packed = trace.pack()
    found = again.backward(again.unpack(packed, image), given, rule, image)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    assert packed["active"].nbytes < sum(mask.numel() for mask in trace.active) / 8 + len(trace.active)
    assert packed["chosen"].dtype == "uint8"


def test_guided_backprop_is_captums():
    net, image = ready(nested_with_linear_tail), draw(3, 40, 32, seed=1)
    pixels, answer = image[None].clone().requires_grad_(), int(net(image[None]).argmax())
    with pytest.warns(UserWarning, match="backward hooks"):
        expected = captum.attr.GuidedBackprop(net).attribute(pixels, target=answer).detach()
    assert expected.abs().max() > 1e-3
    back, given = BackwardPass(net), torch.eye(9, dtype=torch.float64)[answer : answer + 1]
    found = back.backward(back.forward(image[None]), given, guided, image)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
