"""Batches from the prepared files. Features stay in memory, and the loader passes only row indices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from lookwhy.data.box_features import read_boxes
from lookwhy.data.dataset import QuestionDataset
from lookwhy.data.feature_rows import Keep, load_features, place_features
from lookwhy.data.features import check_files, feature_shape, is_stamped, read_description
from lookwhy.data.prepro import SPLITS, SplitQuestions, join_annotations, read_prepro
from lookwhy.data.sampling import Sampling, TrainBatches, evaluation_batches
from lookwhy.errors import LookwhyError, command
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.types import VQABatch


class VQADataModule(pl.LightningDataModule):
    """Training and validation questions from files of `data/prepare.py` or of the original (VQA_LSTM_CNN).

    Args:
        folder: folder of data_prepro.h5, data_prepro.json and data_img.h5.
        batch_size: training questions a step, on each device.
        eval_batch_size: validation questions a step, on each device.
        sampling: `with_replacement` draws batches as the original does; `shuffled` sees each question once an
            epoch.
        steps_per_epoch: steps of an epoch when batches are drawn with replacement; by default the number of
            steps of one pass over the questions.
        image_root: folder of the image files; by default the one named in data_prepro.json.
        val_questions: official JSON of the validation questions. Needed with the original's data_prepro.h5,
            which holds neither their texts nor their answers.
        val_annotations: official JSON of their annotations.
        annotator_maps: folder of the annotator maps, <question_id>_<k>.png.
        truth_masks: folder of the ground-truth masks, <question_id>.png with 0 and 255, that cover what a
            question needs in its image.
        annotators: name of the annotators in figures and tables ("human annotators").
        note: sentence about the data, shown in every figure.
        seed: seed of the order of the training questions.
        features: where image features are kept. `mapped` maps their file into memory; the file may be larger
            than the memory, and several processes share it. `ram` makes a copy; the processes of a machine
            share it, too. `auto` is `mapped`, or `ram` if the file is chunked or compressed. In all three
            cases, features that take less than half of the free memory of a GPU are copied to the GPU at the
            start.
    """

    def __init__(
        self,
        folder: str,
        batch_size: int = 500,
        eval_batch_size: int = 1000,
        sampling: Sampling = "with_replacement",
        steps_per_epoch: int | None = None,
        image_root: str | None = None,
        val_questions: str | None = None,
        val_annotations: str | None = None,
        annotator_maps: str | None = None,
        truth_masks: str | None = None,
        annotators: str = "human annotators",
        note: str = "",
        seed: int = 123,
        features: Keep = "auto",
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.sampling, self.steps_per_epoch, self.seed = sampling, steps_per_epoch, seed
        if (least := min(batch_size, eval_batch_size)) < 1:
            raise LookwhyError(
                f"expected data.batch_size and data.eval_batch_size of at least 1, found {least}"
            )
        if steps_per_epoch is not None and (sampling != "with_replacement" or steps_per_epoch < 1):
            raise LookwhyError(
                "expected data.steps_per_epoch of at least 1 with data.sampling with_replacement, found "
                f"{steps_per_epoch} with {sampling}; leave it out for epochs of one pass"
            )
        given = (annotator_maps, truth_masks, val_questions, val_annotations, image_root)
        paths = [Path(one) if one else None for one in given]
        self.annotator_maps, self.truth_masks, self.val_questions, self.val_annotations = paths[:4]
        self.image_root = paths[4]
        self.annotators, self.note, self.features = annotators, note, features
        self.prepro = read_prepro(self.folder)
        if self.val_questions and self.val_annotations:
            join_annotations(self.prepro, self.val_questions, self.val_annotations)
        elif self.val_questions or self.val_annotations:
            raise LookwhyError(
                "expected both data.val_questions and data.val_annotations, found one of them; give both"
            )
        if not self.image_root and self.prepro.image_root:
            self.image_root = self.folder / self.prepro.image_root  # an absolute path replaces the folder
        self.vocab_size = len(self.prepro.vocabulary)
        self.num_answers = len(self.prepro.answers)
        self.feature_shape = feature_shape(self.folder / "data_img.h5")
        self.image_dim = int(np.prod(self.feature_shape))
        self.datasets: dict[str, QuestionDataset] = {}

    @cached_property
    def boxes(self) -> dict[str, Float[Tensor, "M R 4"]]:
        """Boxes of all images by split, in the form of `VQABatch.boxes`; {} for other features."""
        return read_boxes(self.folder / "data_img.h5")

    @property
    def answers(self) -> list[str]:
        """Answers that the model can give, by 0-based id."""
        return self.prepro.answers

    @property
    def max_length(self) -> int:
        """Maximum number of words of a question in the prepared files; 26 in the original."""
        return self.prepro.test.tokens.shape[1]

    @property
    def most_frequent_answer(self) -> str:
        """Most frequent answer of the training questions: the best guess without reading anything."""
        return self.answers[int(np.bincount(self.prepro.train.labels).argmax())]

    def setup(self, stage: str | None = None) -> None:
        """Load or map the features at the first call; stage "predict" needs no annotations."""
        if self.datasets:
            return
        if stage != "predict" and not self.prepro.test.is_annotated:
            raise LookwhyError(
                f"expected the annotators' answers to the validation questions (answers10_test), found none "
                f"in {self.folder / 'data_prepro.h5'}; give data.val_questions and data.val_annotations, or "
                f"write the file with {command('prepare')} questions"
            )
        path = self.folder / "data_img.h5"
        splits: dict[str, SplitQuestions] = {split: getattr(self.prepro, split) for split in SPLITS}
        files = {split: questions.image_files for split, questions in splits.items()}
        features = load_features(path, self.features, image_files=files)
        for split, rows in features.items():
            expected = (len(files[split]), *self.feature_shape)
            found = tuple(rows.rows.shape)
            if found != expected:
                raise LookwhyError(
                    f"expected {expected[0]} images_{split} of shape {expected[1:]}, found {found[0]} "
                    f"of {found[1:]} in {path}; prepare questions and features from the same files"
                )
        check_files(path, files)
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        for split, rows in place_features(features, device).items():
            self.datasets[split] = QuestionDataset(splits[split], rows)

    def transfer_batch_to_device(
        self, batch: VQABatch, device: torch.device, dataloader_idx: int
    ) -> VQABatch:
        """The batch, which the dataset has made on its device; Lightning would look at each of its parts."""
        return batch if batch.tokens.device == device else batch.to(device)

    def train_dataloader(self) -> DataLoader[VQABatch]:
        """Batches of training questions, without their texts."""
        questions = self.datasets["train"].without_texts()
        settings = self.batch_size, self.sampling, self.seed, *self._place(), self.steps_per_epoch
        return self._loader(questions, TrainBatches(len(questions), *settings))

    def val_dataloader(self) -> DataLoader[VQABatch]:
        """Batches of all validation questions, each question once."""
        questions = self.datasets["test"]
        batches = evaluation_batches(len(questions), self.eval_batch_size, *self._place())
        return self._loader(questions, batches)

    def test_dataloader(self) -> DataLoader[VQABatch]:
        """Batches of the validation questions: the test questions have no public answers."""
        return self.val_dataloader()

    def image_batches(
        self,
        rows: Int64[np.ndarray, " M"],
        recipe: ImageRecipe | None,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[VQABatch]:
        """Validation questions with their pixels or boxes; a batch holds the questions about one image.

        Args:
            rows: row indices of validation questions, grouped by image.
            recipe: how an image file becomes pixels; None for features of boxes, without pixels.
            device: device of the batches.
            rank: number of this process; the processes take the images in turn.
            world_size: number of processes.

        Raises:
            LookwhyError: no image root is known, or an image is missing or damaged.
        """
        dataset = self.datasets["test"]
        positions = dataset.split.image_pos[rows]
        changes = np.flatnonzero(np.diff(positions)) + 1
        for number, group in enumerate(np.split(rows, changes)):
            if number % world_size != rank:
                continue
            batch = dataset[torch.from_numpy(group)]
            if recipe is None:
                boxes = self.boxes["test"][dataset.split.image_pos[group[0]]]
                batch.boxes = boxes.expand(len(batch), *boxes.shape)
            else:
                image = recipe.load(self._image_folder() / batch.image_files[0])
                batch.images = image.expand(len(batch), *image.shape)
            yield batch.to(device)

    def _image_folder(self) -> Path:
        if self.image_root is None:
            raise LookwhyError(
                f"expected the folder of the images to explain them, found none stated in "
                f"{self.folder / 'data_prepro.json'}; give data.image_root"
            )
        if not self.image_root.is_dir():
            raise LookwhyError(
                f"expected the folder of the images, found no folder {self.image_root}; give data.image_root"
            )
        return self.image_root

    def _loader(
        self, questions: QuestionDataset, batches: Sampler[Tensor] | Sequence[Tensor]
    ) -> DataLoader[VQABatch]:
        # Without its own generator, a loader draws from the global random state at each pass.
        return DataLoader(questions, batch_size=None, sampler=batches, generator=torch.Generator())

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)

    def describe(self) -> dict[str, Any]:
        """Description of the data for a checkpoint, in plain types: paths, vocabulary, answers, image tower.

        The tower is the image network behind the features; None if the file does not name it. A model can
        be trained on such features and can answer, but its answers cannot be explained.
        """
        features = self.folder / "data_img.h5"
        paths = ("folder", "image_root", "val_questions", "val_annotations", "annotator_maps", "truth_masks")
        return {name: str(path.absolute()) if (path := getattr(self, name)) else None for name in paths} | {
            "annotators": self.annotators,
            "note": self.note,
            "words": self.prepro.vocabulary.decode(range(1, self.vocab_size + 1)),
            "answers": list(self.answers),
            "max_length": self.max_length,
            "tower": read_description(features) if is_stamped(features) else None,
        }
