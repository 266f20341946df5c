"""How near each computation is to the limits of the device: its arithmetic and its memory traffic.

    python -m benchmarks.roofline [--device cuda] [--quick]

Two rates of the device are measured: float32 operations a second in a large matrix product, and bytes a second
of reading a large matrix once. A computation takes at least its operations over the first rate, and at least
the bytes that it cannot do without over the second. Operations are those of the algorithm used here, counted
by PyTorch in its matrix products and convolutions: Winograd's method and skipped regions are not counted twice.
On a CPU, one thread.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.attribution import PAIRS
from benchmarks.gpu.clock import Clock
from benchmarks.networks import FILL, GRID, head, picture, questions, small_vgg, vgg
from benchmarks.timing import Row, print_rows
from lookwhy.attribution import IncrementalOcclusion, WordDrop, WordGradient
from lookwhy.models import Pipeline
from lookwhy.towers import products
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.precision import true_float32
from lookwhy.towers.relu_rules import guided

Call = Callable[[], object]
SIDE = 4096
"""Side of the matrices whose product and reading give the device's rates."""
TRAINING_ACCESSES = 8
"""Accesses to each weight in a step: forwards, backwards, its gradient's writing and reading, and RMSprop's
reading and writing of the weight and of its mean square."""


class Work(NamedTuple):
    """A computation: a function that prepares it, and the bytes that it must read or write at least once."""

    name: str
    prepare: Callable[[], Call]
    bytes: int


def size_of(*modules: nn.Module) -> int:
    """Bytes of all parameters."""
    return sum(p.numel() * p.element_size() for module in modules for p in module.parameters())


@contextmanager
def countable() -> Iterator[None]:
    """Let everything go through operators that PyTorch counts, in place of those of other libraries."""
    with (
        mock.patch.object(products, "TAKES_ONEDNN", False),
        torch.backends.mkldnn.flags(enabled=False),
        torch.backends.cudnn.flags(enabled=False),
    ):
        yield


class _Counter(TorchDispatchMode):
    """Sum of the operations of all products and convolutions; FlopCounterMode does not allow autograd.grad."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.total += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


def operations(work: Work) -> int:
    """Multiplications and additions of one call."""
    with countable():
        call = work.prepare()
        call()  # the first call transforms the weights
        with _Counter() as counter:
            call()
    return counter.total


def rates(clock: Clock, side: int) -> tuple[float, float]:
    """Operations a second of a large product, and bytes a second of reading a matrix for one of its rows."""
    a = torch.randn(side, side, device=clock.device)
    one = torch.randn(1, side, device=clock.device)
    product = clock.median(lambda: products.linear(a, a))
    reading = clock.median(lambda: products.linear(one, a))
    return 2 * side**3 / product, a.numel() * a.element_size() / reading


def all_work(device: torch.device, quick: bool) -> list[Work]:
    """The rows of the table."""
    cnn = (small_vgg() if quick else vgg()).to(device)
    image = picture(96 if quick else 224).to(device)
    width, training = 128 if quick else 4096, 50 if quick else 500
    words = 20 if quick else PAIRS

    def model() -> Pipeline:
        return Pipeline(cnn, head(width, quick)).to(device)

    def occlusion() -> Call:
        ours = IncrementalOcclusion(cnn, GRID, FILL.to(device))
        return lambda: ours(image)

    def backward(rows: int) -> Callable[[], Call]:
        def prepare() -> Call:
            back = BackwardPass(cnn)
            trace = back.forward(image[None])
            gradients = torch.randn(rows, width, device=device)
            return lambda: back.backward(trace, gradients, guided, image)

        return prepare

    def of_the_words(method: WordDrop | WordGradient) -> Callable[[], Call]:
        def prepare() -> Call:
            pipeline, batch = model(), questions(words, width).to(device)
            target = torch.zeros(words, dtype=torch.int64, device=device)
            return lambda: method(pipeline, batch, target)

        return prepare

    def from_the_cache() -> Call:
        pipeline, batch = model(), questions(1, width).to(device)
        features = torch.rand(GRID**2 + 1, width, device=device)
        return torch.no_grad()(lambda: pipeline.scores_of_pairs(features, batch.tokens, batch.lengths))

    def step() -> Call:
        trained, batch = head(width, quick).to(device).train(), questions(training, width).to(device)
        optimizer = torch.optim.RMSprop(trained.parameters(), lr=3e-4, alpha=0.99)

        def call() -> None:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(trained(batch.features, batch.tokens, batch.lengths), batch.labels).backward()
            nn.utils.clip_grad_value_(trained.parameters(), 10.0)
            optimizer.step()

        return call

    weights, head_weights = size_of(cnn), size_of(head(width, quick))
    table = size_of(head(width, quick).word_table)  # only the rows of the words are read
    return [
        Work("occlusion of an image, first time", occlusion, weights),
        Work("guided backpropagation of a question", backward(1), weights),
        Work("the same of three questions", backward(3), weights),
        Work("the same of eight questions", backward(8), weights),
        Work("occlusion of a question from the cache", from_the_cache, head_weights - table),
        Work(f"word drop of {words:,} questions", of_the_words(WordDrop()), head_weights - table),
        Work(
            f"gradient of the words of {words:,} questions",
            of_the_words(WordGradient()),
            head_weights - table,
        ),
        Work(f"training step of {training} questions", step, TRAINING_ACCESSES * head_weights),
    ]


def main(argv: list[str] | None = None) -> int:
    """Print the table; there are no bars."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.roofline",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--device", default="cpu", type=torch.device)
    parser.add_argument("--quick", action="store_true", help="small sizes, to test that the benchmark runs")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN")
    clock = Clock(options.device, 1 if options.quick else 5)
    with true_float32():
        per_second, bytes_per_second = rates(clock, 256 if options.quick else SIDE)
        rows = [
            Row("float32 operations a second", f"{per_second / 1e9:.0f} billion", "", True),
            Row("bytes read a second", f"{bytes_per_second / 1e9:.0f} billion", "", True),
        ]
        for work in all_work(options.device, options.quick):
            count = operations(work)
            least = max(count / per_second, work.bytes / bytes_per_second)
            seconds = clock.median(work.prepare())
            measured = (
                f"{count / 1e9:8.2f} billion operations, {work.bytes / 1e6:6.0f} MB: at least {1e3 * least:8.1f} ms; "
                f"takes {1e3 * seconds:8.1f} ms = {seconds / least:.1f} x"
            )
            rows.append(Row(work.name, measured, "", True))
    print_rows(f"Limits of the device ({options.device})", rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
