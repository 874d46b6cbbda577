"""Rules between settings, run on the sections whose own fields are valid.

Owns what no single field can say. Does not own ranges and types (`settings/schema.py`).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipeline.core.errors import nearest
from pipeline.core.metrics import METRICS
from pipeline.settings.schema import SYNTHETIC_METHODS

Sections = Mapping[str, Any]
Broken = tuple[str, str]


# Which setting each value of another one needs, and which nothing else reads.
_FOLD_NEEDS = {"repeated": ("repeats", "3"), "holdout": ("valid_share", "0.2"), "column": ("column", "fold")}
_TO_NEEDS = {"cap": "200", "ratio": "3", "counts": "{cat: 200, dog: 100}"}


def _resample(s: Sections) -> Iterator[Broken]:
    resample = s["resample"]
    for name, example in _TO_NEEDS.items():
        if resample.method != "none" and resample.to == name and getattr(resample, name) is None:
            yield f"resample.{name}", f"to={name} needs a {name}, e.g. resample.{name}={example}"
    if resample.to == "counts" and resample.method == "tomek":
        yield "resample.to", "tomek drops what lies on a border, however many; leave `to` out"
    drawn = resample.method in ("under", "over")
    if resample.unit == "group" and not drawn:
        yield "resample.unit", f"group is for methods under and over; {resample.method} looks at images"
    if resample.redraw and not drawn:
        yield "resample.redraw", f"is for methods under and over; {resample.method} draws nothing anew"
    if resample.method in SYNTHETIC_METHODS and resample.on != "class":
        yield "resample.on", f"{resample.method} mixes images of one class; an attribute alone names none"


def _resample_probe(s: Sections) -> Iterator[Broken]:
    resample, probe = s["resample"], s["train"].strategy == "linear_probe"
    if resample.method in SYNTHETIC_METHODS and not probe:
        yield (
            "resample.method",
            f"{resample.method} makes feature rows, and strategy={s['train'].strategy} trains on pixels; "
            "choose experiment=probe (train.strategy=linear_probe), or over, near_miss, tomek, centroids",
        )
    if resample.copies is not None and probe:
        yield "resample.copies", "are augmented pixels, and a linear probe trains on cached features"


def _resample_on(s: Sections) -> Iterator[Broken]:
    names = [a.name for a in s["competition"].attributes]
    if s["resample"].on not in ("class", *names):
        hint = nearest(s["resample"].on, ["class", *names]) or f"known: {', '.join(['class', *names])}"
        yield "resample.on", f"`{s['resample'].on}` is neither class nor an attribute; {hint}"


def _metric(s: Sections) -> Iterator[Broken]:
    metric = s["competition"].metric
    if ":" not in metric and metric not in METRICS:
        hint = nearest(metric, METRICS) or f"choose one of {', '.join(METRICS)}, or module:function"
        yield "competition.metric", f"`{metric}` is no metric; {hint}"


def _fold_kind(s: Sections) -> Iterator[Broken]:
    folds = s["folds"]
    for kind, (name, example) in _FOLD_NEEDS.items():
        given = getattr(folds, name) is not None
        if folds.kind == kind and not given:
            yield f"folds.{name}", f"kind={kind} needs it, e.g. folds.{name}={example}"
        if folds.kind != kind and given:
            yield f"folds.{name}", f"is read by kind={kind} only, and folds.kind={folds.kind}"


def _folds(s: Sections) -> Iterator[Broken]:
    asked, n = s["train"].folds, s["folds"].splits
    if asked is not None:
        if not asked:
            yield "train.folds", "is empty; leave it out to train all folds"
        far = sorted({k for k in asked if k >= n})
        if far:
            told = f"folds.n={n}" if s["folds"].splits == s["folds"].n else f"folds.kind={s['folds'].kind}"
            yield "train.folds", f"{far} is not among folds 0 to {n - 1} ({told})"
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


RULES: tuple[tuple[tuple[str, ...], Callable[[Sections], Iterator[Broken]]], ...] = (
    (("resample",), _resample),
    (("resample", "train"), _resample_probe),
    (("resample", "competition"), _resample_on),
    (("competition",), _metric),
    (("folds",), _fold_kind),
    (("train", "folds"), _folds),
    (("train",), _schedule),
    (("train", "model"), _probe),
    (("train", "runtime"), _precision),
    (("competition",), _competition),
    (("model",), _weights),
    (("ensemble",), _members),
)


def broken(sections: Sections) -> list[Broken]:
    """Every (path, what is wrong) among rules whose sections are all present."""
    return [b for needs, rule in RULES if all(n in sections for n in needs) for b in rule(sections)]
