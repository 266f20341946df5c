"""Classification networks of torchvision as towers, up to a node that is named."""

import pytest
import torch
import torchvision
from known_models import make_batch

from lookwhy.attribution import GradCAM, Gradient, GuidedBackprop, Occlusion
from lookwhy.errors import LookwhyError
from lookwhy.models import SAN, DeeperLSTM, Pipeline
from lookwhy.towers.image_tower import build_tower, tower_from_description
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.towers.torchvision_nets import _on_a_grid, build_network

RECIPE = ImageRecipe("torchvision", 64, 64)


def make(arch, layer, folder, recipe=RECIPE):
    torch.manual_seed(0)
    network = torchvision.models.get_model(arch, weights=None).eval()
    torch.save(network.state_dict(), folder / "weights.pt")
    return network, build_tower(arch, layer, recipe, folder / "weights.pt")


def test_a_residual_network_up_to_its_last_maps_is_torchvisions_own(tmp_path):
    network, tower = make("resnet18", "layer4", tmp_path)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        expected = network.layer4(network.layer3(network.layer2(network.layer1(x))))
        torch.testing.assert_close(tower(images), expected)
        pooled = build_tower("resnet18", "layer4_mean", RECIPE, tmp_path / "weights.pt")
        torch.testing.assert_close(pooled(images), expected.mean((2, 3)))
    # Rebuilt from what a feature file and a checkpoint hold; another layer has another place in the memory.
    again = tower_from_description(tower.describe(), tmp_path)
    assert torch.equal(again(images), tower(images))
    assert again._fingerprint == tower._fingerprint != pooled._fingerprint


@pytest.mark.parametrize(
    ("arch", "layer", "shape"),
    [
        ("resnet18", "layer4", (512, 2, 2)),
        ("swin_t", "features", (768, 2, 2)),
        ("regnet_x_400mf", "trunk_output", (400, 2, 2)),
    ],
)
def test_maps_have_their_channels_first_and_their_places_where_the_picture_has_them(
    arch, layer, shape, tmp_path
):
    _, tower = make(arch, layer, tmp_path)
    images = torch.zeros(2, 3, 64, 64)
    images[1, :, 34:, :30] = 5.0
    with torch.no_grad():
        plain, changed = tower(images)
    assert plain.shape == shape
    moved = (changed - plain).abs().sum(0)
    assert int(moved.argmax()) == 2  # below, left


def test_tokens_lie_where_their_patches_lie():
    tokens = torch.arange(10.0)[None, :, None].expand(1, 10, 4)
    assert _on_a_grid(tokens)[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert _on_a_grid(tokens[:, 1:])[0, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    with pytest.raises(LookwhyError, match="square grid of patches"):
        _on_a_grid(tokens[:, :8])


def test_methods_explain_through_a_residual_network(tmp_path):
    network, tower = make("resnet18", "layer4", tmp_path)
    head = SAN(9, 5, 512 * 4, embedding_size=6, hidden_size=5, attention_size=4, regions=4)
    model, target = Pipeline(tower, head).eval(), torch.tensor([1, 2])
    images = torch.randn(2, 3, 64, 64)
    batch = make_batch(images, ((1, 2, 3), (4, 5)), dtype=torch.float32)
    for method in (Gradient(4), GuidedBackprop(4), Occlusion(4), GradCAM(4)):
        method.check(model)
        maps = method(model, batch, target).values
        assert maps.shape == (2, 4, 4)
        assert maps.abs().max() > 0
    with torch.no_grad():
        expected = tower(images).flatten(1)
        plain, occluded = tower.occluded(images[0], 4, torch.zeros(3))
    torch.testing.assert_close(plain.flatten(), expected[0], atol=1e-5, rtol=1e-4)
    assert occluded.shape == (16, 512, 2, 2)


@pytest.mark.parametrize(
    ("arch", "layer", "found"),
    [
        ("resnet18", "layer9", r"such as layer4, avgpool, flatten, fc, found 'layer9'"),
        ("resnet999", "layer4", "found 'resnet999'"),
        ("fasterrcnn_resnet50_fpn", "backbone", "of a classification network"),
    ],
)
def test_a_network_or_node_that_does_not_exist_is_one_line(arch, layer, found):
    with torch.device("meta"), pytest.raises(LookwhyError, match=found) as error:
        build_network(arch, layer)
    assert "\n" not in str(error.value)


def test_a_method_that_needs_relus_refuses_a_network_without_them(tmp_path):
    _, tower = make("swin_t", "features_mean", tmp_path)
    model = Pipeline(tower, DeeperLSTM(9, 5, 768, hidden_size=4, embedding_size=4, common_size=4))
    Gradient().check(model)
    with pytest.raises(LookwhyError, match="nn.ReLU"):
        GuidedBackprop().check(model)
