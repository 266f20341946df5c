"""The prepared files as batches: features in memory, and only index tensors travel through the loader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lookwhy.data.features import feature_shape, is_stamped, read_description, read_features
from lookwhy.data.prepro import Prepro, SplitQuestions, join_annotations, read_prepro
from lookwhy.data.recipe import ImageRecipe
from lookwhy.types import LookwhyError, VQABatch

Sampling = Literal["with_replacement", "shuffled"]
PREPRO_SPLITS = {"fit": "train", "validate": "test"}
"""The original calls its second split "test"; with its split 1 that is VQA val2014."""


class QuestionDataset(Dataset[VQABatch]):
    """One split: indexed by a tensor of rows, gives the whole batch at once."""

    def __init__(self, split: SplitQuestions, features: Float[Tensor, "M *D"]) -> None:
        self.split = split
        self.features = features
        self.tokens = torch.from_numpy(np.ascontiguousarray(split.tokens))
        self.lengths = torch.from_numpy(split.lengths).clamp(min=1)
        self.labels = torch.from_numpy(split.labels)
        self.question_ids = torch.from_numpy(split.question_ids)
        self.image_ids = torch.from_numpy(split.image_ids)
        self.image_pos = torch.from_numpy(split.image_pos)

    def __len__(self) -> int:
        return len(self.question_ids)

    def __getitem__(self, rows: Int64[Tensor, " B"]) -> VQABatch:
        """The questions in the given rows, padded no further than the longest of them."""
        lengths = self.lengths[rows]

        def pick(column: list[Any]) -> list[Any]:
            return [column[row] for row in rows.tolist()] if column else []

        files = [self.split.image_files[position] for position in self.image_pos[rows].tolist()]
        return VQABatch(
            question_ids=self.question_ids[rows],
            tokens=self.tokens[rows, : int(lengths.max())],
            lengths=lengths,
            labels=self.labels[rows],
            image_ids=self.image_ids[rows],
            features=self.features[self.image_pos[rows]],
            image_files=files,
            questions=pick(self.split.questions),
            answers=pick(self.split.answers10),
            question_types=pick(self.split.question_types),
            answer_types=pick(self.split.answer_types),
        )


class TrainBatches(Sampler[Tensor]):
    """Row indices of each batch of an epoch: a function of seed, epoch and rank alone.

    So a resumed run draws what the uninterrupted one would have drawn, whatever else used the global
    random state. Every rank gets the same number of batches.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        sampling: Sampling,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        steps: int | None = None,
    ) -> None:
        self.rows, self.batch_size, self.sampling = rows, batch_size, sampling
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.steps = steps or -(-rows // (batch_size * world_size))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Tensor]:
        random = np.random.default_rng([self.seed, self.epoch])
        if self.sampling == "with_replacement":
            order = random.integers(self.rows, size=len(self) * self.batch_size * self.world_size)
        else:
            order = random.permutation(self.rows)
        # Shares differ by one question at most, and np.array_split gives every rank len(self) batches.
        share = order[self.rank :: self.world_size]
        for batch in np.array_split(share, len(self)):
            yield torch.from_numpy(batch)


class EvaluationBatches(Sampler[Tensor]):
    """Each question exactly once, spread over the ranks; shares may be uneven."""

    def __init__(self, rows: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.share = torch.arange(rows)[rank::world_size]
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.share) // self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.share.split(self.batch_size) if len(self.share) else [])


class VQADataModule(pl.LightningDataModule):
    """Training and validation questions from a folder that `data/prepare.py` wrote, or the original's.

    Args:
        folder: holds data_prepro.h5, data_prepro.json and data_img.h5.
        batch_size: training questions a step, on each device.
        eval_batch_size: validation questions a step, on each device.
        sampling: the original draws batches with replacement; `shuffled` sees each question once an epoch.
        steps_per_epoch: what is called an epoch where batches are drawn with replacement, in steps; by
            default as many as one pass over the questions takes.
        image_root: folder of the image files; by default the one named in data_prepro.json.
        val_questions: official JSON of the validation questions, where data_prepro.h5 holds no texts and
            answers of them: the original's own file.
        val_annotations: official JSON of their annotations.
        annotator_maps: folder of <question_id>_<k>.png: where annotators looked.
        annotators: what to call them in figures and tables ("human annotators").
        note: a sentence about the data, shown wherever a figure from it is shown.
        seed: of the order of the training questions.
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
        annotators: str = "human annotators",
        note: str = "",
        seed: int = 123,
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.sampling, self.steps_per_epoch, self.seed = sampling, steps_per_epoch, seed
        if steps_per_epoch is not None and (sampling != "with_replacement" or steps_per_epoch < 1):
            raise LookwhyError(
                "expected data.steps_per_epoch of at least 1 with data.sampling with_replacement, found "
                f"{steps_per_epoch} with {sampling}; leave it out, and an epoch is one pass"
            )
        self.annotator_maps = Path(annotator_maps) if annotator_maps else None
        self.annotators, self.note = annotators, note
        self.prepro: Prepro = read_prepro(self.folder)
        self.val_questions = Path(val_questions) if val_questions else None
        self.val_annotations = Path(val_annotations) if val_annotations else None
        if self.val_questions and self.val_annotations:
            join_annotations(self.prepro, self.val_questions, self.val_annotations)
        elif self.val_questions or self.val_annotations:
            raise LookwhyError(
                "expected both data.val_questions and data.val_annotations, found one of them; give both"
            )
        self.image_root = Path(image_root) if image_root else self._stated_image_root()
        self.vocab_size = len(self.prepro.vocabulary)
        self.num_answers = len(self.prepro.answers)
        self.feature_shape = feature_shape(self.folder / "data_img.h5")
        self.image_dim = int(np.prod(self.feature_shape))
        self.datasets: dict[str, QuestionDataset] = {}

    def _stated_image_root(self) -> Path | None:
        if not self.prepro.image_root:
            return None
        root = Path(self.prepro.image_root)
        return root if root.is_absolute() else self.folder / root

    @property
    def answers(self) -> list[str]:
        """The answers the model can give, by 0-based id."""
        return self.prepro.answers

    @property
    def most_frequent_answer(self) -> str:
        """The training questions' most frequent answer: what a model that reads nothing would say."""
        return self.answers[int(np.bincount(self.prepro.train.labels).argmax())]

    def setup(self, stage: str | None = None) -> None:
        """Load features into memory, once; to predict answers alone, no annotations are needed."""
        if self.datasets:
            return
        if stage != "predict" and not self.prepro.test.answers10:
            raise LookwhyError(
                f"expected the annotators' answers to the validation questions (answers10_test), found none "
                f"in {self.folder / 'data_prepro.h5'}; give data.val_questions and data.val_annotations, or "
                "write the file with data/prepare.py questions"
            )
        features = read_features(self.folder / "data_img.h5")
        for split in ("train", "test"):
            questions: SplitQuestions = getattr(self.prepro, split)
            if len(questions.image_files) != len(features[split]):
                raise LookwhyError(
                    f"expected {len(questions.image_files)} images_{split}, found {len(features[split])} in "
                    f"{self.folder / 'data_img.h5'}; prepare questions and features from the same files"
                )
            self.datasets[split] = QuestionDataset(questions, features[split])

    def train_dataloader(self) -> DataLoader[VQABatch]:
        """Batches of training questions."""
        rank, world = self._place()
        sampler = TrainBatches(
            len(self.datasets["train"]),
            self.batch_size,
            self.sampling,
            self.seed,
            rank,
            world,
            self.steps_per_epoch,
        )
        return self._loader("train", sampler)

    def val_dataloader(self) -> DataLoader[VQABatch]:
        """All validation questions, each once."""
        rank, world = self._place()
        return self._loader(
            "test", EvaluationBatches(len(self.datasets["test"]), self.eval_batch_size, rank, world)
        )

    def test_dataloader(self) -> DataLoader[VQABatch]:
        """The same questions as validation: the data sets have no other public answers."""
        return self.val_dataloader()

    def image_batches(
        self,
        rows: Int64[np.ndarray, " M"],
        recipe: ImageRecipe,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[VQABatch]:
        """Validation questions with their pixels, those of one image in one batch.

        Args:
            rows: of the validation questions, those of one image together.
            recipe: how an image file becomes pixels.
            device: where the batches go.
            rank: of this process; the images are dealt out over the processes.
            world_size: number of processes.

        Raises:
            LookwhyError: no image root is known, or an image is missing or damaged.
        """
        if self.image_root is None:
            raise LookwhyError(
                f"expected the folder of the images to explain them, found none stated in "
                f"{self.folder / 'data_prepro.json'}; give data.image_root"
            )
        dataset = self.datasets["test"]
        positions = dataset.split.image_pos[rows]
        changes = np.flatnonzero(np.diff(positions)) + 1
        for number, group in enumerate(np.split(rows, changes)):
            if number % world_size != rank:
                continue
            batch = dataset[torch.from_numpy(group)]
            image = recipe.load(self.image_root / batch.image_files[0])
            batch.images = image.expand(len(batch), *image.shape)
            yield batch.to(device)

    def _loader(self, split: str, sampler: Sampler[Tensor]) -> DataLoader[VQABatch]:
        # Its own generator: a loader otherwise takes a number from the global random state at each pass.
        return DataLoader(self.datasets[split], batch_size=None, sampler=sampler, generator=torch.Generator())

    def _place(self) -> tuple[int, int]:
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)

    def describe(self) -> dict[str, Any]:
        """What a checkpoint carries of its data, in plain types: paths, vocabulary, answers, image tower.

        The tower is None where the features do not say which it was: such data can be trained on and
        answered from, but not explained.
        """
        features = self.folder / "data_img.h5"
        return {
            "folder": str(self.folder.resolve()),
            "image_root": str(self.image_root.resolve()) if self.image_root else None,
            "val_questions": str(self.val_questions.resolve()) if self.val_questions else None,
            "val_annotations": str(self.val_annotations.resolve()) if self.val_annotations else None,
            "annotator_maps": str(self.annotator_maps.resolve()) if self.annotator_maps else None,
            "annotators": self.annotators,
            "note": self.note,
            "words": [self.prepro.vocabulary.decode([i])[0] for i in range(1, self.vocab_size + 1)],
            "answers": list(self.answers),
            "tower": read_description(features) if is_stamped(features) else None,
        }
