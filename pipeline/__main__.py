"""`python -m pipeline COMMAND [key=value ...]`: see `pipeline/cli.py`."""

import sys

from pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
