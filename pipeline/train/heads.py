"""Heads on cached features: what a head is, and what it predicts.

Owns linear and MLP heads, any number of them side by side, and what the heads of one fold train on
(`HeadJob`). Does not own training heads by steps (`train/batched_heads.py`), solving them
(`train/solved_heads.py`) or the features (`nets/forward.py`).

Legend: J heads side by side, N samples, V views, D features, H hidden units, C classes, B rows of a
batch, S synthetic rows.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.core import metadata
from pipeline.core.errors import ConfigError
from pipeline.core.language import _
from pipeline.core.predictions import Features, FoldResult, Probabilities, ViewProbabilities
from pipeline.core.samples import Floats, Ints, Samples, Strings, SyntheticRows, TrainRows, Truth, positions
from pipeline.core.targets import Target
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.cosine import Angles, Cosine
from pipeline.nets.model import OutputScale
from pipeline.nets.nearest import NearestHead
from pipeline.nets.weights import State
from pipeline.record import files
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import TrainSettings
from pipeline.train.losses import Loss, make_loss
from pipeline.train.state import save_checkpoint
from pipeline.train.targets import Scale, class_facts, one_hot, targets_of

# The least standard deviation of a feature: a constant one would be divided by 0.
_SMALLEST_STD = 1e-6
# Rows of one pass without gradients: each head side by side holds its own standardised copy of them.
_ROWS = 4096
# Columns of features whose mean and deviation are computed together.
_COLUMNS = 128


@dataclass(frozen=True)
class HeadJob:
    """Everything that the training of one fold's heads depends on.

    Args:
        fold: its number; part of every seed.
        loss, train: settings; `batch_size` × `accumulate` rows make a batch here.
        train_samples: the fold's training part, labelled.
        valid_samples: the fold's validation part, labelled; never trained on.
        features: of both parts, found by id; the view `identity`, used in validation, is one of them.
        rows: the rows of each epoch, as positions in `train_samples` and, after them, in `synthetic`.
        metric: from (the truth, p_NC) to a score, for the history alone.
        weights_N: sample weights, ≥ 0; None: all equal. Synthetic rows have weight 1.
        synthetic: rows that belong to no image, with the same views; None: there are none.
        soft_NC: soft labels of each training sample; None, or NaN: the truth.
        heads: a head per attribute; None: one output per class.
        angles: the form of a head of cosines; None: a linear one.
    """

    fold: int
    loss: LossSettings
    train: TrainSettings
    train_samples: Samples
    valid_samples: Samples
    features: Features
    rows: Callable[[int], TrainRows]
    metric: Callable[[Truth, Floats], float]
    weights_N: Floats | None = None
    synthetic: SyntheticRows | None = None
    soft_NC: Floats | None = None
    heads: AttributeHeads | None = None
    angles: Angles | None = None

    @property
    def target(self) -> Target:
        """What the outputs mean."""
        return Target.of(self.train_samples.space)

    @property
    def target_NC(self) -> torch.Tensor:
        """(N, C) targets of the training samples, followed by those of the synthetic rows."""
        target_NC = targets_of(self.train_samples, self.soft_NC)
        if self.synthetic is None:
            return target_NC
        return torch.cat([target_NC, one_hot(self.synthetic.labels_S, target_NC.shape[1])])

    def targets(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """From positions in the samples and synthetic rows, (B,), to (B, C) targets.

        Labels become rows of 0 and 1 a batch at a time: of 8,000 samples with 5,001 classes they fill 160 MB.
        """
        if self.target.kind != "exclusive" or self.soft_NC is not None:
            target_NC = self.target_NC
            return lambda at_B: target_NC[at_B]
        rest = () if self.synthetic is None else (self.synthetic.labels_S,)
        y_N, n_classes = np.concatenate([self.train_samples.labels, *rest]), self.target.n_columns
        return lambda at_B: one_hot(y_N[at_B.numpy()], n_classes)

    @property
    def weight_N(self) -> torch.Tensor:
        """(N,) weights of the training samples, followed by those of the synthetic rows."""
        weight_N = torch.ones(len(self.train_samples) + (len(self.synthetic) if self.synthetic else 0))
        if self.weights_N is not None:
            weight_N[: len(self.weights_N)] = torch.from_numpy(self.weights_N.copy())
        return weight_N

    @property
    def n_outputs(self) -> int:
        """C, or the number of outputs of `heads`."""
        return self.heads.n_outputs if self.heads else self.train_samples.space.n_classes

    @property
    def scale(self) -> Scale | None:
        """Where the outputs of values and labels start, and their unit; None for other targets."""
        return Scale.of(self.train_samples)

    def make_loss(self, epoch: int) -> Loss:
        """The loss of an epoch; it knows the class counts of the training rows."""
        facts = class_facts(self.train_samples, self.rows(0), self.heads, self.synthetic)
        facts = replace(facts, scale=None if self.angles is None else self.angles.scale)
        return make_loss(self.loss, facts, epoch, self.train.epochs)

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(D,) mean and standard deviation over the training samples and all views, each counted once.

        A column of metadata that does not vary in them has an infinite deviation. That of the others is
        divided by the root of the number of features a column: both parts then weigh the same at the start.
        """
        means, stds = [], []
        for block_NVD in self._columns():
            flat = torch.from_numpy(block_NVD).flatten(0, 1).double()
            means.append(flat.mean(0).float())
            stds.append(flat.std(0, correction=0).clamp_min(_SMALLEST_STD).float())
        if self.features.n_beside:
            own = self.features.x_NVD.shape[2] - self.features.n_beside
            block_NVD = self._block(self._at(), slice(own, None))
            mean_E, std_E = metadata.spread(block_NVD.reshape(-1, block_NVD.shape[2]))
            means.append(torch.from_numpy(mean_E))
            # A few columns beside a thousand features would drown (benchmarks/metadata.py).
            stds.append(torch.from_numpy(std_E) / (own / block_NVD.shape[2]) ** 0.5)
        return torch.cat(means), torch.cat(stds)

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(D,) lowest and highest of each feature over the training samples and all views.

        Metadata, which may be missing, has no ends.
        """
        lows, highs = [], []
        for block_NVD in self._columns():
            low_D, high_D = torch.from_numpy(block_NVD).flatten(0, 1).aminmax(dim=0)
            lows.append(low_D)
            highs.append(high_D)
        open_D = torch.full((self.features.n_beside,), torch.inf)
        return torch.cat([*lows, -open_D]), torch.cat([*highs, open_D])

    def _columns(self) -> Iterator[Floats]:
        """The features of the training samples without metadata, some columns at a time."""
        own, at_N = self.features.x_NVD.shape[2] - self.features.n_beside, self._at()
        for start in range(0, own, _COLUMNS):  # not all in memory, and in double precision
            yield self._block(at_N, slice(start, min(start + _COLUMNS, own)))

    def _at(self) -> Ints:
        return positions(self.train_samples.ids_N, self.features.ids_N, "features")

    def _block(self, at_N: Ints, columns: slice) -> Floats:
        return np.ascontiguousarray(self.features.x_NVD[at_N, :, columns])


@dataclass(frozen=True)
class HeadFit:
    """The trained heads of one fold.

    Args:
        result: its out-of-fold probabilities are the mean over the seeds.
        state: of one `HeadStack` that holds the heads of all seeds, or of a `NearestHead`.
        by_seed: out-of-fold probabilities, one block per seed.
    """

    result: FoldResult
    state: State
    by_seed: ViewProbabilities

    def write(self, folder: Path) -> None:
        """Write weights.pt, oof.npz, history.json and, for several seeds, seeds.npz into a new folder."""
        folder.mkdir()
        save_checkpoint(folder / "weights.pt", {"weights": self.state})
        files.write_probabilities(folder / "oof.npz", self.result.oof)
        files.write_json(folder / "history.json", list(self.result.history))
        if len(self.by_seed.views) > 1:
            files.write_views(folder / "seeds.npz", self.by_seed)


class _Linear(nn.Module):
    """J linear layers side by side, initialised with zeros: weight (J, C, D), bias (J, C)."""

    def __init__(self, n_heads: int, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_heads, n_outputs, n_inputs))
        self.bias = nn.Parameter(torch.zeros(n_heads, n_outputs))

    def forward(self, x_JBD: torch.Tensor) -> torch.Tensor:
        # W·xᵀ: with few classes two to four times as fast on a CPU as x·Wᵀ, backward pass included.
        return torch.bmm(self.weight, x_JBD.transpose(1, 2)).transpose(1, 2) + self.bias[:, None]


class HeadStack(nn.Module):
    """J heads side by side: standardise, then one linear layer, or two with a ReLU between them.

    The last layer starts at zero: a linear head is a convex problem and needs no random initialisation. One
    of cosines starts in random directions.

    Args:
        mean_JD, std_JD: of the training features of each head; part of the state dict.
        n_outputs: C, or the number of outputs of `by_attribute`.
        hidden: H of an MLP; None: a linear head.
        by_attribute: a head per attribute; None: one output per class.
        scale: of values and labels, from the outputs of each head to logits; part of the state dict.
        n_beside: how many of the last features are metadata, which may be missing (NaN).
        angles: of a last layer of cosines; part of the state dict. None: it is linear.
        ends: (J, D) lowest and highest of the training features, beyond which features are cut; part of the
            state dict. None: they are not. A solution that fits the training part says nothing about features
            that it has not seen, and of hundreds of them a few are always far out.
    """

    mean_JD: torch.Tensor
    std_JD: torch.Tensor
    low_JD: torch.Tensor
    high_JD: torch.Tensor

    def __init__(
        self,
        mean_JD: torch.Tensor,
        std_JD: torch.Tensor,
        n_outputs: int,
        hidden: int | None = None,
        by_attribute: AttributeHeads | None = None,
        scale: OutputScale | None = None,
        n_beside: int = 0,
        angles: Angles | None = None,
        ends: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.cut = ends is not None
        if ends is not None:
            self.register_buffer("low_JD", ends[0])
            self.register_buffer("high_JD", ends[1])
        self.scale = scale
        self.register_buffer("mean_JD", mean_JD)
        self.register_buffer("std_JD", std_JD)
        if n_beside:
            # For each head, so that slices of a stack are cut alike.
            self.register_buffer("beside_J", torch.full((len(mean_JD),), n_beside))
        self.n_beside = n_beside
        n_heads, n_features = mean_JD.shape
        self.hidden = _Linear(n_heads, n_features, hidden) if hidden else None
        self.out: _Linear | Cosine = _Linear(n_heads, hidden or n_features, n_outputs)
        if angles is not None:
            self.out = Cosine(hidden or n_features, n_outputs, angles, n_heads)
            form = torch.tensor([[angles.scale, angles.centres]] * n_heads, dtype=torch.float64)
            self.register_buffer("angles_J2", form)
        self.by_attribute = by_attribute

    def start(self, seeds_J: list[int]) -> None:
        """Initialise the hidden weights and the centres of each head from its own seed."""
        for j, seed in enumerate(seeds_J):
            generator = torch.Generator().manual_seed(seed)
            if self.hidden is not None:
                nn.init.kaiming_normal_(self.hidden.weight[j], nonlinearity="relu", generator=generator)
            if isinstance(self.out, Cosine):
                self.out.start(generator, j)

    def standardise(self, x_JBD: torch.Tensor) -> torch.Tensor:
        """Features with mean 0 and deviation 1 over each head's training samples; x_JBD may have J = 1."""
        if self.cut:
            x_JBD = x_JBD.clamp(self.low_JD[:, None], self.high_JD[:, None])
        return self.filled((x_JBD - self.mean_JD[:, None]) / self.std_JD[:, None])

    def filled(self, z_JBD: torch.Tensor) -> torch.Tensor:
        """Standardised features in which missing metadata, in place, are at the mean of the training part."""
        if self.n_beside:
            z_JBD[..., -self.n_beside :].nan_to_num_(nan=0.0)
        return z_JBD

    def logits(self, z_JBD: torch.Tensor, keep_JBH: torch.Tensor | None = None) -> torch.Tensor:
        """(J, B, C) logits of standardised features; `keep_JBH` is a dropout mask of the hidden units."""
        if self.hidden is not None:
            z_JBD = self.hidden(z_JBD).relu()
            if keep_JBH is not None:
                z_JBD = z_JBD * keep_JBH
        outputs: torch.Tensor = self.out(z_JBD)
        if self.scale is not None:
            outputs = self.scale(outputs)
        logits: torch.Tensor = outputs if self.by_attribute is None else self.by_attribute(outputs)
        return logits

    def forward(self, x_JBD: torch.Tensor) -> torch.Tensor:
        """(J, B, C) logits."""
        return self.logits(self.standardise(x_JBD))


