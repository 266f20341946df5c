"""Reader of checkpoints: it builds a trained model without the configuration of the training."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int64
from torch import Tensor

from lookwhy import __version__
from lookwhy.data.features import read_description
from lookwhy.data.tokens import ORIGINAL_MAX_LENGTH, Vocabulary, tokenize
from lookwhy.errors import LookwhyError, command, refuse_untrusted
from lookwhy.models.checkpoint_form import CheckpointForm
from lookwhy.models.pipeline import Pipeline
from lookwhy.models.protocol import VQAHead
from lookwhy.places import PATH_MAP, Places, argument
from lookwhy.schema import checked
from lookwhy.towers.boxes import BOXES, no_network
from lookwhy.towers.image_tower import ImageTower, tower_from_description

if TYPE_CHECKING:  # Lightning takes seconds to import, which a question or another model's analysis can spare
    from lookwhy.data.datamodule import VQADataModule

REMEDY = "name one under runs/<name>/checkpoints"


@dataclass
class LoadedRun:
    """A trained model, its words and answers, and the description of its data.

    Attributes:
        epoch: 0-based epoch of the weights.
        step: number of optimiser steps.
        head: the trained network, in eval mode.
        data: description of the training data, from `VQADataModule.describe`.
        plan: settings of the analysis during training; empty if there was none.
        places: finds the files that `data` names.
        training: numbers that the training computed with (`VQASystem.describe_training`); empty if unknown.
    """

    path: Path
    epoch: int
    step: int
    head: VQAHead
    vocabulary: Vocabulary
    answers: list[str]
    data: dict[str, Any]
    plan: dict[str, Any]
    places: Places
    training: dict[str, Any] = field(default_factory=dict)

    def tower(self) -> ImageTower:
        """Image network (tower) that computed the training features; its weights' sha256 is checked.

        Raises:
            LookwhyError: the weights are missing or have changed, or the features are those of boxes.
        """
        folder = self.places.find(self.data["folder"])
        # Features that had no description during training may have one now. If not, reading it raises.
        description = self.data["tower"] or read_description(folder / "data_img.h5")
        if description["arch"] == BOXES:
            raise no_network("a picture to compute them from")
        weights = str(self.places.find(description["weights"]))
        return tower_from_description(description | {"weights": weights}, folder)

    def pipeline(self) -> Pipeline:
        """The model from pixels, or pictures and text, to answers, in eval mode."""
        return Pipeline(
            self.tower(), self.head, self.answers, lambda text: self.vocabulary.encode(self._words(text))
        ).eval()

    def encode(self, question: str) -> tuple[Int64[Tensor, "1 T"], Int64[Tensor, " 1"], list[str]]:
        """Tokens, length and words of one question, cut to the maximum length of the training questions.

        Raises:
            LookwhyError: the question has no word.
        """
        words = self._words(question)
        if not words:
            raise LookwhyError(f"expected a question, found {question!r}; ask something")
        return torch.tensor([self.vocabulary.encode(words)]), torch.tensor([len(words)]), words

    def _words(self, question: str) -> list[str]:
        return tokenize(question)[: self.data["max_length"]]

    def datamodule(self, other: Path | None = None) -> VQADataModule:
        """The training and validation data, from the paths in the checkpoint.

        `other` is a folder to use instead, prepared with the same training questions.

        Raises:
            LookwhyError: the folder's words or answers differ from the model's, so ids do not match.
        """
        folder = other or self.places.find(self.data["folder"])
        if not folder.is_dir():
            raise LookwhyError(
                f"expected the data that {self.path} was trained with, found no folder {folder}; give "
                f"{argument('folder')}, or name the folder of today in {self.path.with_name(PATH_MAP)}"
            )
        stated: dict[str, Any] = {}
        for name in ("image_root", "val_questions", "val_annotations", "annotator_maps", "truth_masks"):
            # A path that the checkpoint does not state, masks for an earlier run say, may be given today.
            named = self.data.get(name) or self.places.moved.get(name)
            path = self.places.find(named) if named and not other else None
            # The prepared folder of today may name another folder of images.
            if path and (path.exists() or name != "image_root"):
                stated[name] = str(path)
        from lookwhy.data.datamodule import VQADataModule

        data = VQADataModule(
            folder=str(folder),
            annotators=self.data["annotators"],
            note=self.data["note"],
            **stated,
        )
        self.check_data(data)
        return data

    def check_data(self, data: VQADataModule) -> None:
        """Refuse data with other words or answers, or with the same in another order.

        Raises:
            LookwhyError: the words or answers differ from the model's, so ids do not match.
        """
        for what, own, found in (
            ("words", self.vocabulary.ix_to_word(), data.prepro.vocabulary.ix_to_word()),
            ("answers", self.answers, data.answers),
        ):
            if own != found:
                raise LookwhyError(
                    f"expected the {len(own)} {what} that {self.path} was trained with, found other "
                    f"{len(found)} in {data.folder / 'data_prepro.json'}; prepare that folder as it was, "
                    "or train again"
                )


def describe_run(
    head: VQAHead,
    data: VQADataModule,
    run_folder: Path | None = None,
    training: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The `lookwhy` entry of a checkpoint: all that an analysis needs except the weights, in plain types.

    Files that move together with the run folder are found again if it is given.
    """
    kind = type(head)
    if not isinstance(getattr(head, "settings", None), dict):
        raise LookwhyError(
            f"expected {kind.__name__}.settings, the arguments of its constructor by name, found none; set "
            "it in __init__: a checkpoint holds it, and the head is built again from it"
        )
    return {
        "version": __version__,
        "head": {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": head.settings},
        "data": data.describe(),
        "run_folder": str(run_folder.absolute()) if run_folder else "",
        "training": dict(training or {}),
    }


def load_checkpoint(path: Path | str, moved: Mapping[str, str | Path] | None = None) -> LoadedRun:
    """Load a checkpoint that `train.py` or `prepare.py import` wrote.

    Only tensors and plain types are loaded; no code is unpickled.

    Args:
        path: the checkpoint's file.
        moved: paths of today of files that lie elsewhere now, see `lookwhy.places`.

    Raises:
        LookwhyError: the file does not exist, is no checkpoint, or is a checkpoint of another program.

    Example:
        >>> run = load_checkpoint(checkpoint)  # runs/demo/checkpoints/last.ckpt
        >>> run.encode("what color is the ball ?")[2]
        ['what', 'color', 'is', 'the', 'ball', '?']
    """
    path = Path(path)
    if not path.is_file():
        raise _no_checkpoint(f"{'the folder' if path.is_dir() else 'no file'} {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    # On damaged bytes, torch.load raises errors of a dozen classes.
    except Exception as error:
        raise _no_checkpoint(f"another kind of file in {path}") from error
    if not isinstance(content, dict) or "lookwhy" not in content:
        raise _no_checkpoint(f"no lookwhy entry in {path}")
    content = checked(CheckpointForm, content, f"a checkpoint of {command('train')}", path, REMEDY)
    try:
        return _built(path, content, moved or {})
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _no_checkpoint(f"a damaged one in {path} ({type(error).__name__}: {error})") from error


def _built(path: Path, content: dict[str, Any], moved: Mapping[str, str | Path]) -> LoadedRun:
    stored = content["lookwhy"]
    plan: dict[str, Any] = next((s["plan"] for s in content.get("callbacks", {}).values() if "plan" in s), {})
    for kind in ("image_methods", "question_methods"):
        for method in plan.get(kind, []):
            _refuse_untrusted(method["class_path"], path)
    head = _build_head(stored["head"], path)
    weights = content["state_dict"].items()
    head.load_state_dict({n.removeprefix("head."): value for n, value in weights if n.startswith("head.")})
    # Early checkpoints lack this entry; the maximum length was always 26 then.
    stored["data"].setdefault("max_length", ORIGINAL_MAX_LENGTH)
    words = {str(i): word for i, word in enumerate(stored["data"]["words"], start=1)}
    paths = stored["data"] | {"weights": (stored["data"]["tower"] or {}).get("weights")}
    return LoadedRun(
        path=path,
        epoch=int(content["epoch"]),
        step=int(content["global_step"]),
        head=head.eval(),
        vocabulary=Vocabulary(words),
        answers=list(stored["data"]["answers"]),
        data=stored["data"],
        plan=plan,
        places=Places(path, paths, stored.get("run_folder", ""), moved),
        training=stored.get("training", {}),
    )


def _no_checkpoint(found: str) -> LookwhyError:
    return LookwhyError(f"expected a checkpoint of {command('train')}, found {found}; {REMEDY}")


def _refuse_untrusted(class_path: str, path: Path) -> None:
    refuse_untrusted(class_path.rpartition(".")[0], class_path, path)


def _build_head(stored: dict[str, Any], path: Path) -> VQAHead:
    _refuse_untrusted(stored["class_path"], path)
    module, _, name = stored["class_path"].rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise LookwhyError(
            f"expected the model class {stored['class_path']} of {path} to be importable, found {error}; "
            "put its module on PYTHONPATH"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, VQAHead)):
        raise LookwhyError(f"expected a VQAHead, found {stored['class_path']} in {path}; train it again")
    return kind(**stored["init_args"])
