"""Long work tells how far it is: in a real process, with a pipe as its stderr."""

import re
import sys

import pytest
from tiny_runs import run

WORK = """
import sys, time
from lookwhy import progress as module
module.SECONDS_BETWEEN_LINES = float(sys.argv[1])
for _ in module.progress(range(12), "features train", unit="image", leave=False): time.sleep(0.05)
with module.progress(desc="weights.bin", total=4096, shown=sys.argv[2] == "shown", **module.BYTES) as bar:
    for _ in range(4):
        bar.set_description("weights.bin")
        time.sleep(0.15)
        bar.update(1024)
"""


@pytest.mark.parametrize(("interval", "shown"), [("0.14", "shown"), ("0.14", "hidden"), ("60", "shown")])
def test_without_a_terminal_only_long_work_prints_plain_lines_now_and_then(interval, shown, tmp_path):
    done = run([sys.executable, "-c", WORK, interval, shown], tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert not set("\r\x1b█|") & set(done.stderr)
    lines = done.stderr.splitlines()
    if interval == "60":
        assert lines == []
        return
    first = [line for line in lines if line.startswith("features train: ")]
    assert 2 <= len(first) <= 4  # in 0.6 s
    for line in first:
        assert re.fullmatch(r"features train: +\d+% \d+/12 \[00:0\d<00:0\d, +\d+\.\d\dimage/s\]", line), line
    second = [line for line in lines if line.startswith("weights.bin: ")]
    assert bool(second) == (shown == "shown")
    assert all(re.search(r"\d\.\d\dk/4\.00k \[.*B/s\]", line) for line in second), second
    assert len(first) + len(second) == len(lines)
