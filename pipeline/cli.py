"""The command `podium`, the same as `python -m pipeline`."""

from pipeline.__main__ import main as main
