"""Incremental occlusion, against the plain forward passes of every occluded image."""

from functools import cache, partial

import pytest
import torch
import torchvision
from known_models import draw
from networks import Residual, nested_with_linear_tail, ready, vgg_like
from torch import nn

from lookwhy.towers import devices, incremental, winograd
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.incremental import IncrementalOcclusion, occluded_images, plain_occlusion
from lookwhy.towers.windows import Stage, cell_edges

FILL = torch.tensor([0.7, -1.2, 0.4], dtype=torch.float64)
NETS = {
    "VGG": vgg_like,
    "nested with linear tail": nested_with_linear_tail,
    "spatial mean": lambda: nn.Sequential(*vgg_like(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    # No ReLU beside the padded pooling: it would hide a margin of zeros.
    "strides and odd pools": lambda: nn.Sequential(
        nn.Conv2d(3, 4, (5, 3), stride=(2, 1), padding=(2, 0)), nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(4, 5, 4, stride=3, padding=2), nn.MaxPool2d((2, 3), stride=1), nn.ReLU(),
    ),
    "strides longer than kernels": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 2, stride=3), nn.ReLU(), nn.MaxPool2d(1, stride=2), nn.Conv2d(4, 4, 1, padding=1)
    ),
    "averages and batch norm": lambda: nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
        nn.AvgPool2d(3, 2, padding=1), nn.Conv2d(4, 4, 3, padding=2), nn.Dropout(0.5), nn.AvgPool2d(2),
    ),
    "groups and holes": lambda: nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(3, 6, 3, padding=4, dilation=(2, 3), groups=3),
        nn.MaxPool2d(2, 1, dilation=2), nn.Identity(), nn.Conv2d(6, 4, 3, groups=2),
    ),
}  # fmt: skip


image_of = partial(draw, 3, seed=1)
assert_same = partial(torch.testing.assert_close, atol=1e-10, rtol=0)


@pytest.fixture(params=["crops", "differences", "uniform windows"])
def way(request, monkeypatch):
    """Each of the ways that channels, device and size of the network choose between."""
    monkeypatch.setattr(incremental, "SMALL", 0)
    monkeypatch.setattr(winograd, "FEWEST_CHANNELS", 1 if request.param == "differences" else 1000)
    monkeypatch.setattr(devices, "launches_are_dear", lambda device: request.param == "uniform windows")
    return request.param


@pytest.mark.parametrize(("limit", "is_small"), [(110_592, False), (110_593, True)])
def test_below_a_number_of_multiplications_all_windows_have_one_size(limit, is_small, monkeypatch):
    uniform, taken = IncrementalOcclusion._uniform, []
    monkeypatch.setattr(IncrementalOcclusion, "_uniform", lambda *on: taken.append(1) or uniform(*on))
    monkeypatch.setattr(incremental, "SMALL", limit)
    # 32 * 32 places, 4 channels, 3 * 9 weights each: 110,592 multiplications.
    network = ready(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()))
    occlusion, image = IncrementalOcclusion(network, 8, FILL), image_of(32, 32)
    for _ in range(2):
        assert_same(occlusion(image), plain_occlusion(network, image, 8, FILL))
    assert len(taken) == 2 * is_small
    occlusion(image_of(64, 32))  # another size counts anew
    assert len(taken) == 2 * is_small


@cache
def reference(name, size, grid):
    return plain_occlusion(ready(NETS[name]), image_of(*size), grid, FILL)


@pytest.mark.parametrize("dense_from", [0.0, 0.8, 2.0], ids=["whole maps", "default", "windows only"])
@pytest.mark.parametrize("size", [(32, 32), (37, 29)], ids=str)
@pytest.mark.parametrize("name", NETS)
def test_equals_running_every_occluded_image(name, size, dense_from, way, monkeypatch):
    monkeypatch.setattr(incremental, "DENSE_FROM", dense_from)
    net, image = ready(NETS[name]), image_of(*size)
    for grid in (4, 7):
        occlude = IncrementalOcclusion(net, grid, FILL)
        assert occlude.incremental, occlude.why_not
        assert_same(occlude(image), reference(name, size, grid))


@pytest.fixture
def runs(monkeypatch):
    """Input and output of every stage that runs."""
    found, run = [], Stage.run

    def recorded(stage, maps, first=0):
        found.append((maps, run(stage, maps, first)))
        return found[-1][1]

    monkeypatch.setattr(Stage, "run", recorded)
    return found


def test_small_cells_are_computed_in_small_windows(runs):
    net, image = ready(lambda: nn.Sequential(*vgg_like(), nn.Flatten())), image_of(64, 64)
    assert_same(IncrementalOcclusion(net, 8)(image), plain_occlusion(net, image, 8, None))
    assert sum(maps[..., 0].numel() for maps, _ in runs) < 0.4 * 64 * (64 * 64 * 2 + 64 * 64 + 32 * 32 * 2)


def test_batches_take_no_more_than_the_memory_given(runs):
    IncrementalOcclusion(ready(vgg_like), 8, memory=200_000)(image_of(64, 64))
    sizes = [(len(maps), 8 * (maps.numel() + output.numel())) for maps, output in runs]
    assert max(size for count, size in sizes if count > 1) <= 200_000
    assert max(count for count, _ in sizes) > 4


def test_empty_cells_and_cells_of_the_fill_colour_give_the_clean_features(way):
    net, image = ready(vgg_like), image_of(8, 12)
    features = IncrementalOcclusion(net, 10, FILL)(image)
    assert_same(features, plain_occlusion(net, image, 10, FILL))
    empty = next(i for i in range(10) if len(set(cell_edges(8, 10)[i : i + 2])) == 1)
    assert_same(features[10 * empty], net(image[None])[0].detach())
    net, image = ready(nested_with_linear_tail), image_of(32, 32)
    image[:, 8:16, 16:24] = FILL[:, None, None]
    features, clean = IncrementalOcclusion(net, 4, FILL)(image), net(image[None])[0].detach()
    assert_same(features[1 * 4 + 2], clean)
    assert (features - clean).abs().amax(1).gt(1e-6).sum() == 15


