"""`make refit`: a model of all data on the test set, submitted in place of the folds' average.

    make refit ARGS="experiment=lite0"
    make ensemble ARGS="ensemble.refit=true"      every member refitted, with the weight of its folds

Owns predicting the test set with the model of `train/stage_whole.py`, and saying whose score stands for it.
Its twin is the finished inference of the same settings over folds: from there come the score (as the
twin's, never as its own) and, in an ensemble, the blend weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.core import metrics
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.need import Need
from pipeline.engine.stage import Built, Job
from pipeline.nets.stages import is_probe
from pipeline.record import files
from pipeline.record.store import SHORT, Artifact
from pipeline.record.tracking import note
from pipeline.settings.load import Settings
from pipeline.train import committee as votes
from pipeline.train import inherit, precision
from pipeline.train.committee import Committee

if TYPE_CHECKING:
    from pipeline.engine.stage import Host


def refuse(settings: Settings) -> None:
    """Raise ConfigError before the folds are trained that would be no twin."""
    inherit.refuse(settings)


def announce(
    settings: Settings, inputs: Mapping[str, Artifact], missing: list[Need], host: Host
) -> list[str]:
    """What is trained now."""
    images = len(load.training(inputs["data"], host.home))
    return [f"refit           {settings.experiment}: one training on all {images} images"]


def build(job: Job) -> Built:
    """Write test_views.npz, test.npz and inherited.json."""
    config, twin, whole = job.settings.config, job.inputs["twin"], job.inputs["whole"]
    space = load.samples(job.inputs["data"], "test", job.home).space
    committee, backbone = Committee.read(whole.folder), 0.0
    if is_probe(job.settings):
        names = list(config.infer.views)
        seen = load.features(dict(job.inputs), "test", names)
        (found, ms_V), *_ = votes.heads(config.model, space, committee, [seen])
        backbone = sum(job.inputs[f"test:{view}"].metrics["ms_per_image"] for view in names)
    else:
        test = load.prepared(job.inputs["prepared"], "test")
        how = precision.passing(config, whole, set_up(config.runtime))
        (found, ms_V), *_ = votes.networks(config, space, committee, [(test, test.ids_N)], how)
    files.write_views(job.draft / "test_views.npz", found)
    weights = [row["weight"] for row in twin.json("views.json").values()]
    files.write_probabilities(job.draft / "test.npz", found.merge(weights))
    ms = sum(ms_V) + backbone
    name = metrics.get(config.competition.metric).name
    score = twin.metrics[f"oof_{name}"]
    whose = f"no out-of-fold score of its own; its twin's is {score:.4f} (infer {twin.key[:SHORT]})"
    inherited = {**whole.json("inherited.json"), "infer_twin": f"infer/{twin.key}", f"twin_{name}": score}
    files.write_json(job.draft / "inherited.json", inherited)
    told = (whose, f"{ms:.1f} ms an image for all views, {twin.metrics['ms_per_image']:.1f} with the folds")
    figures = {f"twin_{name}": score, "ms_per_image": ms, "epochs": whole.metrics["epochs"]}
    what = f"`{job.settings.experiment}` trained on all data, over the views {', '.join(found.views)}"
    description = note(what, "what do the folds' held-out images add?", "make score", result="; ".join(told))
    tags = {"score": whose, "twin": f"infer/{twin.key}"}
    return Built(figures, told, description, ("inherited.json",), tags)
