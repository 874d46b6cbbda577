"""A small competition of people's photos with two attributes, and what is made of it once for all tests."""

import csv
from pathlib import Path

import numpy as np
from main_world import run
from PIL import Image

AGES, MASKS = ("young", "middle", "old"), ("bare", "masked")
PER_PERSON = 3
OWN = """
import helper


def damp(p_NC, ids_N, groups_N, classes):
    return helper.sharper(p_NC)
"""
HELPER = """
def sharper(p_NC):
    p = p_NC ** 2
    return p / p.sum(axis=1, keepdims=True)
"""
PREPARE = """
def prepared(image):
    return image[1:-1, 1:-1]
"""


class People:
    """The competition on disk; `run` is one command on it, in this process."""

    def __init__(self, root: Path, train: int = 24, test: int = 13) -> None:
        self.home, self.root = root, root / "people"
        (self.root / "images").mkdir(parents=True)
        for split, first, people in (("train", 0, train), ("test", train, test)):
            rows = []
            for person in range(first, first + people):
                for n in range(PER_PERSON):
                    age, mask = person % 3, (person + n) % 2
                    name = f"{person:03}_{n}"
                    photo(age, mask, person * 10 + n).save(self.path(name))
                    rows.append((name, f"{name}.png", f"p{person}", AGES[age], MASKS[mask]))
            self.table(f"{split}.csv", rows if split == "train" else [row[:3] for row in rows])
        classes = tuple(f"{age} · {mask}" for age in AGES for mask in MASKS)
        self.table("sample_submission.csv", [(row[0], *[0.5] * 6) for row in rows], ("id", *classes))

    def path(self, name: str) -> Path:
        return self.root / "images" / f"{name}.png"

    def table(self, name, rows, header=("id", "path", "person", "age", "mask")):
        with (self.root / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header[: len(rows[0])], *rows])

    @property
    def words(self) -> tuple[str, ...]:
        return (
            "competition=digits",
            "competition.demo=null",
            "competition.name=people",
            f"competition.root={self.root}",
            "competition.group_column=person",
            "competition.attributes=[{name: age, column: age, values: [young, middle, old], "
            "constant_in_group: true}, {name: mask, column: mask, values: [bare, masked]}]",
            "competition.submission.format=probabilities",
            "images.size=16",
            "images.cache_px=32",
            "folds.n=2",
            "train.epochs=1",
            "train.batch_size=16",
            "statistics.draws=100",
            "runtime.mlflow=false",
            "runtime.threads=1",
            "infer.views=[identity,hflip]",
        )

    def run(self, command, *words, options=(), code=0):
        """What a command printed; it must end with this exit code."""
        chosen = {word.partition("=")[0] for word in words}
        about = [word for word in self.words if word.partition("=")[0] not in chosen]
        if command in ("predict", "oof", "bundle", "export"):
            about = ["runtime.mlflow=false", "runtime.threads=1"]
        said = run(self.home, command, *words, small=about, options=options)
        assert said.code == code, said.out + said.err
        return said

    def submissions(self) -> list[Path]:
        return sorted((self.home / "submissions").glob("people-*.csv"), key=lambda p: p.stat().st_mtime_ns)

    def made(self, command, *words) -> Path:
        """The submission that a command makes."""
        said = self.run(command, *words)
        (line,) = [line for line in said.out.splitlines() if line.startswith("submission: ")]
        return Path(line.removeprefix("submission: "))


def photo(age: int, mask: int, seed: int) -> Image.Image:
    """Noise, brighter with age, with a bar if there is a mask."""
    pixels = np.random.default_rng(seed).integers(0, 120, (30, 26, 3)).astype(np.uint8)
    pixels += np.uint8(60 * age)
    if mask:
        pixels[20:26, 4:22] = (0, 200, 0)
    return Image.fromarray(pixels)