@pytest.mark.parametrize("name", ["VGG", "nested with linear tail", "averages and batch norm"])
def test_little_memory_gives_the_same_numbers_and_single_precision_the_usual_errors(name, way):
    net, image = ready(NETS[name]), image_of(24, 24)
    expected = IncrementalOcclusion(net, 6, FILL)(image)
    for memory in (1, 100_000):
        assert_same(IncrementalOcclusion(net, 6, FILL, memory=memory)(image), expected)
    single = IncrementalOcclusion(net.float(), 6, FILL)(image.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, atol=1e-5, rtol=0)


class Doubler(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


HOOKED = nn.Conv2d(3, 4, 3)
HOOKED.register_forward_hook(lambda module, args, output: output * 2)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([Residual()], "Residual is not"),
        ([nn.Conv2d(3, 4, 3), nn.GELU()], "GELU is not"),
        ([Doubler(3, 4, 3)], "Doubler is not"),
        ([nn.MaxPool2d(3, 2, ceil_mode=True)], "MaxPool2d has ceil_mode"),
        ([nn.Conv2d(3, 4, 3, padding="same")], "Conv2d has padding by name"),
        ([nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")], "other than zeros"),
        ([nn.AvgPool2d(3, 2, 1, count_include_pad=False)], "means that leave padding out"),
        ([nn.BatchNorm2d(3, track_running_stats=False)], "no running statistics"),
        ([HOOKED, nn.ReLU()], "Conv2d has hooks"),
    ],
)
def test_a_network_not_understood_is_run_plainly_and_says_why(layers, reason, caplog):
    net, image = ready(lambda: nn.Sequential(*layers)), image_of(17, 18)
    occlude = IncrementalOcclusion(net, 3, FILL)
    assert caplog.messages[0].startswith("occlusion runs the whole network for each cell: ")
    assert [reason in said for said in caplog.messages] == [True]
    assert not occlude.incremental
    assert reason in occlude.why_not
    assert BackwardPass(net).why_not == occlude.why_not
    assert_same(occlude(image), plain_occlusion(net, image, 3, FILL))


def test_batch_norm_in_training_mode_is_run_plainly():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    assert IncrementalOcclusion(net).why_not == "BatchNorm2d has training mode on"
    assert IncrementalOcclusion(net.eval()).why_not == ""


def test_network_image_and_gradients_are_left_as_they_were(way):
    net, image = ready(NETS["averages and batch norm"]), image_of(24, 24)
    net[4].train()  # a flag that changes no number

    def state():
        tensors = [value.tolist() for value in (*net.state_dict().values(), image)]
        return tensors, [module.training for module in net.modules()], repr(net)

    before = state()
    assert not IncrementalOcclusion(net, 4, FILL)(image).requires_grad
    assert state() == before
    assert all(parameter.requires_grad and parameter.grad is None for parameter in net.parameters())


def test_weights_changed_later_are_used(way):
    net, image = ready(vgg_like), image_of(16, 16)
    occlude = IncrementalOcclusion(net, 4)
    occlude(image)
    net[0].weight.data.mul_(1.5)
    net[5].weight = nn.Parameter(torch.ones_like(net[5].weight))
    # Without a fill, cells are zeros; another grid and colour share what can be shared.
    assert_same(occlude(image), plain_occlusion(net, image, 4, torch.zeros(3)))
    assert_same(occlude.on(5, FILL)(image), plain_occlusion(net, image, 5, FILL))
    assert_same(occlude(image), plain_occlusion(net, image, 4, None))


@pytest.mark.parametrize(
    ("length", "edges"),
    # Halves are rounded to the even number.
    [(224, list(range(0, 225, 14))), (64, list(range(0, 65, 4))), (10, [0, 3, 7, 10]), (5, [0, 2, 5]),
     (10, [0, 2, 5, 8, 10]), (17, [0, 3, 7, 10, 14, 17])],
)  # fmt: skip
def test_cells_have_rounded_edges_tile_the_image_and_are_painted_row_by_row(length, edges):
    grid = len(edges) - 1
    assert cell_edges(length, grid) == edges
    images = occluded_images(torch.ones(3, length, length), grid, torch.zeros(3), slice(0, grid * grid))
    assert torch.equal((1 - images).sum(0), torch.ones(3, length, length))
    image = torch.arange(3 * 4 * 6, dtype=torch.float64).view(3, 4, 6)
    upper_right, lower_left = image.clone(), image.clone()
    upper_right[:, :2, 3:] = lower_left[:, 2:, :3] = FILL[:, None, None]
    assert torch.equal(occluded_images(image, 2, FILL, slice(1, 3)), torch.stack([upper_right, lower_left]))


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg11_bn", "vgg13", "vgg16_bn", "vgg19"])
def test_the_networks_of_torchvision_are_recomputed_in_windows_exactly(name):
    with torch.device("meta"):  # no time for the weights of the classifier
        network = getattr(torchvision.models, name)(weights=None)
    net = ready(lambda: nn.Sequential(network.features, network.avgpool, nn.Flatten()))
    image = image_of(*((64, 64) if name == "alexnet" else (48, 48)))
    occlude = IncrementalOcclusion(net, 3, FILL)
    assert occlude.incremental, occlude.why_not
    expected = plain_occlusion(net, image, 3, FILL)
    torch.testing.assert_close(occlude(image), expected, atol=1e-10 * float(expected.abs().max()), rtol=0)
