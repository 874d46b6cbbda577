"""The nearest training images beside the classifier of a trained network, by the network's own features.

Owns making them of a fold's training part at the end of its training (`train.neighbours`). Does not own how
neighbours vote (`nets/nearest.py`), nor a head of neighbours alone on a frozen backbone
(`train/solved_heads.py`). The validation part is never among them, nor is an inner split.

Legend: T training samples, D features.
"""

import numpy as np
import torch

from pipeline.core.errors import ModelError
from pipeline.core.language import _
from pipeline.core.targets import Target
from pipeline.nets.cosine import classifier_layer
from pipeline.nets.forward import Pass, run
from pipeline.nets.model import Classifier
from pipeline.nets.nearest import NearestHead, state_of
from pipeline.nets.views import parse
from pipeline.train.job import FoldJob

_SMALLEST_STD = 1e-6


def attach(job: FoldJob, network: Classifier, layout: str) -> None:
    """Let the training samples of a job answer beside the classifier of its trained network.

    Raises:
        ModelError: a network without a known linear classifier, or one that does not define its features.
    """
    if classifier_layer(network.backbone) is None:
        raise ModelError(
            _("train.neighbours: {network} has no known linear classifier to answer beside").format(
                network=network.name
            ),
            remedy=_("leave train.neighbours out, or choose a network of timm with a linear classifier"),
        )
    samples, how = job.train_samples, Pass(job.device, job.eval_batch, layout=layout)
    network.nearest = None  # features are those of the backbone
    x_TD = torch.from_numpy(run(network.eval().features, job.images, samples.ids_N, parse("identity"), how))
    mean_D = x_TD.double().mean(0).float()
    std_D = x_TD.double().std(0, correction=0).float().clamp_min(_SMALLEST_STD)
    times_T = torch.from_numpy(np.bincount(job.rows(0).index_R, minlength=len(samples)))
    form = (job.train.head_k, job.train.head_temperature, 0)
    weight_T = job.sample_weights_N * times_T
    target = Target.of(samples.space)
    state = state_of((x_TD - mean_D) / std_D, job.target_NC, weight_T, (mean_D, std_D), target, form)
    state["share_1"] = torch.tensor([job.train.neighbours])
    network.nearest = NearestHead(state).to(job.device)
