"""Models in the format of Hugging Face's transformers, from a folder or the cache of earlier downloads.

ViLT (Kim et al. 2021), as fine-tuned for VQA: one sigmoid score for each of its answers, which do not add up
to 1. Its processor scales the shorter side of a picture and reads 40 tokens of a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from lookwhy.errors import LookwhyError, extra

KINDS = ("vilt",)
"""Types of models that are known, by the name in their config."""


class ViltModel:
    """A `ViltForQuestionAnswering` with its processor.

    Args:
        name: folder that `save_pretrained` wrote, or the name of a model that was downloaded before; nothing
            is downloaded.

    Raises:
        LookwhyError: transformers is not installed, there is no such model, or it is of another type.
    """

    scores_add_up = False

    def __init__(self, name: str) -> None:
        with extra("hf", "transformers"):
            from transformers import AutoConfig, AutoProcessor, ViltForQuestionAnswering
            from transformers.utils import logging
        logging.disable_progress_bar()
        try:
            config = AutoConfig.from_pretrained(name, local_files_only=True)
            if config.model_type not in KINDS:
                raise LookwhyError(
                    f"expected --model hf: of the type {' or '.join(KINDS)}, found {config.model_type} in "
                    f"{name}; write a class for it (docs/foreign.md)"
                )
            self._processor: Any = AutoProcessor.from_pretrained(name, local_files_only=True)
            self._model: Any = ViltForQuestionAnswering.from_pretrained(name, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            said = " ".join(str(error).split())
            raise LookwhyError(
                f"expected a model of transformers that is on this machine, found none under {name} "
                f"({said:.120}); give a folder, or download it first with hf download {name}"
            ) from error
        count = config.num_labels
        self.answers: Sequence[str] = [config.id2label[number] for number in range(count)]

    @torch.no_grad()
    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> Float[Tensor, "B A"]:
        """Sigmoid score of each answer, 0..1, (B, A)."""
        encoded = self._processor(
            images=[*images], text=questions, return_tensors="pt", padding=True, truncation=True
        )
        scores: Tensor = self._model(**encoded).logits.sigmoid()
        return scores
