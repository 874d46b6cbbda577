"""Competitions on disk as their hosts leave them, small and made of drawn images."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.layouts import MASK_PHOTOS
from pipeline.settings.competition import AttributeSettings, CompetitionSettings

# (id, gender, age): the id 000006 stands for two people, and 60 is the only age of 60 or more.
PEOPLE = (
    ("000001", "female", 29),
    ("000002", "male", 30),
    ("000004", "female", 59),
    ("000006", "male", 60),
    ("000006", "female", 20),
    ("000007", "male", 45),
)
SUFFIXES = ("jpg", "jpeg", "png")
KIND = {"mask": 0, "incorrect": 1, "normal": 2}

MASK = CompetitionSettings(
    name="mask",
    root=".",
    layout="mask",
    train_table="train/train.csv",
    train_images="train/images",
    test_table="eval/info.csv",
    test_images="eval/images",
    sample_submission="eval/info.csv",
    group_column="person",
    attributes=[
        AttributeSettings(name="mask", column="mask", values=["mask", "incorrect", "normal"]),
        AttributeSettings(name="gender", column="gender", values=["male", "female"], constant_in_group=True),
        AttributeSettings(
            name="age", column="age", values=["young", "middle", "old"], bins=[30, 60], constant_in_group=True
        ),
    ],
)


def picture(path: Path, shade: int, size: tuple[int, int] = (12, 16)) -> None:
    """A small image whose colour is its number: equal numbers give equal pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), shade % 256, np.uint8)
    pixels[: size[1] // 2, :, shade % 3] = 255 - shade % 256
    Image.fromarray(pixels).save(path)


def table(path: Path, header: list[str], rows: list[tuple[object, ...]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def folder_of(person: tuple[str, str, int]) -> str:
    return f"{person[0]}_{person[1]}_Asian_{person[2]}"


def mask_tree(root: Path, people=PEOPLE, n_test: int = 4) -> Path:
    """The mask competition's own tree, hidden files of a Mac's archive included."""
    number = 0
    for person in people:
        for stem in MASK_PHOTOS:
            suffix = SUFFIXES[number % 3]
            folder = root / "train" / "images" / folder_of(person)
            picture(folder / f"{stem}.{suffix}", number)
            (folder / f"._{stem}.{suffix}").write_bytes(b"\0\5\x16\7")
            number += 1
    rows = [(p[0], p[1], "Asian", p[2], folder_of(p)) for p in people]
    table(root / "train" / "train.csv", ["id", "gender", "race", "age", "path"], rows)
    names = [f"{k:040x}.jpg" for k in range(n_test)]
    for k, name in enumerate(names):
        picture(root / "eval" / "images" / name, 100 + k)
    if names:
        table(root / "eval" / "info.csv", ["ImageID", "ans"], [(name, 0) for name in names])
    return root
