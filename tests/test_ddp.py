"""Two real processes: every question analysed once, numbers equal to one process'."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from lookwhy import store

SCRIPT = """
import sys, warnings
warnings.filterwarnings("ignore")
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
import pytorch_lightning as pl
from pathlib import Path
from tiny_runs import make_data, make_head, make_trainer
from lookwhy.analysis import AnalysisPlan
from lookwhy.callbacks import ImportanceCallback
from lookwhy.models import SAN, DeeperLSTM, VQASystem

pl.seed_everything(7)
data = make_data(Path({world!r}))
plan = AnalysisPlan(num_questions=13, num_examples=1, bootstrap_samples=50)
settings = dict(devices=2, strategy="ddp_fork") if {processes} == 2 else {{}}
trainer = make_trainer({folder!r}, 1, [ImportanceCallback(plan, epochs=[], untrained=True)], **settings)
trainer.fit(VQASystem(make_head(data, {head})), data)
if {processes} == 1 or trainer.is_global_zero:
    print(float(trainer.callback_metrics["val/accuracy/overall"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("head", ["DeeperLSTM", "SAN"])
def test_two_processes_find_what_one_finds(tiny_world, tmp_path, head):
    results = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        script = textwrap.dedent(SCRIPT).format(
            tests=str(__file__).rsplit("/", 1)[0],
            world=str(tiny_world),
            folder=str(folder),
            processes=processes,
            head=head,
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr[-2000:]
        results[processes] = store.load(store.epoch_folder(folder, store.UNTRAINED))
    one, two = results[1], results[2]
    assert one.question_ids.tolist() == two.question_ids.tolist()
    assert set(one.summary) == set(two.summary)
    for key, value in one.summary.items():
        assert two.summary[key] == pytest.approx(value, abs=1e-5), key
    for name, maps in one.maps.items():
        np.testing.assert_allclose(two.maps[name].values.numpy(), maps.values.numpy(), atol=1e-6)


SHARED = """
import sys
sys.path.insert(0, {tests!r})
import pytorch_lightning as pl
import torch
from pathlib import Path
from data.test_feature_rows import mappings
from tiny_runs import make_data, make_head, make_trainer
from lookwhy.models import VQASystem

torch.set_num_threads(1)

class Look(pl.Callback):
    def on_train_end(self, trainer, pl_module):
        (Path({folder!r}) / str(trainer.global_rank)).write_text(str(mappings(Path({world!r}) / "data_img.h5")))

data = make_data(Path({world!r}))
trainer = make_trainer({folder!r}, 1, [Look()], devices=2, strategy="ddp_fork")
trainer.fit(VQASystem(make_head(data)), data)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_two_processes_share_the_pages_of_the_features(tiny_world, tmp_path):
    tests = str(Path(__file__).parent)
    script = textwrap.dedent(SHARED).format(tests=tests, world=str(tiny_world), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    for rank in "01":
        found = ast.literal_eval((tmp_path / rank).read_text())
        assert found
        assert all(one == ("r--s", 0) for one in found)
