"""Rules between settings, run on the sections whose own fields are valid.

Owns what no single field can say. Does not own ranges and types (`settings/schema.py`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

DETECTOR = re.compile(r"(haar:[a-z0-9_]+|lbp:frontalface)")
Sections = Mapping[str, Any]
Broken = tuple[str, str]


def _resample(s: Sections) -> Iterator[Broken]:
    resample = s["resample"]
    if resample.method != "none" and resample.to == "cap" and resample.cap is None:
        yield "resample.cap", "to=cap needs a cap, e.g. resample.cap=200"
    if resample.method != "none" and resample.to == "ratio" and resample.ratio is None:
        yield "resample.ratio", "to=ratio needs a ratio, e.g. resample.ratio=3"


def _folds(s: Sections) -> Iterator[Broken]:
    asked, n = s["train"].folds, s["folds"].n
    if asked is not None:
        if not asked:
            yield "train.folds", "is empty; leave it out to train all folds"
        far = sorted({k for k in asked if k >= n})
        if far:
            yield "train.folds", f"{far} is not among folds 0 to {n - 1} (folds.n={n})"
        if len(set(asked)) != len(asked):
            yield "train.folds", "names a fold twice"


def _schedule(s: Sections) -> Iterator[Broken]:
    train = s["train"]
    if train.warmup_epochs > train.epochs:
        yield "train.warmup_epochs", f"{train.warmup_epochs} is longer than train.epochs={train.epochs}"


def _probe(s: Sections) -> Iterator[Broken]:
    if s["train"].strategy == "linear_probe" and s["model"].weights == "none":
        yield (
            "model.weights",
            "a linear probe of random weights learns nothing; give weights, or strategy=full",
        )


def _precision(s: Sections) -> Iterator[Broken]:
    if s["train"].precision == "fp16" and s["runtime"].device == "cpu":
        yield "train.precision", "fp16 needs a GPU; use fp32 or bf16 on a CPU"


def _competition(s: Sections) -> Iterator[Broken]:
    competition = s["competition"]
    if not competition.attributes:
        yield "competition.attributes", "is empty: name at least one labelled column and its values"
    if competition.root is None and competition.demo is None:
        yield "competition.root", "is missing: the folder that holds the competition's files"
    for number, attribute in enumerate(competition.attributes):
        path = f"competition.attributes[{number}]"
        if len(set(attribute.values)) != len(attribute.values):
            yield f"{path}.values", "names a value twice"
        if attribute.names is not None and len(attribute.names) != len(attribute.values):
            yield f"{path}.names", f"has {len(attribute.names)} names for {len(attribute.values)} values"
    names = [a.name for a in competition.attributes]
    if len(set(names)) != len(names):
        yield "competition.attributes", "two attributes have the same name"


def _weights(s: Sections) -> Iterator[Broken]:
    weights = s["model"].weights
    if weights not in ("none", "hub") and not weights.startswith(("file:", "package:")):
        yield "model.weights", f"`{weights}` is none of: none, hub, file:PATH, package:NAME"


def _members(s: Sections) -> Iterator[Broken]:
    members = s["ensemble"].members
    if len(set(members)) != len(members):
        yield "ensemble.members", "names a member twice"


def _eda(s: Sections) -> Iterator[Broken]:
    eda = s["eda"]
    if eda.medium > eda.high:
        yield "eda.medium", f"{eda.medium} is above eda.high={eda.high}"
    if eda.shift_p < 1 / (eda.shift_shuffles + 1):
        yield "eda.shift_p", f"{eda.shift_shuffles} shuffles never give so little; raise eda.shift_shuffles"


def _crop(s: Sections) -> Iterator[Broken]:
    crop = s["crop"]
    if crop.method in ("statistics", "own_box") and crop.boxes is None:
        yield (
            "crop.boxes",
            f"is missing: crop.method={crop.method} needs boxes.csv or haar:frontalface_default",
        )
    if crop.boxes is not None and not crop.boxes.endswith(".csv") and not DETECTOR.fullmatch(crop.boxes):
        yield "crop.boxes", f"`{crop.boxes}` is none of: FILE.csv, haar:NAME, lbp:frontalface"
    if crop.method == "fixed" and crop.window is None:
        yield "crop.window", "is missing: crop.method=fixed needs [left, top, width, height] as shares"
    if crop.window is not None:
        left, top, width, height = crop.window
        if width <= 0 or height <= 0:
            yield "crop.window", "has no area: width and height must be above 0"
        if left + width > 1 + 1e-9 or top + height > 1 + 1e-9:
            yield "crop.window", "leaves the image: left + width and top + height must be at most 1"


def _forbidden_views(s: Sections) -> Iterator[Broken]:
    for attribute in s["competition"].attributes:
        told = [view for view in s["infer"].views if view.split("(")[0].strip() in attribute.forbids]
        for view in told:
            kept = [v for v in s["infer"].views if v not in told]
            words = ", ".join(f'"{v}"' if "(" in v else v for v in kept)
            yield "infer.views", f"has {view}, which {attribute.name} forbids; use infer.views=[{words}]"


RULES: tuple[tuple[tuple[str, ...], Callable[[Sections], Iterator[Broken]]], ...] = (
    (("resample",), _resample),
    (("train", "folds"), _folds),
    (("train",), _schedule),
    (("train", "model"), _probe),
    (("train", "runtime"), _precision),
    (("competition",), _competition),
    (("model",), _weights),
    (("ensemble",), _members),
    (("eda",), _eda),
    (("crop",), _crop),
    (("competition", "infer"), _forbidden_views),
)


def broken(sections: Sections) -> list[Broken]:
    """Every (path, what is wrong) among rules whose sections are all present."""
    return [b for needs, rule in RULES if all(n in sections for n in needs) for b in rule(sections)]
