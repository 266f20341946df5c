"""Image networks (towers) that can be rebuilt from a description, with exactly the same weights."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from typing_extensions import TypedDict

from lookwhy.errors import LookwhyError, refuse_untrusted
from lookwhy.files import sha256_file
from lookwhy.towers.caffe import read_caffemodel
from lookwhy.towers.own_network import OWN_LAYER, fingerprint, is_own, make_network
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.towers.shapes_cnn import build_shapes_cnn
from lookwhy.towers.tower import Tower

VGGS = ("vgg16", "vgg19")
"""Networks whose layers have the names of the original project: fc7, pool5 and pool5_mean."""


class TowerDescription(TypedDict):
    """Schema of `ImageTower.describe`, as feature files and checkpoints hold it."""

    arch: str
    layer: str
    recipe: dict[str, str | int]
    weights: str
    weights_sha256: str


class ImageTower(Tower):
    """A tower that knows the names of its network and layer, and the path and sha256 of its weights."""

    recipe: ImageRecipe

    def __init__(
        self, network: nn.Module, arch: str, layer: str, recipe: ImageRecipe, weights: str, sha256: str
    ) -> None:
        super().__init__(network, recipe)
        self.arch, self.layer, self.weights, self.weights_sha256 = arch, layer, weights, sha256

    def describe(self) -> dict[str, Any]:
        """Description of the tower in plain types, enough to rebuild it."""
        return {
            "arch": self.arch,
            "layer": self.layer,
            "recipe": self.recipe.to_dict(),
            "weights": self.weights,
            "weights_sha256": self.weights_sha256,
            "normalised": False,
        }


def build_tower(
    arch: str, layer: str, recipe: ImageRecipe, weights: Path | Literal["torchvision"] | None
) -> ImageTower:
    """Build a tower with its weights.

    Args:
        arch: vgg16 or vgg19 of torchvision; any other classification network of it (`torchvision_nets`);
            `shapes`, the small network of the synthetic shapes data; or `module:function`, whose code runs
            and returns a network (`own_network`).
        layer: of a VGG `fc7` after its ReLU (4096), `pool5` (512, 7, 7) or its spatial mean `pool5_mean`
            (512); of another network the name of a node, see `torchvision_nets.build_network`; `output` of
            one of a function.
        recipe: preprocessing that the weights were trained with; the file does not contain it.
        weights: a state dict with torchvision's key names, half precision allowed; a `.caffemodel` of the
            same network; or "torchvision" to download torchvision's. None: those that a function gives.

    Raises:
        LookwhyError: the file is missing, is no state dict or lacks layers; or torchvision's weights are
            combined with another recipe.
    """
    if is_own(arch):
        return _own_tower(arch, recipe, weights)
    assert weights is not None
    if weights == "torchvision" and recipe.name != "torchvision":
        raise LookwhyError(
            f"expected the recipe torchvision with torchvision's weights, found {recipe.name}; "
            "leave out --recipe, or give a file as --weights that was trained with that recipe"
        )
    # On the meta device no random weights are drawn: this saves seconds and keeps the random state of a
    # training in progress.
    with torch.device("meta"):
        cnn = _network(arch, layer)
    path = _download(arch) if weights == "torchvision" else Path(weights)
    if not path.is_file():
        raise LookwhyError(
            f"expected the image network's weights, found no file {path}; give another file of weights"
        )
    if path.suffix == ".caffemodel" and arch in VGGS:
        layers = cnn.named_children()
        state = read_caffemodel(path, [int(name[9:]) for name, one in layers if isinstance(one, nn.Conv2d)])
    else:
        state = _load_state(path)
    wanted = {name: value.shape for name, value in cnn.state_dict().items()}
    if arch in VGGS:
        # From torchvision's `features.0.weight` to the flat sequence's `features_0.weight`.
        state = {name: state[key] for name in wanted if (key := name.replace("_", ".", 1)) in state}
    elif arch != "shapes":
        state = {f"graph.{name}": value for name, value in state.items()}
    missing = [name for name in wanted if name not in state or state[name].shape != wanted[name]]
    if missing:
        raise LookwhyError(
            f"expected weights of {arch} up to {layer}, found none of the right shape for {missing[0]} "
            f"({len(missing)} of {len(wanted)}) in {path}; choose another layer or file"
        )
    own = {name: state[name] for name in wanted}
    # Half precision is allowed; counters of batch normalisation stay whole numbers.
    own = {name: value.float() if value.is_floating_point() else value for name, value in own.items()}
    cnn.load_state_dict(own, assign=True)
    return ImageTower(cnn, arch, layer, recipe, str(path.absolute()), sha256_file(path))


def tower_from_description(description: dict[str, Any], beside: Path) -> ImageTower:
    """Rebuild the tower that computed the features.

    Args:
        description: result of `ImageTower.describe`.
        beside: folder of the features. If the weights are not at their old path, a file of the same name is
            taken from this folder, because the folder of a data set may move together with its weights.

    Raises:
        LookwhyError: the weights are missing or have changed.
    """
    recipe = ImageRecipe.from_dict(description["recipe"])
    arch, layer = description["arch"], description["layer"]
    if is_own(arch):
        refuse_untrusted(arch.partition(":")[0], arch, f"the description of the features in {beside}")
    if description["weights"] == arch:
        return _with_weights(build_tower(arch, layer, recipe, None), description)
    path = Path(description["weights"])
    if not path.is_file() and (beside / path.name).is_file():
        path = beside / path.name
    if not path.is_file():
        raise LookwhyError(
            f"expected the image network's weights, found no file {path}; put them back, beside the features "
            "if you like, or prepare the features again"
        )
    return _with_weights(build_tower(arch, layer, recipe, path), description)


def _with_weights(tower: ImageTower, description: dict[str, Any]) -> ImageTower:
    """The tower, if its weights are those that computed the features."""
    if tower.weights_sha256 != description["weights_sha256"]:
        raise LookwhyError(
            f"expected weights with sha256 {description['weights_sha256'][:12]}..., found "
            f"{tower.weights_sha256[:12]}... in {tower.weights}; restore it, or prepare the features again"
        )
    return tower


def _own_tower(arch: str, recipe: ImageRecipe, weights: Path | str | None) -> ImageTower:
    network = make_network(arch)
    if weights is None:
        return ImageTower(network, arch, OWN_LAYER, recipe, arch, fingerprint(network))
    if not (path := Path(weights)).is_file():
        raise LookwhyError(
            f"expected the weights of {arch}, found no file {path}; give another, or leave it out if the "
            "function loads its own"
        )
    try:
        network.load_state_dict(_load_state(path))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise LookwhyError(
            f"expected weights of all layers of {arch}, found others in {path} ({reason:.200}); give another"
        ) from error
    return ImageTower(network, arch, OWN_LAYER, recipe, str(path.absolute()), sha256_file(path))


def _network(arch: str, layer: str) -> nn.Module:
    if arch == "shapes":
        return build_shapes_cnn()
    if arch in VGGS:
        return _vgg(arch, layer)
    from lookwhy.towers.torchvision_nets import build_network

    return build_network(arch, layer)


def _vgg(arch: str, layer: str) -> nn.Sequential:
    import torchvision

    network = getattr(torchvision.models, arch)(weights=None)
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in network.features.named_children():
        # Not in place: attribution reads a ReLU's input.
        steps[f"features_{name}"] = nn.ReLU() if isinstance(module, nn.ReLU) else module
    if layer == "pool5_mean":
        steps["mean"], steps["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    elif layer == "fc7":
        steps["flatten"] = nn.Flatten()
        steps["classifier_0"], steps["relu6"] = network.classifier[0], nn.ReLU()
        steps["classifier_3"], steps["relu7"] = network.classifier[3], nn.ReLU()
    elif layer != "pool5":
        raise LookwhyError(
            f"expected the layer fc7, pool5 or pool5_mean, found {layer!r}; choose one of them"
        )
    return nn.Sequential(steps)


def _load_state(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
            state = state["state_dict"]  # the checkpoint of a training
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError(type(state))
    # On damaged bytes, torch.load raises errors of a dozen classes.
    except Exception as error:
        raise LookwhyError(
            f"expected a state dict of tensors, found something else in {path}; give another file of weights"
        ) from error
    return {name.removeprefix("module."): value for name, value in state.items()}  # DataParallel's prefix


def _download(arch: str) -> Path:
    import torchvision

    weights = next(iter(torchvision.models.get_model_weights(arch)))  # the first ones: IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        weights.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
    except OSError as error:
        raise LookwhyError(
            f"expected to download {weights.url}, found: {error}; download it elsewhere and give the file as "
            "--weights"
        ) from error
    return path
