"""`lookwhy prepare`: makes training files from questions and images, and imports or downloads files."""

from __future__ import annotations

import io
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookwhy.cli.boxes import add_boxes, boxes
from lookwhy.cli.convert import add_attention, add_convert, add_split, attention, convert, split
from lookwhy.cli.errors import INTERRUPTED, OneLineParser, add_device, positive, run_command
from lookwhy.cli.net import WRONG_INPUT
from lookwhy.data.sources import DATASETS
from lookwhy.errors import LookwhyError, command, extra
from lookwhy.files import atomic_path, make_folder

if TYPE_CHECKING:
    from lookwhy.towers.image_tower import ImageTower

SPLITS, KINDS = ("train", "val"), ("questions", "annotations")
VGG_SIZE = 224
"""Height and width in pixels; the fully connected layers of VGG take no other size."""
VGG_STRIDE = 32
"""Side in pixels of one cell of pool5."""


def build_parser() -> OneLineParser:
    """Build the parser of all subcommands."""
    parser = OneLineParser(prog=command("prepare"), description=f"Prepare data for {command('train')}.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shapes = commands.add_parser("shapes", help="generate the embedded shapes world").add_argument
    shapes("--out", type=Path, default=Path("data/shapes"), help="folder (default: data/shapes)")
    shapes("--train-scenes", type=positive, default=4500, help="pictures to train on (4500)")
    shapes("--val-scenes", type=positive, default=300, help="pictures to validate on (300)")
    shapes("--seed", type=int, default=123, help="seed of scenes, questions and network (123)")
    shapes("--epochs", type=positive, default=4, help="epochs of the image network's training (4)")
    both = commands.add_parser("vqa", help="official VQA v1 or v2 JSON and images: questions, then features")
    questions = commands.add_parser("questions", help="vqa without features: data_prepro.h5 and .json")
    features = commands.add_parser("features", help="vqa without questions: data_img.h5")
    for one in (both, questions):
        _add_questions(one)
    for one in (both, features):
        _add_features(one)
    for one in (both, questions, features):
        images = "folder of <data_subtype>/*.jpg, or of the files that the questions name"
        one.add_argument("--images", type=Path, required=True, help=images)
        one.add_argument("--out", type=Path, required=True, help="folder to write to")
    add_boxes(commands.add_parser("boxes", help="bottom-up features of boxes as data_img.h5"))
    _add_import(commands.add_parser("import", help="a trained model of the original (.t7) as a checkpoint"))
    _add_truth(commands.add_parser("truth", help="ground-truth masks of other data sets as PNG files"))
    add_convert(commands.add_parser("convert", help="questions of other data sets as official VQA JSON"))
    add_split(commands.add_parser("split", help="official JSON, split so that the answer priors change"))
    add_attention(commands.add_parser("attention", help="gaze or masks of annotators as annotator maps"))
    _add_download(commands.add_parser("download", help="fetch official files: resumed, checked, unpacked"))
    return parser


def _add_import(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CKPT.t7", help="file that the original's train.lua saved")
    add("--data", type=Path, required=True, help="folder of the data_prepro.json that it was trained with")
    add("--out", type=Path, required=True, help="checkpoint to write")
    add("--images", type=Path, help="folder of the images (default: the one in data_prepro.json)")
    add("--annotator-maps", type=Path, help="folder of <question_id>_<k>.png")
    add("--truth-masks", type=Path, help="folder of <question_id>.png")
    add("--annotators", default="human annotators", help="name of the annotators (human annotators)")
    add("--embedding-size", type=positive, default=200, help="width of a word's embedding (200)")
    add("--hidden-size", type=positive, default=512, help="width of an LSTM layer (512)")
    add("--num-layers", type=positive, default=2, help="LSTM layers (2)")
    add("--common-size", type=positive, default=1024, help="width of the joint embedding (1024)")


def _add_truth(parser: ArgumentParser) -> None:
    add = parser.add_argument
    forms = "clevr-xai: a folder of <question_index>.npy; vizwiz: binary_masks_png/<split>"
    add("form", choices=("clevr-xai", "vizwiz"), metavar="FORMAT", help=forms)
    add("source", type=Path, metavar="SOURCE", help="folder of the masks")
    add("--out", type=Path, required=True, help="folder of <question_id>.png, for --data.truth_masks")
    questions = "vizwiz: official JSON with the ids of the questions (default: names of the images)"
    add("--questions", type=Path, metavar="FILE", help=questions)


def _add_download(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", choices=tuple(DATASETS), help=", ".join(DATASETS))
    add("--root", type=Path, required=True, help="folder to write to")
    add("--base-url", type=web_address, help="mirror that holds the files under their names")
    add("--timeout", type=positive, default=30, help="reconnect after this many seconds below 1 KiB/s (30)")
    add("--no-checksum", action="store_true", help="skip the checksums: for a mirror that repacked the files")


def _add_questions(parser: ArgumentParser) -> None:
    add = parser.add_argument
    files: dict[str, Any] = {"type": Path, "nargs": "+", "action": "extend", "metavar": "FILE"}
    for name in ("--train-questions", "--train-annotations", "--val-questions"):
        add(name, **files, required=True, help="official JSON, or .json.gz; one file or several")
    add("--val-annotations", **files, help="official JSON, or .json.gz; leave out if there are no answers")
    add("--num-answers", type=positive, default=1000, help="number of most frequent answers to keep (1000)")
    add("--max-length", type=positive, default=26, help="words of a question that are kept (26)")
    add("--word-count-threshold", type=int, default=0, help="words seen this often or less become UNK (0)")


def _add_features(parser: ArgumentParser) -> None:
    add = parser.add_argument
    arch = (
        "network (vgg19), any classification network of torchvision, such as resnet101, or shapes, the small"
    )
    other = "one of a shapes world, with --weights WORLD/tower.pt; or module:function of your own"
    add("--arch", default="vgg19", help=f"{arch} {other}")
    layer = "of a VGG fc7 after its ReLU, the pool5 grid or pool5_mean; of another network a node, such as"
    add(
        "--layer",
        default="fc7",
        help=f"{layer} layer4 for its grid or layer4_mean for the mean over places (fc7)",
    )
    weights = "torchvision (downloaded), a file with its key names, or a .caffemodel"
    add("--weights", default="torchvision", help=weights)
    recipe = "pixels that the weights were trained with: caffe, torchvision or a YAML file (docs/towers.md);"
    stated = "must be stated for a weights file"
    add("--recipe", metavar="NAME_OR_FILE", help=f"{recipe} {stated}")
    size = "height and width of resized images: 448 for a 14 x 14 grid of pool5 (224: 7 x 7)"
    add("--size", type=positive, help=size)
    add("--batch-size", type=positive, help="images in one forward pass (16; on a GPU 32)")
    add_device(parser)
    workers = "processes that decode images; 0: none (the cores that this command may use, at most 16)"
    add("--workers", type=_count, help=workers)


def _count(text: str) -> int:
    return 0 if text == "0" else positive(text)


def web_address(text: str) -> str:
    """The address, for argparse; only http and https are understood."""
    if not text.startswith(("http://", "https://")):
        raise ArgumentTypeError(f"expected an address that begins with http:// or https://, found {text!r}")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for wrong input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    return run_command(lambda: run(arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command, and leave its errors to the caller; of several processes one prints them."""
    try:
        return _run(arguments)
    except (Exception, KeyboardInterrupt) as error:
        from lookwhy.data.processes import Processes

        if Processes.of_torchrun().first_to_tell():
            raise
        raise SystemExit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else WRONG_INPUT) from error


def _run(arguments: Sequence[str]) -> int:
    options, start = build_parser().parse_args(arguments), time.monotonic()
    from lookwhy.data.processes import Processes

    processes = Processes.of_torchrun()
    if processes.count > 1 and options.command != "features":
        raise LookwhyError(
            f"expected features with torchrun, found {options.command}; run {options.command} without it"
        )
    if options.command == "download":
        where, done = options.root, _download(options)
    else:
        _check_folders(options)
        converters = {
            "truth": _truth,
            "convert": convert,
            "split": split,
            "attention": attention,
            "boxes": boxes,
        }
        work = ({"shapes": _shapes, "import": _import} | converters).get(options.command, _vqa)
        where, done = options.out, work(options)
    if processes.is_first:
        print(f"wrote {where}: {done}; {time.monotonic() - start:.0f} s")
    return 0


def _vqa(options: Namespace) -> str:
    # Load the network first, so that a wrong weights file is reported before minutes of work.
    tower = None if options.command == "questions" else _tower(options)
    done = [] if options.command == "features" else [_questions(options)]
    return "; ".join(done if tower is None else [*done, _features(options, tower)])


def _download(options: Namespace) -> str:
    with extra("download", "requests filelock urllib3"):
        from lookwhy.data.download import download
    sources = DATASETS[options.dataset]
    if options.no_checksum:
        sources = tuple(replace(source, checksum=None) for source in sources)
    download(options.dataset, sources, options.root, options.base_url, float(options.timeout))
    return str(options.dataset)


def _check_folders(options: Namespace) -> None:
    """Refuse wrong folders before any work."""
    images: Path | None = getattr(options, "images", None)
    if images is not None and not images.is_dir():
        raise LookwhyError(f"expected a folder of images, found none at {images}; correct --images")
    if options.command in ("truth", "convert", "split", "attention", "boxes"):
        return  # they read their source first, and write nothing if it is wrong
    if options.command != "import":
        make_folder(options.out)
    elif options.out.is_dir() or options.out.resolve() == options.checkpoint.resolve():
        raise LookwhyError(f"expected a new file, found {options.out}; give another --out, such as lstm.ckpt")
    else:
        make_folder(options.out.parent)


def _shapes(options: Namespace) -> str:
    import torch

    from lookwhy.data.shapes.network import train_shapes_cnn
    from lookwhy.data.shapes.world import generate_shapes_world
    from lookwhy.towers.image_tower import build_tower
    from lookwhy.towers.shapes_cnn import RECIPE

    out: Path = options.out
    generate_shapes_world(out, options.train_scenes, options.val_scenes, options.seed)
    weights = io.BytesIO()  # not a file: torch.save would write the name of the temporary file into it
    torch.save(train_shapes_cnn(out, options.seed, options.epochs).state_dict(), weights)
    with atomic_path(out / "tower.pt") as partial:
        partial.write_bytes(weights.getvalue())
    # The following steps are the same as for real data.
    files = {f"--{split}-{kind}": out / f"{kind}_{split}.json" for split in SPLITS for kind in KINDS}
    files |= {"--images": out / "images", "--out": out}
    given = [str(part) for option in files.items() for part in option]
    as_vqa = build_parser().parse_args(["vqa", *given, "--batch-size", "128", "--device", "cpu"])
    tower = build_tower("shapes", "fc7", RECIPE, out / "tower.pt")
    return f"{_questions(as_vqa)}; {_features(as_vqa, tower)}"


def _questions(options: Namespace) -> str:
    from lookwhy.data.prepro_writer import prepare_questions

    files: Any = [getattr(options, f"{split}_{kind}") for split in SPLITS for kind in KINDS]
    settings = {n: getattr(options, n) for n in ("num_answers", "max_length", "word_count_threshold")}
    settings |= {"image_root": options.images, "with_images": options.command == "vqa"}
    found = prepare_questions(*[*files, options.out], **settings)
    if missing := found.missing:
        print(f"{len(missing)} images are not in {options.images} yet; the first is {missing[0]}")
    # Reported but not refused: someone may want to overfit a model on a few questions.
    also = f" ({found.shared} of them trained on, too)" if found.shared else ""
    return (
        f"{found.train_kept} questions to train on ({found.train_dropped} dropped, their answer is not among "
        f"the {found.answers} kept), {found.val} to validate on{also}, {found.words} words"
    )


def _tower(options: Namespace) -> ImageTower:
    from lookwhy.towers.device_choice import choose_device
    from lookwhy.towers.image_tower import VGGS, build_tower
    from lookwhy.towers.own_network import OWN_LAYER, is_own
    from lookwhy.towers.recipe import ImageRecipe

    if options.arch == "shapes":
        return _shapes_tower(options)
    weights = options.weights if options.weights == "torchvision" else Path(options.weights)
    size = VGG_SIZE if options.size is None else options.size
    if options.recipe is None and (weights != "torchvision" or is_own(options.arch)):
        # Weights do not state their pixel format, and a wrong one fails silently, with poor features.
        trained = options.arch if is_own(options.arch) else weights
        raise LookwhyError(
            f"expected the recipe that {trained} was trained with, found no --recipe; "
            "give --recipe caffe, --recipe torchvision or a file"
        )
    if options.recipe in (None, "caffe", "torchvision"):
        recipe = ImageRecipe(options.recipe or "torchvision", size, size)
    else:
        recipe = ImageRecipe.from_yaml(Path(options.recipe), size, size)
    if is_own(options.arch):
        if options.layer not in ("fc7", OWN_LAYER):
            raise LookwhyError(
                f"expected no --layer for {options.arch}, whose layer is what it returns, found "
                f"{options.layer}; leave it out"
            )
        device = choose_device(options.device)
        own = None if weights == "torchvision" else weights
        return build_tower(options.arch, OWN_LAYER, recipe, own).to(device)
    is_vgg = options.arch in VGGS
    if is_vgg and (size % VGG_STRIDE or (options.layer == "fc7" and size != VGG_SIZE)):
        raise LookwhyError(
            f"expected --size {VGG_SIZE} for fc7, or a multiple of {VGG_STRIDE} for pool5, found "
            f"{size} for {options.layer}; 448 gives a grid of 14 x 14"
        )
    device = choose_device(options.device)  # refused before the weights are read
    return build_tower(options.arch, options.layer, recipe, weights).to(device)


def _shapes_tower(options: Namespace) -> ImageTower:
    """The small network of a shapes world, for other drawn pictures; it has one layer, recipe and size."""
    from lookwhy.towers.device_choice import choose_device
    from lookwhy.towers.image_tower import build_tower
    from lookwhy.towers.shapes_cnn import RECIPE, SIDE

    wrong = {
        "--weights": options.weights == "torchvision",
        "--layer": options.layer != "fc7",
        "--recipe": options.recipe not in (None, RECIPE.name),
        "--size": options.size not in (None, SIDE),
    }
    if found := [name for name, is_wrong in wrong.items() if is_wrong]:
        value = getattr(options, found[0].removeprefix("--"))
        raise LookwhyError(
            f"expected --arch shapes with --weights WORLD/tower.pt and no other option of the network, found "
            f"{found[0]} {value}; {command('prepare')} shapes makes such a world"
        )
    device = choose_device(options.device)
    return build_tower("shapes", "fc7", RECIPE, Path(options.weights)).to(device)


def _features(options: Namespace, tower: ImageTower) -> str:
    from lookwhy.data.features import extract_features, feature_shape
    from lookwhy.data.prepro import read_prepro
    from lookwhy.data.processes import Processes
    from lookwhy.data.workers import default_workers
    from lookwhy.towers.device_choice import tell_device

    prepro, path = read_prepro(options.out), options.out / "data_img.h5"
    files = {"train": prepro.train.image_files, "test": prepro.test.image_files}
    device = next(tower.parameters()).device
    extract_features(
        tower,
        tower.describe(),
        tower.recipe,
        options.images,
        files,
        path,
        batch_size=options.batch_size,
        device=device,
        workers=default_workers() if options.workers is None else options.workers,
        processes=Processes.of_torchrun(),
        begin=lambda: tell_device(options.device, str(device)),
    )
    shape = " x ".join(str(side) for side in feature_shape(path))
    return f"{sum(map(len, files.values()))} images, features {shape} ({tower.arch} {tower.layer})"


def _import(options: Namespace) -> str:
    from lookwhy.data.datamodule import VQADataModule
    from lookwhy.models.original.weights import import_torch7

    paths = {"image_root": options.images, "annotator_maps": options.annotator_maps}
    paths["truth_masks"] = options.truth_masks
    given: dict[str, Any] = {name: str(path) for name, path in paths.items() if path is not None}
    data = VQADataModule(str(options.data), **given, annotators=options.annotators)
    names = ("embedding_size", "hidden_size", "num_layers", "common_size")
    sizes = {name: getattr(options, name) for name in names}
    head = import_torch7(options.checkpoint, data, options.out, **sizes)
    count = sum(parameter.numel() for parameter in head.parameters())
    return f"{count} parameters, {data.vocab_size} words, {data.num_answers} answers"


def _truth(options: Namespace) -> str:
    from lookwhy.data.truth_formats import convert_clevr_xai, convert_vizwiz

    if options.form == "vizwiz":
        done = convert_vizwiz(options.source, options.out, options.questions)
    elif options.questions:
        raise LookwhyError("expected --questions with vizwiz, found clevr-xai; leave --questions out")
    else:
        done = convert_clevr_xai(options.source, options.out)
    return f"{done.masks} masks{f' ({done.kept} were there)' if done.kept else ''}"
