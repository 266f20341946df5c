"""Any classification network of torchvision, up to any of its nodes, as an image network.

torchvision names the nodes of a network (`get_graph_node_names`): `layer4` of a ResNet, `features` of a
ConvNeXt, `encoder.ln` of a vision transformer. Features are the node's maps, or their mean over all places.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.errors import LookwhyError

MEAN = "_mean"
"""Ending of a layer's name: the mean of its maps over all places."""


class NodeNetwork(nn.Module):
    """A torchvision network up to one of its nodes.

    Args:
        graph: the network as `create_feature_extractor` returns it, with one output.
        is_pooled: whether maps are reduced to their mean over all places.
        is_channels_last: whether the node's maps are (B, h, w, D), as those of Swin transformers.
    """

    def __init__(self, graph: nn.Module, is_pooled: bool, is_channels_last: bool = False) -> None:
        super().__init__()
        self.graph, self.is_pooled, self.is_channels_last = graph, is_pooled, is_channels_last

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B *D"]:
        """Maps (B, D, h, w), or vectors (B, D); the tokens of a transformer lie on a grid, as its patches do.

        Raises:
            LookwhyError: the node gives something else.
        """
        (found,) = self.graph(images).values()
        if self.is_channels_last and found.ndim == 4:
            found = found.permute(0, 3, 1, 2)
        if found.ndim == 3:
            found = _on_a_grid(found)
        if found.ndim not in (2, 4):
            raise LookwhyError(
                f"expected maps (B, D, h, w), tokens or vectors at this node, found a tensor with "
                f"{found.ndim} dimensions; choose another --layer"
            )
        return found.mean((2, 3)) if self.is_pooled and found.ndim == 4 else found


def build_network(arch: str, layer: str) -> NodeNetwork:
    """A network without weights of its own; call it on the meta device.

    Args:
        arch: name of a classification network, as `torchvision.models.list_models` prints it.
        layer: name of a node, with the ending `_mean` for the mean of its maps over all places.

    Raises:
        LookwhyError: there is no such network or node, or torchvision cannot trace it.

    Example:
        >>> import torch
        >>> with torch.device("meta"):
        ...     build_network("resnet18", "layer4_mean")(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 512])
    """
    import torchvision  # takes a moment to import
    from torchvision.models.feature_extraction import create_feature_extractor

    if arch not in torchvision.models.list_models(module=torchvision.models):
        raise LookwhyError(
            f"expected --arch of a classification network of torchvision, such as vgg19, resnet50, "
            f"convnext_tiny or vit_b_16, found {arch!r}; correct it"
        )
    network: Any = _without_weights(arch)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # attribution reads a ReLU's input
    node, is_pooled = layer.removesuffix(MEAN), layer.endswith(MEAN)
    names = _nodes(network)
    if node not in names and not any(name.startswith(f"{node}.") for name in names):
        raise LookwhyError(
            f"expected --layer of a node of {arch}, such as {', '.join(_top(names)[-4:])}, found {layer!r}; "
            f"add {MEAN} for the mean over all places"
        )
    try:
        graph = create_feature_extractor(network.eval(), {node: "features"})
    except (ValueError, RuntimeError) as error:
        raise LookwhyError(f"expected a node that torchvision can cut {arch} at, found {error}") from error
    is_last = arch.startswith("swin") and node.partition(".")[0] in ("features", "norm")
    return NodeNetwork(graph, is_pooled, is_last)


def _without_weights(arch: str) -> nn.Module:
    """A network on the default device, such as the meta device."""
    import torchvision

    try:
        return torchvision.models.get_model(arch, weights=None)
    except NotImplementedError:  # RegNet computes its widths with tensors, which have no values on meta
        with torch.device("cpu"):
            network = torchvision.models.get_model(arch, weights=None)
        return network.to(torch.get_default_device())


def _nodes(network: nn.Module) -> list[str]:
    from torchvision.models.feature_extraction import get_graph_node_names

    names: Any = get_graph_node_names(network.eval(), suppress_diff_warning=True)
    return list(names[1])


def _top(names: list[str]) -> list[str]:
    """Parts of a network in order, without the nodes inside them."""
    return [*dict.fromkeys(name.partition(".")[0] for name in names)]


def _on_a_grid(tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B D h w"]:
    """Tokens of square patches as maps; a class token before them is left out."""
    count = tokens.shape[1]
    side = math.isqrt(count)
    skipped = 0 if side**2 == count else 1
    if (side := math.isqrt(count - skipped)) ** 2 != count - skipped:
        raise LookwhyError(
            f"expected tokens of a square grid of patches, with a class token or without, found {count}; "
            "choose another --layer"
        )
    return tokens[:, skipped:].transpose(1, 2).unflatten(2, (side, side))
