"""Train a VQA model and watch its interpretability evolve: see `python train.py --help`."""

import sys

try:
    from lookwhy.cli.train import main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