# What predicts from features: heads side by side, or the nearest samples.
Head = HeadStack | NearestHead


def scale_of_heads(scales_J: Sequence[Scale | None], n_inputs: int) -> OutputScale | None:
    """The last step of heads side by side, (J, 1, C); None where they predict neither values nor labels.

    An output of 1 stands for 1/√D of a standard deviation or logit, D inputs of the last layer: an optimizer
    such as Adam moves all D weights at once, and its step then changes a prediction by about √D · lr instead
    of D · lr. Squared errors do not forgive such steps (measured on 2,468 images and three values: mean R²
    .49 instead of .31), nor do labels that rarely hold.
    """
    given = [scale.tensors() for scale in scales_J if scale is not None]
    if not given:
        return None
    mean, spread, low, high = (torch.stack(parts)[:, None] for parts in zip(*given, strict=True))
    return OutputScale(mean, spread / math.sqrt(n_inputs), low, high)


def restore_head(state: State, by_attribute: AttributeHeads | None = None) -> Head:
    """The heads of the state of a `HeadFit`; `by_attribute` as in their job."""
    if "rows_TD" in state:
        return NearestHead(state).eval()
    hidden = len(state["hidden.bias"][0]) if "hidden.bias" in state else None
    n_beside = int(state["beside_J"][0]) if "beside_J" in state else 0
    angles, scale = None, None
    if "angles_J2" in state:
        factor, centres = state["angles_J2"][0].tolist()
        angles = Angles(factor, int(centres))
    n_outputs = state["out.weight"].shape[1] // (1 if angles is None else angles.centres)
    if "scale.mean" in state:
        scale = OutputScale(*(state[f"scale.{name}"] for name in ("mean", "spread", "low", "high")))
    shape = state["mean_JD"], state["std_JD"], n_outputs, hidden
    ends = (state["low_JD"], state["high_JD"]) if "low_JD" in state else None
    head = HeadStack(*shape, by_attribute, scale, n_beside, angles, ends)
    head.load_state_dict(state, strict=True)
    return head.eval()


