"""How good a network is on a part that is not trained on.

Owns the scores of the validation part and of the inner split, in fp32 and the identity view. Does not own
when they are asked for (`train/loop.py`) or what is chosen by them (`train/stopping.py`).

Legend: N samples, C classes.
"""

import math

import torch

from pipeline.core import metrics
from pipeline.core.samples import Floats, Samples
from pipeline.nets.forward import Pass, run, softmax
from pipeline.nets.model import Classifier
from pipeline.nets.views import parse
from pipeline.train.job import FoldJob
from pipeline.train.losses import Loss, diverged
from pipeline.train.targets import targets_of

# How history entries call a class's F1 on the validation part: this and the class's name.
F1 = "f1/"
Scored = tuple[Floats, dict[str, float]]


def judge(
    job: FoldJob, model: Classifier, loss: Loss, samples: Samples, part: str, layout: str = "channels_last"
) -> Scored:
    """(N, C) probabilities of labelled samples, and the part's loss and score by name.

    Raises:
        UserError: the loss is no finite number.
    """
    how = Pass(job.device, job.eval_batch, layout=layout)
    logits_NC = run(model.eval(), job.images, samples.ids_N, parse("identity"), how)
    value = float(loss.mean(torch.from_numpy(logits_NC), targets_of(samples)))
    if not math.isfinite(value):
        raise diverged(f"fold {job.fold}, {part} part", job.train)
    p_NC = softmax(logits_NC)
    return p_NC, {f"{part}_loss": value, f"{part}_score": job.metric(samples.labels, p_NC)}


def validate(job: FoldJob, model: Classifier, loss: Loss, layout: str = "channels_last") -> Scored:
    """The same of the validation part, with the F1 of each class that it has images of."""
    samples = job.valid_samples
    p_NC, scores = judge(job, model, loss, samples, "valid", layout)
    predicted_N = p_NC.argmax(axis=1)
    table = metrics.per_class(samples.labels, predicted_N, samples.space.n_classes)
    known = zip(samples.space.classes, table.f1_C.tolist(), table.support_C.tolist(), strict=True)
    return p_NC, scores | {f"{F1}{name}": f1 for name, f1, support in known if support}
