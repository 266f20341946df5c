"""The SPEC of `--model`: where a foreign model is found, and how it is called."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lookwhy.errors import LookwhyError, option
from lookwhy.models.foreign.http import HttpModel
from lookwhy.models.foreign.process import ProcessModel
from lookwhy.models.protocol import VQAModel
from lookwhy.towers.device_choice import AUTO, choose_device, tell_device

FORMS = "module:object, hf:FOLDER, http://HOST:PORT/PATH or cmd:PROGRAM"
PRETRAINED = "hf:"


def is_spec(text: object) -> bool:
    """Whether a text names a foreign model, and no file.

    Example:
        >>> is_spec("colour:scores"), is_spec("runs/demo/checkpoints/last.ckpt")
        (True, False)
    """
    if not isinstance(text, str):
        return False
    return text.startswith(("http://", "https://", "cmd:", "hf:")) or bool(
        re.fullmatch(r"[\w.]+:[\w.]+", text)
    )


def takes_candidates(spec: str) -> bool:
    """Whether the model of a SPEC writes its answers, so that candidates must be given to `open_model`.

    Raises:
        LookwhyError: it is a model of Hugging Face that is not on this machine, or of an unknown kind.

    Example:
        >>> takes_candidates("colour:scores")
        False
    """
    if not spec.startswith(PRETRAINED):
        return False
    from lookwhy.models.foreign.hugging_face import writes_answers

    return writes_answers(spec.removeprefix(PRETRAINED))


def open_model(
    spec: str,
    *,
    allow_remote: bool = False,
    candidates: Sequence[str] | None = None,
    device: str = AUTO,
) -> VQAModel:
    """The model that a SPEC names.

    Args:
        spec: `module:object`, where the object is an instance, a class without arguments, or a function from
            images and questions to scores with the answers in its attribute `answers`; the module may lie in
            the working directory. `hf:FOLDER`: see `hugging_face`. `http://HOST:PORT/PATH`: see `HttpModel`.
            `cmd:PROGRAM`: see `ProcessModel`.
        allow_remote: whether an http model may be on another machine.
        candidates: answers that are scored by a model which writes its answers (`takes_candidates`).
        device: device of a model of Hugging Face; "auto" is a GPU if there is one, else the CPU, and one line
            on stderr tells which.

    Raises:
        LookwhyError: the SPEC has none of these forms, or its model cannot be imported, reached or started;
            candidates are missing, or given to a model that has answers of its own; there is no such device,
            or one is given to a model that chooses its own.

    Example:
        >>> open_model("colour:scores").answers  # doctest: +SKIP
        ['red', 'green', 'blue', 'yes']
    """
    if spec.startswith(PRETRAINED) and spec != PRETRAINED:
        from lookwhy.models.foreign.hugging_face import open_pretrained

        chosen = choose_device(device)
        opened = open_pretrained(spec.removeprefix(PRETRAINED), candidates, chosen)
        tell_device(device, chosen)
        return opened
    if device != AUTO:
        raise LookwhyError(
            f"expected no {option('device')} for {spec}, which chooses its own, found {device}; leave it out"
        )
    if candidates is not None:
        raise LookwhyError(
            f"expected no candidates for {spec}, which has answers of its own, found {len(candidates)}; "
            "leave them out"
        )
    if spec.startswith(("http://", "https://")):
        return HttpModel(spec, allow_remote)
    if spec.startswith("cmd:"):
        return ProcessModel(spec.removeprefix("cmd:"))
    module, colon, name = spec.partition(":")
    if not colon or not module or not name:
        raise LookwhyError(f"expected --model {FORMS}, found {spec!r}; correct it")
    return _imported(module, name)


def _imported(module: str, name: str) -> VQAModel:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise LookwhyError(
            f"expected --model module:object that can be imported, found {error} in {module}:{name}; put its "
            "module into this folder or on PYTHONPATH"
        ) from error
    if isinstance(found, type):
        try:
            found = found()
        except TypeError as error:
            raise LookwhyError(
                f"expected a class that needs no arguments in --model, found {name} ({error}); name an "
                "instance, or a function that makes the scores"
            ) from error
    if callable(found) and not hasattr(found, "answer_scores"):
        found = _FunctionModel(found, name)
    if not isinstance(found, VQAModel):
        raise LookwhyError(
            f"expected an object with answers and answer_scores(images, questions) in --model, found "
            f"{type(found).__name__} {module}:{name}; docs/foreign.md has an example"
        )
    return found


class _FunctionModel:
    """A function as a model; its attribute `answers`, or that of its module, names the answers."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        module = sys.modules.get(getattr(function, "__module__", ""), None)
        answers = getattr(function, "answers", None) or getattr(module, "answers", None)
        if answers is None:
            raise LookwhyError(
                f"expected the answers of the function {name} in its attribute answers or that of its "
                f"module, found neither; write {name}.answers = [...] below it"
            )
        self.answers: Sequence[str] = answers
        self.answer_scores = function
