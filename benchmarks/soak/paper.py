"""The command `analyze.py paper` from nothing to its tables, and again with a signal in every stage.

    python -m benchmarks.soak.paper [--data DIR] [--keep DIR]

A server on this machine offers archives of the official names and layouts: questions and pictures of the shapes
world (or of DIR, a folder like it), random weights as a real .caffemodel of VGG-19, SIMULATED annotator maps.
Both ways must end in the same paper.md and paper.json. Takes ten minutes and 3 GB of disk.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.soak.attempts import Outcome
from benchmarks.soak.trials import Trial
from lookwhy.cli.paper import WEIGHTS
from lookwhy.data.official import find_image, image_name
from lookwhy.data.shapes.world import generate_shapes_world

ROOT = Path(__file__).parents[2]
SCENES = {"train": 40, "val": 20}
SIGNALS = {
    "download": (f"{WEIGHTS}.partial", 0.2, signal.SIGKILL),
    "features": ("data_img.h5.partial", 5.0, signal.SIGKILL),
    "first analysis": ("cache/*/*/*.npz", 1.0, signal.SIGKILL),
    "training": ("paper/run*/checkpoints/last.ckpt", 0.0, signal.SIGKILL),
    "training, Ctrl-C": ("paper/run*/analysis/epoch=001", 0.0, signal.SIGINT),
    "analysis": ("paper/analysis/epoch=*", 0.0, signal.SIGKILL),
}
"""File that tells the stage, seconds to wait from its appearance, and the signal to send."""
TRAINING = (
    "--trainer.max_epochs=3", "--data.steps_per_epoch=60", "--data.batch_size=50", "--model.learning_rate=0.003",
    "--model.head.init_args.hidden_size=128", "--model.head.init_args.num_layers=1",
    "--model.head.init_args.common_size=256", "--model.head.init_args.dropout=0.1",
    "--analysis.epochs=[0,1]", "--analysis.plan.num_images=6", "--analysis.plan.num_examples=2",
    "--data.annotators=simulated annotators", "--data.note=Simulated annotators, random VGG-19, a soak test.",
)  # fmt: skip
"""Options that make the training short."""


def make_archives(folder: Path, world: Path) -> None:
    """Write zips of the official names and layouts, with the questions, pictures and maps of a world.

    A world holds questions_<split>.json, annotations_<split>.json, images/ and perhaps annotators/.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maps: dict[str, dict[str, bytes]] = {}
    for split, count in SCENES.items():
        asked, annotated = (
            json.loads((world / f"{kind}_{split}.json").read_text()) for kind in ("questions", "annotations")
        )
        kept = [*dict.fromkeys(one["image_id"] for one in asked["questions"])][:count]
        subtype, old = f"{split}2014", asked["data_subtype"]
        for content, key in ((asked, "questions"), (annotated, "annotations")):
            content[key] = [one for one in content[key] if one["image_id"] in kept]
            content["data_subtype"] = subtype
        _zip(folder / f"{subtype}.zip", {
            image_name(subtype, image): _jpeg(world / "images" / find_image(world / "images", old, image))
            for image in kept
        })  # fmt: skip
        official, answers = (
            split.capitalize(),
            [one["multiple_choice_answer"] for one in annotated["annotations"]],
        )
        offered = list(dict.fromkeys(answers))[:17]
        choices = asked | {"questions": [
            question | {"multiple_choices": [answer, *offered]}
            for question, answer in zip(asked["questions"], answers, strict=True)
        ]}  # fmt: skip
        _zip(folder / f"Questions_{official}_mscoco.zip", {
            f"OpenEnded_mscoco_{subtype}_questions.json": json.dumps(asked).encode(),
            f"MultipleChoice_mscoco_{subtype}_questions.json": json.dumps(choices).encode(),
        })  # fmt: skip
        _zip(folder / f"Annotations_{official}_mscoco.zip",
             {f"mscoco_{subtype}_annotations.json": json.dumps(annotated).encode()})  # fmt: skip
        ids = [one["question_id"] for one in asked["questions"]]
        maps[split] = _maps(world / "annotators", ids[:: 1 if split == "val" else 50])
        _zip(
            folder / f"vqahat_{split}.zip",
            {f"vqahat_{split}/{name}": png for name, png in maps[split].items()},
        )
    _zip(
        folder / "Questions_Test_mscoco.zip",
        {"OpenEnded_mscoco_test2015_questions.json": b'{"questions": []}'},
    )


def _zip(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)


def _jpeg(path: Path) -> bytes:
    if path.suffix == ".jpg":
        return path.read_bytes()
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _maps(annotators: Path, question_ids: list[int]) -> dict[str, bytes]:
    """Maps of three simulated annotators: the world's, or a spot near a place that the question's id fixes."""
    found = {}
    for question in question_ids:
        place = np.random.default_rng(question)
        y, x = place.uniform(10, 54, 2)
        for k in (1, 2, 3):
            path = annotators / f"{question}_{k}.png"
            if path.is_file():
                found[path.name] = path.read_bytes()
                continue
            far = np.hypot(
                *(np.indices((64, 64)) - (np.array([y, x]) + place.normal(0, 4, 2))[:, None, None])
            )
            buffer = io.BytesIO()
            Image.fromarray(np.round(255 * np.exp(-((far / 12) ** 2))).astype(np.uint8)).save(buffer, "PNG")
            found[path.name] = buffer.getvalue()
    return found