def head_probabilities(head: Head, x_ND: Floats, target: Target) -> Floats:
    """(J, N, C) predictions of each head, without gradients; the features may be those of a file."""
    with torch.inference_mode():
        blocks = (torch.from_numpy(x_ND[n : n + _ROWS].copy()) for n in range(0, len(x_ND), _ROWS))
        parts = [from_logits_JNC(head(x_BD[None]), target) for x_BD in blocks]
    return np.concatenate(parts, axis=1)


def plain_view(features: Features, ids: Strings | None = None) -> torch.Tensor:
    """(N, D) features of the view `identity`, which is used in validation, in the order of `ids` (None: all).

    Raises:
        ConfigError: it is not one of the views.
    """
    if "identity" not in features.views:
        raise ConfigError(_("infer.views: add identity, on which heads are validated"))
    at_N = positions(features.ids_N if ids is None else ids, features.ids_N, "features")
    return torch.from_numpy(features.x_NVD[at_N, features.views.index("identity")])


def from_logits_JNC(logits_JNC: torch.Tensor, target: Target) -> Floats:
    """Predictions from the logits of each head."""
    return np.stack([target.from_logits(logits_NC) for logits_NC in logits_JNC.numpy()])


def mean_of_heads(p_JNC: Floats) -> Floats:
    """(N, C) the mean over the heads, in double precision."""
    return np.asarray(p_JNC.mean(axis=0, dtype=np.float64), dtype=np.float32)


def head_fit(
    job: HeadJob, state: State, p_SNC: Floats, history: Sequence[dict[str, float]], seconds: float
) -> HeadFit:
    """The result of a fold: `p_SNC` are for its validation part, `history` has one entry per epoch."""
    samples, name = job.valid_samples, f"{job.train.head} head fold {job.fold}"
    views = tuple(f"seed {s}" for s in range(len(p_SNC)))
    by_seed = ViewProbabilities.of(job.target, samples.ids_N, views, p_SNC, name)
    oof = Probabilities.of(job.target, samples.ids_N, mean_of_heads(p_SNC), name)
    return HeadFit(FoldResult(job.fold, oof, tuple(history), seconds), state, by_seed)
