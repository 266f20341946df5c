"""Declared form of a checkpoint: the fields that are read, with their types (checked by pydantic)."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from lookwhy.towers.image_tower import TowerDescription


class _Class(TypedDict):
    class_path: str
    init_args: dict[str, Any]


class _Data(TypedDict):
    """Schema of `VQADataModule.describe`; earlier checkpoints lack the last four."""

    folder: str
    image_root: str | None
    annotator_maps: str | None
    annotators: str
    note: str
    words: list[str]
    answers: list[str]
    tower: TowerDescription | None
    val_questions: NotRequired[str | None]
    val_annotations: NotRequired[str | None]
    max_length: NotRequired[int]
    truth_masks: NotRequired[str | None]


class _Entry(TypedDict):
    """Schema of `describe_run`."""

    head: _Class
    data: _Data
    run_folder: NotRequired[str]
    training: NotRequired[dict[str, Any]]


class CheckpointForm(TypedDict):
    """Schema of what is read of a checkpoint."""

    epoch: int
    global_step: int
    state_dict: dict[str, Any]
    lookwhy: _Entry
    callbacks: NotRequired[dict[str, dict[str, Any]]]
