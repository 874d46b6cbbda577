"""The parts of `train` that train more than one network for a fold: chains, pseudo-labels and distillation.

Owns their fields and rules, and those of a bag. Does not own the training of one network
(`settings/train.py`).
"""

from collections.abc import Iterator
from typing import Literal

from pipeline.settings.fields import Broken, Section, Sections, fact, rule
from pipeline.settings.loss import traits
from pipeline.settings.resample import FEATURE_METHODS

# Settings of a chain that one of its modes reads.
_MODE_OF = {"others": "failed", "rate": "weights"}


class ChainSettings(Section):
    """Boosting: each member learns from what the one before it failed; see `pipeline/train/boost.py`."""

    members: int = fact(3, "length of the chain", ge=3, le=20)
    mode: Literal["weights", "failed"] = fact(
        "weights",
        "weights: all samples, those that were failed weigh more (SAMME); failed: only those that the last "
        "member failed, and `others`",
    )
    inner: int = fact(
        2,
        "a member's failures come from an inner k-fold over the groups of the fold's training part, which "
        "costs k - 1 more trainings a member; 0: from the rows it learned, which networks fit to zero error",
        ge=0,
        le=10,
    )
    others: float = fact(
        0.25,
        "failed: share of each class's other samples that is kept, or the member would collapse",
        gt=0,
        le=1,
    )
    rate: float = fact(1.0, "weights: shrinks every step of the weights; 1: SAMME as published", gt=0, le=1)
    combine: Literal["alpha", "mean"] = fact(
        "alpha", "how members vote: alpha: SAMME's weights, from the training part alone; mean: equally"
    )


class PseudoSettings(Section):
    """Pseudo-labels: fold k's student also learns what fold k's own teachers say of unlabelled images."""

    teachers: list[str] = fact(
        [], "experiments that teach, by name (a+b: overlay b on a), averaged; []: this one, without pseudo"
    )
    threshold: float = fact(0.9, "least probability of the class that an adopted image is given", ge=0, le=1)
    share: float = fact(
        1.0,
        "of the images given a class, adopt the surest so many (class-balanced self-training)",
        gt=0,
        le=1,
    )
    soft: bool = fact(False, "teach the teachers' probabilities instead of the class")
    test_images: bool = fact(
        False, "adopt images of the test set too: read the competition's rules before, many forbid it"
    )


class DistillSettings(Section):
    """Distillation: fold k's student learns what teachers that never saw fold k say of its training part."""

    teachers: list[str] = fact(
        [], "experiments that teach, by name; []: this one; make distill: the members of the ensemble"
    )
    inner: int = fact(
        3,
        "k: teachers learn k - 1 of k inner parts of the fold's training part and say what they think of the "
        "other one, which costs k trainings a teacher and fold; 0: the fold's own models, of images that "
        "they learned: free, and hardly more than the labels again",
        ge=0,
        le=10,
    )
    soft: float = fact(0.5, "the teachers' share in the target; the label has the rest", gt=0, le=1)


def trainings(bag: int | None, chain: ChainSettings | None) -> float:
    """About how many trainings on the whole part a fold takes."""
    if chain is None:
        return float(bag or 1)
    judged = chain.members - (chain.combine == "mean")
    return float(chain.members + judged * max(chain.inner - 1, 0))


@rule("train")
def one_kind_of_members(s: Sections) -> Iterator[Broken]:
    """A fold is a bag, a chain, a pseudo-labelled student or a distilled one, not two of these."""
    train = s["train"]
    asked = [name for name in ("bag", "chain", "pseudo", "distill") if getattr(train, name) is not None]
    if len(asked) > 1:
        yield f"train.{asked[-1]}", f"cannot be had with train.{asked[0]}: choose one"


@rule("train")
def chain_settings(s: Sections) -> Iterator[Broken]:
    """Settings of a chain are read by its mode, and its inner folds can judge it."""
    train, chain, usual = s["train"], s["train"].chain, ChainSettings()
    if chain is None:
        return
    for name, mode in _MODE_OF.items():
        if getattr(chain, name) != getattr(usual, name) and chain.mode != mode:
            yield f"train.chain.{name}", f"is read by train.chain.mode={mode} only, and it is {chain.mode}"
    if chain.inner == 1:
        yield "train.chain.inner", "one inner fold leaves nothing to learn; give 2 or more, or 0"
    if chain.inner and train.init_from is not None:
        yield (
            "train.chain.inner",
            f"{chain.inner}: models that saw none of a group judge it, and the weights of train.init_from "
            "learned all of them; set train.chain.inner=0, or leave train.init_from out",
        )


@rule("train", "loss")
def chain_with_the_loss(s: Sections) -> Iterator[Broken]:
    """A chain that weighs samples needs a loss of single samples."""
    chain, loss = s["train"].chain, s["loss"]
    if chain is not None and chain.mode == "weights" and loss.name == "soft_f1" and loss.blend == 1:
        told = "weights has no effect on soft_f1, a figure of the whole batch; set loss.blend below 1"
        yield "train.chain.mode", told


@rule("train", "resample")
def adopted_test_images(s: Sections) -> Iterator[Broken]:
    """Adopted test images have no features that a resampling method could look at."""
    pseudo, method = s["train"].pseudo, s["resample"].method
    if pseudo is not None and pseudo.test_images and method in FEATURE_METHODS:
        told = f"test images have no features that resample.method={method} could look at; use under or over"
        yield "train.pseudo.test_images", told


@rule("train", "competition")
def unlabelled_images(s: Sections) -> Iterator[Broken]:
    """There are unlabelled images to adopt, and each teacher is named once."""
    pseudo, competition = s["train"].pseudo, s["competition"]
    if pseudo is None:
        return
    if len(set(pseudo.teachers)) != len(pseudo.teachers):
        yield "train.pseudo.teachers", "names a teacher twice"
    if not pseudo.test_images and all(e.labelled for e in competition.extra):
        yield (
            "train.pseudo",
            "there are no unlabelled images: name a source, competition.extra='[{source: web, licence: CC0, "
            "images: more, labelled: false}]', or set train.pseudo.test_images=true where the rules allow it",
        )


@rule("train", "loss")
def distillation(s: Sections) -> Iterator[Broken]:
    """Teachers can teach every group, each is named once, and the loss takes soft targets."""
    distill = s["train"].distill
    if distill is None:
        return
    if distill.inner == 1:
        yield "train.distill.inner", "one inner part leaves nothing to learn; give 2 or more, or 0"
    if len(set(distill.teachers)) != len(distill.teachers):
        yield "train.distill.teachers", "names a teacher twice"
    if s["train"].group_share < 1:
        told = "learns from teachers that learned every group; leave train.group_share out"
        yield "train.distill", told
    if ":" not in s["loss"].name and not traits(s["loss"].name).soft_targets:
        yield "train.distill", f"makes soft targets, which loss.name={s['loss'].name} does not take"
