"""Chat models that see images: SmolVLM, Qwen-VL, LLaVA, InternVL and others with a chat template.

A candidate c with the tokens t_1 .. t_n, the last of which ends the turn, gets its log likelihood after the
prompt, with the candidate's own earlier tokens given (teacher forcing)::

    l(c) = sum_i log p(t_i | image, prompt, t_1 .. t_(i-1))

Probabilities are the softmax of l over the candidates. The prompt is the question and `INSTRUCTION`, in the
words of the model's own template.

The prompt with its image runs once for each picture and question, and its keys and values are used again for
all candidates. Some classes of models lay out their memory in another way: the first question is scored
without it, too, and where the numbers differ every candidate runs with the whole prompt.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from lookwhy.errors import LookwhyError
from lookwhy.models.foreign.candidate_model import CandidateModel
from lookwhy.models.foreign.pretrained import load_pretrained
from lookwhy.towers.precision import true_float32

INSTRUCTION = "Answer the question using a single word or phrase."
"""Line below each question, as in LLaVA-1.5: without it, chat models answer in sentences."""
CANDIDATES_AT_ONCE = 32
"""Number of candidates in one call; the prompt's keys and values are copied for each."""
TOLERANCE = 1e-2
"""Largest difference of a log likelihood with and without the prompt's memory that counts as rounding."""
NEW_TOKENS = 16
"""Number of tokens of an answer that the model writes itself, at most."""


def is_chat(config: Any) -> bool:
    """Whether transformers has a class for this config that writes a text about images and a text."""
    from transformers import AutoModelForImageTextToText

    return type(config) in AutoModelForImageTextToText._model_mapping


