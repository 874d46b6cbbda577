"""What the models of one fold say together, view by view.

Owns the vote of a committee and the mean over folds. Does not own passing images through one model
(`train/predict.py`).

Legend: N images, V views, C classes, M models.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.core.predictions import Features, ViewProbabilities
from pipeline.core.samples import Floats, LabelSpace, Strings
from pipeline.data.loader import Images
from pipeline.nets import model, views
from pipeline.nets.attributes import AttributeHeads
from pipeline.nets.forward import Pass
from pipeline.settings.schema import Config, ModelSettings
from pipeline.train import predict
from pipeline.train.committee import Committee
from pipeline.train.heads import restore_head

Vote = tuple[ViewProbabilities, predict.Milliseconds]


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
        said.append(
            [predict.predict_views(network, images, ids, space.classes, seen, how) for images, ids in asked]
        )
    return _voted(said, committee.shares)


def heads(
    settings: ModelSettings, space: LabelSpace, committee: Committee, asked: Sequence[Features]
) -> list[Vote]:
    """The same of linear heads on every view of cached features; the backbone's time is not theirs."""
    by_attribute = AttributeHeads.of(settings, space)
    restored = [restore_head(state, by_attribute) for state in committee.states]
    said = [[predict.predict_head(head, features, space.classes) for features in asked] for head in restored]
    return _voted(said, committee.shares)


def _voted(said: Sequence[Sequence[Vote]], shares: Sequence[float]) -> list[Vote]:
    """For each question the weighted mean over models; of one model its own answer, to the last bit."""
    if len(said) == 1:
        return list(said[0])
    return [
        (mean([found for found, _ in answers], shares), added([ms_V for _, ms_V in answers]))
        for answers in zip(*said, strict=True)
    ]


def added(times: Sequence[predict.Milliseconds]) -> predict.Milliseconds:
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
