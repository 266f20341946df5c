"""The tower, the frozen image network of a VQA model: features, also of changed images, and pixel gradients.

The network is frozen, so its results for an image do not depend on the question, the epoch or the run, and a
`Memory` can store them. Any `nn.Module` from images to features can be a tower. A sequence of common layers
(see `windows.why_not`) is recomputed only where an image changes (`incremental.py`), and its backward pass
needs no new forward pass (`backward.py`); that of torchvision's residual networks needs none, either
(`operations.py`). For any other network, occluded images run in plain batches, and gradients come from
autograd.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lookwhy.errors import LookwhyError
from lookwhy.stopwatch import part
from lookwhy.towers import devices
from lookwhy.towers.backward import BackwardPass
from lookwhy.towers.forward_pass import forward_pass
from lookwhy.towers.incremental import IncrementalOcclusion
from lookwhy.towers.last_maps import split_at_last_maps
from lookwhy.towers.masks import Fill, MaskFamily, fill_of, masked_images
from lookwhy.towers.memory import Arrays, Memory, digest_of
from lookwhy.towers.operations import as_sequence
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.towers.relu_rules import Rule, relu_rule
from lookwhy.towers.trace import Trace

_log = logging.getLogger(__name__)
BANK = "masked-features"
_numbers = itertools.count()
CleanAndOccluded = tuple[Float[Tensor, "*D"], Float[Tensor, "cells *D"]]
CleanAndMasked = tuple[Float[Tensor, "*D"], Float[Tensor, "M *D"]]
AtPixels = Callable[[Float[Tensor, "Q *D"]], Float[Tensor, "Q 3 H W"]]
"""Function from gradients at the features to gradients at the pixels."""


class Tower(nn.Module):
    """A frozen network from images to features; always in eval mode.

    Args:
        network: images (B, 3, H, W) to features (B, *D). Its weights must not change afterwards.
        recipe: preprocessing of the images; None if unknown.
        memory: store for results by image; by default nothing is stored.

    Example:
        >>> tower = Tower(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten()))
        >>> tower(torch.rand(2, 3, 6, 6)).shape
        torch.Size([2, 128])
        >>> clean, occluded = tower.occluded(torch.rand(3, 6, 6), grid=2, fill=torch.zeros(3))
        >>> occluded.shape
        torch.Size([4, 128])
    """

    network: nn.Module
    recipe: ImageRecipe | None
    memory: Memory
    reads_pixels = True
    """Whether it can compute features; that of boxes cannot (`towers.boxes`)."""

    def __init__(
        self, network: nn.Module, recipe: ImageRecipe | None = None, memory: Memory | None = None
    ) -> None:
        super().__init__()
        if not isinstance(network, nn.Module):
            raise LookwhyError(
                f"expected an nn.Module from images to features in Tower(network), found a "
                f"{type(network).__name__}; give the image network"
            )
        # A tower in a tower would hide its layers from the engines.
        if isinstance(network, Tower):
            recipe, memory = recipe or network.recipe, memory or network.memory
            network = network.network
        self.network = network.eval().requires_grad_(False)
        self.recipe, self.memory = recipe, memory or Memory()
        self._number = next(_numbers)

    def train(self, mode: bool = True) -> Tower:
        """Stay in eval mode: the tower is frozen."""
        return super().train(False)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B *D"]:
        """Features of images in the recipe's own input range, not normalised.

        Raises:
            LookwhyError: the network returns something else than one tensor.
        """
        features = forward_pass(self.network, images)
        if not isinstance(features, Tensor):
            raise LookwhyError(
                f"expected one tensor of features from {type(self.network).__name__}, found a "
                f"{type(features).__name__}; wrap the network in a module that returns the features alone"
            )
        return features

    @torch.no_grad()
    def occluded(
        self, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"]
    ) -> CleanAndOccluded:
        """Features of an image, and of the image with each cell of a grid painted over, row-major.

        On disk, the clean features are float32, and the differences of the occluded features from them are
        float16: 2 MB per image for fc7 and 16x16 cells. A rounding error is relative to its difference, and
        most differences are small. `make bench` prints the effect on the decrease of a probability.

        Args:
            image: pixels in the recipe's input range.
            grid: cells along each side.
            fill: colour of the patch in the same range.
        """

        @part("network")
        def make() -> CleanAndOccluded:
            return self._occlusion.on(grid, fill).clean_and_occluded(image)

        key, unpack = self._occlusion_key(grid, fill), partial(_unpack_changed, image)
        return self.memory.recall("occluded-features", key, image, make, _pack_changed, unpack)

    def read_ahead(self, image: Float[Tensor, "3 H W"], grid: int, fill: Float[Tensor, "3"]) -> None:
        """Begin to read what `occluded` will need of an image, while something else is computed."""
        self.memory.read_ahead("occluded-features", self._occlusion_key(grid, fill), image)

    def _occlusion_key(self, grid: int, fill: Float[Tensor, "3"]) -> dict[str, object]:
        return {**self._key, "grid": grid, "fill": fill.tolist()}

    @torch.no_grad()
    def masked(
        self,
        image: Float[Tensor, "3 H W"],
        masks: Float[Tensor, "M H W"],
        fill: Float[Tensor, "3"] | Float[Tensor, "3 H W"],
        batch_size: int | None = None,
    ) -> Float[Tensor, "M *D"]:
        """Features of an image under any set of masks.

        Args:
            image: pixels in the recipe's input range.
            masks: 1 keeps a pixel and 0 replaces it by the fill; values between 0 and 1 mix both.
            fill: a colour, or another image (a blurred one, for example), in the same range.
            batch_size: number of masked images in one forward pass, which bounds the memory; None: 16 on a
                CPU, 128 on a GPU.

        Raises:
            LookwhyError: the masks are no floats.
        """
        if not masks.is_floating_point():
            raise LookwhyError(
                f"expected masks of floats, 1 where a pixel stays, found {masks.dtype}; give masks.float()"
            )
        usual = devices.IMAGES_ON_GPU if devices.launches_are_dear(image.device) else 16
        parts = masks.split(batch_size or usual)
        return torch.cat([self(masked_images(image, some, fill)) for some in parts])

    @torch.no_grad()
    def under_masks(
        self, image: Float[Tensor, "3 H W"], family: MaskFamily, fill: Fill = "patch"
    ) -> CleanAndMasked:
        """Features of an image, and of the image under each mask of a family: the mask bank.

        They are stored as those of occluded images are, differences from the clean features in float16. So
        every question, epoch and run uses the same masks, and the network runs once an image.

        Args:
            image: pixels in the recipe's input range.
            family: the masks, which the image itself seeds.
            fill: what takes the place of removed pixels.
        """

        @part("network, under masks")
        def make() -> CleanAndMasked:
            instead = fill_of(image, self.recipe, fill)
            return self(image[None])[0], self.masked(image, family.masks(image), instead)

        unpack = partial(_unpack_changed, image)
        return self.memory.recall(BANK, self._bank_key(family, fill), image, make, _pack_changed, unpack)

    @torch.no_grad()
    def mask_shares(
        self, image: Float[Tensor, "3 H W"], family: MaskFamily, grid: int
    ) -> Float[Tensor, "M G G"]:
        """Share of each cell of a grid that each mask of a family keeps, 0..1."""
        return self.memory.recall(
            "mask-shares",
            {**family.describe(), "grid": grid},
            image,
            lambda: family.shares(image, grid),
            lambda shares: {"shares": shares.cpu().numpy()},
            lambda arrays: devices.upload(arrays["shares"], image.device).to(image.dtype),
        )

    def has_under_masks(self, image: Float[Tensor, "3 H W"], family: MaskFamily, fill: Fill) -> bool:
        """Whether the bank has a file of this image."""
        return self.memory.has(BANK, self._bank_key(family, fill), image)

    def _bank_key(self, family: MaskFamily, fill: Fill) -> dict[str, object]:
        settings = {"fill": fill, "recipe": self.recipe and self.recipe.to_dict()}
        return {**self._key, **family.describe(), **settings}

    def with_gradients(
        self,
        images: Sequence[Float[Tensor, "3 H W"]],
        counts: Sequence[int],
        rule: Rule,
        *,
        stored: bool = True,
    ) -> tuple[Float[Tensor, "Q *D"], AtPixels]:
        """Features for questions about images, and the backward pass from the features to the pixels.

        Args:
            images: pixels in the recipe's input range, all of one size.
            counts: number of questions about each image; Q is their sum.
            rule: backward rule of the network's ReLUs.
            stored: whether the memory may hold the masks of these images.

        Returns:
            Features with one row per question, and a function from as many gradients at the features to
            gradients at the pixels. It can be called only once.
        """
        backward = self._backward
        if backward is None:
            copies = [image.expand(n, *image.shape) for image, n in zip(images, counts, strict=True)]
            pixels = torch.cat(copies).detach().requires_grad_()
            with torch.enable_grad(), relu_rule(self.network, rule):
                found = self(pixels)
            through = partial(torch.autograd.grad, found, pixels, allow_unused=True, materialize_grads=True)
            return found.detach(), lambda gradients: through(grad_outputs=gradients)[0]
        traces = self._traces(backward, images, stored)
        clean = (features for trace in traces for features in trace.features.split(1))
        features = torch.cat([one.expand(n, *one.shape[1:]) for one, n in zip(clean, counts, strict=True)])
        owner = None
        if devices.launches_are_dear(images[0].device):
            owner = torch.tensor([row for row, n in enumerate(counts) for _ in range(n)], dtype=torch.int32)
            owner, trace = owner.to(images[0].device), Trace.together(traces)
        else:
            trace = Trace.join(traces, list(counts))

        @part("network, backwards")
        def at_pixels(gradients: Tensor) -> Tensor:
            return backward.backward(trace, gradients, rule, images[0], owner)

        return features, at_pixels

    def last_maps(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "K h w"]:
        """Maps of the last ReLU before the layers that mix all places: relu5_4 of VGG-19.

        Raises:
            LookwhyError: see `split_at_last_maps`.
        """

        @part("network, to its last maps")
        @torch.no_grad()
        def make() -> Tensor:
            return self._split[0](image[None].clone())[0]

        return self.memory.recall(
            "last-maps",
            self._key,
            image,
            make,
            lambda maps: {"maps": maps.cpu().numpy()},
            lambda arrays: devices.upload(arrays["maps"], image.device),
        )

    def after_last_maps(self, maps: Float[Tensor, "B K h w"]) -> Float[Tensor, "B *D"]:
        """Features from the maps of `last_maps`, with gradients.

        Raises:
            LookwhyError: see `split_at_last_maps`.
        """
        return self._split[1](maps.clone())

    @cached_property
    def _split(self) -> tuple[nn.Sequential, nn.Sequential]:
        return split_at_last_maps(self.network)

    def _traces(
        self, backward: BackwardPass, images: Sequence[Float[Tensor, "3 H W"]], stored: bool
    ) -> list[Trace]:
        forward = part("network, forwards")(backward.forward)
        if devices.launches_are_dear(images[0].device):
            # A forward pass of many images is faster than reading their files.
            # A power of two, to which each part is filled up.
            at_once = 1 << (backward.images_at_once(images[0]).bit_length() - 1)
            parts = [images[i : i + at_once] for i in range(0, len(images), at_once)]
            return [forward(_power_of_two(some)).first(len(some)) for some in parts]

        def trace(image: Tensor) -> Trace:
            make, unpack = partial(forward, image[None]), partial(backward.unpack, image=image)
            if not stored:
                return make()
            return self.memory.recall("traces", {**self._key, "form": 3}, image, make, Trace.pack, unpack)

        return [trace(image) for image in images]

    @cached_property
    def _occlusion(self) -> IncrementalOcclusion:
        found = IncrementalOcclusion(as_sequence(self.network))
        if not found.incremental:
            found.cnn = self  # `forward` checks the features
        return found

    @cached_property
    def _backward(self) -> BackwardPass | None:
        found = BackwardPass(self.network)
        if found.why_not:
            _log.warning("gradients go through autograd: %s", found.why_not)
            return None
        return found

    @property
    def has_own_backward(self) -> bool:
        """Whether gradients go through the passes of `backward.py`, and not through autograd."""
        return self._backward is not None

    @cached_property
    def _fingerprint(self) -> str:
        """Digest of the network's layers, settings and weights, but not of its code."""
        plain = (bool, int, float, str, tuple, list, dict)
        found = hashlib.sha256(repr(self.network).encode())
        weights = dict(sorted(self.network.state_dict().items()))
        with ThreadPoolExecutor() as pool:
            for name, digest in zip(weights, pool.map(digest_of, weights.values()), strict=True):
                found.update(f"{name} {digest}".encode())
        for name, module in self.network.named_modules():
            # The repr of a torch layer shows all its settings; the repr of another module may show none.
            if not type(module).__module__.startswith("torch.nn."):
                settings = [
                    f"{key} {digest_of(value) if isinstance(value, Tensor) else repr(value)}"
                    for key, value in sorted(vars(module).items())
                    if isinstance(value, Tensor) or (isinstance(value, plain) and key[0] != "_")
                ]
                found.update(f"{name} {type(module)} {settings}".encode())
        return found.hexdigest()[:32]

    @property
    def _key(self) -> dict[str, object]:
        """Key of the network: in RAM a number, on disk its fingerprint, which may take a second."""
        return {"network": self._fingerprint if self.memory.folder else self._number}


def as_tower(network: nn.Module) -> Tower:
    """The network as a tower; a tower is returned unchanged."""
    return network if isinstance(network, Tower) else Tower(network)


def _power_of_two(images: Sequence[Float[Tensor, "3 H W"]]) -> Float[Tensor, "B 3 H W"]:
    """The images, filled up with the last one: cuDNN is slow for some other numbers (21 on an H200)."""
    more = (1 << (len(images) - 1).bit_length()) - len(images)
    return torch.stack([*images, *[images[-1]] * more])


def _pack_changed(found: CleanAndOccluded) -> Arrays | None:
    clean, occluded = found
    differences = (occluded - clean).half()
    if not differences.isfinite().all():
        return None  # beyond the range of float16: not stored, but computed each time
    return {"clean": clean.cpu().numpy(), "differences": differences.cpu().numpy()}


def _unpack_changed(image: Tensor, arrays: Arrays) -> CleanAndOccluded:
    # Copy first, then convert: a GPU converts in no time, and half the bytes go there.
    clean, differences = (devices.upload(arrays[name], image.device) for name in ("clean", "differences"))
    return clean, clean + differences.to(image.dtype)
