"""What to try next: the run that advice is about, the facts about it, every rule's answer, and their order.

Owns choosing that run, gathering its settings, curves, times, input and folds, and ordering the answers. Does
not own the rules (`faults.py`: something is wrong; `steps.py`: something could be better), the bounds
(`facts.py`), nor which advice was followed before (`ledger.py`).

The order: first what makes every other figure untrue (leaky folds); then by the expected gain a minute: the
bound of the gain × the chance that the remedy brings a good part of it, divided by the minutes that the
command takes plus ten minutes of the person's own. Without a known bound, a hope that is not shown takes its
place in the order; advice without either comes last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.metrics import Metric
from pipeline.core.samples import FoldPlan, Samples
from pipeline.core.targets import EXCLUSIVE
from pipeline.data import load
from pipeline.eda.survey import table_of
from pipeline.engine import naming
from pipeline.engine.stage import Job
from pipeline.ensemble.stages import BLEND
from pipeline.errors import texts
from pipeline.errors.advice import column_steps, faults, ledger, steps
from pipeline.errors.advice.changes import FinishedRuns, changes, inferences, request_words, trainings
from pipeline.errors.advice.facts import BEST, Advice, Facts, NetworkInput, OtherTraining, TrainingFacts
from pipeline.errors.advice.steps import family_of
from pipeline.errors.case import ReportCase, again
from pipeline.errors.diff.conclusion import Change, FollowedAdvice
from pipeline.errors.diff.flips import Flips
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.nets.stages import is_probe
from pipeline.record.store import Artifact
from pipeline.settings import augment
from pipeline.settings.load import PLACE_PATHS, Settings
from pipeline.settings.read import read_words
from pipeline.settings.schema import Config
from pipeline.submit.gap import leak
from pipeline.submit.gap.scene import Cause, GapScene, measure_images

Rule = Callable[[Facts], Advice | None]
Accepts = Callable[[str, Settings, Iterable[str]], bool]

RULES: tuple[Rule, ...] = (*faults.RULES, *steps.RULES)
# Where an image has several answers: those of them that ask nothing about classes, and others.
COLUMN_RULES: tuple[Rule, ...] = (
    faults.leaky_folds,
    faults.wrong_normalisation,
    faults.too_few_epochs,
    faults.no_augmentation,
    *column_steps.RULES,
    steps.frozen_size,
    steps.another_family,
    steps.undecided,
)
# Augmentation policies that advice may suggest, mildest first.
STRONGER = ("medium", "heavy")
# A member with a smaller weight has next to no vote.
LITTLE = 0.1
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
    data, folds = (job.inputs[name].address for name in ("data", "folds"))
    runs = FinishedRuns(job.store, job.settings.config, case.train, data, folds, job.settings)
    about = subject(case.new.artifact, runs)
    facts = gather(job, case.train, case.new.artifact, about, runs)
    own = again(about, job.settings) or job.settings
    rules = RULES if case.train.space.kind == EXCLUSIVE else COLUMN_RULES
    answers = advise(replace(facts, flips=flips, comparison=case.comparison), rules)
    allowed = [advice for advice in answers if possible(own, advice, job.accepts)]
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
    return max(members.values(), key=lambda a: _score(a, metric))


def _score(training: Artifact, metric: Metric) -> float:
    """Its out-of-fold score, higher is better; −∞ where it was scored by another metric."""
    score = training.metrics.get(f"oof_{metric.name}")
    return -math.inf if score is None else metric.sign * score


def advised(artifact: Artifact | None, about: Artifact | None) -> str:
    """The run that advice is about, in words; empty if it is the submission itself, or not known."""
    if artifact is None or about is None or artifact.key == about.key:
        return ""
    name = naming.label_of(about)
    if artifact.has(BLEND):
        return texts.ABOUT_MEMBER.format(name=name)
    return texts.ABOUT_RUN.format(name=name)


def possible(settings: Settings, advice: Advice, accepts: Accepts = lambda *_: True) -> bool:
    """Whether the advised command would start with the advised settings on top of the present ones.

    `accepts` says whether a command, by its target, takes settings and reads these paths of them.
    """
    if not advice.settings:
        return True
    values = dict(read_words(advice.settings))
    try:
        advised = settings.with_values(values)
    except ConfigError:
        return False
    if values.keys() & set(PLACE_PATHS):
        return True  # a file that the reader makes first
    return accepts(advice.command.removeprefix("make ").partition(" ")[0], advised, values)


def gather(
    job: Job, train: Samples, artifact: Artifact | None, about: Artifact | None, runs: FinishedRuns
) -> Facts:
    """The facts about a submission and the training that advice is about; few for a CSV from elsewhere."""
    own = again(about, job.settings) or job.settings
    config = own.config.model_copy(update={"eda": job.settings.config.eda})
    allowed = () if is_probe(own) else augment.allowed(STRONGER, config.competition.attributes)
    original = _original_px(job)
    common = Facts(
        train.space, config, asked=job.words_of("train", own), policies=allowed, original_px=original
    )
    if about is None or artifact is None:
        return common
    run = TrainingFacts(
        name=naming.label_of(about),
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
    base, shared = naming.shared(about, job.settings)
    return replace(
        common,
        train=train,
        run=run,
        mistakes=find_mistakes(run.oof, train) if train.space.kind == EXCLUSIVE else None,
        others=_others(about, runs, base),
        blended=artifact.has(BLEND),
        leaks=() if straddling else _leaks(job, train, plan),
        straddling=straddling,
        members=_members(artifact, about, runs, base),
        shared=shared,
        overlays=_overlays(about, shared),
        decided=runs.steps_tried(about),
    )


def _original_px(job: Job) -> int | None:
    """Longer side of the typical original training image."""
    facts = load.facts(job.inputs["images"])
    sides = facts.loc[facts["split"] == "train", ["width", "height"]]
    return None if sides.empty else round(float(sides.max(axis=1).median()))


def _members(artifact: Artifact, about: Artifact, runs: FinishedRuns, base: Settings) -> tuple[str, ...]:
    """The words of `ensemble.members` that mean the members of a submission, or its run; empty: unknown."""
    inferred = inferences(artifact, runs.store)
    trained = [(runs.store.at(a.inputs["train"]), a) for a in inferred if "train" in a.inputs]
    pairs = [(training, a) for training, a in trained if training is not None]
    words = [naming.member_of(training, a, runs.experiments(base)) for training, a in pairs]
    outside = [w for w in _asked_members(artifact) if w.startswith(("file:", "labels:"))]
    if not pairs:
        words = [runs.word_of(about, base)]
    known = [word for word in words if word is not None]
    return tuple(dict.fromkeys([*known, *outside])) if len(known) == len(words) else ()


def _asked_members(artifact: Artifact) -> tuple[str, ...]:
    """The words of `ensemble.members` that asked for a blend."""
    return tuple(str(word) for word in artifact.setting("ensemble.members") or ())


def _overlays(about: Artifact, shared: tuple[str, ...]) -> tuple[str, ...]:
    """Experiments on top of the first one of a run, if the folds are those of its files: `debug`."""
    of_files = any(word.startswith("experiment=") for word in shared)
    return tuple(about.manifest["request"]["experiment"][1:]) if of_files else ()


def _input(about: Artifact, runs: FinishedRuns) -> NetworkInput | None:
    """The input of the first layer, as measured by the first fold or by the features that it learned on."""
    for reference in about.inputs.values():
        stage, _, key = reference.partition("/")
        artifact = runs.store.find(stage, key) if stage in ("fold", "heads", "features") else None
        if artifact is None:
            continue
        m = artifact.metrics
        if "input_mean" in m:
            made_for = int(m.get("input_made_for", 0))
            return NetworkInput(m["input_mean"], m["input_std"], m["input_off"], made_for)
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


def _others(about: Artifact, runs: FinishedRuns, base: Settings) -> tuple[OtherTraining, ...]:
    """The best other finished training of each experiment; the newest among equals."""
    metric = metrics.get(runs.config.competition.metric)
    best: dict[str, Artifact] = {}
    for artifact in runs.of("train"):
        experiment = str(artifact.manifest["experiment"])
        if artifact.key == about.key:
            continue
        before = best.get(experiment)
        if before is None or _score(artifact, metric) >= _score(before, metric):
            best[experiment] = artifact
    return tuple(
        OtherTraining(
            naming.label_of(a),
            family_of(str(a.setting("model.name"))),
            load.oof(a, naming.label_of(a)),
            runs.word_of(a, base),
            request_words(a.manifest.get("request"), runs.settings),
            _was_blended(about, a, runs),
        )
        for a in best.values()
    )


def _was_blended(about: Artifact, other: Artifact, runs: FinishedRuns) -> bool:
    """Whether a finished blend has shown what two runs bring together.

    It has both of them; or it has the other one with a run of the same network as this, such as one with
    smaller images, and gave it next to no vote.
    """
    family = family_of(str(about.setting("model.name")))
    alike = {a.key for a in runs.of("train") if family_of(str(a.setting("model.name"))) == family}
    for votes in runs.votes:
        vote = votes.get(other.key)
        if vote is None:
            continue
        if about.key in votes or (vote < LITTLE and alike & (votes.keys() - {other.key})):
            return True
    return False


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
    images = table_of(train, test, facts[facts["split"].isin(("train", "test"))])
    seen, looks = measure_images(images, train.space.n_classes, load.image_of(job.inputs["images"]))
    metric = metrics.get(config.competition.metric)
    draws = config.statistics.draws
    scene = GapScene(train.space, metric, images, looks, seen, plan, config.eda, draws, train.truth)
    return leak.check(scene, shifted=False)
