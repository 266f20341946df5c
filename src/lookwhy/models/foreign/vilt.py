"""ViLT (Kim et al. 2021, "ViLT: Vision-and-language transformer"), as fine-tuned for VQA.

One sigmoid score for each of its answers, which do not add up to 1. Its processor scales the shorter side of
a picture and keeps the aspect; it reads 40 tokens of a question. All layers attend to the tokens of the
question and the patches of the picture together, and the state of the first token ([CLS]) is classified.

`ViltEmbeddings.visual_embed` draws a random order of the patches at every call. Here it is called apart from
the layers, and the patches are put back into the order of rows, so attention belongs to known places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from lookwhy.models.foreign.pretrained import load_pretrained
from lookwhy.models.foreign.protocol import TokenAttention
from lookwhy.models.pipeline import score_of
from lookwhy.towers.precision import true_float32
from lookwhy.types import Explains, Target


class ViltModel:
    """A `ViltForQuestionAnswering` with its processor.

    Args:
        name: folder that `save_pretrained` wrote, or the name of a model that was downloaded before; nothing
            is downloaded.
        device: device to compute on.

    Raises:
        LookwhyError: transformers is not installed, there is no such model, or it is of another class.

    Example:
        >>> ViltModel("vilt-b32-finetuned-vqa").answer_scores(images, ["is it red?"]).shape  # doctest: +SKIP
        torch.Size([1, 3129])
    """

    scores_add_up = False

    def __init__(self, name: str, device: str = "cpu") -> None:
        self._processor, self._model = load_pretrained(name, "ViltForQuestionAnswering", device)
        config = self._model.config
        self.answers: Sequence[str] = [config.id2label[number] for number in range(config.num_labels)]

    @torch.no_grad()
    @true_float32()
    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> Float[Tensor, "B A"]:
        """Sigmoid score of each answer, 0..1, (B, A)."""
        scores: Tensor = self._model(**self._encoded([*images], questions)).logits.sigmoid()
        return scores.cpu()

    @true_float32()
    def attention(
        self,
        images: Sequence[UInt8[ndarray, "_ _ 3"]],
        questions: list[str],
        target: Target | None = None,
        explains: Explains = "logit",
    ) -> list[TokenAttention]:
        """Attention of each picture and question; the pictures may have different sizes.

        Args:
            images: RGB pictures.
            questions: as many questions.
            target: answers whose scores are differentiated; None: no gradients.
            explains: the score: the logit of the answer, or its sigmoid.
        """
        encoded = self._encoded(images, questions, return_offsets_mapping=True)
        spans, mask = encoded.pop("offset_mapping"), encoded["attention_mask"].bool()
        pixel_mask = encoded.pop("pixel_mask")
        sizes = torch.stack([pixel_mask[:, :, 0].sum(1), pixel_mask[:, 0].sum(1)], 1).tolist()
        with torch.enable_grad():
            patches, is_patch, places, grids = self._patches(encoded.pop("pixel_values"), pixel_mask)
            # Their gradients are not wanted; but without a leaf, nothing would be recorded.
            patches.requires_grad_(target is not None)
            found = self._model(**encoded, image_embeds=patches, pixel_mask=is_patch, output_attentions=True)
            gradients: Sequence[Tensor | None] = [None] * len(found.attentions)
            if target is not None:
                scores = found.logits if explains == "logit" else found.logits.sigmoid()
                gradients = torch.autograd.grad(
                    score_of(scores, target.to(scores.device)).sum(), found.attentions
                )
        side = self._model.config.patch_size
        result = []
        for row, ((height, width), grid) in enumerate(zip(sizes, grids, strict=True)):
            words = mask[row].nonzero()[:, 0]
            shown = is_patch[row].bool()
            kept = torch.cat([words, len(mask[row]) + shown.nonzero()[:, 0]])
            result.append(
                TokenAttention(
                    _square(found.attentions, row, kept),
                    None if target is None else _square(gradients, row, kept),
                    [(int(start), int(end)) for start, end in spans[row, words].tolist()],
                    places[row][shown].cpu(),
                    grid,
                    (grid[0] * side / height, grid[1] * side / width),
                )
            )
        return result

    def _patches(
        self, pixels: Float[Tensor, "B 3 H W"], mask: Int64[Tensor, "B H W"]
    ) -> tuple[Float[Tensor, "B P E"], Int64[Tensor, "B P"], Int64[Tensor, "B P"], list[tuple[int, int]]]:
        """Embedded patches in the order of rows, with padding last.

        Returns: the patches, the first being the image's own [CLS]; whether each is no padding; its number in
        the grid of its own picture, -1 for [CLS]; and rows and columns of each picture's grid.
        """
        with torch.no_grad():
            found, is_patch, (index, size) = self._model.vilt.embeddings.visual_embed(
                pixels, mask, max_image_length=self._model.config.max_image_length
            )
            # The mask of patches, as `visual_embed` makes it.
            shown = F.interpolate(mask[:, None].float(), size=tuple(map(int, size)))[:, 0] > 0
            rows, columns = shown[:, :, 0].sum(1), shown[:, 0].sum(1)
            places = index[..., 0] * columns[:, None] + index[..., 1]
            places = torch.cat([torch.full_like(places[:, :1], -1), places], 1)
            order = torch.where(is_patch.bool(), places, places.max() + 1).sort(stable=True, dim=1).indices
            found = found.gather(1, order[..., None].expand_as(found))
        grids = [*zip(rows.tolist(), columns.tolist(), strict=True)]
        return found, is_patch.gather(1, order), places.gather(1, order), grids

    def _encoded(self, images: Sequence[ndarray], questions: list[str], **options: Any) -> dict[str, Any]:
        encoded = self._processor(
            images=[*images], text=questions, return_tensors="pt", padding=True, truncation=True, **options
        )
        return {**encoded.to(self._model.device)}


def _square(layers: Sequence[Tensor | None], row: int, kept: Int64[Tensor, " S"]) -> Float[Tensor, "L H S S"]:
    """Layers of one row of the batch, with some tokens only, in double precision."""
    stacked = torch.stack([layer[row].detach() for layer in layers if layer is not None])
    return stacked[:, :, kept][..., kept].cpu().double()
