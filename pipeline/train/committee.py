"""Several models of one fold that vote as one: their file `weights.pt`, and their predictions per view.

Owns the two forms of the file (`weights` of a single model, or `states` and `shares` of several, so that no
reader can take one member for all), passing images or cached features through the models once per view,
timing that, and the weighted mean. Does not own training the models (`train/members.py`), the views
(`nets/views.py`) nor weighing views (`infer/merging.py`).

Legend: N images, V views, C classes, M models.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.core.predictions import Features, ViewProbabilities
from pipeline.core.samples import Floats, LabelSpace, Strings
from pipeline.core.targets import Target
from pipeline.core.terminal import bar_of
from pipeline.data.device_images import on_device
from pipeline.data.loader import Images
from pipeline.nets import model, views
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.forward import Pass, run, with_room
from pipeline.nets.intake import Intake
from pipeline.nets.model import Classifier
from pipeline.nets.views import View
from pipeline.nets.weights import State
from pipeline.settings.model import ModelSettings
from pipeline.settings.schema import Config
from pipeline.train.heads import Head, head_probabilities, mean_of_heads, restore_head
from pipeline.train.state import load_checkpoint, save_checkpoint

FILE = "weights.pt"
# Rows of cached features that pass a head together.
HEAD_ROWS = 256


@dataclass(frozen=True)
class Committee:
    """Models of one architecture and their shares of the vote, ≥ 0, which sum to 1."""

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
        save_checkpoint(folder / FILE, {"weights": self.states[0]} if alone else several)

    @staticmethod
    def read(folder: Path) -> "Committee":
        """Read the folder's `weights.pt`, on the CPU."""
        saved = load_checkpoint(folder / FILE)
        assert saved is not None, f"{folder} was verified, yet its weights cannot be read"
        if "weights" in saved:
            return Committee((saved["weights"],), (1.0,))
        return Committee(tuple(saved["states"]), tuple(saved["shares"]))


# Per image, for each view in order.
Milliseconds = tuple[float, ...]


def predict_views(
    model: Classifier,
    images: Images,
    ids: Strings,
    target: Target,
    views: Sequence[View],
    how: Pass,
    shown: bool = True,
) -> tuple[ViewProbabilities, Milliseconds]:
    """(V, N, C) probabilities of the named images, in the order of `ids`, the same for any batch size.

    The model is put in eval mode and must be on `how.device`; `target` says what its outputs are; `shown`:
    whether there is a progress bar.

    Returns:
        The probabilities, and milliseconds per image of each view.

    Raises:
        DataError: an id has no image.
    """
    model.eval()
    blocks, ms_V = [], []
    for view in bar_of(model.name, "view", views) if shown else views:
        begin = time.perf_counter()
        blocks.append(target.from_logits(run(model, images, ids, view, how)))
        ms_V.append((time.perf_counter() - begin) * 1000 / len(ids))
    names = tuple(view.name for view in views)
    return ViewProbabilities.of(target, ids, names, np.stack(blocks), model.name), tuple(ms_V)


def predict_head(head: Head, features: Features, target: Target) -> tuple[ViewProbabilities, Milliseconds]:
    """(V, N, C) probabilities on every view of cached features, the mean over the heads of a fold.

    `head` holds the heads of the fold, one per seed; `target` says what their outputs are.

    Returns:
        The probabilities, and milliseconds per image of each view, without the time of the backbone, which
        is counted when the features are made.
    """
    blocks, ms_V = [], []
    for v in range(len(features.views)):
        begin = time.perf_counter()
        blocks.append(mean_of_heads(_in_equal_blocks(head, features.x_NVD[:, v], target)))
        ms_V.append((time.perf_counter() - begin) * 1000 / len(features.ids_N))
    p_VNC = np.stack(blocks)
    return ViewProbabilities.of(target, features.ids_N, features.views, p_VNC, "head"), tuple(ms_V)