class ChatModel(CandidateModel):
    """A model of `AutoModelForImageTextToText` with its processor, and the candidates that it scores.

    Args:
        name: folder that `save_pretrained` wrote, or the name of a model that was downloaded before.
        candidates: the answers to score.
        device: device to compute on.

    Raises:
        LookwhyError: transformers is not installed, there is no such model, or it has no chat template.

    Example:
        >>> ChatModel("SmolVLM-256M", ["yes", "no"]).answer_scores(images, ["is it red?"])  # doctest: +SKIP
        tensor([[0.8213, 0.1787]])
    """

    def __init__(self, name: str, candidates: Sequence[str], device: str = "cpu") -> None:
        self._processor, self._model = load_pretrained(name, "AutoModelForImageTextToText", device)
        if not getattr(self._processor, "chat_template", None):
            raise LookwhyError(
                f"expected a chat template in the processor of {name}, found none; save one with it, or "
                "write a class for this model (docs/foreign.md)"
            )
        self.add_candidates(candidates)
        self._has_right_memory: bool | None = None
        parameters = inspect.signature(self._model.forward).parameters
        # The name of the argument depends on the version of transformers.
        self._memory_name = "cache" if "cache" in parameters else "past_key_values"
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def _read_candidates(self) -> None:
        self._tokens = self._continuations()

    @torch.no_grad()
    @true_float32()
    def log_likelihoods(
        self, images: UInt8[ndarray, "B H W 3"], questions: list[str]
    ) -> Float[Tensor, "B A"]:
        """Sum of the log probabilities of each candidate's tokens after the prompt."""
        return torch.stack([self._score(*asked) for asked in zip(images, questions, strict=True)]).cpu()

    def _score(self, image: UInt8[ndarray, "H W 3"], question: str) -> Float[Tensor, " A"]:
        prompt, tokens = self._prompt(image, question), self._tokens
        if self._has_right_memory is None:
            self._has_right_memory = self._check_memory(prompt, tokens)
        return (self._with_memory if self._has_right_memory else self._whole)(prompt, tokens)

    def _check_memory(self, prompt: dict[str, Tensor], tokens: list[Tensor]) -> bool:
        """Whether the longest and the shortest candidate have the same scores with the prompt's memory."""
        some = [max(tokens, key=len), min(tokens, key=len)]
        expected = self._whole(prompt, some)
        try:
            difference = float((self._with_memory(prompt, some) - expected).abs().max())
            if difference <= TOLERANCE:
                return True
            found = f"a log likelihood that differs by {difference:.2g}"
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            found = f"{type(error).__name__}: {' '.join(str(error).split()):.80}"
        warnings.warn(
            "expected that the prompt's keys and values can be used again for all candidates of "
            f"{type(self._model).__name__}, found {found}; every candidate runs with the whole prompt, which "
            "takes longer",
            stacklevel=2,
        )
        return False

    def _with_memory(self, prompt: dict[str, Tensor], tokens: list[Tensor]) -> Float[Tensor, " A"]:
        """Log likelihoods of the tokens' sequences; the prompt runs once."""
        seen = self._model(**prompt, **self._last_only, use_cache=True)
        memory, first, result = seen[self._memory_name], seen.logits[0, -1], list[Tensor]()
        for start in range(0, len(tokens), CANDIDATES_AT_ONCE):
            some = tokens[start : start + CANDIDATES_AT_ONCE]
            padded = pad_sequence(some, batch_first=True)
            is_token = pad_sequence([torch.ones_like(one) for one in some], batch_first=True)
            logits = first.expand(len(some), 1, -1)
            if padded.shape[1] > 1:
                copied = copy.deepcopy(memory)  # a call writes into it
                copied.batch_repeat_interleave(len(some))
                # No mask: the prompt has no padding, and no token sees the padding behind it.
                later = self._model(input_ids=padded[:, :-1], **{self._memory_name: copied})
                logits = torch.cat([logits, later.logits], 1)
            result.append((_logs(logits, padded) * is_token).sum(1))
        return torch.cat(result)

    def _whole(self, prompt: dict[str, Tensor], tokens: list[Tensor]) -> Float[Tensor, " A"]:
        """The same, from the prompt and one candidate at a time."""
        length, result = prompt["input_ids"].shape[1], []
        for one in tokens:
            inputs = {name: _extended(name, value, one, length) for name, value in prompt.items()}
            logits = self._model(**inputs, use_cache=False).logits[:, length - 1 : -1]
            result.append(_logs(logits, one[None]).sum())
        return torch.stack(result)

    @torch.no_grad()
    def written_answers(self, images: UInt8[ndarray, "B H W 3"], questions: list[str]) -> list[str]:
        """First line of the answers that the model writes by itself, the likeliest token at each step."""
        result = []
        for image, question in zip(images, questions, strict=True):
            prompt = self._prompt(image, question)
            written = self._model.generate(**prompt, do_sample=False, num_beams=1, max_new_tokens=NEW_TOKENS)
            rest = written[0, prompt["input_ids"].shape[1] :]
            text = self._processor.tokenizer.decode(rest, skip_special_tokens=True)
            result.append((text.strip().splitlines() or [""])[0].strip().removesuffix("."))
        return result

    def _prompt(self, image: UInt8[ndarray, "H W 3"], question: str) -> dict[str, Tensor]:
        encoded = self._processor.apply_chat_template(
            _asked(question, Image.fromarray(image)),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        tensors = {name: value for name, value in encoded.items() if isinstance(value, Tensor)}
        return {name: value.to(self._model.device) for name, value in tensors.items()}

    def _continuations(self) -> list[Int64[Tensor, " _"]]:
        """Tokens of each candidate, as the template writes an answer, with the end of the turn."""
        tokenizer, render = self._processor.tokenizer, self._processor.apply_chat_template
        asked = _asked("", None)
        before = render(asked, add_generation_prompt=True, tokenize=False)
        result = []
        for answer in self.answers:
            said = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
            after = render([*asked, said], tokenize=False).removeprefix(before).rstrip()
            blank, found, end = after.partition(answer)
            if blank.strip() or not found:  # the template writes another text before an answer
                blank, end = "", ""
            text = blank + answer + (end or tokenizer.eos_token or "")
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            result.append(torch.tensor(ids, device=self._model.device))
        return result


def _asked(question: str, image: Image.Image | None) -> list[dict[str, Any]]:
    picture = {"type": "image"} | ({} if image is None else {"image": image})
    text = {"type": "text", "text": f"{question}\n{INSTRUCTION}"}
    return [{"role": "user", "content": [picture, text]}]


def _logs(logits: Float[Tensor, "P T V"], tokens: Int64[Tensor, "P T"]) -> Float[Tensor, "P T"]:
    """Log probability of each token."""
    return logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


def _extended(name: str, value: Tensor, tokens: Tensor, length: int) -> Tensor:
    """An input of the prompt, longer by some tokens where it has one value a token."""
    if name == "input_ids":
        return torch.cat([value, tokens[None]], 1)
    if value.shape != (1, length):
        return value
    return F.pad(value, (0, len(tokens)), value=1 if name == "attention_mask" else 0)
