"""BLIP, as fine-tuned for VQA (Li et al. 2022, "BLIP: Bootstrapping language-image pre-training").

BLIP writes its answer. Candidates are ranked as in the authors' code: the image and the question are encoded
once, and each candidate c with tokens t_1 .. t_n (the last one ends the answer) gets the log likelihood

    l(c) = sum_i log p(t_i | t_1 .. t_(i-1), question, image)

which is not divided by its length. Probabilities are the softmax of l over the candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from lookwhy.models.foreign.candidate_model import CandidateModel
from lookwhy.models.foreign.pretrained import load_pretrained
from lookwhy.towers.precision import true_float32

ROWS_AT_ONCE = 128
"""Number of pairs of a picture and a candidate in one call of the decoder; bounds the memory for logits."""
NEW_TOKENS = 10
"""Number of tokens of an answer that the model writes itself, at most."""


class BlipModel(CandidateModel):
    """A `BlipForQuestionAnswering` with its processor, and the candidates that it scores.

    Args:
        name: folder that `save_pretrained` wrote, or the name of a model that was downloaded before.
        candidates: the answers to score.
        device: device to compute on.

    Raises:
        LookwhyError: transformers is not installed, there is no such model, or it is of another class.

    Example:
        >>> BlipModel("blip-vqa-base", ["yes", "no"]).answer_scores(images, ["is it red?"])  # doctest: +SKIP
        tensor([[0.8213, 0.1787]])
    """

    def __init__(self, name: str, candidates: Sequence[str], device: str = "cpu") -> None:
        self._processor, self._model = load_pretrained(name, "BlipForQuestionAnswering", device)
        self.add_candidates(candidates)

    def _read_candidates(self) -> None:
        found = self._processor.tokenizer(
            self.answers, padding=True, padding_side="right", return_tensors="pt"
        )
        found = found.to(self._model.device)
        self._tokens, self._mask = found.input_ids, found.attention_mask
        # The decoder was trained with a start token of its own in the place of the tokenizer's.
        self._tokens[:, 0] = self._model.decoder_start_token_id

    @torch.no_grad()
    @true_float32()
    def log_likelihoods(
        self, images: UInt8[ndarray, "B H W 3"], questions: list[str]
    ) -> Float[Tensor, "B A"]:
        """Sum of the log probabilities of each candidate's tokens."""
        pixels = self._processor.image_processor([*images], return_tensors="pt").pixel_values
        seen = self._model.vision_model(pixel_values=pixels.to(self._model.device)).last_hidden_state
        count = len(self.answers)
        result = torch.empty(len(questions), count)
        for rows, tokens in self._by_length(questions):
            states = self._model.text_encoder(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                encoder_hidden_states=seen[rows],
                encoder_attention_mask=tokens.new_ones(len(rows), seen.shape[1]),
            ).last_hidden_state
            pairs = torch.arange(len(rows) * count).split(ROWS_AT_ONCE)
            found = [self._decode(states[some // count], some % count) for some in pairs]
            result[rows] = torch.cat(found).unflatten(0, (len(rows), count)).cpu()
        return result

    def _by_length(self, questions: list[str]) -> Iterator[tuple[list[int], Int64[Tensor, "R T"]]]:
        """Rows of the questions with as many tokens, and these tokens.

        No question is padded: the cross attention of transformers' BLIP drops the mask of the padding.
        """
        tokens = self._processor.tokenizer(questions, truncation=True).input_ids
        for length in sorted({*map(len, tokens)}):
            rows = [row for row, one in enumerate(tokens) if len(one) == length]
            yield rows, torch.tensor([tokens[row] for row in rows], device=self._model.device)

    def _decode(self, states: Float[Tensor, "P T E"], answers: Int64[Tensor, " P"]) -> Float[Tensor, " P"]:
        """Log likelihood of a candidate for each pair of an encoded question and a candidate."""
        tokens, is_token = self._tokens[answers], self._mask[answers]
        logits = self._model.text_decoder(
            input_ids=tokens,
            attention_mask=is_token,
            encoder_hidden_states=states,
            encoder_attention_mask=tokens.new_ones(states.shape[:2]),
            use_cache=False,
        ).logits
        logs = logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
        return (logs * is_token[:, 1:]).sum(1)

    @torch.no_grad()
    def written_answers(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> list[str]:
        """The answers that the model writes by itself, the likeliest token at each step."""
        result = [""] * len(questions)
        for rows, tokens in self._by_length(questions):
            pixels = self._processor.image_processor([images[row] for row in rows], return_tensors="pt")
            written = self._model.generate(
                **pixels.to(self._model.device),
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                do_sample=False,
                num_beams=1,
                max_new_tokens=NEW_TOKENS,
            )
            texts = self._processor.batch_decode(written, skip_special_tokens=True)
            for row, text in zip(rows, texts, strict=True):
                result[row] = text.strip()
        return result
