import urllib.error

import pytest
import torch
import torchvision
from torch import nn

from lookwhy.files import sha256_file
from lookwhy.towers.image_tower import build_tower, tower_from_description
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.types import LookwhyError

CAFFE = ImageRecipe("caffe", 224, 224)


def saved(path, state):
    """As weights files are passed around: in half precision."""
    torch.save({name: value.half() for name, value in state.items()}, path)
    return path


def random_vgg(arch):
    """Torchvision's network with random weights that half precision holds exactly."""
    torch.manual_seed(0)
    network = getattr(torchvision.models, arch)(weights=None, init_weights=False).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(value.half())
    return network


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    network = random_vgg("vgg16")
    path = saved(tmp_path_factory.mktemp("weights") / "vgg16.pt", network.state_dict())
    yield network, path
    path.unlink()  # a quarter of a gigabyte, which pytest would keep for three runs


@pytest.fixture(scope="module")
def convolutions(vgg16):
    network, path = vgg16
    return saved(
        path.with_name("convolutions.pt"),
        {f"features.{k}": v for k, v in network.features.state_dict().items()},
    )


@pytest.fixture(scope="module")
def pixels():
    return 50 * torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layer", ["fc7", "pool5", "pool5_mean"])
def test_features_are_those_of_torchvisions_own_network(vgg16, pixels, layer):
    network, path = vgg16
    if layer != "fc7":
        pixels = pixels[..., :96, :64]
    with torch.no_grad():
        expected = network.features(pixels)
        if layer == "pool5_mean":
            expected = expected.mean((2, 3))
        elif layer == "fc7":
            for step in [nn.Flatten(), *list(network.classifier)[:5]]:  # fc6 relu dropout fc7 relu
                expected = step(expected)
    tower = build_tower("vgg16", layer, CAFFE, path)
    found = tower(pixels)
    assert found.shape == {"fc7": (1, 4096), "pool5": (1, 512, 3, 2), "pool5_mean": (1, 512)}[layer]
    assert found.dtype == torch.float32
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_vgg19_from_its_convolutions_alone(tmp_path, pixels):
    torch.manual_seed(0)
    features = torchvision.models.vgg19(weights=None, init_weights=False).features
    path = tmp_path / "vgg19.pt"
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, path)
    tower = build_tower("vgg19", "pool5", CAFFE, path)
    pixels = pixels[..., :64, :64]
    with torch.no_grad():
        torch.testing.assert_close(tower(pixels), features(pixels), rtol=1e-4, atol=1e-6)


def test_the_network_is_a_flat_sequence_of_plain_layers_without_work_in_place(convolutions):
    cnn = build_tower("vgg16", "pool5_mean", CAFFE, convolutions).network
    assert {type(layer) for layer in cnn} == {
        nn.Conv2d,
        nn.ReLU,
        nn.MaxPool2d,
        nn.AdaptiveAvgPool2d,
        nn.Flatten,
    }
    assert not any(layer.inplace for layer in cnn if isinstance(layer, nn.ReLU))


def test_a_tower_is_frozen_and_stays_in_eval_mode(convolutions):
    tower = build_tower("vgg16", "pool5", CAFFE, convolutions)
    outer = nn.Sequential(tower, nn.Dropout()).train()
    assert outer[1].training
    assert not any(module.training for module in tower.modules())
    assert not any(parameter.requires_grad for parameter in tower.parameters())


