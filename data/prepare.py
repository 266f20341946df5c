"""Raw questions and images to training files: see `python data/prepare.py --help`."""

import sys

from lookwhy.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main())