def _in_equal_blocks(head: Head, x_ND: Floats, target: Target) -> Floats:
    """(J, N, C) predictions, of blocks of one size, so that those of a row do not depend on the others."""
    parts = []
    for start in range(0, len(x_ND), HEAD_ROWS):
        x_BD = x_ND[start : start + HEAD_ROWS]
        rows = np.pad(x_BD, ((0, HEAD_ROWS - len(x_BD)), (0, 0)))
        parts.append(head_probabilities(head, rows, target)[:, : len(x_BD)])
    return np.concatenate(parts, axis=1)


Vote = tuple[ViewProbabilities, Milliseconds]


def restored(config: Config, space: LabelSpace, committee: Committee) -> Iterator[Classifier]:
    """The networks of a fold, one at a time."""
    for state in committee.states:
        yield model.restore(config.model, space.n_classes, state, config.images.hw, space, Intake.of(config))


def restored_heads(settings: ModelSettings, space: LabelSpace, committee: Committee) -> list[Head]:
    """The heads of a fold."""
    by_attribute = AttributeHeads.of(settings, space)
    return [restore_head(state, by_attribute) for state in committee.states]


def networks(
    made: Iterable[Classifier],
    shares: Sequence[float],
    names: Sequence[str],
    target: Target,
    asked: Sequence[tuple[Images, Strings]],
    how: Pass,
    shown: bool = True,
) -> list[Vote]:
    """The vote of networks on each of `asked`, view by view: in inference and in a predictor alike.

    Args:
        made: the networks of a fold, each used and then let go.
        shares: of the vote, one for each network.
        names: of the views.
        target: what the outputs are.
        asked: pairs of images and the ids to predict.
        how: see `Pass`.
        shown: whether there is a progress bar.

    Returns:
        For each of `asked`, the probabilities, and milliseconds per image of each view, all models together.
    """
    parsed, by_model = views.parse_all(list(names)), []
    asked = [(on_device(images, how.device, how.images_share), ids) for images, ids in asked]
    for network in made:
        placed = model.to_device(network, how.device, how.layout)
        passes = [partial(predict_views, placed, x, ids, target, parsed, how, shown) for x, ids in asked]
        by_model.append([with_room(one, [x for x, _ in asked], how) for one in passes])
    return _voted(by_model, shares)


def heads(
    made: Iterable[Head], shares: Sequence[float], target: Target, asked: Sequence[Features]
) -> list[Vote]:
    """The same for heads on every view of cached features; the time of the backbone is not included."""
    by_model = [[predict_head(head, features, target) for features in asked] for head in made]
    return _voted(by_model, shares)


def _voted(by_model: Sequence[Sequence[Vote]], shares: Sequence[float]) -> list[Vote]:
    """For each set of images the weighted mean over models; with one model its own output, bit by bit."""
    if len(by_model) == 1:
        return list(by_model[0])
    return [
        (mean([p for p, _ in votes], shares), added([ms_V for _, ms_V in votes]))
        for votes in zip(*by_model, strict=True)
    ]


def added(times: Sequence[Milliseconds]) -> Milliseconds:
    """The sum over models or folds, for each view."""
    return tuple(sum(of_view) for of_view in zip(*times, strict=True))


def mean(parts: Sequence[ViewProbabilities], shares: Sequence[float] | None = None) -> ViewProbabilities:
    """The average of predictions of the same images and views, e.g. folds; shares sum to 1 or are equal."""
    first = parts[0]
    assert all((p.ids_N == first.ids_N).all() for p in parts), "predictions of other images"
    p_MVNC = np.stack([p.p_VNC for p in parts])
    total: Floats = np.asarray(
        np.mean(p_MVNC, axis=0) if shares is None else np.einsum("m,mvnc->vnc", np.array(shares), p_MVNC),
        dtype=np.float32,
    )
    return replace(first, p_VNC=total, name="test")
