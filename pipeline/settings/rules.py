"""Rules between settings, run on the sections whose own fields are valid.

Owns what no single field can say. Does not own ranges and types (`settings/schema.py`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from pipeline.core.errors import nearest
from pipeline.core.metrics import METRICS
from pipeline.core.plugin import is_plugin
from pipeline.settings.blend_rules import BLEND_RULES
from pipeline.settings.decision import DECISION_STEPS
from pipeline.settings.host_rules import HOST_RULES
from pipeline.settings.loss_rules import LOSS_RULES
from pipeline.settings.schema import FEATURE_METHODS, RESAMPLE_METHODS, SYNTHETIC_METHODS, ResampleSettings
from pipeline.settings.train_rules import TRAIN_RULES
from pipeline.settings.view_words import does

DETECTOR = re.compile(r"(haar:[a-z0-9_]+|lbp:frontalface)")
Sections = Mapping[str, Any]
Broken = tuple[str, str]


# Which setting each value of another one needs, and which nothing else reads.
_FOLD_NEEDS = {"repeated": ("repeats", "3"), "holdout": ("valid_share", "0.2"), "column": ("column", "fold")}
_TO_NEEDS = {"cap": "200", "ratio": "3", "counts": "'{cat: 200, dog: 100}'"}


def _resample(s: Sections) -> Iterator[Broken]:
    resample = s["resample"]
    for name, example in _TO_NEEDS.items():
        if resample.method != "none" and resample.to == name and getattr(resample, name) is None:
            yield f"resample.{name}", f"to={name} needs a {name}, e.g. resample.{name}={example}"
    if resample.to == "counts" and resample.method == "tomek":
        yield "resample.to", "tomek drops what lies on a border, however many; leave `to` out"
    drawn = resample.method in ("under", "over")
    redrawn = drawn or is_plugin(resample.method)
    if resample.unit == "group" and not drawn:
        yield "resample.unit", f"group is for methods under and over; {resample.method} looks at images"
    if resample.redraw and not redrawn:
        yield "resample.redraw", f"is for methods under and over; {resample.method} draws nothing anew"
    if resample.method in SYNTHETIC_METHODS and resample.on != "class":
        yield "resample.on", f"{resample.method} mixes images of one class; an attribute alone names none"


# Which methods read a setting of resampling; a sampler of one's own reads what it is handed.
_BOUNDED = tuple(method for method in RESAMPLE_METHODS if method not in ("none", "tomek"))
_RESAMPLE_READS = {
    "to": _BOUNDED,
    "on": (*RESAMPLE_METHODS[1:], "module:function"),
    "neighbours": ("near_miss", *SYNTHETIC_METHODS),
    "features": FEATURE_METHODS,
}


def _resample_reads(s: Sections) -> Iterator[Broken]:
    """A setting that the method does not read would change the key and nothing else."""
    resample, usual = s["resample"], ResampleSettings()
    method = "module:function" if is_plugin(resample.method) else resample.method
    for name, readers in _RESAMPLE_READS.items():
        # The values of `on` are also what offline copies are chosen by.
        named = name == "on" and resample.copies is not None and resample.copies.classes is not None
        if getattr(resample, name) != getattr(usual, name) and method not in readers and not named:
            told = f"is read by resample.method={' or '.join(readers)} only, and it is {resample.method}"
            yield f"resample.{name}", told
    for name in _TO_NEEDS:
        if getattr(resample, name) is not None and resample.to != name:
            yield f"resample.{name}", f"is read by resample.to={name} only, and it is {resample.to}"


def _resample_features(s: Sections) -> Iterator[Broken]:
    if s["train"].strategy == "linear_probe" and s["resample"].features != ResampleSettings().features:
        yield "resample.features", "is not read by train.strategy=linear_probe, which has features of its own"


def _resample_method(s: Sections) -> Iterator[Broken]:
    method = s["resample"].method
    if method not in RESAMPLE_METHODS and not is_plugin(method):
        hint = nearest(method, RESAMPLE_METHODS) or f"choose one of {', '.join(RESAMPLE_METHODS)}"
        yield "resample.method", f"`{method}` is none; {hint}, or module:function"


def _own_code(s: Sections) -> Iterator[Broken]:
    named = {"preprocess.function": s["preprocess"].function}
    for path, name in named.items():
        if name is not None and not is_plugin(name):
            yield path, f"`{name}` is not of the form module:function; see docs/plugins.md"


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
        yield from _bins(path, attribute)
        yield from _soft_width(path, attribute)
    names = [a.name for a in competition.attributes]
    if len(set(names)) != len(names):
        yield "competition.attributes", "two attributes have the same name"


def _soft_width(path: str, attribute: Any) -> Iterator[Broken]:
    edges, width = attribute.train_bins or attribute.bins, attribute.soft_width
    if width is None:
        return
    if edges is None:
        yield f"{path}.soft_width", "needs `bins`: the edges that it softens"
        return
    near = [f"{low:g} and {high:g}" for low, high in pairwise(edges) if 0 < high - low < 2 * width]
    if near:
        what = f"{width:g} would soften two edges at once: {', '.join(near)} are not {2 * width:g} apart"
        yield f"{path}.soft_width", what


def _bins(path: str, attribute: Any) -> Iterator[Broken]:
    if attribute.train_bins is not None and attribute.bins is None:
        yield f"{path}.train_bins", "needs `bins`, the edges that score"
    for name in ("bins", "train_bins"):
        edges = getattr(attribute, name)
        if edges is None:
            continue
        if len(edges) != len(attribute.values) - 1:
            yield f"{path}.{name}", f"has {len(edges)} edges for {len(attribute.values)} values: one fewer"
        if any(low >= high for low, high in pairwise(edges)):
            yield f"{path}.{name}", f"{edges} is not ascending"


def _sources(s: Sections) -> Iterator[Broken]:
    competition = s["competition"]
    if competition.layout == "mask" and competition.test_table is None and competition.holdout is None:
        yield "competition.test_table", "is missing: layout=mask needs eval/info.csv, or a holdout"
    alike = competition.test_images == competition.train_images
    if competition.test_table is None and competition.holdout is None and alike:
        what = "no test set: name a test_table, other test_images, or hold out a share (holdout=0.2)"
        yield "competition.test_table", what
    if competition.test_table is not None and competition.holdout is not None:
        yield "competition.holdout", "there is a test_table: set it to null, or leave holdout out"
    if competition.holdout is not None and competition.sample_submission is not None:
        yield "competition.sample_submission", "the host's sample knows no held-out images: set it to null"
    names = [e.source for e in competition.extra]
    for number, extra in enumerate(competition.extra):
        if names.index(extra.source) != number:
            yield f"competition.extra[{number}].source", f"`{extra.source}` stands there twice"
        if extra.labelled and extra.table is None and len(competition.attributes) > 1:
            yield f"competition.extra[{number}].table", "a folder per class tells one attribute only"
    if competition.patch_scoring and competition.label_patches is None:
        yield "competition.patch_scoring", "there are no label_patches"


def _group_pattern(s: Sections) -> Iterator[Broken]:
    competition = s["competition"]
    if competition.group_pattern is None:
        return
    if competition.group_column is not None:
        yield "competition.group_pattern", "there is a group_column: keep one of the two"
    try:
        groups = re.compile(competition.group_pattern).groups
    except re.error as error:
        yield "competition.group_pattern", f"is no regular expression: {error}"
        return
    if groups != 1:
        what = f"has {groups} groups; put one pair of () around what names the group, (?:…) around others"
        yield "competition.group_pattern", what


def _weights(s: Sections) -> Iterator[Broken]:
    weights = s["model"].weights
    if weights not in ("none", "hub") and not weights.startswith(("file:", "package:")):
        yield "model.weights", f"`{weights}` is none of: none, hub, file:PATH, package:NAME"


def _decision(s: Sections) -> Iterator[Broken]:
    steps = s["decision"].steps
    for number, name in enumerate(steps):
        if name not in DECISION_STEPS and not is_plugin(name):
            hint = nearest(name, DECISION_STEPS) or f"choose one of {', '.join(DECISION_STEPS)}"
            yield f"decision.steps[{number}]", f"`{name}` is no step; {hint}, or module:function"
        if steps.index(name) != number:
            yield f"decision.steps[{number}]", f"names {name} twice"
    if (
        "class_scales" in steps
        and getattr(METRICS.get(s["competition"].metric), "needs", "") == "probabilities"
    ):
        what = f"class_scales fits labels, and {s['competition'].metric} judges probabilities; leave it out"
        yield "decision.steps", what
    constant = [a.name for a in s["competition"].attributes if a.constant_in_group]
    if "group_average" in steps and not constant:
        what = "group_average averages attributes with constant_in_group=true, and there is none"
        yield "decision.steps", what


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
        told = [view for view in s["infer"].views if set(does(view)) & set(attribute.forbids)]
        for view in told:
            kept = [v for v in s["infer"].views if v not in told]
            words = ", ".join(f'"{v}"' if "(" in v else v for v in kept)
            yield "infer.views", f"has {view}, which {attribute.name} forbids; use infer.views=[{words}]"


def _cache(s: Sections) -> Iterator[Broken]:
    images = s["images"]
    if max(images.hw) > images.cache_px:
        yield "images.size", f"{images.size} is larger than images.cache_px={images.cache_px}: raise that too"


def _normalisation(s: Sections) -> Iterator[Broken]:
    model = s["model"]
    if (model.mean is None) != (model.std is None):
        given, missing = ("mean", "std") if model.std is None else ("std", "mean")
        yield (
            f"model.{missing}",
            f"is missing beside model.{given}: give both, or neither",
        )


RULES: tuple[tuple[tuple[str, ...], Callable[[Sections], Iterator[Broken]]], ...] = (
    (("resample",), _resample),
    (("resample",), _resample_method),
    (("resample",), _resample_reads),
    (("resample", "train"), _resample_features),
    (("preprocess",), _own_code),
    (("resample", "train"), _resample_probe),
    (("resample", "competition"), _resample_on),
    (("competition",), _metric),
    (("folds",), _fold_kind),
    (("competition",), _competition),
    (("competition",), _sources),
    (("competition",), _group_pattern),
    (("model",), _weights),
    (("model",), _normalisation),
    (("decision", "competition"), _decision),
    (("images",), _cache),
    (("eda",), _eda),
    (("crop",), _crop),
    (("competition", "infer"), _forbidden_views),
    *TRAIN_RULES,
    *LOSS_RULES,
    *HOST_RULES,
    *BLEND_RULES,
)


def broken(sections: Sections) -> list[Broken]:
    """Every (path, what is wrong) among rules whose sections are all present."""
    return [b for needs, rule in RULES if all(n in sections for n in needs) for b in rule(sections)]
