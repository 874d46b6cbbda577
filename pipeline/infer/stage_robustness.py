"""`make robustness`: out-of-fold score under growing blur, noise, JPEG and changes of brightness.

    make robustness                                        the default experiment
    make robustness ARGS="experiment=probe robustness.blur=[1,2,4]"

Owns the stage only: each fold's models see the validation part that they never learned, at every strength;
spoiling is `nets/views.py`, scoring and drawing `infer/robustness.py`. `make error-analysis` shows
the curves of the submission's best member once they are there.
"""

from __future__ import annotations

import torch

from pipeline.core import metrics
from pipeline.core.predictions import ViewProbabilities, pool_views
from pipeline.core.samples import FoldPlan, Samples
from pipeline.data import load
from pipeline.engine.hardware import set_up
from pipeline.engine.stage import Built, Job
from pipeline.infer import robustness
from pipeline.nets import views
from pipeline.nets.stages import is_probe
from pipeline.pages.command_words import make_with
from pipeline.record.tracking import note
from pipeline.settings.load import Settings
from pipeline.train import committee as votes
from pipeline.train import precision
from pipeline.train.committee import Committee
from pipeline.train.stages import folds_of

FILE = "robustness.csv"


def refuse(settings: Settings) -> None:
    """Raise ConfigError for strengths that do not suit the images."""
    probe_1CHW = torch.zeros(1, 3, *settings.config.images.hw)
    for view in views.parse_all(list(settings.config.robustness.views())):
        view.apply(probe_1CHW)


def build(job: Job) -> Built:
    """Write robustness.csv, a row a strength."""
    config = job.settings.config
    samples = load.samples(job.inputs["data"], "train", job.home)
    plan = load.plan(job.inputs["folds"])
    of_view = config.robustness.views()
    seen = pool_views([_seen(job, samples, plan, k) for k in folds_of(job.settings)], "robustness")
    known = samples.take(seen.ids_N)
    metric, numbers = metrics.get(config.competition.metric), config.statistics
    table = robustness.measure(
        metric, known.labels, seen, of_view, known.groups_N, numbers.draws, numbers.seed
    )
    table.to_csv(job.draft / FILE, index=False)
    kinds = [kind for kind in dict.fromkeys(table["curve"]) if kind != "clean"]
    told = [robustness.sentence(table, kind) for kind in kinds]
    figures = {f"clean_{metric.name}": float(table["score"].iloc[0])}
    figures |= {f"worst_{kind}": float(table[table["curve"] == kind]["change"].min()) for kind in kinds}
    what = f"`{job.settings.experiment}` on spoilt images"
    again = make_with("make error-analysis", job.words["competition"])
    description = note(what, "; ".join(told), again, FILE, told[0] if told else "")
    return Built(figures, tuple(told), description, (FILE,))


def _seen(job: Job, samples: Samples, plan: FoldPlan, k: int) -> ViewProbabilities:
    """What the models of one fold say of its validation part, a view a strength."""
    config, ids = job.settings.config, plan.splits[k].valid_ids
    names = [robustness.CLEAN, *config.robustness.views()]
    committee = Committee.read(job.inputs[f"fold{k}"].folder)
    if is_probe(job.settings):
        features = load.features(dict(job.inputs), "train", names).take(ids)
        ((found, _),) = votes.heads(config.model, samples.space, committee, [features])
        return found
    at_strengths = config.model_copy(update={"infer": config.infer.model_copy(update={"views": names})})
    how = precision.passing(config, job.inputs[f"fold{k}"], set_up(config.runtime))
    images = load.prepared(job.inputs["prepared"], "train")
    ((found, _),) = votes.networks(at_strengths, samples.space, committee, [(images, ids)], how)
    return found
