"""Photos without faults, and twelve ways to spoil them.

Owns clean data cut from real photos, and planting a known fault at one of three strengths. Does not own
running the report or scoring it (`benchmarks/eda.py`).

A world is a list of items; planting returns a new list. An image is spoilt by replacing its file, so a fault
changes nothing else: class sizes, groups and splits do not change.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.core.seeds import rng

SIDE_PX = 96
MOST_OVERLAP = 0.4
LEAST_CONTRAST = 25.0
QUALITY = 92
GROUP = 4
STRENGTHS = ("weak", "middle", "strong")
# Images that a fault touches, as a share of its split.
SHARE = (0.01, 0.03, 0.08)


@dataclass(frozen=True)
class Item:
    """One image with its row of the table; `file` is what lies on the disk."""

    id: str
    split: str
    label: int
    group: str
    file: bytes


World = tuple[Item, ...]
# What was planted: sets of ids (copies, groups, single images), or one class by its number.
Planted = list[tuple[str, ...]]
Draw = np.random.Generator
# Top, left and side of a square.
Box = tuple[int, int, int]


@dataclass(frozen=True)
class Fault:
    """One kind of fault: how it is planted, and the kinds of finding that tell of it."""

    name: str
    plant: Callable[[World, int, Draw], tuple[World, Planted]]
    kinds: tuple[str, ...]
    by_class: bool = False
    as_a_whole: bool = False


def photos(folder: Path | None, seed: int, per_class: int) -> list[tuple[int, bytes]]:
    """(class, file) of clean photos: a folder of folders, or crops of the photos that packages bundle."""
    if folder is None:
        return _crops(seed, per_class)
    found = []
    for label, name in enumerate(sorted(p.name for p in folder.iterdir() if p.is_dir())):
        # Neighbouring numbers often show one thing twice: they become one group, as in a host's table.
        paths = sorted((folder / name).glob("*.jpg"), key=lambda p: (len(p.name), p.name))
        starts = rng(seed, "photos", name).permutation(len(paths) // (GROUP + 1))[: per_class // GROUP]
        for start in starts * (GROUP + 1):
            found += [(label, path.read_bytes()) for path in paths[start : start + GROUP]]
    return found


def _crops(seed: int, per_class: int) -> list[tuple[int, bytes]]:
    """Crops that hardly overlap, so that no two are near-duplicates by birth, and none much enlarged."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    # Not sklearn's flower: it is out of focus, and among blurred photos a blurred one is not an outlier.
    china = load_sample_images().images[0]
    gravel = np.stack([data.gravel()] * 3, axis=2)
    stains, motorcycle = data.immunohistochemistry(), data.stereo_motorcycle()[0]
    sources = (china, gravel, data.astronaut(), data.coffee(), stains, motorcycle)
    found = []
    for label, source in enumerate(sources):
        draw = rng(seed, "crops", label)
        boxes: list[Box] = []
        while len(boxes) < per_class:
            side = int(draw.integers(70, 140))
            y, x = (int(draw.integers(0, n - side)) for n in source.shape[:2])
            # A piece of sky is empty: it would be an outlier without a planted fault.
            flat = source[y : y + side, x : x + side].std() < LEAST_CONTRAST
            if not flat and all(_overlap((y, x, side), other) <= MOST_OVERLAP for other in boxes):
                boxes.append((y, x, side))
        for y, x, side in boxes:
            found.append(
                (label, _jpeg(_scaled(source[y : y + side, x : x + side], SIDE_PX, SIDE_PX), QUALITY))
            )
    return found


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union of two squares."""
    reach = [min(a + one[2], b + other[2]) - max(a, b) for a, b in zip(one[:2], other[:2], strict=True)]
    shared = max(reach[0], 0) * max(reach[1], 0)
    return shared / (one[2] ** 2 + other[2] ** 2 - shared)


def clean(files: list[tuple[int, bytes]], seed: int) -> World:
    """Groups of four of one class, a quarter of the groups of each class held out as the test set."""
    draw = rng(seed, "world")
    items = []
    for label in sorted({label for label, _ in files}):
        own = [file for known, file in files if known == label]
        for at, file in enumerate(own[: len(own) // GROUP * GROUP]):
            group = at // GROUP
            split = "test" if group % 4 == 3 else "train"
            items.append(Item(draw.bytes(5).hex(), split, label, f"g{label}-{group:03d}", file))
    return tuple(items[k] for k in draw.permutation(len(items)))


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def _scaled(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    return cv2.resize(pixels, (max(width, 8), max(height, 8)), interpolation=cv2.INTER_AREA)


def _with(world: World, changed: dict[str, Item]) -> World:
    return tuple(changed.get(item.id, item) for item in world)


def _copies(
    world: World,
    strength: int,
    draw: Draw,
    fits: Callable[[Item, Item], bool],
    remake: Callable[[bytes], bytes] = lambda file: file,
    of: str = "train",
) -> tuple[World, Planted]:
    """Give some images the file of another one that fits."""
    pool = [world[k] for k in draw.permutation(len(world))]
    targets = [item for item in pool if item.split == of]
    wanted = max(1, round(SHARE[strength] * len(targets)))
    changed: dict[str, Item] = {}
    used: set[str] = set()
    pairs: Planted = []
    for target in targets:
        source = next((i for i in pool if i.id != target.id and i.id not in used and fits(i, target)), None)
        if len(pairs) < wanted and source is not None and target.id not in used:
            changed[target.id] = replace(target, file=remake(source.file))
            pairs.append((source.id, target.id))
            used |= {source.id, target.id}
    return _with(world, changed), pairs


def _inside(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    return _copies(world, strength, draw, lambda a, b: a.group == b.group)


def _conflict(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    return _copies(world, strength, draw, lambda a, b: a.split == "train" and a.label != b.label)


def _across(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    return _copies(
        world, strength, draw, lambda a, b: a.split == "train" and a.label == b.label and a.group != b.group
    )


def _train_test(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    return _copies(world, strength, draw, lambda a, b: a.split == "train" and a.label == b.label, of="test")


def _near(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    def remake(file: bytes) -> bytes:
        """Scaled to 50-80 %, or recompressed at 30-60, or 2-4 % cut off; one time in three all of it."""
        pixels, how = _pixels(file), int(draw.integers(0, 4))
        height, width = pixels.shape[:2]
        if how in (2, 3):
            cut = draw.uniform(0.02, 0.04)
            top, left = (int(draw.integers(0, round(cut * n) + 1)) for n in (height, width))
            pixels = pixels[
                top : top + height - round(cut * height), left : left + width - round(cut * width)
            ]
        if how in (0, 3):
            scale = draw.uniform(0.5, 0.8)
            pixels = _scaled(pixels, round(scale * height), round(scale * width))
            pixels = _scaled(pixels, height, width)
        return _jpeg(np.ascontiguousarray(pixels), int(draw.integers(30, 60)) if how in (1, 3) else QUALITY)

    return _copies(
        world,
        strength,
        draw,
        lambda a, b: a.split == "train" and a.label == b.label and a.group != b.group,
        remake,
    )


def _flipped(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    names = sorted({i.group for i in world if i.split == "train"})
    classes = max(i.label for i in world) + 1
    changed = {}
    for group in draw.permutation(names)[: max(1, round(SHARE[strength] * len(names)))]:
        item = next(i for i in world if i.group == group)
        changed[item.id] = replace(item, label=int((item.label + draw.integers(1, classes)) % classes))
    return _with(world, changed), [(name,) for name in changed]


def _thin(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    label = int(draw.integers(0, max(i.label for i in world) + 1))
    names = sorted({i.group for i in world if i.split == "train" and i.label == label})
    kept = set(draw.permutation(names)[: (4, 3, 1)[strength]].tolist())
    left = tuple(i for i in world if i.split == "test" or i.label != label or i.group in kept)
    return left, [(str(label),)]


def _imbalance(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    label = int(draw.integers(0, max(i.label for i in world) + 1))
    own = [i for i in world if i.split == "train" and i.label == label]
    # One image of each group before a second of any: the class keeps more groups than there are folds.
    turns = [sum(other.group == item.group for other in own[:at]) for at, item in enumerate(own)]
    ranked = [own[at] for at in np.argsort(turns, kind="stable")]
    kept = {i.id for i in ranked[: max(5, len(own) // (4, 8, 16)[strength])]}
    left = tuple(i for i in world if i.split == "test" or i.label != label or i.id in kept)
    return left, [(str(label),)]


def _spoilt(
    world: World, draw: Draw, share: float, spoil: Callable[[np.ndarray], np.ndarray]
) -> tuple[World, Planted]:
    chosen = [world[k] for k in draw.permutation(len(world))[: max(1, round(share * len(world)))]]
    changed = {i.id: replace(i, file=_jpeg(spoil(_pixels(i.file)), QUALITY)) for i in chosen}
    return _with(world, changed), [(name,) for name in changed]


def _odd_look(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    """Blurred, nearly black or nearly white; the stronger, the less is left to see."""

    def spoil(pixels: np.ndarray) -> np.ndarray:
        how = int(draw.integers(0, 3))
        if how == 0:
            return cv2.GaussianBlur(pixels, (0, 0), (2.5, 5.0, 10.0)[strength])
        left = (0.2, 0.06, 0.02)[strength]
        return np.round(left * pixels + (0 if how == 1 else 255 * (1 - left))).astype(np.uint8)

    return _spoilt(world, draw, SHARE[1], spoil)


def _odd_shape(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    """Thumbnails among photos, or banners cut from them."""

    def spoil(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        part = (0.8, 0.5, 0.25)[strength]
        if draw.integers(0, 2):
            return _scaled(pixels, round(part * height), round(part * width))
        return np.ascontiguousarray(pixels[: round(part * height)])

    return _spoilt(world, draw, SHARE[1], spoil)


def _shift(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    """The whole test set darker, or recompressed."""
    dim, quality = (0.9, 0.75, 0.5)[strength], (70, 45, 20)[strength]
    dark = bool(draw.integers(0, 2))
    changed = {}
    for item in world:
        if item.split == "test":
            pixels = _pixels(item.file)
            file = _jpeg(np.round(dim * pixels).astype(np.uint8), QUALITY) if dark else _jpeg(pixels, quality)
            changed[item.id] = replace(item, file=file)
    return _with(world, changed), [("the test set",)]


def _straddling(world: World, strength: int, draw: Draw) -> tuple[World, Planted]:
    """Half of the images of some training groups are test images."""
    names = sorted({i.group for i in world if i.split == "train"})
    chosen = draw.permutation(names)[: max(1, round(SHARE[strength] * len(names)))].tolist()
    changed = {}
    for name in chosen:
        own = [i for i in world if i.group == name]
        changed |= {i.id: replace(i, split="test") for i in own[: GROUP // 2]}
    return _with(world, changed), [tuple(i.id for i in world if i.group == name) for name in chosen]


NEAR = ("near_groups", "near_inside", "near_train_test", "near_conflict")
FAULTS = (
    Fault("duplicates within class and group", _inside, ("copy_inside",)),
    Fault("duplicates across classes", _conflict, ("copy_conflict",)),
    Fault("duplicates across groups", _across, ("copy_groups",)),
    Fault("duplicates in train and test", _train_test, ("copy_train_test",)),
    Fault("near-duplicates across groups", _near, NEAR),
    Fault("flipped group attribute", _flipped, ("disagree_kind",)),
    Fault("class with too few groups", _thin, ("thin_class",), by_class=True),
    Fault("imbalance", _imbalance, ("imbalance",), by_class=True),
    Fault("blurred, dark or bright images", _odd_look, ("outlier_look",)),
    Fault("odd sizes and aspect ratios", _odd_shape, ("outlier_shape",)),
    Fault("train-test shift", _shift, ("shift",), as_a_whole=True),
    Fault("groups in train and test", _straddling, ("group_in_test",)),
)
