"""The commands that users start, at the paper's size, on a GPU: features of JPEG files, a training, analyses.

The data are synthetic: pictures of 640 x 480 pixels, questions of VQA v1's number and length, and random weights of
VGG-19, which take as much time as trained ones.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu.clock import Clock, ms
from benchmarks.networks import vgg
from benchmarks.probes import LAST_STEPS
from benchmarks.synthetic import Size, write_dataset
from benchmarks.timing import Row
from lookwhy.analysis import AnalysisPlan
from lookwhy.analysis.session import AnalysisSession
from lookwhy.data.datamodule import VQADataModule
from lookwhy.data.features import extract_features
from lookwhy.data.workers import default_workers
from lookwhy.models import DeeperLSTM
from lookwhy.towers.image_tower import ImageTower, build_tower
from lookwhy.towers.recipe import ImageRecipe
from lookwhy.towers.shapes_cnn import RECIPE, build_shapes_cnn

ROOT = Path(__file__).parents[2]
ITERATIONS = 150_000
PICTURES = 40
"""Number of different pictures; the others are copies under other names."""
MOST_WAITS = 10
"""Most waits for the GPU in 100 steps: two for the log, two for checks of the loss, a bar."""
WARM_UP = 0.3
"""Share of the steps of a training that is left out: graphs are captured, and memory finds its size."""


class Data:
    """A folder with questions, pictures and weights, as `data/prepare.py` leaves it, but without features.

    Args:
        folder: an empty folder.
        size: numbers of images and questions.
        small: take the small network of the shapes world in place of VGG-19.
    """

    def __init__(self, folder: Path, size: Size, small: bool) -> None:
        self.folder, self.size = folder / "data", size
        self.images = folder / "images"
        write_dataset(self.folder, size)
        (self.folder / "data_img.h5").unlink()
        names = json.loads((self.folder / "data_prepro.json").read_text())
        self.files = {split: names[f"unique_img_{split}"] for split in ("train", "test")}
        write_pictures([self.images / name for some in self.files.values() for name in some])
        self.tower = random_tower(folder, small)


def random_tower(folder: Path, small: bool) -> ImageTower:
    """VGG-19 up to fc7, or the small network of the shapes world, with random weights in a file of the folder."""
    network = build_shapes_cnn() if small else vgg()
    # From a nested sequence to torchvision's names.
    parts = {} if small else {"0": "features", "3": "classifier"}
    state = {f"{parts.get(key[0], key[0])}{key[1:]}": value for key, value in network.state_dict().items()}
    torch.save(state, folder / "weights.pt")
    recipe = RECIPE if small else ImageRecipe("caffe", 224, 224)
    return build_tower("shapes" if small else "vgg19", "fc7", recipe, folder / "weights.pt")


def write_pictures(paths: list[Path]) -> None:
    """Write JPEG files of 640 x 480 pixels."""
    draw, contents = np.random.default_rng(0), []
    for _ in range(PICTURES):
        small = Image.fromarray(draw.integers(0, 256, (60, 80, 3), np.uint8))
        buffer = io.BytesIO()
        small.resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % PICTURES])


def features(clock: Clock, data: Data) -> list[Row]:
    """Images a second from JPEG files to rows of the file; writes data_img.h5."""
    tower = data.tower.to(clock.device)
    blank = torch.zeros(1, 3, tower.recipe.height, tower.recipe.width, device=clock.device)
    tower(blank)  # loads the libraries
    start = time.perf_counter()
    extract_features(
        tower,
        tower.describe(), tower.recipe, data.images, data.files, data.folder / "data_img.h5",
        device=clock.device, workers=default_workers(),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    count = sum(map(len, data.files.values()))
    rate, bar = count / seconds, 600
    return [
        Row(f"features of {count:,} JPEG files, images a second", f"{rate:.0f}", f">= {bar}", rate >= bar)
    ]


def training(clock: Clock, data: Data, steps: int, more: list[str]) -> list[Row]:
    """Steps a second of train.py with vqa_v1.yaml, and the time to its first step."""
    found = data.folder / "steps.json"
    command = [
        sys.executable, str(ROOT / "train.py"), "--config", str(ROOT / "configs/vqa_v1.yaml"),
        f"--data.folder={data.folder}", f"--data.image_root={data.images}", "--data.annotator_maps=null",
        "--analysis.untrained=false", "--analysis.epochs=[]", f"--trainer.max_steps={steps}",
        f"--trainer.accelerator={'gpu' if clock.device.type == 'cuda' else 'cpu'}",
        "--trainer.limit_val_batches=0", f"--runs={data.folder / 'runs'}", "--trainer.logger=false",
        "--trainer.callbacks+=benchmarks.probes.StepClock", f"--trainer.callbacks.init_args.file={found}", *more,
    ]  # fmt: skip
    is_plain = "--model.cuda_graph=false" in more
    cold = time.time()
    if not is_plain:  # on a new machine, the first start compiles Python's files and reads them from disk
        once = ["--trainer.max_steps=1" if "max_steps" in word else word for word in command]
        subprocess.run(once, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    start = time.time()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    record = json.loads(found.read_text())
    times, waits = record["times"], Counter(record["waits"])
    first, warm = times[0] - start, int(WARM_UP * len(times))
    step = (times[-1] - times[warm]) / (len(times) - 1 - warm)
    minutes = ITERATIONS * step / 60
    if is_plain:
        return [Row("train.py with vqa_v1.yaml without CUDA graphs, a step", ms(step), "", True)]
    return [
        Row("train.py with one step, first start on this machine", f"{start - cold:.1f} s", "", True),
        Row("train.py: start to the end of the first step", f"{first:.1f} s", "<= 10 s", first <= 10),
        Row(f"train.py with vqa_v1.yaml, a step, mean of {len(times) - 1 - warm:,}", ms(step), "", True),
        Row(
            f"waits for the GPU in the last {LAST_STEPS} steps",
            ", ".join([str(waits.total()), *(f"{line} {n}" for line, n in waits.most_common(3))]),
            f"<= {MOST_WAITS}",
            waits.total() <= MOST_WAITS,
        ),
        Row(f"{ITERATIONS:,} such steps", f"{minutes:.1f} min", "<= 10 min", minutes <= 10),
    ]


def analyses(clock: Clock, data: Data, settings: dict[str, Any]) -> list[Row]:
    """The first analysis of the paper's plan, which computes all that depends on images alone, and the second."""
    module = VQADataModule(str(data.folder), image_root=str(data.images))
    module.setup("predict")
    session = AnalysisSession(module, AnalysisPlan(num_examples=0))
    head = DeeperLSTM(module.vocab_size, module.num_answers, module.image_dim, **settings)
    head = head.to(clock.device).eval()
    first, second = (clock.once(lambda: session.run(head, 0, device=clock.device)) for _ in range(2))
    pairs = data.size.val_questions
    what = f"analysis of {pairs} questions about {data.size.val_images} images"
    return [
        Row(f"first {what}", f"{first:.1f} s", "<= 7 s", first <= 7),
        Row("the same, with the results for the images in the cache", f"{second:.1f} s", "", True),
    ]
