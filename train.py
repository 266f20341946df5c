"""Train a VQA model and watch its interpretability evolve: see `python train.py --help`."""

import sys

from lookwhy.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
