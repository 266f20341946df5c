"""Run all benchmarks, each in its own process, so that none is measured with the memory of another.

python -m benchmarks [--full] [--quick] [--plot docs/performance.png]
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

PARTS = ("attribution", "bank", "analysis", "training", "roofline")
WITH_A_FULL_MODE = ("attribution", "analysis")
REAL = Path("configs/vqa_mini.yaml"), Path("data/vqa_mini/data_img.h5")
"""A config on real data, and a file of the data. Its epochs are measured if the file exists."""


def machine() -> str:
    """Processor, number of cores, versions and date of this measurement."""
    names = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    processor = names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()
    date = datetime.datetime.now(datetime.UTC).date()
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{processor}, {os.cpu_count()} cores, {versions}, {date}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks; return 0 if every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="measure everything in full; takes hours")
    parser.add_argument("--quick", action="store_true", help="small sizes, for which the bars mean nothing")
    parser.add_argument("--plot", type=Path, help="file for a picture of the growth of the cost")
    options = parser.parse_args(argv)
    print(machine(), flush=True)
    codes = []
    for part in PARTS:
        arguments = ["--quick"] if options.quick else []
        if options.full and not options.quick and part in WITH_A_FULL_MODE:
            arguments += ["--full"]
        if options.plot and part == "analysis":
            arguments += ["--plot", str(options.plot)]
        codes.append(subprocess.run([sys.executable, "-m", f"benchmarks.{part}", *arguments]).returncode)
    config, data = REAL
    if not options.quick and data.exists():
        codes.append(
            subprocess.run([sys.executable, "-m", "benchmarks.epoch", f"--config={config}"]).returncode
        )
    elif not options.quick:
        print(f"not measured: an epoch of {config}, because there is no {data}")
    return max(codes)


if __name__ == "__main__":
    raise SystemExit(main())
