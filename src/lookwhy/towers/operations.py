"""A network as a list of operations, so that a backward pass can run them in reverse.

A sequence of layers is such a list, and each layer reads the result of the one before it. A residual network
is one, too, but some results are read twice (by a block and by its shortcut), and some operations are sums.
PyTorch's tracer (`torch.fx`) finds these operations by running the code of `forward` on symbols. It sees only
one way through this code. So only code of torchvision is traced, which takes the same way for every image in
eval mode.
"""

from __future__ import annotations

import operator
from itertools import takewhile
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from lookwhy.towers.torchvision_nets import NodeNetwork
from lookwhy.towers.windows import WINDOWED, flat, why_not

SUMS = (operator.add, operator.iadd, torch.add)
FRESH = (*WINDOWED, nn.BatchNorm2d, nn.AdaptiveAvgPool2d, nn.Linear)
"""Layers whose result never shares the memory of their input."""
KNOWN_CODE = ("torch.nn.", "torchvision.")


class Sum(nn.Module):
    """The sum of two maps of the same shape: that of a residual block and that of its shortcut."""

    def forward(self, x: Float[Tensor, "*B"], y: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
        """The sum."""
        return x + y


class Operation(NamedTuple):
    """A layer, or a `Sum`, and the numbers of the values that it reads.

    Value 0 are the images. The first operation makes value 1, the second one value 2, and so on.
    """

    layer: nn.Module
    reads: tuple[int, ...]


class Plan(NamedTuple):
    """The operations of a network, in order; the last one makes the features.

    `why_not` is the reason why a network has no plan; empty if it has one.
    """

    operations: list[Operation]
    why_not: str = ""

    @property
    def is_sequence(self) -> bool:
        """Whether each operation reads the result of the one before it, and nothing else."""
        return all(one.reads == (number,) for number, one in enumerate(self.operations))


def plan_of(network: nn.Module) -> Plan:
    """The operations of a network.

    Example:
        >>> plan = plan_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()))
        >>> [one.reads for one in plan.operations], plan.is_sequence
        ([(0,), (1,)], True)
    """
    if not why_not(network):
        layers = [layer for layer in flat(network) if not _does_nothing(layer)]
        return Plan([Operation(layer, (number,)) for number, layer in enumerate(layers)])
    for module in network.modules():
        # The tracer and the backward pass run the code of the class, without these.
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            return Plan([], f"{type(module).__name__} has hooks, which may change what it computes")
    if isinstance(network, NodeNetwork):
        return _plan_of_nodes(network)
    for module in network.modules():
        if not type(module).__module__.startswith(KNOWN_CODE):
            return Plan([], why_not(module))
    try:
        return _plan_of_graph(network, fx.Tracer().trace(network))
    except Exception as error:  # code that cannot run on symbols raises anything
        return Plan([], f"{type(network).__name__} cannot be traced ({type(error).__name__}: {error})")


def as_sequence(network: nn.Module) -> nn.Module:
    """An `nn.Sequential` that computes the same, of the same layers; else the network itself.

    Example:
        >>> import torchvision
        >>> type(as_sequence(torchvision.models.alexnet().eval())).__name__
        'Sequential'
    """
    if not why_not(network) or not (plan := plan_of(network)).is_sequence or plan.why_not:
        return network
    return nn.Sequential(*(one.layer for one in plan.operations))


def _plan_of_nodes(network: NodeNetwork) -> Plan:
    graph: Any = network.graph
    plan = _plan_of_graph(graph, graph.graph)
    if network.is_channels_last and not plan.why_not:
        return Plan([], "its maps have their channels last")
    if not network.is_pooled or any(isinstance(one.layer, nn.Flatten) for one in plan.operations):
        return plan
    last = len(plan.operations)
    mean = [Operation(nn.AdaptiveAvgPool2d(1), (last,)), Operation(nn.Flatten(), (last + 1,))]
    return plan._replace(operations=[*plan.operations, *mean] if not plan.why_not else [])


def _plan_of_graph(network: nn.Module, graph: fx.Graph) -> Plan:
    (result,) = (node.args[0] for node in graph.nodes if node.op == "output")
    if isinstance(result, dict) and len(result) == 1:
        (result,) = result.values()
    if not isinstance(result, fx.Node):
        return Plan([], f"{type(network).__name__} returns something else than one tensor")
    needed = {result}
    for node in reversed(graph.nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    operations, made = list[Operation](), dict[fx.Node, int]()
    for node in graph.nodes:
        if node.op == "placeholder" and not made:
            made[node] = 0
        elif node in needed:
            layers = _layers_of(node, network)
            if obstacle := _why_not_node(node, network, layers):
                return Plan([], obstacle)
            reads = tuple(made[one] for one in node.args if isinstance(one, fx.Node))
            for layer in layers:
                if not _does_nothing(layer):
                    operations.append(Operation(layer, reads))
                    reads = (len(operations),)
            (made[node],) = reads
    return Plan(operations)


def _layers_of(node: fx.Node, network: nn.Module) -> list[nn.Module]:
    """The layers of a node, one after the other; none if it is something else."""
    is_plain = not node.kwargs and all(isinstance(one, fx.Node) for one in node.args)
    if node.op == "call_module" and is_plain and len(node.args) == 1:
        return _leaves(network.get_submodule(str(node.target)))
    if node.target in SUMS and is_plain and len(node.args) == 2:
        return [Sum()]
    if node.target is torch.flatten and node.args[1:] == (1,) and not node.kwargs:
        return [nn.Flatten()]
    return []


def _why_not_node(node: fx.Node, network: nn.Module, layers: list[nn.Module]) -> str:
    if not layers:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.op)
        return f"{name} is neither a layer nor a sum that is known"
    first = takewhile(lambda layer: not isinstance(layer, FRESH), layers)
    if any(getattr(layer, "inplace", False) for layer in first) and _is_read_twice(node, network):
        return f"{node.target} works in place on a value that is read elsewhere"
    return next(filter(None, (why_not(layer) for layer in layers if not isinstance(layer, Sum))), "")


def _is_read_twice(node: fx.Node, network: nn.Module) -> bool:
    """Whether another operation reads the memory of the value that an operation reads."""
    while node.args:
        before = node.all_input_nodes[0]
        if len(before.users) > 1:
            return True
        if any(isinstance(layer, FRESH) for layer in _layers_of(before, network)):
            return False
        node = before
    return False


def _leaves(layer: nn.Module) -> list[nn.Module]:
    """The layers of a sequence, also of a subclass that runs as a sequence does."""
    if type(layer).forward is nn.Sequential.forward:
        return [leaf for part in layer.children() for leaf in _leaves(part)]
    return [layer]


def _does_nothing(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Identity, nn.Dropout))
