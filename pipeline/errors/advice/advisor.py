"""What to try next: the run that advice is about, the facts about it, every rule's answer, and their order.

Owns choosing that run, gathering its settings, curves, times, input and folds, and ordering the answers. Does
not own the rules (`faults.py`: something is wrong; `steps.py`: something could be better), the bounds
(`facts.py`), nor which advice was followed before (`ledger.py`).

The order: first what makes every other figure untrue (leaky folds); then by the expected gain a minute: the
bound of the gain × the chance that the remedy brings a good part of it, divided by the minutes that the
command takes plus ten minutes of the person's own. Advice without a bound comes last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.samples import FoldPlan, Samples
from pipeline.data import load
from pipeline.eda.survey import survey
from pipeline.engine import request
from pipeline.engine.stage import Job
from pipeline.ensemble.stages import BLEND
from pipeline.errors import texts
from pipeline.errors.advice import faults, ledger, steps
from pipeline.errors.advice.changes import FinishedRuns, changes, trainings
from pipeline.errors.advice.facts import BEST, Advice, Facts, NetworkInput, OtherTraining, TrainingFacts
from pipeline.errors.advice.steps import family_of
from pipeline.errors.case import ReportCase
from pipeline.errors.diff.conclusion import Change, FollowedAdvice
from pipeline.errors.diff.flips import Flips
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.nets.stages import is_probe
from pipeline.record.store import Artifact
from pipeline.settings import augment
from pipeline.settings.load import Settings
from pipeline.settings.read import read_words
from pipeline.settings.schema import Config
from pipeline.submit.gap import leak
from pipeline.submit.gap.scene import Cause, GapScene, measure_images

Rule = Callable[[Facts], Advice | None]

RULES: tuple[Rule, ...] = (*faults.RULES, *steps.RULES)
# Augmentation policies that advice may suggest, mildest first.
STRONGER = ("medium", "heavy")
# With more images, looking for copies takes longer than the rest of the report.
MOST_IMAGES = 20_000


@dataclass(frozen=True)
class Recommendation:
    """All advice of one report.

    Args:
        advice: what to try, best first; advice that a finished run followed already is left out.
        followed: the gains of advice that was followed, newest run first.
        changes: settings and members in which the two submissions differ.
        advised: the run that the advice is about, in words; empty if it is the submission itself.
        config: the settings of that run.
        entries: lines for the ledger of advice.
    """

    advice: tuple[Advice, ...]
    followed: tuple[FollowedAdvice, ...]
    changes: tuple[Change, ...]
    advised: str
    config: Config
    entries: tuple[dict[str, object], ...] = ()


def advise(facts: Facts, rules: tuple[Rule, ...] = RULES) -> tuple[Advice, ...]:
    """The answers of all rules, best first; empty if no rule has an answer.

    If two rules give the same command, the answer with the better evidence is kept.
    """
    answers = [advice for advice in (rule(facts) for rule in rules) if advice is not None]
    ordered = sorted(answers, key=lambda a: (not a.spoils, -a.worth))
    once = {(a.command, a.show): a for a in reversed(ordered)}
    return tuple(a for a in ordered if once[a.command, a.show] is a)


def recommend(case: ReportCase, flips: Flips | None) -> Recommendation:
    """Everything that the report advises, and what earlier advice brought."""
    job = case.job
    data, folds = (f"{job.inputs[name].stage}/{job.inputs[name].key}" for name in ("data", "folds"))
    runs = FinishedRuns(job.store, job.settings.config, case.train, data, folds)
    about = subject(case.new.artifact, runs)
    facts = gather(job, case.train, case.new.artifact, about, runs)
    own = asked(job.settings, about)
    answers = advise(replace(facts, flips=flips, comparison=case.comparison))
    allowed = [advice for advice in answers if possible(own, advice)]
    todo, followed = ledger.split(allowed, about, runs, job.home)
    return Recommendation(
        advice=todo,
        followed=followed,
        changes=() if case.old is None else changes(runs, case.new.artifact, case.old.artifact),
        advised=advised(case.new.artifact, about),
        config=facts.config,
        entries=() if about is None else tuple(ledger.entry(a, about) for a in todo[:BEST] if a.settings),
    )


def subject(artifact: Artifact | None, runs: FinishedRuns) -> Artifact | None:
    """The training that advice is about: that of the submission, or of the best member of a blend."""
    if artifact is None:
        return None
    members = trainings(artifact, runs.store)
    if not members:
        return None
    metric = metrics.get(runs.config.competition.metric)
    return max(members.values(), key=lambda a: metric.sign * a.metrics.get(f"oof_{metric.name}", -1e9))


def advised(artifact: Artifact | None, about: Artifact | None) -> str:
    """The run that advice is about, in words; empty if it is the submission itself, or not known."""
    if artifact is None or about is None or artifact.key == about.key:
        return ""
    name = about.manifest["experiment"]
    if artifact.has(BLEND):
        return texts.ABOUT_MEMBER.format(name=name)
    return texts.ABOUT_RUN.format(name=name)


def asked(settings: Settings, about: Artifact | None) -> Settings:
    """The settings of a training; those of the command if they cannot be read again."""
    record = None if about is None else about.manifest.get("request")
    if not record:
        return settings
    own = {"runtime.home": settings.config.runtime.home}
    try:
        return request.again(record, own, settings.folder)
    except ConfigError:
        return settings  # a file of it was deleted


def possible(settings: Settings, advice: Advice) -> bool:
    """Whether the rules of the settings allow the advised settings together with the present ones."""
    try:
        settings.with_values(dict(read_words(advice.settings)))
    except ConfigError:
        return False
    return True


def gather(
    job: Job, train: Samples, artifact: Artifact | None, about: Artifact | None, runs: FinishedRuns
) -> Facts:
    """The facts about a submission and the training that advice is about; few for a CSV from elsewhere."""
    own = asked(job.settings, about)
    config = own.config.model_copy(update={"eda": job.settings.config.eda})
    allowed = () if is_probe(own) else augment.allowed(STRONGER, config.competition.attributes)
    common = Facts(train.space, config, asked=job.words_of("train", own), policies=allowed)
    if about is None or artifact is None:
        return common
    run = TrainingFacts(
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
        blended=artifact.has(BLEND),
        leaks=() if straddling else _leaks(job, train, plan),
        straddling=straddling,
        asked=job.words_of("train", own),
        policies=allowed,
    )


def _input(about: Artifact, runs: FinishedRuns) -> NetworkInput | None:
    """The input of the first layer, as measured by the first fold or by the features that it learned on."""
    for reference in about.inputs.values():
        stage, _, key = reference.partition("/")
        artifact = runs.store.find(stage, key) if stage in ("fold", "heads", "features") else None
        if artifact is None:
            continue
        m = artifact.metrics
        if "input_mean" in m:
            return NetworkInput(m["input_mean"], m["input_std"], m["input_off"])
        if stage in ("fold", "heads"):
            return _input(artifact, runs)
    return None


def _look_seconds(about: Artifact, runs: FinishedRuns) -> float:
    """Seconds to compute the features of a training; 0 for networks and for deleted features."""

    def inputs(artifacts: list[Artifact], stage: str) -> list[Artifact]:
        """The inputs of this stage, each once."""
        references = {r for a in artifacts for r in a.inputs.values() if r.startswith(f"{stage}/")}
        return [a for a in (runs.store.at(r) for r in references) if a is not None]

    features = inputs(inputs(inputs([about], "fold"), "heads"), "features")
    return sum(artifact.seconds for artifact in features)


def _others(about: Artifact, runs: FinishedRuns) -> tuple[OtherTraining, ...]:
    """The newest other finished training of each experiment."""
    newest = {str(a.manifest["experiment"]): a for a in runs.of("train") if a.key != about.key}
    return tuple(
        OtherTraining(name, family_of(str(a.setting("model.name"))), load.oof(a, name))
        for name, a in newest.items()
    )


def _straddling(train: Samples, plan: FoldPlan) -> float:
    """Share of validation images with an image of their group in the training part of the same fold."""
    group = dict(zip(train.ids_N.tolist(), train.groups_N.tolist(), strict=True))
    both = every = 0
    for split in plan.splits:
        training_groups = {group[i] for i in split.train_ids.tolist() if i in group}
        valid = [i for i in split.valid_ids.tolist() if i in group]
        both += sum(group[i] in training_groups for i in valid)
        every += len(valid)
    return both / max(every, 1)


def _leaks(job: Job, train: Samples, plan: FoldPlan) -> tuple[Cause, ...]:
    """Copies on both sides of a fold, and groups that the table does not name."""
    config = job.settings.config
    test = load.samples(job.inputs["data"], "test", job.home)
    if len(train) + len(test) > MOST_IMAGES:
        return ()
    facts = load.facts(job.inputs["images"])
    images = survey(train, test, facts[facts["split"].isin(("train", "test"))]).images
    seen, looks = measure_images(images, train.space.n_classes, load.image_of(job.inputs["images"]))
    metric = metrics.get(config.competition.metric)
    scene = GapScene(train.space, metric, images, looks, seen, plan, config.eda, config.statistics.draws)
    return leak.check(scene, shifted=False)
