"""What the tests of other inputs share: competitions with channels in files, several images, or metadata."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

KINDS = ("disc", "box")
SIDE = 24


def shape(number: int, kind: int, side: int = SIDE) -> np.ndarray:
    """(side, side) a light disc or box somewhere on dark noise."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 70, (side, side), dtype=np.uint8)
    y, x = np.mgrid[:side, :side]
    cy, cx = rng.integers(side // 3, 2 * side // 3, 2)
    far = np.hypot(y - cy, x - cx) if kind == 0 else np.maximum(abs(y - cy), abs(x - cx))
    pixels[far < side / 4] = 240
    return pixels


def table(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def words(root: Path, *more: str) -> tuple[str, ...]:
    """Overrides of a small competition below `root` with the columns id, path and kind."""
    return (
        "competition=digits",
        "competition.demo=null",
        "competition.name=inputs",
        f"competition.root={root}",
        "competition.id_column=id",
        "competition.path_column=id",
        "competition.attributes=[{name: kind, column: kind, values: [disc, box]}]",
        "runtime.mlflow=false",
        "runtime.threads=1",
        "images.size=16",
        "images.cache_px=32",
        "folds.n=2",
        "train.epochs=1",
        "statistics.draws=100",
        *more,
    )


def channel_files(
    root: Path, train: int = 24, test: int = 8, colours: tuple[str, ...] = ("red", "green", "blue", "yellow")
) -> None:
    """A competition whose images have a grey file for each channel."""
    rows = [(f"s{n:02}", KINDS[n % 2]) for n in range(train + test)]
    for n, (name, _) in enumerate(rows):
        for at, colour in enumerate(colours):
            picture(root / "images" / f"{name}_{colour}.png", shape(n, n % 2) // (at + 1))
    table(root / "train.csv", ("id", "kind"), rows[:train])
    table(root / "test.csv", ("id",), [row[:1] for row in rows[train:]])
    table(root / "sample_submission.csv", ("id", "label"), [(name, 0) for name, _ in rows[train:]])


def pairs(
    root: Path, form: str, train: int = 24, test: int = 8, missing: tuple[int, ...] = ()
) -> tuple[str, ...]:
    """A competition with two images a sample, the second of which shows the class; its overrides.

    Args:
        form: columns, sample or files.
        missing: samples without a first image.
    """
    names = [f"s{n:02}" for n in range(train + test)]
    for n, name in enumerate(names):
        for side, kind in (("left", 0), ("right", n % 2)):
            if side == "right" or n not in missing:
                picture(root / "images" / f"{name}_{side}.png", np.stack([shape(n, kind)] * 3, axis=-1))
    kinds = {name: KINDS[n % 2] for n, name in enumerate(names)}
    header: tuple[str, ...] = ("id",)
    cells: dict[str, list[tuple[str, ...]]] = {name: [(name,)] for name in names}
    own = ['competition.images_per_sample.files=["{id}_left.png","{id}_right.png"]']
    if missing and form == "files":
        own = ['competition.images_per_sample.files=["{id}_*.png"]']
    if form == "columns":
        header = ("id", "left", "right")
        left = {name: "" if n in missing else f"{name}_left.png" for n, name in enumerate(names)}
        cells = {name: [(name, left[name], f"{name}_right.png")] for name in names}
        own = ["competition.images_per_sample.columns=[left,right]", "competition.path_column=right"]
    elif form == "sample":
        header = ("image", "person", "side")
        sides = {name: ("right",) if n in missing else ("left", "right") for n, name in enumerate(names)}
        cells = {name: [(f"{name}_{side}", name, side) for side in sides[name]] for name in names}
        own = ["competition.images_per_sample.sample=[person]", "competition.id_column=image"]
        own += ["competition.path_column=image"]
    table(
        root / "train.csv", (*header, "kind"), [(*row, kinds[n]) for n in names[:train] for row in cells[n]]
    )
    table(root / "test.csv", header, [row for n in names[train:] for row in cells[n]])
    table(root / "sample_submission.csv", ("id", "label"), [(name, 0) for name in names[train:]])
    chosen = {word.split("=")[0] for word in own}
    return (*(w for w in words(root) if w.split("=")[0] not in chosen), *own)


def with_metadata(root: Path, train: int = 40, test: int = 12) -> tuple[str, ...]:
    """A competition whose images say little, and a number and a category that say more; its overrides."""
    rng = np.random.default_rng(5)
    rows = []
    for n in range(train + test):
        kind = n // 2 % 2
        picture(root / "images" / f"s{n:02}.png", np.stack([shape(n, n % 2)] * 3, axis=-1))
        age = "" if n % 7 == 3 else f"{20 + 30 * kind + rng.normal(0, 4):.1f}"
        site = "" if n % 11 == 5 else ("north", "south")[kind if n % 5 else 1 - kind]
        rows.append((f"s{n:02}", age, "elsewhere" if n == train + 1 else site, KINDS[kind]))
    table(root / "train.csv", ("id", "age", "site", "kind"), rows[:train])
    table(root / "test.csv", ("id", "age", "site"), [row[:3] for row in rows[train:]])
    table(root / "sample_submission.csv", ("id", "label"), [(row[0], 0) for row in rows[train:]])
    own = "competition.metadata=[{column: age, kind: number}, {column: site, kind: category}]"
    return (*words(root), own)
