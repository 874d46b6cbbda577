"""The files of a host, made for one test, and what `make new` makes of them."""

import shutil
from pathlib import Path

import pytest
from bring_world import picture, table

from pipeline.core.errors import DataError
from pipeline.data import commands
from pipeline.data.new.request import NewRequest
from pipeline.settings.load import CONFIGS, load

N, TESTS = 24, 6
SHADES = ("cat", "dog", "bird")


class Host:
    """A host's files: train/, test/, train.csv, test.csv and sample.csv."""

    def __init__(self, root: Path):
        self.root, self.folder = root, root / "configs"
        shutil.copytree(CONFIGS, self.folder)
        for n in range(N):
            picture(root / "train" / f"i{n}.png", n)
        for n in range(TESTS):
            picture(root / "test" / f"t{n}.png", n)
        self.train = self.test = self.sample = None

    def labels(self, header, cells, n=N):
        """Columns beside the image's name; `cells(n)` gives a row."""
        rows = [(f"i{k % N}" if n == N else f"i{k}", *cells(k)) for k in range(n)]
        for k in range(N, n):
            picture(self.root / "train" / f"i{k}.png", k)
        self.train = table(self.root / "train.csv", ["image", *header], rows)
        return self

    def asks_long(self, header, rows):
        """The sample in long form."""
        self.sample = table(self.root / "sample.csv", header, rows)
        return self

    def asks(self, header, *cells, each=None):
        """The sample: the same cells in each row, or `each(n)`."""
        rows = [(f"t{n}", *(each(n) if each else cells)) for n in range(TESTS)]
        self.sample = table(self.root / "sample.csv", ["image", *header], rows)
        return self

    def tests(self, header, cells):
        rows = [(f"t{n}", *cells(n)) for n in range(TESTS)]
        self.test = table(self.root / "test.csv", ["image", *header], rows)
        return self

    def new(self, images="train", label=None, encoding=None, target=None, group=""):
        files = (self.root / images, self.train, self.test, self.sample, self.root)
        given = (*files, label, encoding, target, None, group)
        (self.folder / "competition" / "x.yaml").unlink(missing_ok=True)
        settings = load([f"runtime.home={self.root}", "runtime.mlflow=false"], self.folder)
        self.said = commands.create(NewRequest("x", *given), settings)
        return self

    def settings(self, *words):
        return load(["competition=x", f"runtime.home={self.root}", *words], self.folder)

    @property
    def config(self):
        return self.settings().config.competition

    @property
    def last(self):
        return self.said.lines[-1]

    @property
    def asked(self):
        """The question and its possible answers."""
        starts = [n for n, line in enumerate(self.said.lines) if line.startswith("question: ")]
        assert self.said.question and len(starts) == 1
        return "\n".join(self.said.lines[starts[0] :])

    def answer(self, number):
        """Write the lines of one possible answer into the file, as a user would; returns the new settings."""
        path = self.folder / "competition" / "x.yaml"
        lines = self.asked.splitlines()
        (told,) = [line for line in lines if line.startswith("read the host's rules")]
        old = told.split("`")[1::2]
        starts = [n for n, line in enumerate(lines) if line[:2] == "  " and line[2] != " "]
        ends = [*starts[1:], len(lines)]
        new = "\n".join(lines[starts[number] + 1 : ends[number]])
        text = path.read_text(encoding="utf-8")
        assert all(f"    {line}" in text for line in old)
        for place, line in enumerate(old):
            row = next(r for r in text.splitlines() if r.startswith(f"    {line}"))
            text = text.replace(f"\n{row}\n", "\n" if place else f"\n{new}\n")
        path.write_text(text, encoding="utf-8")
        return self.config

    def refused(self, **how):
        with pytest.raises(DataError) as caught:
            self.new(**how)
        return str(caught.value)
