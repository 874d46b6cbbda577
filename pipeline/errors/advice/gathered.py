"""What is known of the run that advice is about, gathered from the store.

Owns choosing that run and reading its settings, curves, times, input and folds. Does not own the rules
(`pipeline/errors/advice/rules.py`).
"""

from __future__ import annotations

import pandas as pd

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.samples import FoldPlan, Samples
from pipeline.data import load
from pipeline.eda.survey import survey
from pipeline.engine import request
from pipeline.engine.stage import Job
from pipeline.errors.advice import tested
from pipeline.errors.advice.facts import Facts, Input, Other, Run
from pipeline.errors.advice.rules import STRONGER, Advice
from pipeline.errors.advice.steps import family_of
from pipeline.errors.advice.tested import Runs
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.nets.stages import is_probe
from pipeline.record.store import Artifact
from pipeline.settings import policies
from pipeline.settings.load import Settings
from pipeline.settings.read import read_words
from pipeline.submit.gap import leak
from pipeline.submit.gap.causes import Cause
from pipeline.submit.gap.scene import Scene, measure_images

# Beyond this, looking at every image for copies takes longer than the rest of the report.
MOST_IMAGES = 20_000


def subject(artifact: Artifact | None, runs: Runs) -> Artifact | None:
    """The training that advice is about: the submission's own, or of a blend the best member's."""
    if artifact is None:
        return None
    behind = tested.trainings(artifact, runs.store)
    if not behind:
        return None
    metric = metrics.get(runs.config.competition.metric)
    return max(behind.values(), key=lambda a: metric.sign * a.metrics.get(f"oof_{metric.name}", -1e9))


def told(artifact: Artifact | None, about: Artifact | None) -> str:
    """What advice is about, in words; empty where that is the submission itself, or nothing."""
    if artifact is None or about is None or artifact.key == about.key:
        return ""
    name = about.manifest["experiment"]
    if artifact.stage == "ensemble" or "blend.json" in artifact.manifest["files"]:
        return f"the best member, {name}, as trained and seen from one view"
    return f"{name} as trained and seen from one view"


def asked(settings: Settings, about: Artifact | None) -> Settings:
    """The settings that a training was made with; those of the command where they cannot be read again."""
    record = None if about is None else about.manifest.get("request")
    if not record:
        return settings
    own = {"runtime.home": settings.config.runtime.home}
    try:
        return request.again(record, own, settings.folder)
    except ConfigError:
        return settings  # a file of it is gone


def possible(settings: Settings, advice: Advice) -> bool:
    """Whether its settings can be had together with those that there are: a rule may forbid it."""
    try:
        settings.with_values(dict(read_words(advice.settings)))
    except ConfigError:
        return False
    return True


def gather(job: Job, train: Samples, artifact: Artifact | None, about: Artifact | None, runs: Runs) -> Facts:
    """The facts of a submission; few for a CSV from elsewhere.

    Args:
        job: of the report.
        train: the labelled samples.
        artifact: what the submission was written from.
        about: the training that advice is about.
        runs: finished ones on these data and folds.
    """
    own = asked(job.settings, about)
    config = own.config.model_copy(update={"eda": job.settings.config.eda})
    allowed = () if is_probe(own) else policies.allowed(STRONGER, config.competition.attributes)
    common = Facts(train.space, config, asked=job.words_of("train", own), policies=allowed)
    if about is None or artifact is None:
        return common
    run = Run(
        name=str(about.manifest["experiment"]),
        config=config,
        oof=load.oof(about, str(about.manifest["experiment"])),
        history=pd.read_csv(about.folder / "history.csv"),
        minutes=about.seconds / 60,
        look_minutes=_look_seconds(about, runs) / 60,
        pixels=not is_probe(own),
        input=_input(about, runs),
    )
    plan = load.plan(job.inputs["folds"])
    straddling = _straddling(train, plan)
    return Facts(
        train.space,
        config,
        train=train,
        run=run,
        mistakes=find_mistakes(run.oof, train),
        others=_others(about, runs),
        blended=artifact.stage == "ensemble" or "blend.json" in artifact.manifest["files"],
        leaks=() if straddling else _leaks(job, train, plan),
        straddling=straddling,
        asked=job.words_of("train", own),
        policies=allowed,
    )


def _input(about: Artifact, runs: Runs) -> Input | None:
    """What the first layer got, as the first fold, or the features that it learned on, measured."""
    for whole in about.inputs.values():
        stage, _, key = whole.partition("/")
        found = runs.store.find(stage, key) if stage in ("fold", "heads", "features") else None
        if found is None:
            continue
        m = found.metrics
        if "input_mean" in m:
            return Input(m["input_mean"], m["input_std"], m["input_off"])
        if stage in ("fold", "heads"):
            return _input(found, runs)
    return None


def _look_seconds(about: Artifact, runs: Runs) -> float:
    """What the features behind a training took; 0 of networks, and of features that are freed."""
    folds = {whole for whole in about.inputs.values() if whole.startswith("fold/")}
    found = [runs.store.find(*whole.split("/", 1)) for whole in folds]
    below = {whole for fold in found if fold for whole in fold.inputs.values() if whole.startswith("heads/")}
    made = [runs.store.find(*whole.split("/", 1)) for whole in below]
    features = {w for head in made if head for w in head.inputs.values() if w.startswith("features/")}
    return sum(a.seconds for a in (runs.store.find(*w.split("/", 1)) for w in features) if a)


def _others(about: Artifact, runs: Runs) -> tuple[Other, ...]:
    """The other finished trainings, of each experiment the newest."""
    newest = {str(a.manifest["experiment"]): a for a in runs.all if a.stage == "train" and a.key != about.key}
    return tuple(
        Other(name, family_of(str(a.setting("model.name"))), load.oof(a, name)) for name, a in newest.items()
    )


def _straddling(train: Samples, plan: FoldPlan) -> float:
    """Share of validation images whose group also trains in the same fold."""
    group = dict(zip(train.ids_N.tolist(), train.groups_N.tolist(), strict=True))
    both = every = 0
    for split in plan.splits:
        learned = {group[i] for i in split.train_ids.tolist() if i in group}
        valid = [i for i in split.valid_ids.tolist() if i in group]
        both += sum(group[i] in learned for i in valid)
        every += len(valid)
    return both / max(every, 1)


def _leaks(job: Job, train: Samples, plan: FoldPlan) -> tuple[Cause, ...]:
    """Copies across folds and groups that nobody named, by look-up."""
    config = job.settings.config
    test = load.samples(job.inputs["data"], "test", job.home)
    if len(train) + len(test) > MOST_IMAGES:
        return ()
    facts = load.facts(job.inputs["images"])
    images = survey(train, test, facts[facts["split"].isin(("train", "test"))]).images
    seen, looks = measure_images(images, train.space.n_classes, load.image_of(job.inputs["images"]))
    metric = metrics.get(config.competition.metric)
    scene = Scene(train.space, metric, images, looks, seen, plan, config.eda, config.statistics.draws)
    return leak.check(scene, shifted=False)
