"""Runs the views: class probabilities per view of test-time augmentation.

Owns passing images (or cached features) through a trained network once per view, and timing it.
Does not own the views (`nets/views.py`), averaging over folds or weighing views (`core/predictions.py`,
`combine/`).

Legend: N images, V views, C classes.
"""

import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from pipeline.core.predictions import Features, ViewProbabilities
from pipeline.core.samples import Strings
from pipeline.data.loader import Images
from pipeline.nets.forward import Pass, run, softmax
from pipeline.nets.model import Classifier
from pipeline.nets.views import View
from pipeline.train.heads import HeadStack, head_probabilities, mean_of_heads

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
        blocks.append(softmax(run(model, images, ids, view, how)))
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
