"""The decision steps of a packed submission: applied again from what was fitted, and what they looked at.

Owns rebuilding each kept step from the facts in decision.json. Does not own fitting (`ensemble/decision.py`,
`ensemble/priors.py`, `ensemble/thresholds.py`), whose functions compute. A step that looks at several images
at once works on the images that are given, and says so.

Legend: N images, K columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.metric_arithmetic import Reals
from pipeline.core.plugin import Own, is_plugin
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Floats, LabelSpace, Strings
from pipeline.core.targets import EXCLUSIVE, Target
from pipeline.core.wording import worded
from pipeline.ensemble import decision, grouping, new_class, priors, thresholds
from pipeline.predict import folder, texts

# Decimals of the log odds of thresholds, which are candidates of a grid.
DECIMALS = 2


@dataclass(frozen=True)
class Given:
    """What steps are applied to.

    Args:
        home: the folder of the predictor.
        space: the label space.
        ids_N: of the images.
        groups_N: their groups; empty where none is known.
        clustered: whether groups were found by clustering features.
    """

    home: Path
    space: LabelSpace
    ids_N: Strings
    groups_N: Strings
    clustered: bool = False

    @property
    def target(self) -> Target:
        """What the columns mean."""
        return Target.of(self.space)


@dataclass(frozen=True)
class Decided:
    """Predictions after the steps, and what they took into account."""

    p: Probabilities
    notes: tuple[str, ...]


Facts = Mapping[str, Any]
# (predictions, what was fitted, the images) -> predictions, and a note or "".
Apply = Callable[[Floats, Facts, Given], tuple[Floats, str]]


def decide(
    home: Path, kept: Sequence[folder.Step], space: LabelSpace, p: Probabilities, groups_N: Strings
) -> Decided:
    """Apply the kept steps, in their order, to all images that were given.

    `groups_N`: the group of each image; empty where none is known.

    Raises:
        ConfigError: a function of the user's own is missing, or failed.
    """
    notes: list[str] = []
    p_NK = p.p_NC
    for step in kept:
        given = Given(home, space, p.ids_N, groups_N, step.groups == "clusters")
        if is_plugin(step.name):
            p_NK, note = _own(step.name, p_NK, given)
        else:
            p_NK, note = STEPS[step.name](p_NK, step.fitted, given)
        notes += [note] if note else []
    return Decided(replace(p, p_NC=p_NK), tuple(notes))


def fault_of(name: str, fitted: Facts) -> str:
    """Why a step cannot be applied again, or empty."""
    if is_plugin(name):
        return ""
    if name not in STEPS:
        return texts.STEP_UNKNOWN
    missing = [fact for fact in NEEDS[name] if fact not in fitted]
    return texts.STEP_FACTS.format(facts=", ".join(missing)) if missing else ""


def _class_scales(p_NC: Floats, fitted: Facts, given: Given) -> tuple[Floats, str]:
    scale_C = np.array([fitted["scales"][name] for name in given.space.classes])
    return decision.apply_scales(p_NC, scale_C), ""


def _new_class(p_NC: Floats, fitted: Facts, given: Given) -> tuple[Floats, str]:
    column = given.space.classes.index(fitted["class"])
    return new_class.apply(p_NC, column, float(fitted["threshold"]), bool(fitted["own"])), ""


def _prior_correction(p_NC: Floats, fitted: Facts, given: Given) -> tuple[Floats, str]:
    shown_C, columns = np.array(fitted["from"]), given.target
    if not isinstance(fitted["to"], str):
        return priors.corrected(p_NC, shown_C, np.array(fitted["to"]), columns), ""
    note = worded(texts.WHOLE_SET, step="prior_correction", images=len(p_NC))
    new_C = priors.estimated_prior(p_NC, shown_C, columns)
    return priors.corrected(p_NC, shown_C, new_C, columns), note


def _group_average(p_NC: Floats, fitted: Facts, given: Given) -> tuple[Floats, str]:
    step = "group_average"
    if not (given.groups_N != "").any():
        return p_NC, (texts.NOT_CLUSTERED if given.clustered else texts.ALONE).format(step=step)
    alone_N = np.array([f"\0{name}" for name in given.ids_N.tolist()])
    own_N = np.where(given.groups_N == "", alone_N, given.groups_N)
    group_N = np.unique(own_N, return_inverse=True)[1]
    note = worded(texts.WHOLE_SET, step=step, images=len(p_NC))
    if given.space.kind == EXCLUSIVE:
        return grouping.averaged(p_NC, group_N, grouping.shared_values(given.space)), note
    return grouping.averaged_columns(p_NC, group_N, grouping.shared_columns(given.space)), note


def _thresholds(p_NK: Floats, fitted: Facts, given: Given) -> tuple[Floats, str]:
    at_K = np.array([fitted["thresholds"][name] for name in given.target.columns])
    shift_K: Reals = np.round(np.log(at_K) - np.log1p(-at_K), DECIMALS)
    return thresholds.moved(given.target, p_NK, shift_K), ""


def _cut_points(p_NK: Floats, fitted: Facts, given: Given) -> tuple[Floats, str]:
    cuts = fitted["cut_points"]
    if given.space.kind == EXCLUSIVE:
        return thresholds.graded_classes(p_NK, np.array(cuts)), ""
    columns = given.target.columns
    return thresholds.graded_values(p_NK, [(fitted["lowest"][c], np.array(cuts[c])) for c in columns]), ""


def _clip(p_NK: Floats, fitted: Facts, given: Given) -> tuple[Floats, str]:
    low_K, high_K = (np.array(fitted[name], np.float32) for name in ("low", "high"))
    return np.asarray(np.clip(p_NK, low_K, high_K), dtype=np.float32), ""


def _round(p_NK: Floats, fitted: Facts, given: Given) -> tuple[Floats, str]:
    return np.asarray(np.floor(p_NK + 0.5), dtype=np.float32), ""


def _own(name: str, p_NC: Floats, given: Given) -> tuple[Floats, str]:
    own = Own(name, given.home / folder.OWN, decision.SETTING)
    groups_N = np.where(given.groups_N == "", given.ids_N, given.groups_N)
    note = worded(texts.WHOLE_SET, step=name, images=len(p_NC))
    return decision.call_own(own, p_NC, given.ids_N, groups_N, given.target), note


# A new step of `settings/decision.py` is a line in both; a test compares them.
STEPS: dict[str, Apply] = {
    "class_scales": _class_scales,
    "new_class": _new_class,
    "thresholds": _thresholds,
    "prior_correction": _prior_correction,
    "group_average": _group_average,
    "cut_points": _cut_points,
    "clip": _clip,
    "round": _round,
}
NEEDS: dict[str, tuple[str, ...]] = {
    "class_scales": ("scales",),
    "new_class": ("class", "threshold", "own"),
    "thresholds": ("thresholds",),
    "prior_correction": ("from", "to"),
    "group_average": (),
    "cut_points": ("cut_points", "lowest"),
    "clip": ("low", "high"),
    "round": (),
}
