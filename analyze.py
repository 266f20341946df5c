"""Explain a checkpoint, one question, or compare runs: see `python analyze.py --help`."""

import sys

try:
    from lookwhy.cli.analyze import main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
