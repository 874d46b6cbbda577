"""`features`: one view of one split through the frozen backbone, once.

Owns the stage only; the features are made by `pipeline/nets/features.py`.
"""

import time

from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Built, Job
from pipeline.nets import features, model, normalisation, views
from pipeline.nets.forward import Pass
from pipeline.record import files


def build(job: Job) -> Built:
    """Write features.npz; the metric ms_per_image is what the backbone took."""
    config = job.settings.config
    device = set_up(config.runtime)
    images = load.prepared(job.inputs["prepared"], str(job.params["split"]))
    settings = model.frozen(config.model)
    network = model.to_device(model.build(settings, 2, 0, config.images.hw), device)
    view = views.parse(str(job.params["view"]))
    started = time.perf_counter()
    found = features.extract(network, images, images.ids_N, [view], Pass(device, config.runtime.infer_batch))
    seconds = time.perf_counter() - started
    files.write_features(job.draft / "features.npz", found)
    seen = normalisation.figures(network, settings, images, images.ids_N)
    return Built(metrics={"ms_per_image": 1000 * seconds / len(images.ids_N), **seen})