def write_caffemodel(path: Path) -> None:
    """Write random weights of VGG-19 as a Caffe model of the older layout, as the published file has."""
    draw = np.random.default_rng(0)
    widths = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)]
    convolutions = [
        (f"conv{i}_{k}", width) for i, (width, n) in enumerate(widths, 1) for k in range(1, n + 1)
    ]
    before = [3, *(width for _, width in convolutions)]
    shapes = {name: (width, old, 3, 3) for (name, width), old in zip(convolutions, before, strict=False)}
    shapes |= {"fc6": (1, 1, 4096, 25088), "fc7": (1, 1, 4096, 4096), "fc8": (1, 1, 1000, 4096)}
    with path.open("wb") as file:
        for name, shape in shapes.items():
            out = shape[2] if name.startswith("fc") else shape[0]
            scale = (2 * out / np.prod(shape)) ** 0.5
            content = message(4, name.encode())
            for sides, width in ((shape, scale), ((1, 1, 1, out), 0.01)):
                values = (width * draw.standard_normal(int(np.prod(sides)), np.float32)).astype("<f4")
                stated = b"".join(varint(field << 3) + varint(side) for field, side in enumerate(sides, 1))
                content += message(6, stated + message(5, values.tobytes()))
            file.write(message(2, content))


def varint(number: int) -> bytes:
    """A number in the wire format of Protocol Buffers: 7 bits a byte, the lowest first."""
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def message(field: int, content: bytes) -> bytes:
    """A field of bytes, a text or another message in the same format."""
    return varint(field << 3 | 2) + varint(len(content)) + content


class _Ranges(SimpleHTTPRequestHandler):
    """Answers with the rest of a file, if a client asks for it."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        """Send a file, or its rest."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not found or not path.is_file():
            super().do_GET()
            return
        start, size = int(found[1]), path.stat().st_size
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            shutil.copyfileobj(file, self.wfile)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: a client that was killed is no fault of the server."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine; yields the address."""
    with _Server(("127.0.0.1", 0), partial(_Ranges, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def paper(root: Path, address: str, stage: str = "") -> Outcome:
    """Run the command; in a stage, send it the stage's signal."""
    words = [
        "analyze.py",
        "paper",
        "--root",
        str(root),
        "--base-url",
        address,
        "--no-checksum",
        "--device",
        "cpu",
    ]
    # A job in the background of a shell ignores Ctrl-C, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            [sys.executable, *words, "--", *TRAINING], cwd=ROOT, stdout=out, stderr=err,
            env=os.environ | {"WANDB_MODE": "offline"},
        )  # fmt: skip
        if stage:
            pattern, wait, sent = SIGNALS[stage]
            while process.poll() is None and not any(root.glob(pattern)):
                time.sleep(0.01)
            time.sleep(wait)
            process.send_signal(sent)
        code = process.wait()
        out.seek(0)
        err.seek(0)
        return Outcome(code, out.read(), err.read(), time.monotonic() - start)


def attempts(folder: Path, data: Path | None = None) -> Iterator[tuple[str, Outcome]]:
    """Run from nothing, with a signal in every stage, and once more; yields the name and outcome of each run.

    A run that was stopped as intended has code 0; one that ends in other tables has code 1.
    """
    if data is None:
        data = folder / "world"
        generate_shapes_world(data, SCENES["train"], SCENES["val"], seed=0)
    make_archives(folder / "archives", data)
    write_caffemodel(folder / "archives" / WEIGHTS)
    whole, stopped = folder / "whole", folder / "stopped"
    with serving(folder / "archives") as address:
        yield "without a signal", paper(whole, address)
        for stage, (_, _, sent) in SIGNALS.items():
            one = paper(stopped, address, stage)
            expected = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}[sent]
            yield stage, Outcome(0 if one.code == expected else 1, one.out, one.err, one.seconds)
        for name in ("the rest", "once more"):
            one = paper(stopped, address)
            same = one.code or _tables(stopped) == _tables(whole)
            yield name, one if same else Outcome(1, one.out, f"{one.err}\nother tables", one.seconds)


def papers() -> Iterator[Trial]:
    """The command from nothing to its tables, with and without signals."""
    yield Trial("the paper", "from nothing, with a signal in each stage", _from_nothing)


def _from_nothing(folder: Path, draw: object) -> str:
    """The broken promises of all runs in an empty folder; empty if there is none."""
    return "; ".join(f"{name}: {one.broken}" for name, one in attempts(folder) if one.broken)


def _tables(root: Path) -> list[str]:
    """Lines of paper.md and paper.json, without the revision of the code, which may change on the way."""
    texts = [(root / "paper" / name).read_text() for name in ("paper.md", "paper.json")]
    return [line for text in texts for line in text.splitlines() if "git revision" not in line]


def main() -> int:
    """Print each run; 1 if one was not as promised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="questions, annotations and images in the official format")
    parser.add_argument("--keep", type=Path, help="folder for all files (default: a temporary one)")
    options, broken = parser.parse_args(), 0
    folder = options.keep or Path(tempfile.mkdtemp(prefix="lookwhy-paper-"))
    for name, outcome in attempts(folder, options.data):
        broken += bool(outcome.broken)
        lines = outcome.out.strip().splitlines()
        last = next((line for line in reversed(lines) if re.match(r"\[\d+ of \d+\]", line)), "")
        verdict = "BROKEN" if outcome.broken else "as promised"
        print(f"{verdict}  {name}  {outcome.seconds:.0f} s  {last[:60]}", flush=True)
        if outcome.broken:
            print(f"{outcome.broken}\n{outcome.err[-2000:]}", flush=True)
    if not options.keep:
        shutil.rmtree(folder)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
