"""The settings of `train` for more than one network per fold: chains, pseudo-labels and distillation.

Owns their fields and rules, and those of a bag. Does not own the training of one network
(`settings/train.py`).
"""

from collections.abc import Iterator
from typing import Literal

from pipeline.core.language import _
from pipeline.settings.fields import Broken, Section, Sections, fact, rule
from pipeline.settings.loss import traits
from pipeline.settings.resample import FEATURE_METHODS

# Settings of a chain that only one of its modes uses.
_MODE_OF = {"others": "failed", "rate": "weights"}


class ChainSettings(Section):
    """Boosting: each member learns from the errors of the one before it; see `pipeline/train/members.py`."""

    members: int = fact(3, "length of the chain", ge=3, le=20)
    mode: Literal["weights", "failed"] = fact(
        "weights",
        "weights: all samples, with higher weights for errors (SAMME); failed: only the errors of the last "
        "member, and `others`",
    )
    inner: int = fact(
        2,
        "a member's errors come from an inner k-fold over the groups of the fold's training part, which "
        "needs k - 1 more trainings per member; 0: from its training rows, which networks fit without error",
        ge=0,
        le=10,
    )
    others: float = fact(
        0.25, "failed: share of each class's other samples that is kept, against collapse", gt=0, le=1
    )
    rate: float = fact(
        1.0, "weights: factor on every update of the weights; 1: SAMME as published", gt=0, le=1
    )
    combine: Literal["alpha", "mean"] = fact(
        "alpha", "weights of members: alpha: SAMME's, from the training part only; mean: equal"
    )


class PseudoSettings(Section):
    """Pseudo-labels: fold k's student also learns from fold k's own teachers on unlabelled images."""

    teachers: list[str] = fact(
        [], "teachers, experiments by name (a+b: b overrides a), averaged; []: this one, without pseudo"
    )
    threshold: float = fact(
        0.9,
        "use only images whose class has at least this probability; of labels each one by itself: it holds "
        "with at least this probability, or does not hold with at least this",
        ge=0,
        le=1,
    )
    share: float = fact(
        1.0,
        "share of the images of each predicted class that are used, most confident first (class-balanced "
        "self-training)",
        gt=0,
        le=1,
    )
    soft: bool = fact(False, "learn the teachers' probabilities instead of the class")
    test_images: bool = fact(
        False, "also use images of the test set: read the competition's rules first, many forbid it"
    )


class DistillSettings(Section):
    """Distillation: fold k's student learns predictions for its training part of teachers without fold k."""

    teachers: list[str] = fact(
        [], "teachers, experiments by name; []: this one; make distill: the members of the ensemble"
    )
    inner: int = fact(
        3,
        "k: teachers train on k - 1 of k inner parts of the fold's training part and predict the other one, "
        "which needs k trainings per teacher and fold; 0: the fold's own models predict images that they "
        "trained on: no cost, and little more than the labels",
        ge=0,
        le=10,
    )
    soft: float = fact(0.5, "the teachers' share in the target; the rest is the label", gt=0, le=1)


def trainings(bag: int | None, chain: ChainSettings | None) -> float:
    """The approximate number of full trainings of a fold."""
    if chain is None:
        return float(bag or 1)
    scored = chain.members - (chain.combine == "mean")
    return float(chain.members + scored * max(chain.inner - 1, 0))


@rule("train")
def one_kind_of_members(s: Sections) -> Iterator[Broken]:
    """A fold is a bag, a chain, a pseudo-labelled student or a distilled one, not two of these."""
    train = s["train"]
    asked = [name for name in ("bag", "chain", "pseudo", "distill") if getattr(train, name) is not None]
    if len(asked) > 1:
        yield (
            f"train.{asked[-1]}",
            _("cannot be combined with train.{asked}: choose one").format(asked=asked[0]),
        )


