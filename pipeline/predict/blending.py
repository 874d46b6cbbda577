"""How the members of a packed submission vote, and the decision steps after it.

Owns rebuilding a fitted blend and the kept steps from a manifest, and saying which of them looked at more
than one image. Does not own their arithmetic (`core/voting/`, `ensemble/decision.py`).

Legend: M members, N images, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.plugin import Own
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Floats, LabelSpace, Strings
from pipeline.core.targets import softmax
from pipeline.core.voting.fitting import Fitted
from pipeline.core.voting.soft_voting import RULES, VotingRule
from pipeline.core.voting.stacking import Stack
from pipeline.core.wording import worded
from pipeline.ensemble import decision, grouping
from pipeline.predict import folder, texts

STACKING = "stacking"
# Rules whose votes depend on all images together.
OF_THE_WHOLE_SET = ("rank",)
COEFFICIENTS, BIAS = "coefficients", "bias"


def stacked(stack: Stack) -> VotingRule:
    """The rule of a fitted model of stacking."""
    return VotingRule(STACKING, RULES["mean"].prepare, lambda total_NC: softmax(total_NC + stack.bias_C))


def write_stack(path: Path, stack: Stack) -> None:
    """Write a fitted model of stacking."""
    from safetensors.numpy import save_file

    path.parent.mkdir(exist_ok=True)
    save_file({COEFFICIENTS: np.ascontiguousarray(stack.coefficient_MCC), BIAS: stack.bias_C}, path)


def fitted_of(home: Path, manifest: folder.Manifest) -> Fitted | None:
    """The fitted blend of all members; None: a member alone, whose predictions stay as they are."""
    blend, members = manifest.blend, manifest.members
    if blend.rule is None:
        return None
    weights, heat = (tuple(getattr(m, name) for m in members) for name in ("weight", "temperature"))
    if blend.stack is None:
        return Fitted(weights, RULES[blend.rule], heat)
    from safetensors.numpy import load_file

    found = load_file(home / blend.stack)
    stack = Stack(found[COEFFICIENTS], found[BIAS])
    return Fitted(weights, stacked(stack), heat, stack)


def of_some(fitted: Fitted, at: Sequence[int]) -> Fitted:
    """The blend of some of the members, their weights scaled up."""
    if len(at) == len(fitted.weights):
        return fitted
    weights = np.array([fitted.weights[m] for m in at])
    scaled = weights / weights.sum() if weights.sum() > 0 else np.full(len(at), 1 / len(at))
    stack, rule = fitted.stack, fitted.rule
    if stack is not None:
        # The sum of coefficients stays that of all members, as when one is left out to measure its share.
        factor = len(fitted.weights) / len(at)
        stack = Stack(stack.coefficient_MCC[list(at)] * factor, stack.bias_C)
        rule = stacked(stack)
    return Fitted(tuple(scaled.tolist()), rule, tuple(fitted.temperatures[m] for m in at), stack)


@dataclass(frozen=True)
class Decided:
    """Probabilities after the steps, and what they took into account."""

    p: Probabilities
    notes: tuple[str, ...]


def decide(
    home: Path, steps: Sequence[folder.Step], space: LabelSpace, p: Probabilities, groups_N: Strings
) -> Decided:
    """Apply the kept steps, in their order, to all images that were given.

    `groups_N`: the group of each image; empty where none is known.

    Raises:
        ConfigError: a function of the user's own is missing, or failed.
    """
    notes: list[str] = []
    p_NC = p.p_NC
    for step in steps:
        p_NC, told = _applied(home, step, space, p_NC, p.ids_N, groups_N)
        notes += told
    return Decided(replace(p, p_NC=p_NC), tuple(notes))


def _applied(
    home: Path, step: folder.Step, space: LabelSpace, p_NC: Floats, ids_N: Strings, groups_N: Strings
) -> tuple[Floats, list[str]]:
    fitted: dict[str, Any] = dict(step.fitted)
    if step.name == "class_scales":
        return decision.apply_scales(p_NC, np.array([fitted["scales"][c] for c in space.classes])), []
    if step.name == "prior_correction":
        shown_C = np.array(fitted["from"])
        if isinstance(fitted["to"], str):
            note = worded(texts.WHOLE_SET, step=step.name, images=len(p_NC))
            return decision.corrected(p_NC, shown_C, decision.estimated_prior(p_NC, shown_C)), [note]
        return decision.corrected(p_NC, shown_C, np.array(fitted["to"])), []
    alone_N = np.array([f"\0{name}" for name in ids_N.tolist()])
    own_N = np.where(groups_N == "", alone_N, groups_N)
    if step.name == "group_average":
        if not (groups_N != "").any():
            text = texts.NOT_CLUSTERED if step.groups == "clusters" else texts.ALONE
            return p_NC, [text.format(step=step.name)]
        group_N = np.unique(own_N, return_inverse=True)[1]
        note = worded(texts.WHOLE_SET, step=step.name, images=len(p_NC))
        return grouping.averaged(p_NC, group_N, grouping.shared_values(space)), [note]
    own = Own(step.name, home / folder.OWN, decision.SETTING)
    given_N = np.where(groups_N == "", ids_N, groups_N)
    note = worded(texts.WHOLE_SET, step=step.name, images=len(p_NC))
    return decision.call_own(own, p_NC, ids_N, given_N, space.classes), [note]