def test_building_draws_no_random_numbers(convolutions):
    before = torch.get_rng_state()
    build_tower("vgg16", "pool5", CAFFE, convolutions)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_description_in_plain_types_rebuilds_the_same_tower(convolutions):
    tower = build_tower("vgg16", "pool5_mean", CAFFE, convolutions)
    description = tower.describe()
    assert description == {
        "arch": "vgg16",
        "layer": "pool5_mean",
        "recipe": {"name": "caffe", "height": 224, "width": 224},
        "weights": str(convolutions),
        "weights_sha256": sha256_file(convolutions),
        "normalised": False,
    }
    again = tower_from_description(description, convolutions.parent)
    assert again.describe() == description
    for name, value in tower.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_the_network_of_the_shapes_world_is_rebuilt_from_its_state_dict(tmp_path):
    from lookwhy.towers.shapes_cnn import RECIPE, build_shapes_cnn

    cnn = build_shapes_cnn()
    torch.save(cnn.state_dict(), tmp_path / "tower.pt")
    description = build_tower("shapes", "fc7", RECIPE, tmp_path / "tower.pt").describe()
    tower = tower_from_description(description, tmp_path)
    images = 50 * torch.randn(2, 3, RECIPE.height, RECIPE.width)
    with torch.no_grad():
        assert torch.equal(tower(images), cnn(images))


def test_a_world_that_was_moved_brings_its_network_along(tmp_path):
    from lookwhy.towers.shapes_cnn import RECIPE, build_shapes_cnn

    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    torch.save(build_shapes_cnn().state_dict(), old / "tower.pt")
    description = build_tower("shapes", "fc7", RECIPE, old / "tower.pt").describe()
    old.rename(new)
    tower = tower_from_description(description, new)
    assert tower.weights_sha256 == description["weights_sha256"]


def fails(function, *arguments):
    with pytest.raises(LookwhyError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_without_the_layers_asked_for_is_refused(convolutions):
    message = fails(build_tower, "vgg16", "fc7", CAFFE, convolutions)
    assert "classifier" in message
    assert str(convolutions) in message


def test_weights_of_another_network_are_refused(convolutions):
    assert "vgg19" in fails(build_tower, "vgg19", "pool5", CAFFE, convolutions)


def test_missing_or_changed_weights_are_refused(tmp_path):
    from lookwhy.towers.shapes_cnn import RECIPE, build_shapes_cnn

    path = tmp_path / "tower.pt"
    torch.save(build_shapes_cnn().state_dict(), path)
    description = build_tower("shapes", "fc7", RECIPE, path).describe()
    torch.save(build_shapes_cnn().state_dict(), path)
    assert f"expected weights with sha256 {description['weights_sha256'][:12]}" in fails(
        tower_from_description, description, tmp_path
    )
    path.unlink()
    assert f"found no file {path}" in fails(tower_from_description, description, tmp_path)
    assert f"found no file {path}" in fails(build_tower, "shapes", "fc7", RECIPE, path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", [1, 2], {"epoch": 3}, nn.Linear(1, 1)])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    assert f"found something else in {path}" in fails(build_tower, "vgg16", "pool5", CAFFE, path)


def test_an_unknown_layer_is_refused(convolutions):
    # Unchecked by the type checker, as a stamp in a file is.
    build = getattr(build_tower, "__wrapped__", build_tower)
    assert "found 'conv1'" in fails(build, "vgg16", "conv1", CAFFE, convolutions)


def test_torchvisions_weights_are_refused_under_another_recipe():
    assert "found caffe" in fails(build_tower, "vgg16", "pool5", CAFFE, "torchvision")


def test_a_failed_download_says_what_to_fetch(monkeypatch):
    def no_network(*arguments, **settings):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    message = fails(build_tower, "vgg19", "fc7", ImageRecipe("torchvision"), "torchvision")
    assert "https://download.pytorch.org/models/vgg19" in message
    assert "--weights" in message


def test_real_weights_give_real_features(shared_data):
    path = shared_data / "weights/vgg16_conv_bgr_caffe_fp16.pt"
    tower = build_tower("vgg16", "pool5_mean", CAFFE, path)
    image = sorted((shared_data / "vqa-mini/images/val2014").iterdir())[0]
    features = torchvision.models.vgg16(weights=None, init_weights=False).features.eval()
    state = torch.load(path, weights_only=True)
    features.load_state_dict({name.removeprefix("features."): value.float() for name, value in state.items()})
    pixels = CAFFE.load(image)[None, :, 64:160, 64:160]
    with torch.no_grad():
        torch.testing.assert_close(tower(pixels), features(pixels).mean((2, 3)), rtol=1e-4, atol=1e-4)
