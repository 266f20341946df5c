"""Methods built from gradients, against Captum in float64 and against what is known about them."""

from dataclasses import replace

import captum.attr
import pytest
import torch
from known_models import OnlyScores, make_batch
from pipelines import TARGET
from torch import nn
from torch.nn import functional as F

from lookwhy.attribution import (
    GradCAM,
    Gradient,
    GradientTimesInput,
    GuidedBackprop,
    GuidedGradCAM,
    IntegratedGradients,
    SmoothGrad,
    WordGradientTimesInput,
    WordIntegratedGradients,
)
from lookwhy.attribution.gradient import magnitudes
from lookwhy.errors import LookwhyError
from lookwhy.models import MCAN, SAN, DeeperLSTM, Pipeline
from lookwhy.towers import Memory, Tower
from lookwhy.towers.windows import sums_over_cells

PIXEL_METHODS = [
    GradientTimesInput(grid=4), IntegratedGradients(grid=4, steps=3), SmoothGrad(grid=4, samples=2),
    GradCAM(grid=4), GuidedGradCAM(grid=4),
]  # fmt: skip
WORD_METHODS = [WordGradientTimesInput(), WordIntegratedGradients(steps=3)]


class OneQuestion(nn.Module):
    """The model as a function of the pixels alone, as Captum wants it."""

    def __init__(self, model, batch, row, explains="probability"):
        super().__init__()
        self.model, self.row, self.explains = model, row, explains
        self.tokens = batch.tokens[row : row + 1, : batch.lengths[row]]

    def forward(self, images):
        lengths = torch.full((len(images),), self.tokens.shape[1])
        logits = self.model(images, self.tokens.expand(len(images), -1), lengths)
        return logits.softmax(1) if self.explains == "probability" else logits


