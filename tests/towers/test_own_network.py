"""Networks of someone's own, and recipes that a file states."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lookwhy.cli import prepare
from lookwhy.errors import LookwhyError
from lookwhy.towers.image_tower import build_tower, tower_from_description
from lookwhy.towers.recipe import ImageRecipe, PixelFormat

SOURCE = """
import torch
from torch import nn

def make_network():
    torch.manual_seed({seed})
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())

def one_that_fails(size):
    pass

def nothing():
    return 3
"""
RECIPE = ImageRecipe("torchvision", 8, 8)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The module `own_tower`, in the working directory, not yet imported."""
    (tmp_path / "own_tower.py").write_text(SOURCE.format(seed=0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("own_tower", None)
    yield tmp_path / "own_tower.py"
    sys.modules.pop("own_tower", None)


def test_a_function_gives_a_network_that_its_description_rebuilds_once_its_module_is_trusted(module):
    tower = build_tower("own_tower:make_network", "output", RECIPE, None)
    pixels = torch.rand(1, 3, 8, 8)
    expected = tower(pixels)
    assert expected.shape == (1, 4 * 6 * 6)
    assert tower.has_own_backward, "a plain sequence of layers has the fast ways"
    described = tower.describe()
    assert torch.equal(tower_from_description(described, module.parent)(pixels), expected)
    del sys.modules["own_tower"]
    with pytest.raises(
        LookwhyError, match="found own_tower:make_network in .*; if you trust this module, import own_"
    ):
        tower_from_description(described, module.parent)
    module.write_text(SOURCE.format(seed=1))
    __import__("own_tower")
    with pytest.raises(LookwhyError, match="expected weights with sha256 .* in own_tower:make_network"):
        tower_from_description(described, module.parent)


def test_weights_from_a_file_take_the_place_of_those_of_the_function(module, tmp_path):
    path, other = tmp_path / "weights.pt", nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    torch.save(other.state_dict(), path)
    tower = build_tower("own_tower:make_network", "output", RECIPE, path)
    pixels = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(tower(pixels), other(pixels))
    assert torch.equal(tower_from_description(tower.describe(), tmp_path)(pixels), tower(pixels))
    torch.save({"0.weight": torch.zeros(4, 3, 5, 5)}, path)
    with pytest.raises(
        LookwhyError, match="expected weights of all layers of own_tower:make_network, found others"
    ):
        build_tower("own_tower:make_network", "output", RECIPE, path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("own_tower:missing", "no attribute 'missing'"),
        ("no_such_module:make", "No module named"),
        ("own_tower:one_that_fails", "missing 1 required positional argument"),
        ("own_tower:nothing", "found int from own_tower:nothing"),
    ],
)
def test_a_function_that_gives_no_network_is_one_line(module, name, found):
    with pytest.raises(LookwhyError, match=found):
        build_tower(name, "output", RECIPE, None)


def command(module, *more):
    (module.parent / "images").mkdir(exist_ok=True)
    given = ["features", "--images", "images", "--out", "data", "--arch", "own_tower:make_network", *more]
    return prepare._tower(prepare.build_parser().parse_args(given))


def test_the_command_wants_a_recipe_and_no_layer_and_reads_a_recipe_from_a_file(module):
    with pytest.raises(LookwhyError, match="recipe that own_tower:make_network was trained with"):
        command(module)
    with pytest.raises(LookwhyError, match="expected no --layer for own_tower"):
        command(module, "--recipe", "caffe", "--layer", "layer4")
    file = module.with_name("siglip.yaml")
    file.write_text("mean: [0.5, 0.5, 0.5]\nstd: [0.5, 0.5, 0.5]\nresize: bicubic\n")
    tower = command(module, "--recipe", str(file), "--size", "8", "--device", "cpu")
    half = (0.5, 0.5, 0.5)
    assert tower.recipe == ImageRecipe("own", 8, 8, PixelFormat(mean=half, std=half, resize="bicubic"))
    assert ImageRecipe.from_dict(tower.describe()["recipe"]) == tower.recipe


def test_pixels_of_an_own_recipe_are_those_by_hand():
    own = PixelFormat("bgr", 2.0, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "bicubic")
    recipe = ImageRecipe("own", 3, 5, own)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))
    resized = np.asarray(picture.resize((5, 3), Image.Resampling.BICUBIC), np.float64)[..., ::-1]
    expected = (resized / 2 - [1, 2, 3]) / [4, 5, 6]
    np.testing.assert_allclose(recipe.pixels(picture).permute(1, 2, 0), expected, rtol=1e-5, atol=1e-5)
    bilinear = ImageRecipe("own", 3, 5, replace(own, resize="bilinear"))
    assert not torch.equal(bilinear.pixels(picture), recipe.pixels(picture))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("mean: [1, 2]", r"three numbers as mean in .*, found \[1, 2\]"),
        ("std: [0, 1, 1]", "other than 0"),
        ("scale: .nan", "other than 0"),
        ("order: grb", "order to be one of rgb, bgr in"),
        ("resize: nearest", "resize to be one of bilinear"),
        ("crop: 224", r"found \['crop'\]"),
        ("- 3", "expected options in the recipe .* found list"),
        ("a: [", "expected a recipe in YAML"),
    ],
)
def test_a_recipe_without_sense_is_one_line(tmp_path, content, found):
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(LookwhyError, match=found) as error:
        ImageRecipe.from_yaml(tmp_path / "recipe.yaml", 8, 8)
    assert "\n" not in str(error.value)
    with pytest.raises(LookwhyError, match="expected a recipe in YAML"):
        ImageRecipe.from_yaml(tmp_path / "missing.yaml", 8, 8)
    with pytest.raises(LookwhyError, match="expected the image recipe"):
        ImageRecipe("caffee")
