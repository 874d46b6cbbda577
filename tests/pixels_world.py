"""What the tests of decoding, cropping and previewing stages share: a small competition of drawings."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.engine.session import Session
from pipeline.settings.load import load
from pipeline.stages import open_session

KINDS = ("disc", "box")


def drawing(number: int) -> Image.Image:
    """A white disc or box somewhere on dark noise."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 90, (48, 64, 3), dtype=np.uint8)
    y, x = np.mgrid[:48, :64]
    cy, cx = rng.integers(16, 32), rng.integers(20, 44)
    far = np.hypot(y - cy, x - cx) if number % 2 == 0 else np.maximum(abs(y - cy), abs(x - cx))
    pixels[far < 10] = 250
    return Image.fromarray(pixels)


class Photos:
    """A competition of 40 training and 8 test images; `context` is one command on it."""

    def __init__(self, root: Path, train: int = 40, test: int = 8) -> None:
        self.root, self.home = root / "photos", root
        (self.root / "images").mkdir(parents=True)
        self.ids = {
            "train": [f"{n:03}" for n in range(train)],
            "test": [f"{n:03}" for n in range(train, train + test)],
        }
        for split, ids in self.ids.items():
            for name in ids:
                drawing(int(name)).save(self.path(name))
            rows = [(n, f"{n}.png", KINDS[int(n) % 2])[: 3 if split == "train" else 2] for n in ids]
            self.table(f"{split}.csv", ("id", "path", "kind")[: len(rows[0])], rows)
        self.table("sample_submission.csv", ("id", "label"), [(n, 0) for n in self.ids["test"]])

    def path(self, name: str) -> Path:
        return self.root / "images" / f"{name}.png"

    def table(self, name: str, header: tuple[str, ...], rows: list[tuple]) -> None:
        with (self.root / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def words(self, *more: str, without: tuple[str, ...] = ()) -> list[str]:
        """Overrides: ours, less those of `more` and `without`."""
        chosen = {word.split("=")[0] for word in more} | set(without)
        words = [
            "competition=digits",
            "competition.demo=null",
            "competition.name=photos",
            f"competition.root={self.root}",
            "competition.attributes=[{name: kind, column: kind, values: [disc, box]}]",
            f"runtime.home={self.home}",
            "runtime.mlflow=false",
            "images.size=[24,32]",
            "images.cache_px=64",
            "folds.n=2",
        ]
        return [*(w for w in words if w.split("=")[0] not in chosen), *more]

    def context(self, *more: str) -> Session:
        return open_session(load(self.words(*more)))
