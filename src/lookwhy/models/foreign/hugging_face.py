"""The kinds of models of Hugging Face's transformers that can be explained, and which class opens each.

Some models choose from a list of answers of their own (ViLT). The others write an answer word by word (BLIP,
chat models): they score a list of candidates instead, which they are given when they are opened. That list
never changes, so the clean picture and every masked copy of it are scored on the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from lookwhy.errors import LookwhyError
from lookwhy.models.foreign.blip import BlipModel
from lookwhy.models.foreign.chat import ChatModel, is_chat
from lookwhy.models.foreign.pretrained import config_of
from lookwhy.models.foreign.vilt import ViltModel
from lookwhy.models.protocol import VQAModel


def writes_answers(name: str) -> bool:
    """Whether a model writes its answers, and so needs candidates.

    Raises:
        LookwhyError: there is no such model on this machine, or it is of a kind that is not known.
    """
    return _kind(name) != "vilt"


def open_pretrained(name: str, candidates: Sequence[str] | None = None, device: str = "cpu") -> VQAModel:
    """Open a model.

    Args:
        name: folder that `save_pretrained` wrote, or the name of a model that was downloaded before.
        candidates: the answers that a model which writes its answers scores.
        device: device to compute on; pictures and scores stay on the CPU.

    Raises:
        LookwhyError: see `writes_answers`; candidates are missing, or given to a model that has answers of
            its own.

    Example:
        >>> open_pretrained("blip-vqa-base", ["yes", "no", "2"]).answers  # doctest: +SKIP
        ['yes', 'no', '2']
    """
    kind = _kind(name)
    if kind == "vilt":
        if candidates is not None:
            raise LookwhyError(
                f"expected no candidates for {name}, which has answers of its own (vilt), found "
                f"{len(candidates)}; leave them out"
            )
        return ViltModel(name, device)
    if not candidates:
        raise LookwhyError(
            f"expected candidates for {name}, which writes its answers ({kind}), found none; give "
            "--candidates FILE with one answer a line, in Python candidates=[...]"
        )
    return (BlipModel if kind == "blip" else ChatModel)(name, candidates, device)


def _kind(name: str) -> str:
    config = config_of(name)
    kind: str = config.model_type
    if kind in ("vilt", "blip") or is_chat(config):
        return kind
    raise LookwhyError(
        f"expected --model hf: of a ViLT, a BLIP or a chat model that sees images, found {kind} in {name}; "
        "write a class for it (docs/foreign.md)"
    )