@rule("train")
def chain_settings(s: Sections) -> Iterator[Broken]:
    """Settings of a chain are used by its mode, and its inner folds can score it."""
    train, chain, usual = s["train"], s["train"].chain, ChainSettings()
    if chain is None:
        return
    for name, mode in _MODE_OF.items():
        if getattr(chain, name) != getattr(usual, name) and chain.mode != mode:
            yield (
                f"train.chain.{name}",
                _("is used only with train.chain.mode={needed}, and it is {mode}").format(
                    needed=mode, mode=chain.mode
                ),
            )
    if chain.inner == 1:
        yield "train.chain.inner", _("1 leaves nothing to train on; set 2 or more, or 0")
    if chain.inner and train.init_from is not None:
        yield (
            "train.chain.inner",
            _(
                "{inner} needs models that have not seen the group that they score, but the weights of "
                "train.init_from have seen all groups; set train.chain.inner=0, or remove train.init_from"
            ).format(inner=chain.inner),
        )


@rule("train", "loss")
def chain_with_the_loss(s: Sections) -> Iterator[Broken]:
    """A chain that weights samples needs a loss of single samples."""
    chain, loss = s["train"].chain, s["loss"]
    if chain is not None and chain.mode == "weights" and loss.name == "soft_f1" and loss.blend == 1:
        message = _("weights has no effect on soft_f1, a value of the whole batch; set loss.blend below 1")
        yield "train.chain.mode", message


@rule("train", "competition")
def members_of_the_target(s: Sections) -> Iterator[Broken]:
    """Chains count wrong classes, and pseudo-labels need a certainty, which a value does not have."""
    train, kind = s["train"], s["competition"].target
    if train.chain is not None and kind != "exclusive":
        message = _(
            "is for exclusive classes: with target={kind} no answer is plainly wrong; use train.bag"
        ).format(kind=kind)
        yield "train.chain", message
    if train.pseudo is not None and kind in ("values", "shares"):
        message = _(
            "needs answers that are certain or not, and {kind} are neither; use train.distill"
        ).format(kind=kind)
        yield "train.pseudo", message


@rule("train", "resample")
def adopted_test_images(s: Sections) -> Iterator[Broken]:
    """Pseudo-labelled test images have no features for a resampling method."""
    pseudo, method = s["train"].pseudo, s["resample"].method
    if pseudo is not None and pseudo.test_images and method in FEATURE_METHODS:
        message = _("test images have no features for resample.method={method}; use under or over").format(
            method=method
        )
        yield "train.pseudo.test_images", message


@rule("train", "competition")
def unlabelled_images(s: Sections) -> Iterator[Broken]:
    """There are unlabelled images, and each teacher is named once."""
    pseudo, competition = s["train"].pseudo, s["competition"]
    if pseudo is None:
        return
    if len(set(pseudo.teachers)) != len(pseudo.teachers):
        yield "train.pseudo.teachers", _("names a teacher twice")
    if not pseudo.test_images and all(e.labelled for e in competition.extra):
        yield (
            "train.pseudo",
            _(
                "there are no unlabelled images: name a source, competition.extra='[{source: web, licence: "
                "CC0, images: more, labelled: false}]', or set train.pseudo.test_images=true if the rules "
                "allow it"
            ),
        )


@rule("train", "loss")
def distillation(s: Sections) -> Iterator[Broken]:
    """Teachers are trained on every group, each is named once, and the loss accepts soft targets."""
    distill = s["train"].distill
    if distill is None:
        return
    if distill.inner == 1:
        yield "train.distill.inner", _("1 leaves nothing to train on; set 2 or more, or 0")
    if len(set(distill.teachers)) != len(distill.teachers):
        yield "train.distill.teachers", _("names a teacher twice")
    if s["train"].group_share < 1:
        yield "train.distill", _("needs teachers that are trained on every group; remove train.group_share")
    if ":" not in s["loss"].name and not traits(s["loss"].name).soft_targets:
        yield (
            "train.distill",
            _("makes soft targets, which loss.name={name} does not accept").format(name=s["loss"].name),
        )