@pytest.fixture
def in_double(monkeypatch):
    """Maps stay in double precision."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def cells_of(values, grid=4):
    side = values.shape[-1] // grid
    return values.unflatten(-2, (grid, side)).unflatten(-1, (grid, side))


@pytest.mark.parametrize("explains", ["probability", "logit"])
def test_signed_methods_are_captums_summed_over_the_channels_and_pixels_of_a_cell(
    small_pipeline, small_batch, explains, in_double
):
    path = IntegratedGradients(grid=4, steps=8, explains=explains)
    product = GradientTimesInput(grid=4, explains=explains)
    found = [method(small_pipeline, small_batch, TARGET) for method in (path, product)]
    assert all(maps.signed and maps.values.abs().max() > 1e-4 for maps in found)
    for row, answer in enumerate(TARGET.tolist()):
        model, image = OneQuestion(small_pipeline, small_batch, row, explains), small_batch.images[row, None]
        integrated = captum.attr.IntegratedGradients(model).attribute(
            image,
            target=answer,
            n_steps=8,
            method="riemann_middle",  # 8: Captum rounds the steps to single precision
        )
        times = captum.attr.InputXGradient(model).attribute(image.clone().requires_grad_(), target=answer)
        for maps, expected in zip(found, (integrated, times), strict=True):
            summed = cells_of(expected.detach()[0].sum(0)).sum((1, 3))
            torch.testing.assert_close(maps.values[row], summed, atol=1e-10, rtol=0)


def test_integrated_gradients_are_complete(small_pipeline, small_batch):
    maps = IntegratedGradients(grid=3, steps=200)(small_pipeline, small_batch, TARGET)
    gray = torch.zeros_like(small_batch.images)
    with torch.no_grad():
        rows = range(len(TARGET)), TARGET
        asked = small_batch.tokens, small_batch.lengths
        gain = small_pipeline(small_batch.images, *asked).softmax(1)[rows]
        gain -= small_pipeline(gray, *asked).softmax(1)[rows]
    assert gain.abs().max() > 0.02
    torch.testing.assert_close(maps.values.sum((1, 2)), gain.float(), atol=5e-4, rtol=0)


def test_integrated_gradients_of_the_words_are_complete_and_padding_has_none(small_pipeline, small_batch):
    maps = WordIntegratedGradients(steps=300)(small_pipeline, small_batch, TARGET)
    head, rows = small_pipeline.head, (range(len(TARGET)), TARGET)
    with torch.no_grad():
        view, embedded = (
            head.look(small_pipeline.features(small_batch.images)),
            head.embed(small_batch.tokens),
        )
        given, nothing = (
            head.answer(view, head.read(words, small_batch.lengths)).softmax(1)[rows]
            for words in (embedded, torch.zeros_like(embedded))
        )
    assert (given - nothing).abs().max() > 2e-3
    torch.testing.assert_close(maps.values.sum(1), (given - nothing).float(), atol=1e-5, rtol=0)
    assert maps.valid.sum(1).tolist() == small_batch.lengths.tolist()
    assert not maps.values[~maps.valid].any()


def test_the_gradient_of_a_word_times_its_embedding_is_the_slope_of_its_length(small_pipeline, small_batch):
    found = WordGradientTimesInput()(small_pipeline, small_batch, TARGET)
    head = small_pipeline.head
    view, embedded = head.look(small_pipeline.features(small_batch.images)), head.embed(small_batch.tokens)

    def score(row, place, factor):
        longer = embedded.clone()
        longer[row, place] *= factor
        return head.answer(view, head.read(longer, small_batch.lengths)).softmax(1)[row, TARGET[row]]

    with torch.no_grad():
        for row, place in ((0, 0), (0, 3), (1, 1), (2, 0)):
            slope = (score(row, place, 1 + 1e-6) - score(row, place, 1 - 1e-6)) / 2e-6
            assert float(found.values[row, place]) == pytest.approx(float(slope), abs=1e-7)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
@pytest.mark.parametrize("explains", ["probability", "logit"])
def test_grad_cam_is_captums(small_pipeline, small_batch, explains, in_double):
    found = GradCAM(grid=4, explains=explains)(small_pipeline, small_batch, TARGET)
    guided = GuidedGradCAM(grid=4, explains=explains)(small_pipeline, small_batch, TARGET)
    assert not found.signed
    layer = small_pipeline.tower.network[4]  # the last ReLU: maps of 8x8
    for row, answer in enumerate(TARGET.tolist()):
        model, image = OneQuestion(small_pipeline, small_batch, row, explains), small_batch.images[row, None]
        cam = captum.attr.LayerGradCam(model, layer).attribute(
            image, target=answer, relu_attributions=True, attr_dim_summation=True
        )
        expected = F.interpolate(cam.detach(), 4, mode="bilinear", align_corners=False)[0, 0]
        torch.testing.assert_close(found.values[row], expected, atol=1e-10, rtol=0)
        by_hand = captum.attr.GuidedGradCam(model, layer)
        pixels = by_hand.attribute(image.clone().requires_grad_(), target=answer, interpolate_mode="bilinear")
        expected = cells_of(pixels.detach()[0].abs().amax(0)).mean((1, 3))
        torch.testing.assert_close(guided.values[row], expected, atol=1e-10, rtol=0)
    assert found.values.max() > 0


@pytest.mark.parametrize("kind", [SAN, MCAN])
def test_grad_cam_of_a_head_on_a_grid_takes_the_features_and_no_image_network(kind):
    torch.manual_seed(0)
    head = kind(9, 5, 6 * 9, regions=9, embedding_size=6, hidden_size=4).double().eval()
    model = Pipeline(nn.Identity(), head)  # cannot be cut
    batch = replace(make_batch(torch.zeros(2, 3, 4, 4), ((1, 2), (3,))), images=None)
    batch.features = torch.rand(2, 6, 3, 3, dtype=torch.float64)
    target = torch.tensor([1, 2])
    found = GradCAM(grid=3)(model, batch, target).values
    leaf = batch.features.clone().requires_grad_()
    head(leaf, batch.tokens, batch.lengths)[range(2), target].sum().backward()
    alpha = leaf.grad.mean((2, 3), keepdim=True)
    torch.testing.assert_close(found, (alpha * batch.features).sum(1).clamp(min=0).float())


def test_smooth_grad_is_the_magnitude_of_the_mean_gradient_of_its_noisy_images(small_pipeline, small_batch):
    method = SmoothGrad(grid=4, samples=3, noise=0.2)
    total = torch.zeros_like(small_batch.images)
    draws = {i: torch.Generator().manual_seed(method._seed(small_batch.images[i])) for i in (0, 2)}
    for _ in range(3):
        noise = {i: torch.randn(3, 16, 16, generator=draw) for i, draw in draws.items()}
        images = small_batch.images.clone()
        for row, first in ((0, 0), (1, 0), (2, 2)):
            spread = 0.2 * (small_batch.images[row].max() - small_batch.images[row].min())
            images[row] += spread * noise[first].double()
        total += Gradient().pixel_gradients(small_pipeline, replace(small_batch, images=images), TARGET)
    found = method(small_pipeline, small_batch, TARGET).values
    torch.testing.assert_close(found, magnitudes(total / 3, 4).float())
    without = SmoothGrad(grid=4, samples=2, noise=0.0)(small_pipeline, small_batch, TARGET).values
    torch.testing.assert_close(without, Gradient(grid=4)(small_pipeline, small_batch, TARGET).values)


def test_the_noise_depends_on_the_image_and_the_seed_alone(small_pipeline, small_batch):
    method, other = SmoothGrad(grid=4, samples=2), SmoothGrad(grid=4, samples=2, seed=1)
    first = method(small_pipeline, small_batch, TARGET).values
    torch.manual_seed(99)
    turned = torch.tensor([2, 0, 1])
    again = replace(
        small_batch,
        **{name: getattr(small_batch, name)[turned] for name in ("images", "tokens", "lengths", "image_ids")},
    )
    torch.testing.assert_close(method(small_pipeline, again, TARGET[turned]).values, first[turned])
    assert not torch.allclose(other(small_pipeline, small_batch, TARGET).values, first)


@pytest.mark.parametrize("method", [*PIXEL_METHODS, *WORD_METHODS], ids=lambda method: type(method).__name__)
def test_a_black_box_is_refused_and_a_model_stays_as_it_was(method, small_pipeline, small_batch):
    with pytest.raises(LookwhyError, match="found OnlyScores"):
        method(OnlyScores(small_pipeline), small_batch, TARGET)
    weights = {name: value.clone() for name, value in small_pipeline.state_dict().items()}
    images = small_batch.images.clone()
    maps = method(small_pipeline, small_batch, TARGET)
    assert maps.values.isfinite().all()
    assert maps.method == method.name
    assert torch.equal(small_batch.images, images)
    assert all(torch.equal(value, weights[name]) for name, value in small_pipeline.state_dict().items())
    assert all(parameter.grad is None for parameter in small_pipeline.parameters())


def test_a_network_without_maps_of_a_relu_is_refused_by_grad_cam(small_batch):
    head = DeeperLSTM(9, 5, 3 * 16 * 16, 4, 4).double()
    with pytest.raises(
        LookwhyError, match=r"expected an image network that is an nn\.Sequential with an nn\.ReLU"
    ):
        GradCAM(grid=4)(Pipeline(nn.Flatten(), head).eval(), small_batch, TARGET)


def test_only_what_depends_on_the_image_alone_is_stored(small_pipeline, small_batch, tmp_path):
    model = Pipeline(Tower(small_pipeline.tower.network, memory=Memory(tmp_path)), small_pipeline.head)
    for method in (IntegratedGradients(grid=4, steps=3), SmoothGrad(grid=4, samples=3)):
        method(model, small_batch, TARGET)
    assert not list(tmp_path.rglob("*.npz"))
    first = GradCAM(grid=4)(model, small_batch, TARGET).values
    assert len(list(tmp_path.rglob("*.npz"))) == 2  # two images
    torch.testing.assert_close(GradCAM(grid=4)(model, small_batch, TARGET).values, first, atol=0, rtol=0)
    GuidedBackprop(grid=4)(model, small_batch, TARGET)
    assert len(list(tmp_path.rglob("*.npz"))) == 4


@pytest.mark.parametrize("grid", [3, 4, 5, 16])
def test_each_pixel_counts_once_also_in_cells_of_unequal_size(grid):
    values = torch.rand(2, 16, 13, dtype=torch.float64)
    cells = sums_over_cells(values, grid)
    torch.testing.assert_close(cells.sum((1, 2)), values.sum((1, 2)))
    edges = [round(16 / grid * i) for i in range(grid + 1)], [round(13 / grid * i) for i in range(grid + 1)]
    first = values[1, edges[0][1] : edges[0][2], edges[1][0] : edges[1][1]].sum()
    torch.testing.assert_close(cells[1, 1, 0], first)
