"""`data/prepare.py`: from raw questions and images to the files that training reads."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookwhy.cli.errors import OneLineParser, run_command

if TYPE_CHECKING:
    from lookwhy.models.tower import ImageTower

SHAPES_SIZE = 64
VGG_SIZE = 224


def build_parser() -> OneLineParser:
    """The parser of all subcommands."""
    parser = OneLineParser(prog="prepare.py", description="Prepare data for train.py.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shapes = commands.add_parser("shapes", help="generate the embedded shapes world")
    shapes.add_argument("--out", type=Path, default=Path("data/shapes"), help="folder (default: data/shapes)")
    shapes.add_argument("--train-scenes", type=int, default=3000, help="pictures to train on")
    shapes.add_argument("--val-scenes", type=int, default=300, help="pictures to validate on")
    shapes.add_argument("--seed", type=int, default=123)
    shapes.add_argument("--epochs", type=int, default=None, help="of the image network's training")
    both = commands.add_parser("vqa", help="official VQA v1 or v2 JSON and images: questions, then features")
    _add_questions(both)
    _add_features(both)
    _add_questions(commands.add_parser("questions", help="the first half: data_prepro.h5 and .json"))
    _add_features(commands.add_parser("features", help="the second half: data_img.h5"))
    return parser


def _add_questions(parser: ArgumentParser) -> None:
    for split in ("train", "val"):
        parser.add_argument(f"--{split}-questions", type=Path, required=True, help="official JSON")
        parser.add_argument(
            f"--{split}-annotations", type=Path, required=split == "train", help="official JSON"
        )
    parser.add_argument("--num-answers", type=int, default=1000, help="most frequent answers kept (1000)")
    parser.add_argument("--max-length", type=int, default=26, help="words of a question kept (26)")
    parser.add_argument("--word-count-threshold", type=int, default=0, help="rarer words become UNK (0)")
    _add_common(parser)


def _add_features(parser: ArgumentParser) -> None:
    parser.add_argument("--arch", choices=("vgg16", "vgg19"), default="vgg19")
    parser.add_argument("--layer", choices=("fc7", "pool5", "pool5_mean"), default="fc7")
    parser.add_argument("--weights", default="torchvision", help="torchvision, or a file of its key names")
    parser.add_argument(
        "--recipe",
        choices=("caffe", "torchvision"),
        default="torchvision",
        help="how the weights were trained to see pixels",
    )
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    _add_common(parser)


def _add_common(parser: ArgumentParser) -> None:
    known = {action.dest for action in parser._actions}
    if "out" not in known:
        parser.add_argument("--images", type=Path, required=True, help="folder of <data_subtype>/*.jpg")
        parser.add_argument("--out", type=Path, required=True, help="folder to write to")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for wrong input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    return run_command(lambda: _dispatch(build_parser().parse_args(arguments)))


def _dispatch(options: Namespace) -> int:
    start = time.monotonic()
    if options.command == "shapes":
        _shapes(options)
    if options.command in ("vqa", "questions"):
        _questions(options)
    if options.command in ("vqa", "features"):
        _features(options)
    print(f"done in {time.monotonic() - start:.0f} s: {options.out}")
    return 0


def _shapes(options: Namespace) -> None:
    import torch

    from lookwhy.data.files import atomic_path
    from lookwhy.data.prepro import prepare_questions
    from lookwhy.data.recipe import ImageRecipe
    from lookwhy.data.shapes import generate_shapes_world
    from lookwhy.models.shapes_tower import train_shapes_cnn
    from lookwhy.models.tower import build_tower

    out: Path = options.out
    generate_shapes_world(out, options.train_scenes, options.val_scenes, options.seed)
    more = {} if options.epochs is None else {"epochs": options.epochs}
    cnn = train_shapes_cnn(out, options.seed, **more)
    with atomic_path(out / "tower.pt") as partial:
        torch.save(cnn.state_dict(), partial)
    found = prepare_questions(
        out / "questions_train.json",
        out / "annotations_train.json",
        out / "questions_val.json",
        out / "annotations_val.json",
        out,
        image_root=out / "images",
    )
    print(_counts(found))
    recipe = ImageRecipe("caffe", SHAPES_SIZE, SHAPES_SIZE)
    _write_features(build_tower("shapes", "fc7", recipe, out / "tower.pt"), out, out / "images", 128, "cpu")


def _questions(options: Namespace) -> None:
    from lookwhy.data.prepro import prepare_questions

    found = prepare_questions(
        options.train_questions,
        options.train_annotations,
        options.val_questions,
        options.val_annotations,
        options.out,
        num_answers=options.num_answers,
        max_length=options.max_length,
        word_count_threshold=options.word_count_threshold,
        image_root=options.images,
    )
    print(_counts(found))


def _features(options: Namespace) -> None:
    from lookwhy.data.recipe import ImageRecipe
    from lookwhy.models.tower import build_tower

    recipe = ImageRecipe(options.recipe, VGG_SIZE, VGG_SIZE)
    weights = options.weights if options.weights == "torchvision" else Path(options.weights)
    tower = build_tower(options.arch, options.layer, recipe, weights)
    _write_features(tower, options.out, options.images, options.batch_size, options.device)


def _write_features(tower: ImageTower, out: Path, images: Path, batch_size: int, device: str) -> None:
    from lookwhy.data.features import extract_features, feature_shape
    from lookwhy.data.prepro import read_prepro

    prepro = read_prepro(out)
    files = {"train": prepro.train.image_files, "test": prepro.test.image_files}
    tower = tower.to(device)
    extract_features(
        lambda batch: tower(batch.to(device)),
        tower.describe(),
        tower.recipe,
        images,
        files,
        out / "data_img.h5",
        batch_size=batch_size,
    )
    shape = " x ".join(str(side) for side in feature_shape(out / "data_img.h5"))
    print(f"features: {sum(map(len, files.values()))} images, {shape} each, {tower.arch} {tower.layer}")


def _counts(found: object) -> str:
    counts = vars(found)
    return (
        f"questions: {counts['train_kept']} to train on ({counts['train_dropped']} dropped: answer not among "
        f"the {counts['answers']} kept), {counts['val']} to validate on, {counts['words']} words, "
        f"{counts['images']} images"
    )
