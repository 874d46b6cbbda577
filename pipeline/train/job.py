"""The job of training one fold on pixels: everything that its result depends on.

Owns the job's fields and its fingerprint, and building a network on the weights of an earlier run. Does not
own training (`train/loop.py`), finding the earlier run, nor the proof that it never saw this fold's
validation part (`train/init_from.py`).

Source of growing the images between runs: Howard, fast.ai, progressive resizing; see also Touvron et
al., https://arxiv.org/abs/1906.06423, on why the last epochs belong to the larger size.

Legend: N samples, C classes, H height, W width.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from pipeline.core.errors import ModelError
from pipeline.core.language import _
from pipeline.core.metadata import Table
from pipeline.core.samples import Floats, LabelSpace, Samples, TrainRows, Truth, positions
from pipeline.data.augment import Augmenter
from pipeline.data.detail import hw_of
from pipeline.data.device_augment import engine_of
from pipeline.data.loader import Images, beside_of
from pipeline.nets.backbones import Size
from pipeline.nets.forward import Mode
from pipeline.nets.intake import PICTURES, Intake
from pipeline.nets.model import Classifier, build
from pipeline.nets.weights import State, classifier_keys, fit_state
from pipeline.settings.augment import AugmentSettings
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.targets import targets_of

_BACKBONE = "backbone."
_BESIDE = ("beside.", "nearest.", "mean_C11", "std_C11")


@dataclass(frozen=True)
class Initial:
    """The network of a finished fold, whose weights another fold starts from.

    Args:
        state: its state dict, on the CPU.
        classes: its classes, in the order of its outputs; empty: its outputs have another meaning.
        size: height and width of its images, px.
    """

    name: str
    state: State
    classes: tuple[str, ...]
    size: Size

    @property
    def digest(self) -> str:
        """sha256 of the weights and the classes."""
        sha = hashlib.sha256(repr((self.classes, self.size)).encode())
        for key, value in self.state.items():
            sha.update(key.encode() + value.contiguous().numpy().tobytes())
        return sha.hexdigest()

    def build(
        self, settings: ModelSettings, space: LabelSpace, seed: int, size: Size, intake: Intake = PICTURES
    ) -> Classifier:
        """A network with these weights; its classifier starts at zero unless the classes are the same.

        `size` is height and width of the new images, px: a network with a fixed image size is built for the
        size of these weights and then resized. `settings.weights` is not read.

        Raises:
            ModelError: the weights are those of another network.
        """
        bare = settings.model_copy(update={"weights": "none"})
        network = build(bare, space.n_classes, seed, self.size, space, intake)
        backbone = network.backbone
        # What trains beside the backbone starts anew, and the normalisation is measured on these images.
        own = {key: value for key, value in self.state.items() if not key.startswith(_BESIDE)}
        state = {key.removeprefix(_BACKBONE): value for key, value in own.items()}
        head = classifier_keys(backbone)
        names = {key.rpartition(".")[0] for key in head}
        if space.classes != self.classes:
            state = {key: value for key, value in state.items() if key not in head}
        # A classifier of another form has other tensors, as the bias of a linear one.
        state = {k: v for k, v in state.items() if k in head or k.rpartition(".")[0] not in names}
        try:
            fit_state(backbone, state, self.name)
        except ModelError as error:
            raise ModelError(
                _("train.init_from: the weights of {value} do not fit {settings}").format(
                    value=self.name, settings=settings.name
                ),
                error.faults,
                _("use the run's own model settings"),
            ) from error
        if size != self.size and hasattr(backbone, "set_input_size"):
            backbone.set_input_size(img_size=size)
        return network


@dataclass(frozen=True)
class FoldJob:
    """Everything that training one fold depends on.

    Args:
        fold: its number; part of every seed.
        model, loss, augment, train: settings.
        train_samples: the fold's training part, labelled.
        valid_samples: the fold's validation part, labelled; never trained on, never chosen on.
        images: prepared images that hold both parts.
        rows: the rows of each epoch, as positions in `train_samples`.
        metric: from (the truth, p_NC) to a score, for the history alone.
        weights_N: sample weights, ≥ 0; None: all equal.
        soft_NC: soft labels, a distribution over the classes; None, or NaN: the truth.
        inner_samples: the inner split of the training part, labelled, for early stopping alone; none of it
            is among `train_samples`. None without early stopping.
        higher_is_better: direction of the metric, for early stopping.
        initial: the weights to start from; None: those of `model`.
        threads: torch's CPU threads, set for the process; None: unchanged.
        workers: loader processes; None: chosen by timing the first batches.
        images_share: share of a GPU's free memory that the images may fill, 0 to 1.
        eval_batch: batch size of a pass without gradients.
        measured: the mode of `train.precision=auto` on this machine; a checkpoint that was made in another
            mode is continued in that one.
        intake: what the network takes in beside the size of the images.
        metadata: what the columns of the images' metadata mean; None: there are none.
        deterministic: only algorithms that give the same bits each time, on a GPU.
    """

    fold: int
    model: ModelSettings
    loss: LossSettings
    augment: AugmentSettings
    train: TrainSettings
    train_samples: Samples
    valid_samples: Samples
    images: Images
    rows: Callable[[int], TrainRows]
    metric: Callable[[Truth, Floats], float]
    weights_N: Floats | None = None
    soft_NC: Floats | None = None
    inner_samples: Samples | None = None
    higher_is_better: bool = True
    initial: Initial | None = None
    device: str = "cpu"
    threads: int | None = None
    workers: int | None = 0
    images_share: float = 0.5
    eval_batch: int = 128
    measured: Mode = Mode()
    deterministic: bool = True
    intake: Intake = PICTURES
    metadata: Table | None = None

    @property
    def mode(self) -> Mode:
        """How a new fold computes: the mode of the settings, or the measured one."""
        chosen = self.train.precision
        return self.measured if chosen == "auto" else Mode(chosen)

    @property
    def tf32(self) -> bool:
        """Whether matrix products of a GPU may round float32 to TF32, as its convolutions do by default.

        A precision of fp32 that the user wrote is meant; `auto` may choose what is faster.
        """
        return self.device == "cuda" and self.train.precision == "auto"

    def __post_init__(self) -> None:
        fits = (self.train.early_stopping is None) == (self.inner_samples is None)
        assert fits, "early stopping and its inner split belong together"

    @cached_property
    def augmenters(self) -> tuple[Augmenter, ...]:
        """The policy of the run, and those of offline copies in the order of the rows' policies."""
        channels, named = self.intake.channels, [policy for policy in self.rows(0).policies if policy]
        policies = (self.augment.policy, *named)
        return tuple(Augmenter(one, self.size, channels=channels, stored=self.stored) for one in policies)

    @cached_property
    def engine(self) -> str:
        """What augments: the policies and the kind of the device choose it, and nothing else."""
        return engine_of(self.augmenters, self.device, self.augment.engine, self.intake.channels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what the network sees, px."""
        return hw_of(self.images)

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width of the prepared images, px."""
        height, width = self.images.x_NHWC.shape[1:3]
        return int(height), int(width)

    @property
    def sample_weights_N(self) -> torch.Tensor:
        """(N,) weight of each training sample; 1 by default."""
        if self.weights_N is None:
            return torch.ones(len(self.train_samples))
        return torch.from_numpy(self.weights_N.copy()).float()

    @property
    def beside_NE(self) -> Floats | None:
        """(N, E) the metadata of the training samples, NaN where it is missing; None: there is none."""
        beside = beside_of(self.images)
        if beside is None or self.metadata is None:
            return None
        return beside[positions(self.train_samples.ids_N, self.images.ids_N, "prepared images")]

    @property
    def target_NC(self) -> torch.Tensor:
        """(N, C) target of each training sample."""
        return targets_of(self.train_samples, self.soft_NC)


def fingerprint(job: FoldJob) -> str:
    """A digest of everything that defines the result: a checkpoint of another job is not continued."""
    digest = hashlib.sha256()
    for section in (job.model, job.loss, job.augment):
        digest.update(section.model_dump_json().encode())
    digest.update(job.train.model_dump_json(exclude={"folds", "init_from"}).encode())
    digest.update(repr((job.fold, job.device, job.images.x_NHWC.shape[1:])).encode())
    digest.update((job.initial.digest if job.initial else "").encode())
    parts = (job.train_samples, job.valid_samples, job.inner_samples)
    for samples in (part for part in parts if part is not None):
        digest.update("\x1f".join(samples.ids_N.tolist()).encode() + samples.truth.tobytes())
    for epoch in range(job.train.epochs):
        rows = job.rows(epoch)
        digest.update(repr(rows.policies).encode())
        for part_R in (rows.index_R, rows.policy_R):
            digest.update(part_R.tobytes())
    if (beside_NE := job.beside_NE) is not None:
        digest.update(beside_NE.tobytes())
    digest.update(job.sample_weights_N.numpy().tobytes() + job.target_NC.numpy().tobytes())
    return digest.hexdigest()
