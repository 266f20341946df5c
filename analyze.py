"""Explain a checkpoint, one question, or compare runs: see `python analyze.py --help`."""

import sys

from lookwhy.cli.analyze import main

if __name__ == "__main__":
    sys.exit(main())
