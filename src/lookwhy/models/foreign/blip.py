"""BLIP, as fine-tuned for VQA (Li et al. 2022, "BLIP: Bootstrapping language-image pre-training").

BLIP writes its answer. Candidates are ranked as in the authors' code: the image and the question are encoded
once, and each candidate c with tokens t_1 .. t_n (the last one ends the answer) gets the log likelihood

    l(c) = sum_i log p(t_i | t_1 .. t_(i-1), question, image)

which is not divided by its length. Probabilities are the softmax of l over the candidates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from lookwhy.models.foreign.pretrained import load_pretrained

ROWS_AT_ONCE = 128
"""Number of pairs of a picture and a candidate in one call of the decoder; bounds the memory for logits."""


class BlipModel:
    """A `BlipForQuestionAnswering` with its processor, and the candidates that it scores.

    Args:
        name: folder that `save_pretrained` wrote, or the name of a model that was downloaded before.
        candidates: the answers to score.

    Raises:
        LookwhyError: transformers is not installed, there is no such model, or it is of another class.

    Example:
        >>> BlipModel("blip-vqa-base", ["yes", "no"]).answer_scores(images, ["is it red?"])  # doctest: +SKIP
        tensor([[0.8213, 0.1787]])
    """

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        self._processor, self._model = load_pretrained(name, "BlipForQuestionAnswering")
        self.answers: Sequence[str] = []
        self.add_candidates(candidates)

    def add_candidates(self, answers: Sequence[str]) -> None:
        """Score these answers, too."""
        self.answers = [*dict.fromkeys([*self.answers, *answers])]
        found = self._processor.tokenizer(
            self.answers, padding=True, padding_side="right", return_tensors="pt"
        )
        self._tokens, self._mask = found.input_ids, found.attention_mask
        # The decoder was trained with a start token of its own in the place of the tokenizer's.
        self._tokens[:, 0] = self._model.decoder_start_token_id

    def answer_scores(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> Float[Tensor, "B A"]:
        """Probability of each candidate, (B, A)."""
        return self.log_likelihoods(images, questions).double().softmax(-1)

    @torch.no_grad()
    def log_likelihoods(
        self, images: UInt8[ndarray, "B H W 3"], questions: list[str]
    ) -> Float[Tensor, "B A"]:
        """Sum of the log probabilities of each candidate's tokens."""
        encoded = self._encoded(images, questions)
        seen = self._model.vision_model(pixel_values=encoded["pixel_values"]).last_hidden_state
        states = self._model.text_encoder(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.int64),
        ).last_hidden_state
        count = len(self.answers)
        pairs = torch.arange(len(questions) * count).split(ROWS_AT_ONCE)
        found = [
            self._decode(states, encoded["attention_mask"], some // count, some % count) for some in pairs
        ]
        return torch.cat(found).unflatten(0, (len(questions), count))

    def _decode(self, states: Tensor, mask: Tensor, rows: Tensor, answers: Tensor) -> Float[Tensor, " P"]:
        """Log likelihood of a candidate for each pair of a row and a candidate."""
        tokens, is_token = self._tokens[answers], self._mask[answers]
        logits = self._model.text_decoder(
            input_ids=tokens,
            attention_mask=is_token,
            encoder_hidden_states=states[rows],
            encoder_attention_mask=mask[rows],
            use_cache=False,
        ).logits
        logs = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        return (logs * is_token[:, 1:]).sum(1)

    @torch.no_grad()
    def written_answers(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> list[str]:
        """The answers that the model writes by itself, the likeliest token at each step."""
        encoded = self._encoded(images, questions)
        written = self._model.generate(**encoded, do_sample=False, num_beams=1, max_new_tokens=10)
        texts = self._processor.batch_decode(written, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _encoded(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> dict[str, Tensor]:
        encoded = self._processor(
            images=[*images], text=questions, return_tensors="pt", padding=True, truncation=True
        )
        return {name: encoded[name] for name in ("pixel_values", "input_ids", "attention_mask")}
