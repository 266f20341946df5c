"""The folder of a run belongs to one training, also if two start at the same moment."""

import os
import socket
import subprocess
import sys
import time

import pytest
from tiny_runs import clean_environment, train_command, train_options

from lookwhy.cli.run_folder import CLAIM, RUN_FOLDER, choose, give_back
from lookwhy.cli.train import main as train


def test_two_trainings_of_one_name_at_once_get_two_folders_and_a_refused_one_leaves_none(
    tiny_world, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert train(train_options(tiny_world, "--trainer.strategy=none")) == 2
    (refused,) = capsys.readouterr().err.splitlines()
    assert "invalid strategy name" in refused
    assert not list(tmp_path.glob("runs/*/*.*"))
    command = train_command(tiny_world, "--trainer.max_epochs=1", "--analysis.every_n_epochs=9")
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [one.wait(200) for one in both] == [0, 0]
    found = sorted(path.parent.parent.name for path in tmp_path.glob("runs/*/checkpoints/last.ckpt"))
    assert found == ["shapes", "shapes-2"]


def test_a_run_folder_that_is_removed_in_the_middle_ends_the_training_in_one_line(tiny_world, tmp_path):
    command = train_command(tiny_world, "--trainer.max_epochs=1000", "--trainer.logger=false")
    folder, pipes = tmp_path / "runs" / "shapes", {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), text=True, **pipes) as training:
        while not (folder / "checkpoints" / "last.ckpt").exists():
            assert training.poll() is None, training.communicate()[1]
            time.sleep(0.05)
        folder.rename(tmp_path / "away")
        _, errors = training.communicate(timeout=60)
    assert training.returncode == 2
    (line,) = [line for line in errors.splitlines() if line.startswith("lookwhy: error")]
    assert "expected the run folder to stay where it is, found no runs/shapes/config.yaml" in line
    assert "Traceback" not in errors


@pytest.mark.parametrize("host", ["here", "another"])
@pytest.mark.parametrize("lives", [False, True])
def test_a_folder_that_a_killed_training_took_and_never_used_is_free_again(
    tmp_path, monkeypatch, host, lives
):
    monkeypatch.delenv(RUN_FOLDER, raising=False)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        if not lives:
            process.kill()
            process.wait()
        folder = tmp_path / "shapes"
        folder.mkdir()
        (folder / "notes.txt").write_text("written by its user")
        machine = socket.gethostname() if host == "here" else "another"
        (folder / CLAIM).write_text(f"old\n\n{machine}\n{process.pid}")
        chosen = choose(tmp_path, "shapes", None)
        process.kill()
    assert chosen.name == ("shapes" if host == "here" and not lives else "shapes-2")
    give_back(is_used=False)
    assert (folder / "notes.txt").exists()
    assert RUN_FOLDER not in os.environ
