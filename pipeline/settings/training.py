"""What the training loop may be told: the settings of `train`.

Owns their ranges, defaults and meaning. Does not own losses (`settings/losses.py`), members of a fold
(`settings/members.py`) or the rules between settings (`settings/train_rules.py`).
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from pipeline.settings.fields import Section, fact, neutral
from pipeline.settings.members import ChainSettings, DistillSettings, PseudoSettings


class MixSettings(Section):
    """Images of two samples in one, with a target in between; see `pipeline/resample/mixing.py`."""

    method: Literal["none", "mixup", "cutmix", "cutmix_half"] = fact(
        "none", "mixup: both faintly; cutmix: a box of the partner; cutmix_half: half an image each"
    )
    alpha: float = fact(1.0, "of Beta(alpha, alpha), the partner's share; not of cutmix_half", gt=0, le=100)
    prob: float = fact(1.0, "share of the samples that are mixed", ge=0, le=1)
    partner: Literal["any", "same_class", "minority"] = fact(
        "any",
        "any: of the same batch; same_class: of the same class; minority: of the whole training part,"
        " every class equally often",
    )


class EarlyStoppingSettings(Section):
    """Ending a fold, and choosing its epoch, on an inner split of its own training part."""

    patience: int = fact(3, "epochs without a better inner score before training ends", ge=1, le=1000)
    share: float = fact(
        0.2, "of the training part, whole groups, that chooses and is not trained on", gt=0, le=0.5
    )


class TrainSettings(Section):
    """The training loop."""

    strategy: Literal["full", "scratch", "linear_probe", "freeze_until", "gradual"] = fact(
        "full",
        "full: all weights; scratch: all, from random ones; linear_probe: a head on cached features of the"
        " frozen backbone; freeze_until: what lies above `freeze_until`; gradual: from the head down, a"
        " stage more every `unfreeze_every` epochs",
    )
    freeze_until: Annotated[
        Annotated[int, Field(ge=0), Tag("stage")]
        | Annotated[str, Tag("module")]
        | Annotated[None, Tag("unset")],
        Discriminator(lambda value: {str: "module", type(None): "unset"}.get(type(value), "stage")),
    ] = fact(
        None, "strategy=freeze_until: the last frozen part, a stage's number (0: the stem) or a module's name"
    )
    unfreeze_every: int | None = fact(None, "strategy=gradual: epochs until the next stage trains", ge=1)
    layer_decay: float | None = fact(
        None,
        "learning rate of each layer as a factor of that of the layer above; the head's is `lr`",
        gt=0,
        le=1,
    )
    freeze_bn: bool = fact(False, "batch normalisation keeps its statistics, scale and shift")
    # Neutral, as the fold that it leads to is an input of the fold that starts from it: two names, one key.
    init_from: str | None = neutral(
        None,
        "a finished train run, by experiment or start of its key (`make runs`): each fold starts from the"
        " weights of that run's same fold; model.weights is not read then",
        min_length=1,
    )
    head: Literal["linear", "mlp", "logistic"] = fact(
        "linear",
        "of a linear_probe: linear and mlp by steps with any loss; logistic: the convex problem, solved",
    )
    head_hidden: int = fact(256, "hidden units of head=mlp", ge=1, le=8192)
    head_dropout: float = fact(0.5, "dropout of the hidden units of head=mlp", ge=0, lt=1)
    head_c: float = fact(0.01, "C of head=logistic: the inverse of its L2 penalty", gt=0, le=1e6)
    head_seeds: int = fact(1, "heads a fold with other seeds, their probabilities averaged", ge=1, le=50)
    folds: list[Annotated[int, Field(ge=0)]] | None = neutral(None, "train only these folds; None: all")
    epochs: int = fact(6, "passes over the training rows; the last one counts", ge=1, le=1000)
    batch_size: int = fact(32, "rows per optimizer step, times `accumulate`", ge=1, le=65536)
    accumulate: int = fact(1, "micro-batches per step; the loss is summed and divided once", ge=1, le=1024)
    optimizer: str = fact("adamw", "any optimizer of timm's factory")
    optimizer_args: dict[str, bool | float | list[float]] = fact(
        {}, "further arguments of the optimizer, e.g. {momentum: 0, nesterov: false} or {betas: [0.9, 0.99]}"
    )
    lr: float = fact(1e-3, "peak learning rate", gt=0, le=10)
    weight_decay: float = fact(0.05, "not applied to biases and norms", ge=0, le=10)
    warmup_epochs: float = fact(0.5, "linear warm-up; one_cycle has its own", ge=0)
    schedule: Literal["cosine", "constant", "step", "one_cycle", "plateau"] = fact(
        "cosine",
        "cosine: to 0 at the end of the last epoch; step: times lr_decay every lr_decay_epochs; plateau:"
        " times lr_decay when the loss of the inner split, or else of training, stops falling (lr_patience)",
    )
    lr_decay: float = fact(0.1, "factor of step and plateau", gt=0, lt=1)
    lr_decay_epochs: int = fact(2, "epochs between two decays of step", ge=1, le=1000)
    lr_patience: int = fact(2, "epochs that plateau waits beyond the best one", ge=0, le=1000)
    clip_norm: float | None = fact(None, "clip the gradient's norm; None: off", gt=0)
    ema_decay: float | None = fact(None, "average of weights kept for prediction; None: off", gt=0, lt=1)
    swa_start: float | None = fact(
        None, "average the weights at the end of each epoch from this share of them on; None: off", ge=0, lt=1
    )
    mix: MixSettings = MixSettings()
    early_stopping: EarlyStoppingSettings | None = fact(None, "None: train to the last epoch")
    input_noise: float = fact(
        0.0, "standard deviation of noise on pixels in [0, 1], after augmentation", ge=0, le=1
    )
    weight_noise: float = fact(
        0.0, "noise on the weights of each step, as a share of each tensor's root mean square", ge=0, le=1
    )
    oom_halving: bool = fact(
        False, "a GPU out of memory: halve what is passed at once and go on; batch norm sees the halves"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = fact(
        "auto", "autocast dtype; auto: the fastest here, measured once a machine; fp16 needs a GPU"
    )
    seed: int = fact(0, "root of all draws of training", ge=0)
    group_share: float = fact(1.0, "train on this share of the training part's groups", gt=0, le=1)
    bag: int | None = fact(
        None, "train so many models on bootstraps of the training part's groups and average them", ge=2, le=50
    )
    chain: ChainSettings | None = fact(None, "boosting: members that learn from each other's failures")
    distill: DistillSettings | None = fact(None, "learn from the soft labels of nested teachers")
    pseudo: PseudoSettings | None = fact(None, "pseudo-labels: also learn unlabelled images from teachers")
