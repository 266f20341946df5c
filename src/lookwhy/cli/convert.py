"""`lookwhy prepare convert`, `split` and `attention`: data of other projects in the project's formats."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from lookwhy.errors import LookwhyError

QUESTION_FORMS = ("vizwiz", "gqa", "vqa-cp", "ok-vqa", "textvqa", "easy-vqa")
GAZE_FORMS = ("fixations", "air-d", "salicon", "masks")
TEST_SHARE = 1 / 3


def add_convert(parser: ArgumentParser) -> None:
    """Declare the options of `convert`."""
    add = parser.add_argument
    add("form", choices=QUESTION_FORMS, metavar="FORMAT", help=", ".join(QUESTION_FORMS))
    files = "files of one split; vqa-cp, ok-vqa: questions and annotations; easy-vqa: folder of the package"
    add("sources", type=Path, nargs="+", metavar="FILE", help=files)
    add(
        "--out",
        type=Path,
        required=True,
        help="folder of questions_<split>.json and annotations_<split>.json",
    )
    split = "name in the names of the new files (default: train, val or test, as the first file says)"
    add("--split", type=_name, metavar="NAME", help=split)


def add_split(parser: ArgumentParser) -> None:
    """Declare the options of `split`."""
    add = parser.add_argument
    files: dict[str, Any] = {"type": Path, "nargs": "+", "action": "extend", "metavar": "FILE"}
    seed = "answers of a question type differ between training and test, as in VQA-CP; seed of the choice"
    add("--changing-priors", type=_seed, required=True, metavar="SEED", help=seed)
    add("--questions", **files, required=True, help="official JSON, or .json.gz; one file or several")
    add("--annotations", **files, required=True, help="official JSON of their answers, in the same order")
    add("--test-share", type=float, default=TEST_SHARE, help="share of the questions to test (1/3)")
    add("--out", type=Path, required=True, help="folder of questions_train.json, questions_test.json, ...")


def add_attention(parser: ArgumentParser) -> None:
    """Declare the options of `attention`."""
    add = parser.add_argument
    forms = "fixations: CSV or JSON; air-d, salicon: JSON; masks: a folder of gray PNG files"
    add("form", choices=GAZE_FORMS, metavar="FORMAT", help=forms)
    add("source", type=Path, metavar="SOURCE", help="file of the fixations, or folder of the masks")
    add("--out", type=Path, required=True, help="folder of <question_id>_<k>.png, for --data.annotator_maps")
    sigma = "standard deviation of the Gaussian at a fixation: 30px, or 1deg with --pixels-per-degree"
    add("--sigma", type=_width, help=sigma)
    add("--pixels-per-degree", type=float, help="pixels of the images in a degree of visual angle")
    add("--questions", type=Path, metavar="FILE", help="salicon: official JSON of questions about the images")
    folders = (
        "masks: whether SOURCE has <annotator>/<question_id>.png (default) or <question_id>/<annotator>.png"
    )
    add("--folders", choices=("annotator", "question"), help=folders)


def convert(options: Namespace) -> str:
    """Convert question files; returns what was done."""
    from lookwhy.data.question_formats import convert_questions

    parts = convert_questions(options.form, options.sources, options.out, options.split)
    counts = [
        f"{len(questions)} questions{'' if questions[0].answers else ' without answers'} ({name})"
        for name, questions in parts.items()
    ]
    return ", ".join(counts)


def split(options: Namespace) -> str:
    """Split official files so that the priors change; returns what was done."""
    from lookwhy.data.changing_priors import split_by_priors
    from lookwhy.data.official import read_all
    from lookwhy.data.official_writer import write_official

    questions = read_all(options.questions, options.annotations)
    done = split_by_priors(questions, options.changing_priors, options.test_share)
    sources = [*options.questions, *options.annotations]
    write_official({"train": done.train, "test": done.test}, options.out, sources)
    return (
        f"{len(done.train)} questions to train on, {len(done.test)} to test "
        f"({len(done.test) / len(questions):.1%}); distance of their answers within a question type "
        f"{done.distance:.2f}, in a random split {done.random_distance:.2f}; {done.covered:.1%} of the test "
        "questions have an answer that training has, too"
    )


def attention(options: Namespace) -> str:
    """Make annotator maps of gaze or masks; returns what was done."""
    from lookwhy.data import gaze_formats
    from lookwhy.data.gaze_maps import convert_gaze, convert_masks

    _check_attention(options)
    how = ""
    if options.form == "masks":
        done = convert_masks(options.source, options.out, options.folders or "annotator")
    else:
        if options.form == "salicon":
            found = gaze_formats.read_salicon(options.source, options.questions)
        else:
            readers = {"fixations": gaze_formats.read_fixations, "air-d": gaze_formats.read_air_d}
            found = readers[options.form](options.source)
        size, unit = options.sigma
        pixels = size * options.pixels_per_degree if unit == "deg" else size
        how = f", Gaussian of {pixels:g} pixels"
        done = convert_gaze(found, pixels, options.out)
    left_out = [
        *([f"{done.outside} fixations outside of their image left out"] if done.outside else []),
        *([f"{done.empty} without attention have no map"] if done.empty else []),
    ]
    told = f" ({'; '.join(left_out)})" if left_out else ""
    return f"{done.maps} maps by {done.annotators} annotators{how}{told}"


def _check_attention(options: Namespace) -> None:
    """Refuse options that are missing, or that the format does not have."""
    is_gaze, degrees = options.form != "masks", options.sigma is not None and options.sigma[1] == "deg"
    for name, needed, example in (
        ("--sigma", is_gaze, "--sigma 30px"),
        ("--pixels-per-degree", is_gaze and degrees, "--pixels-per-degree 30, or --sigma in px"),
        ("--questions", options.form == "salicon", "--questions questions.json"),
    ):
        given = getattr(options, name.strip("-").replace("-", "_")) is not None
        if needed and not given:
            raise LookwhyError(f"expected {name} with {options.form}, found none; give {example}")
        if given and not needed:
            what = "--sigma in px" if name == "--pixels-per-degree" and is_gaze else options.form
            raise LookwhyError(f"expected no {name} with {what}, found one; leave it out")
    if options.folders is not None and is_gaze:
        raise LookwhyError(f"expected --folders with masks, found {options.form}; leave it out")
    if options.pixels_per_degree is not None and not 0 < options.pixels_per_degree < float("inf"):
        raise LookwhyError(
            f"expected --pixels-per-degree above 0, found {options.pixels_per_degree:g}; correct it"
        )


def _width(text: str) -> tuple[float, str]:
    if not (match := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(px|deg)", text)):
        raise ArgumentTypeError(f"expected a width such as 30px or 1deg, found {text!r}")
    return float(match[1]), match[2]


def _seed(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ArgumentTypeError(f"expected a whole number from 0 on, found {text!r}")
    return int(text)


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text):
        raise ArgumentTypeError(f"expected a name of letters and digits, found {text!r}")
    return text
