"""Raw questions and images to training files: see `python data/prepare.py --help`."""

import sys

try:
    from lookwhy.cli.prepare import main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
