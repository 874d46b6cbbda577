"""How the members of a packed submission vote, all of them or a part.

Owns rebuilding a fitted blend from a manifest. Does not own the arithmetic (`core/voting/`).

Legend: M members, N images, C columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.core.metric_arithmetic import Reals
from pipeline.core.samples import Floats
from pipeline.core.targets import Target
from pipeline.core.voting.fitting import Fitted
from pipeline.core.voting.soft_voting import RULES, VotingRule
from pipeline.core.voting.stacking import Stack
from pipeline.predict import folder
from pipeline.record.files import space_of_text

STACKING = "stacking"
# Rules whose votes depend on all images together.
OF_THE_WHOLE_SET = ("rank",)
COEFFICIENTS, BIAS = "coefficients", "bias"


def stacked(stack: Stack, target: Target) -> VotingRule:
    """The rule of a fitted model of stacking."""
    mean = RULES["mean"].suited(target)
    return VotingRule(STACKING, mean.prepare, partial(_finished, target, stack), mean.kinds)


def _finished(target: Target, stack: Stack, total_NC: Reals) -> Floats:
    return target.from_logits(total_NC + stack.bias_C)


def write_stack(path: Path, stack: Stack) -> None:
    """Write a fitted model of stacking."""
    from safetensors.numpy import save_file

    path.parent.mkdir(exist_ok=True)
    save_file({COEFFICIENTS: np.ascontiguousarray(stack.coefficient_MCC), BIAS: stack.bias_C}, path)


def fitted_of(home: Path, manifest: folder.Manifest) -> Fitted | None:
    """The fitted blend of all members; None: a member alone, whose predictions stay as they are."""
    blend, voters, target = manifest.blend, manifest.voters, Target.of(space_of_text(manifest.space))
    if blend.rule is None:
        return None
    weights, heat = tuple(v.weight for v in voters), tuple(v.temperature for v in voters)
    if blend.stack is None:
        return Fitted(weights, RULES[blend.rule].suited(target), heat)
    from safetensors.numpy import load_file

    found = load_file(home / blend.stack)
    stack = Stack(found[COEFFICIENTS], found[BIAS], target)
    return Fitted(weights, stacked(stack, target), heat, stack)


def of_some(fitted: Fitted, at: Sequence[int], target: Target) -> Fitted:
    """The blend of some of the members, their weights scaled up."""
    if len(at) == len(fitted.weights):
        return fitted
    weights = np.array([fitted.weights[m] for m in at])
    scaled = weights / weights.sum() if weights.sum() > 0 else np.full(len(at), 1 / len(at))
    stack, rule = fitted.stack, fitted.rule
    if stack is not None:
        # The sum of coefficients stays that of all members, as when one is left out to measure its share.
        factor = len(fitted.weights) / len(at)
        stack = Stack(stack.coefficient_MCC[list(at)] * factor, stack.bias_C, target)
        rule = stacked(stack, target)
    return Fitted(tuple(scaled.tolist()), rule, tuple(fitted.temperatures[m] for m in at), stack)
