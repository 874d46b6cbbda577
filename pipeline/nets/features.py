"""Features of a frozen backbone.

Owns passing images through a backbone once per view, and the digest that identifies the backbone of the
features. Does not own heads that train on them (`train/heads.py`).

Legend: N images, V views, D features.
"""

import hashlib
import sys
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from pipeline.core.predictions import Features
from pipeline.core.samples import Strings
from pipeline.data.loader import Images
from pipeline.nets.forward import Pass, run
from pipeline.nets.model import Classifier
from pipeline.nets.views import View
from pipeline.nets.weights import classifier_keys


def backbone_digest(model: Classifier, size: tuple[int, ...], views: Sequence[View]) -> str:
    """sha256 of the backbone's name, weights and normalisation, the image size and the views.

    Without the classifier, because features do not pass through it.
    """
    digest = hashlib.sha256(repr((model.name, size, [view.name for view in views])).encode())
    for buffer in (model.mean_C11, model.std_C11):
        digest.update(buffer.cpu().numpy().tobytes())
    head = classifier_keys(model.backbone)
    for key, value in model.backbone.state_dict().items():
        if key not in head:
            digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def extract(model: Classifier, images: Images, ids: Strings, views: Sequence[View], how: Pass) -> Features:
    """(N, V, D) pooled features of these images, one block per view, in the order of `ids`.

    The model is on `how.device`; this function puts it in eval mode. There is at least one view.

    Raises:
        DataError: an id has no image.
    """
    model.eval()
    bar = tqdm(views, desc="features", unit="view", disable=not sys.stderr.isatty())
    blocks = [run(model.features, images, ids, view, how) for view in bar]
    digest = backbone_digest(model, images.x_NHWC.shape[1:3], views)
    return Features(ids, tuple(view.name for view in views), np.stack(blocks, axis=1), digest)
