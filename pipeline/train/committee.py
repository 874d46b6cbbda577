"""Several models of one fold that vote as one: the file `weights.pt`.

Owns its two forms: `weights` of a single model, or `states` and `shares` of several, so that nobody can
take one member for the whole. Does not own training them (`train/members.py`).

What the models of one fold say together, view by view.

Owns the vote of a committee and the mean over folds. Does not own passing images through one model
(`train/committee.py`).

Legend: N images, V views, C classes, M models.

Runs the views: class probabilities per view of test-time augmentation.

Owns passing images (or cached features) through a trained network once per view, and timing it.
Does not own the views (`nets/views.py`), averaging over folds or weighing views (`core/predictions.py`,
`combine/`).

Legend: N images, V views, C classes.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from pipeline.core.predictions import Features, ViewProbabilities
from pipeline.core.samples import Floats, LabelSpace, Strings
from pipeline.core.targets import Target
from pipeline.data.loader import Images
from pipeline.nets import model, views
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.forward import Pass, run
from pipeline.nets.model import Classifier
from pipeline.nets.views import View
from pipeline.nets.weights import State
from pipeline.settings.model import ModelSettings
from pipeline.settings.schema import Config
from pipeline.train import checkpoint
from pipeline.train.heads import HeadStack, head_probabilities, mean_of_heads, restore_head

FILE = "weights.pt"


@dataclass(frozen=True)
class Committee:
    """Models of one architecture and their shares of the vote.

    Args:
        states: a state dict a model.
        shares: ≥ 0, summing to 1.
    """

    states: tuple[State, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        assert len(self.states) == len(self.shares) > 0, "a share for each model"
        assert abs(sum(self.shares) - 1) < 1e-6 and min(self.shares) >= 0, "shares sum to 1"

    @property
    def megabytes(self) -> float:
        """Size of all weights, MB."""
        return sum(t.numel() * t.element_size() for state in self.states for t in state.values()) / 1e6

    def write(self, folder: Path) -> None:
        """Write the folder's `weights.pt`."""
        alone = len(self.states) == 1
        several = {"states": list(self.states), "shares": list(self.shares)}
        checkpoint.save(folder / FILE, {"weights": self.states[0]} if alone else several)

    @staticmethod
    def read(folder: Path) -> "Committee":
        """What `write` wrote, on the CPU."""
        found = checkpoint.load(folder / FILE)
        assert found is not None, f"{folder} was verified, yet its weights cannot be read"
        if "weights" in found:
            return Committee((found["weights"],), (1.0,))
        return Committee(tuple(found["states"]), tuple(found["shares"]))


# An image of each view, in their order.
Milliseconds = tuple[float, ...]


def predict_views(
    model: Classifier,
    images: Images,
    ids: Strings,
    classes: tuple[str, ...],
    views: Sequence[View],
    how: Pass,
) -> tuple[ViewProbabilities, Milliseconds]:
    """(V, N, C) probabilities of the named images, in the order of `ids`, the same for any batch size.

    Args:
        model: put in eval mode here; must be on `how.device`.
        images: prepared images, found by id.
        ids: whose probabilities are wanted.
        classes: names of the model's outputs, in order.
        views: at least one.
        how: device, batch and precision.

    Returns:
        The probabilities, and milliseconds an image of each view.

    Raises:
        DataError: an id has no image.
    """
    model.eval()
    blocks, ms_V = [], []
    for view in tqdm(views, desc=model.name, unit="view", disable=not sys.stderr.isatty()):
        begin = time.perf_counter()
        blocks.append(Target(classes).from_logits(run(model, images, ids, view, how)))
        ms_V.append((time.perf_counter() - begin) * 1000 / len(ids))
    names = tuple(view.name for view in views)
    return ViewProbabilities(ids, classes, names, np.stack(blocks), model.name), tuple(ms_V)


def predict_head(
    head: HeadStack, features: Features, classes: tuple[str, ...]
) -> tuple[ViewProbabilities, Milliseconds]:
    """(V, N, C) probabilities on every view of cached features, the mean over the heads of a fold.

    Args:
        head: the fold's heads, one a seed, as `restore_head` gives them.
        features: their ids and views become those of the result.
        classes: names of the head's outputs, in order.

    Returns:
        The probabilities, and milliseconds an image of each view, without the backbone, whose time is
        that of making the features.
    """
    blocks, ms_V = [], []
    for v in range(len(features.views)):
        begin = time.perf_counter()
        block = torch.from_numpy(features.x_NVD[:, v].copy())
        blocks.append(mean_of_heads(head_probabilities(head, block)))
        ms_V.append((time.perf_counter() - begin) * 1000 / len(features.ids_N))
    return ViewProbabilities(features.ids_N, classes, features.views, np.stack(blocks), "head"), tuple(ms_V)


Vote = tuple[ViewProbabilities, Milliseconds]


def networks(
    config: Config,
    space: LabelSpace,
    committee: Committee,
    asked: Sequence[tuple[Images, Strings]],
    how: Pass,
) -> list[Vote]:
    """The vote of networks on each of `asked`, over the views of `config.infer`.

    Args:
        config: model, image size and views.
        space: the classes.
        committee: their weights and shares.
        asked: images, and the ids wanted of them.
        how: device, batch, precision and layout.

    Returns:
        For each of `asked` the probabilities, and milliseconds an image of each view, all models together.
    """
    seen, said = views.parse_all(config.infer.views), []
    for state in committee.states:
        network = model.restore(config.model, space.n_classes, state, config.images.hw, space)
        network = model.to_device(network, how.device, how.layout)
        said.append([predict_views(network, images, ids, space.classes, seen, how) for images, ids in asked])
    return _voted(said, committee.shares)


def heads(
    settings: ModelSettings, space: LabelSpace, committee: Committee, asked: Sequence[Features]
) -> list[Vote]:
    """The same of linear heads on every view of cached features; the backbone's time is not theirs."""
    by_attribute = AttributeHeads.of(settings, space)
    restored = [restore_head(state, by_attribute) for state in committee.states]
    said = [[predict_head(head, features, space.classes) for features in asked] for head in restored]
    return _voted(said, committee.shares)


def _voted(said: Sequence[Sequence[Vote]], shares: Sequence[float]) -> list[Vote]:
    """For each question the weighted mean over models; of one model its own answer, to the last bit."""
    if len(said) == 1:
        return list(said[0])
    return [
        (mean([found for found, _ in answers], shares), added([ms_V for _, ms_V in answers]))
        for answers in zip(*said, strict=True)
    ]


def added(times: Sequence[Milliseconds]) -> Milliseconds:
    """View by view the sum over models or folds."""
    return tuple(sum(of_view) for of_view in zip(*times, strict=True))


def mean(parts: Sequence[ViewProbabilities], shares: Sequence[float] | None = None) -> ViewProbabilities:
    """The average of predictions of the same images and views, e.g. over folds.

    Args:
        parts: at least one.
        shares: of each, summing to 1; None: equal ones.
    """
    first = parts[0]
    assert all((p.ids_N == first.ids_N).all() for p in parts), "predictions of other images"
    p_MVNC = np.stack([p.p_VNC for p in parts])
    total: Floats = np.asarray(
        np.mean(p_MVNC, axis=0) if shares is None else np.einsum("m,mvnc->vnc", np.array(shares), p_MVNC),
        dtype=np.float32,
    )
    return ViewProbabilities(first.ids_N, first.classes, first.views, total, "test")
