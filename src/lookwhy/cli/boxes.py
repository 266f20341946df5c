"""`lookwhy prepare boxes`: bottom-up features of boxes as the features of prepared questions."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lookwhy.cli.errors import positive


def add_boxes(parser: ArgumentParser) -> None:
    """Declare the options of `boxes`."""
    add = parser.add_argument
    sources = "tsv files of bottom-up-attention, or folders of npz files, one an image"
    add("sources", type=Path, nargs="+", metavar="SOURCE", help=sources)
    out = "folder of data_prepro.h5 and .json, where data_img.h5 is written"
    add("--out", type=Path, required=True, help=out)
    most = "boxes of an image that are kept, the first ones (default: all)"
    add("--most", type=positive, metavar="N", help=most)


def boxes(options: Namespace) -> str:
    """Write the features; returns what was done, with the setting that a head needs."""
    from lookwhy.data.box_features import write_boxes
    from lookwhy.data.prepro import read_prepro

    done = write_boxes(options.sources, read_prepro(options.out), options.out, options.most)
    return (
        f"{done.images} images with {done.fewest} to {done.regions} boxes of {done.width} features; train "
        f"with --model.head.init_args.regions {done.regions} --model.head.init_args.mask_empty true"
    )
