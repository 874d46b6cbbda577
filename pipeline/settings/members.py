"""Settings of trainings that are more than one network on the fold's training part.

Owns the sections of bagging, boosting chains, pseudo-labels, distillation and the learning curve. Does not
own the rest of the training loop's settings (`settings/training.py`, which names these too).
"""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.settings.fields import Section, Share, fact

SharePoint = Annotated[float, Field(gt=0, le=1)]


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


class CurveSettings(Section):
    """The learning curve: score over the number of training groups."""

    shares: list[SharePoint] = fact(
        [0.1, 0.2, 0.4, 0.7, 1.0],
        "shares of the groups of each fold's training part, ascending",
        min_length=2,
    )
    seeds: int = fact(3, "trainings a share, each with its own groups and its own draws", ge=3, le=20)
    margin: Share = fact(
        0.005, "a gain of the last step below this is not worth collecting data for; unit: the metric's"
    )
    images: int = fact(512, "images of each training part that are scored for the training curve", ge=16)


def trainings(bag: int | None, chain: ChainSettings | None) -> float:
    """About how many trainings on the whole part a fold takes."""
    if chain is None:
        return float(bag or 1)
    judged = chain.members - (chain.combine == "mean")
    return float(chain.members + judged * max(chain.inner - 1, 0))
