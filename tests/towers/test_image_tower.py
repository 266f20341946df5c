"""Towers with torchvision's, the shapes world's and real weights, and files that are none of these."""

import inspect
import urllib.error

import pytest
import torch
import torchvision
from torch import nn

from lookwhy.errors import LookwhyError
from lookwhy.files import sha256_file
from lookwhy.towers.image_tower import build_tower, tower_from_description
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.towers.shapes_cnn import RECIPE, build_shapes_cnn

CAFFE = ImageRecipe("caffe", 224, 224)
PIXELS = 50 * torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def random_vgg(arch, only_features=False):
    """Torchvision's network with random weights that half precision holds exactly."""
    with torch.device("meta"):
        network = getattr(torchvision.models, arch)(weights=None)
    network = (network.features if only_features else network).to_empty(device="cpu").eval()
    noise = 2 * torch.rand(999_983, generator=torch.Generator().manual_seed(0)) - 1
    for value in network.parameters():
        scale = 0.05 if value.ndim == 1 else (4 / value[0].numel()) ** 0.5
        own = (scale * noise).half().float().repeat(value.numel() // len(noise) + 1)
        value.data = own[: value.numel()].view_as(value).clone()
    return network


def convolutions_of(features, path):
    state = {f"module.features.{name}": value for name, value in features.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)  # as a training with DataParallel saves it
    return path


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    network, path = random_vgg("vgg16"), tmp_path_factory.mktemp("weights") / "vgg16.pt"
    torch.save({name: value.half() for name, value in network.state_dict().items()}, path)
    yield network, path
    path.unlink()  # a quarter of a gigabyte, which pytest would keep for three runs


@pytest.fixture(scope="module")
def convolutions(vgg16):
    return convolutions_of(vgg16[0].features, vgg16[1].with_name("convolutions.pt"))


@pytest.fixture
def shapes(tmp_path):
    """Network of the shapes world, description of its tower, and file of its weights."""
    cnn, path = build_shapes_cnn(), tmp_path / "old" / "tower.pt"
    path.parent.mkdir()
    torch.save(cnn.state_dict(), path)
    return cnn, build_tower("shapes", "fc7", RECIPE, path).describe(), path


@torch.no_grad()
@pytest.mark.parametrize(
    ("arch", "layer", "shape"),
    [("vgg16", "fc7", (1, 4096)), ("vgg16", "pool5", (1, 512, 3, 2)), ("vgg16", "pool5_mean", (1, 512)),
     ("vgg19", "pool5", (1, 512, 3, 2))],
)  # fmt: skip
def test_features_equal_those_of_torchvisions_own_network(vgg16, arch, layer, shape):
    network, path = vgg16
    features = network.features if arch == "vgg16" else random_vgg(arch, only_features=True)
    pixels = PIXELS if layer == "fc7" else PIXELS[..., :96, :64]
    expected = features(pixels)
    if layer == "pool5_mean":
        expected = expected.mean((2, 3))
    elif layer == "fc7":
        expected = network.classifier[:5](expected.flatten(1))  # fc6 relu dropout fc7 relu
    path = path if layer == "fc7" else convolutions_of(features, path.with_name("features.pt"))
    found = build_tower(arch, layer, CAFFE, path)(pixels)
    assert (found.shape, found.dtype) == (shape, torch.float32)
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-6 * float(expected.abs().max()))


@torch.no_grad()
def test_real_weights_give_real_features(shared_data):
    path = shared_data / "weights/vgg16_conv_bgr_caffe_fp16.pt"
    image = sorted((shared_data / "vqa-mini/images/val2014").iterdir())[0]
    features, state = random_vgg("vgg16", only_features=True), torch.load(path, weights_only=True)
    features.load_state_dict({name.removeprefix("features."): value.float() for name, value in state.items()})
    pixels = CAFFE.load(image)[None, :, 64:160, 64:160]
    found, expected = build_tower("vgg16", "pool5_mean", CAFFE, path)(pixels), features(pixels).mean((2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_tower_is_a_frozen_flat_sequence_of_plain_layers_that_its_description_rebuilds(convolutions):
    before = torch.get_rng_state()
    tower = build_tower("vgg16", "pool5_mean", CAFFE, convolutions)
    assert torch.equal(torch.get_rng_state(), before)
    plain = {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten}
    assert {type(layer) for layer in tower.network} == plain
    assert not any(layer.inplace for layer in tower.network if isinstance(layer, nn.ReLU))
    assert nn.Sequential(tower, nn.Dropout()).train()[1].training
    assert not any(module.training for module in tower.modules())
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    description = tower.describe()
    assert description == {
        "arch": "vgg16", "layer": "pool5_mean", "recipe": {"name": "caffe", "height": 224, "width": 224},
        "weights": str(convolutions), "weights_sha256": sha256_file(convolutions), "normalised": False,
    }  # fmt: skip
    again = tower_from_description(description, convolutions.parent)
    assert again.describe() == description
    assert all(map(torch.equal, again.state_dict().values(), tower.state_dict().values()))
    assert again.state_dict().keys() == tower.state_dict().keys()


def fails(function, *arguments):
    with pytest.raises(LookwhyError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arch", "layer", "said"),
    [("vgg16", "fc7", "classifier"), ("vgg19", "pool5", "vgg19"), ("vgg16", "conv1", "found 'conv1'")],
)
def test_a_layer_or_network_that_the_file_lacks_is_refused(convolutions, arch, layer, said):
    # The bare function, because the type checker of the tests knows the names of the layers.
    message = fails(inspect.unwrap(build_tower), arch, layer, CAFFE, convolutions)
    assert said in message
    assert str(convolutions) in message or layer == "conv1"


@torch.no_grad()
def test_a_tower_is_rebuilt_after_its_folder_moved_but_not_from_missing_or_changed_weights(shapes, tmp_path):
    cnn, description, path = shapes
    images, moved = 50 * torch.randn(2, 3, RECIPE.height, RECIPE.width), tmp_path / "new"
    torch.testing.assert_close(tower_from_description(description, tmp_path)(images), cnn(images))
    path.parent.rename(moved)
    tower = tower_from_description(description, moved)
    torch.testing.assert_close(tower(images), cnn(images))
    assert tower.weights_sha256 == description["weights_sha256"]
    torch.save(build_shapes_cnn().state_dict(), moved / path.name)
    changed = f"expected weights with sha256 {description['weights_sha256'][:12]}"
    assert changed in fails(tower_from_description, description, moved)
    assert f"found no file {path}" in fails(tower_from_description, description, tmp_path)
    assert f"found no file {path}" in fails(build_tower, "shapes", "fc7", RECIPE, path)


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", b"\x80\x02h\xff.", [1, 2], {"epoch": 3}, nn.Linear(1, 1)]
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "weights.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    assert f"found something else in {path}" in fails(build_tower, "vgg16", "pool5", CAFFE, path)


def test_torchvisions_weights_need_its_recipe_and_a_failed_download_names_its_file(monkeypatch):
    def no_network(*arguments, **settings):
        raise urllib.error.URLError("Name or service not known")

    assert "found caffe" in fails(build_tower, "vgg16", "pool5", CAFFE, "torchvision")
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    message = fails(build_tower, "vgg19", "fc7", ImageRecipe("torchvision"), "torchvision")
    assert "https://download.pytorch.org/models/vgg19" in message
    assert "--weights" in message
