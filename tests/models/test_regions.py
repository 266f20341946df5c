"""Images with unequal numbers of regions: padding is as if it were not there."""

import pytest
import torch
from test_deeper_lstm import QUESTIONS, padded

from lookwhy.models import MCAN, SAN

SIZES = {
    SAN: {"embedding_size": 5, "hidden_size": 6, "attention_size": 3, "hops": 2},
    MCAN: {"embedding_size": 5, "hidden_size": 6, "heads": 3, "feed_forward_size": 8, "common_size": 9},
}


@pytest.fixture(params=[SAN, MCAN])
def heads(request):
    """Function from a number of regions to a head with the same weights."""

    def make(regions, **settings):
        torch.manual_seed(0)
        head = request.param(
            11, 7, 5 * regions, regions, mask_empty=True, **(SIZES[request.param] | settings)
        )
        for parameter in head.parameters():
            parameter.data.add_(torch.randn_like(parameter))
        return head.double().eval()

    return make


def three_regions():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(QUESTIONS), 5, 1, 3, dtype=torch.float64, generator=generator)


def with_padding(features, places, regions):
    found = features.new_zeros(*features.shape[:3], regions)
    found[..., places] = features
    return found


@pytest.mark.parametrize("places", [[0, 1, 2], [1, 3, 4]])
def test_a_padded_image_has_the_answers_and_the_attention_of_the_image_alone(heads, places):
    asked, alone = padded(QUESTIONS), three_regions()
    more = with_padding(alone, places, 6)
    small, large = heads(3), heads(6)
    for seen in (torch.no_grad(), torch.enable_grad()):  # other kernels of PyTorch
        with seen:
            torch.testing.assert_close(large(more, *asked), small(alone, *asked), rtol=0, atol=1e-12)
    with torch.no_grad():
        code = small.read(small.embed(asked[0]), asked[1])
        attention = large.attend(large.look(more), code)
        expected = small.attend(small.look(alone), code)
    torch.testing.assert_close(attention[..., places], expected, rtol=0, atol=1e-12)
    others = [place for place in range(6) if place not in places]
    assert (attention[..., others] == 0).all()


def test_padding_has_a_gradient_of_zero(heads):
    more = with_padding(three_regions(), [0, 2, 5], 6).requires_grad_()
    heads(6)(more, *padded(QUESTIONS)).square().sum().backward()
    assert (more.grad[..., [1, 3, 4]] == 0).all()
    assert (more.grad[..., [0, 2, 5]] != 0).any(1).all()


def test_an_image_without_any_region_is_answered_from_the_question_alone(heads):
    asked, head = padded(QUESTIONS), heads(3)
    nothing = torch.zeros(len(QUESTIONS), 5, 1, 3, dtype=torch.float64, requires_grad=True)
    logits = head(nothing, *asked)
    logits.sum().backward()
    assert nothing.grad.isfinite().all()
    with torch.no_grad():
        assert (head.attend(head.look(nothing), head.read(head.embed(asked[0]), asked[1])) == 0).all()
    if isinstance(head, SAN):
        blind = heads(3, use_image=False)
        torch.testing.assert_close(logits, blind(three_regions(), *asked), rtol=0, atol=1e-12)
    assert not torch.equal(logits, head(three_regions(), *asked))


def test_without_the_setting_a_region_of_zeros_counts(heads):
    asked = padded(QUESTIONS)
    masking, plain = heads(6), heads(6)
    plain.mask_empty = False
    more = with_padding(three_regions(), [0, 1, 2], 6)
    assert not torch.allclose(plain(more, *asked), masking(more, *asked))
