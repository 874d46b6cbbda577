"""Which submission is the best, how much of a difference is noise, and the table of `make runs`.

Owns joining the ledger with the store: the predictions behind a submission, the size of the public set, and
the noise of public scores; and the table of finished experiments, their scores, and the settings in which
they differ, which reads manifests only, so it works without the MLflow database. Does not own the rule that
chooses (`core/best.py`), its words (`submit/ledger.py`), the statistics (`core/statistics.py`) nor the page
(`submit/page.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core import best as core_best
from pipeline.core import metrics, statistics
from pipeline.core.best import Candidate
from pipeline.core.columns import padded
from pipeline.core.language import ENGLISH, say
from pipeline.core.samples import Floats, Samples
from pipeline.core.statistics import STANDARD_ERRORS, Band
from pipeline.core.wording import worded
from pipeline.data import load
from pipeline.engine import compared, naming
from pipeline.engine.slices import flat
from pipeline.record import files
from pipeline.record.files import sha256_file
from pipeline.record.store import SHORT, Artifact, Store
from pipeline.settings.load import Settings
from pipeline.submit import host_scores, texts
from pipeline.submit.ledger import Choice, Entry, choose
from pipeline.train.scoring import SCORED

# Stages by the ledger's kind of submission.
STAGE_OF = {"member": "infer", "blend": "ensemble", "refit": "refit"}
# Trained on all data, so without out-of-fold predictions of its own.
REFIT = "refit"
ASSUMED_SHARE = 0.5
# Without predictions, the correlation between the errors of two submissions is unknown; half is assumed.
SHARED = 0.5
# Below this a run of `make runs` took "less than" it, not nothing.
LEAST_MINUTES = 0.1


@dataclass(frozen=True)
class PublicSet:
    """The size of the public set.

    Args:
        groups: approximate number of its groups, ≥ 1.
        text: the size and its source, in one sentence.
    """

    groups: int
    text: str


def public_set(settings: Settings, data: Artifact, home: Path) -> PublicSet:
    """The size of the public set: from local answers, from competition.public_share, or assumed.

    A test set without known groups is assumed to have groups as large as those of the training set.
    """
    train, test = (load.samples(data, split, home) for split in ("train", "test"))
    counted = host_scores.public_images(settings, data)
    share = settings.config.competition.public_share
    if counted is not None:
        images, source = counted, texts.PUBLIC_FROM_ANSWERS
    elif share is not None:
        images, source = round(share * len(test)), texts.PUBLIC_FROM_SETTING.format(share=share)
    else:
        images, source = round(ASSUMED_SHARE * len(test)), texts.PUBLIC_ASSUMED
    has_groups = len(np.unique(test.groups_N)) < len(test)
    of = test if has_groups else train
    groups = max(round(images * len(np.unique(of.groups_N)) / max(len(of), 1)), 1)
    return PublicSet(groups, worded(texts.PUBLIC_SET, images=images, groups=groups, source=source))


def artifacts(entries: Sequence[Entry], store: Store, data: Artifact) -> dict[str, Artifact]:
    """The results that submissions were made from, by name, where they still exist and are of these data."""
    by_name = {}
    for entry in entries:
        artifact = None if entry.former or entry.kind == REFIT else result_of(entry, store)
        if artifact and artifact.inputs.get("data") == data.address:
            by_name[entry.name] = artifact
    return by_name


def bands(
    settings: Settings, entries: Sequence[Entry], made: Mapping[str, Artifact], train: Samples, public: int
) -> dict[str, Band]:
    """The range of public − OOF by luck alone: from a submission's predictions, or from its interval."""
    by_name = {}
    for entry in entries:
        if entry.name in made:
            by_name[entry.name] = _band(settings, made[entry.name], train, public)
        elif entry.oof_low is not None and entry.oof_high is not None:
            groups = len(np.unique(train.groups_N))
            by_name[entry.name] = statistics.band_of_interval(entry.oof_low, entry.oof_high, groups, public)
    return by_name


def _band(settings: Settings, artifact: Artifact, train: Samples, public: int) -> Band:
    config = settings.config
    oof = load.oof(artifact, artifact.key)
    scored = train.take(oof.ids_N)
    metric = metrics.get(config.competition.metric)
    p_NC = oof.with_classes(train.space.classes).p_NC
    draws, seed = config.statistics.draws, config.statistics.seed
    drawn = statistics.gap_draws(metric, scored.truth, p_NC, scored.groups_N, public, draws, seed)
    return statistics.band_of(drawn, public)


def reach(
    settings: Settings, made: Mapping[str, Artifact], train: Samples, public: int
) -> Callable[[Entry, Entry], float]:
    """How far two public scores may differ by luck: 95 % of the differences on one public set.

    From the predictions of both submissions where they exist and cover the same images; else from the
    intervals in the ledger, assuming that half of their errors is shared; 0 where nothing is known.
    """
    config = settings.config
    groups = len(np.unique(train.groups_N))

    def paired(one: Artifact, other: Artifact) -> float | None:
        oofs = [load.oof(a, a.key) for a in (one, other)]
        ids = np.intersect1d(oofs[0].ids_N, oofs[1].ids_N)
        if len(ids) < max(len(o) for o in oofs):
            return None
        scored = train.take(ids)
        arms: list[Floats] = [o.with_classes(train.space.classes).take(ids).p_NC for o in oofs]
        metric = metrics.get(config.competition.metric)
        draws, seed = config.statistics.draws, config.statistics.seed
        sd = statistics.public_spread(metric, scored.truth, arms, scored.groups_N, public, draws, seed)
        return STANDARD_ERRORS * float(sd[0, 1])

    def of(one: Entry, other: Entry) -> float:
        if one.name == other.name:
            return 0.0
        if one.name in made and other.name in made:
            exact = paired(made[one.name], made[other.name])
            if exact is not None:
                return exact
        widths = [
            e.oof_high - e.oof_low for e in (one, other) if e.oof_low is not None and e.oof_high is not None
        ]
        if not widths:
            return 0.0
        # Of one public score: a difference of two public scores has no error of an OOF score in it.
        sd = float(np.mean(np.abs(widths))) / (2 * STANDARD_ERRORS) * (groups / public) ** 0.5
        return float(STANDARD_ERRORS * sd * (2 * (1 - SHARED)) ** 0.5)

    return of


def best(
    settings: Settings,
    entries: Sequence[Entry],
    store: Store,
    data: Artifact,
    asked: str,
    excluding: str | None = None,
) -> Choice | None:
    """The best of these submissions, which every command means by "best so far".

    `asked`: the data and folds whose out-of-fold scores are compared, as `on` and `scored_on` write them.
    """
    train = load.samples(data, "train", store.home)
    public = public_set(settings, data, store.home).groups
    difference = reach(settings, artifacts(entries, store, data), train, public)
    higher = metrics.get(settings.config.competition.metric).higher_is_better
    known = {e.name: scored_on(e, store) for e in entries}
    return choose(entries, excluding, higher, difference, known, asked)


def comparable(entries: Sequence[Entry], store: Store, asked: str) -> list[Entry]:
    """The submissions whose out-of-fold scores are compared, for the rule of `best`."""
    candidates = [Candidate(e.oof, scored_on(e, store)) for e in entries]
    return [entries[n] for n in core_best.comparable(candidates, asked)[0]]


def scored_on(entry: Entry, store: Store) -> str:
    """The data and folds of a submission's out-of-fold score; empty where nothing here knows them.

    They are those of its result or, where that was deleted or made elsewhere, of its provenance.
    """
    artifact = result_of(entry, store)
    inputs = artifact.inputs if artifact else {}
    if not inputs:
        try:
            record = files.read_json(store.home / "submissions" / f"{entry.name}.json")
            inputs = record["chain"][record["artifact"]]["inputs"]
        except (OSError, ValueError, KeyError, TypeError):
            return ""  # a damaged provenance is reported by `make reproduce`, which needs it
    data, folds = inputs.get("data"), inputs.get("folds")
    return on(str(data), str(folds)) if data and folds else ""


def on(data: str, folds: str) -> str:
    """The addresses of data and folds in one word, for comparing."""
    return f"{data} {folds}"


def result_of(entry: Entry, store: Store) -> Artifact | None:
    """The result that a submission was made from; None for one from elsewhere, or if it was deleted."""
    stage = STAGE_OF.get(entry.kind)
    return store.find(stage, entry.key) or store.find("decide", entry.key) if stage and entry.key else None


def same_files(entries: Sequence[Entry], home: Path) -> dict[str, str]:
    """Name of each submission whose CSV equals that of an earlier one byte for byte -> name of that one."""
    first: dict[str, str] = {}
    same = {}
    for entry in entries:
        csv = home / "submissions" / f"{entry.name}.csv"
        if entry.former or not csv.is_file():
            continue
        earlier = first.setdefault(sha256_file(csv), entry.name)
        if earlier != entry.name:
            same[entry.name] = earlier
    return same


def differing(runs: list[Artifact]) -> list[dict[str, str]]:
    """For each run, those of its settings in which the runs differ."""
    settings = [flat(a.manifest.get("settings", {})) for a in runs]
    names = sorted({name for s in settings for name in s})
    unequal = [n for n in names if len({s[n] for s in settings if n in s}) > 1]
    return [{n: s[n] for n in unequal if n in s} for s in settings]


def table(store: Store, competition: str, language: str = ENGLISH) -> list[str]:
    """The lines of the table of runs that people compare, best score first, its head in this language."""
    runs = _runs(store, competition)
    if not runs:
        return [texts.NO_RUNS.format(competition=competition)]
    wide = max(26, *(len(naming.label_of(a)) for a in runs))
    stage, experiment, key, score, folds, minutes, made = (say(word, language) for word in texts.RUNS_HEAD)
    head = (padded(stage, 9), padded(experiment, wide), padded(key, 9), padded(score, 26), padded(folds, 6))
    lines = [f"{' '.join(head)} {padded(minutes, -6)}  {made}"]
    trained = {a.address: a.seconds for a in store.all("train")}
    for artifact, unequal in zip(runs, differing(runs), strict=True):
        lines.append(_row(artifact, wide, trained))
        if unequal:
            settings = "  ".join(f"{name}={value}" for name, value in unequal.items())
            lines.append(texts.RUNS_DIFFER.format(settings=settings))
    return lines


def _runs(store: Store, competition: str) -> list[Artifact]:
    """The scored runs; a training whose inference exists is that inference."""
    runs = [a for a in store.chosen(*SCORED) if a.manifest.get("competition") == competition]
    below = compared.all_below(runs)
    return sorted((a for a in runs if a.address not in below), key=_rank)


def _metric(artifact: Artifact) -> tuple[str, float]:
    return next((n.removeprefix("oof_"), v) for n, v in artifact.metrics.items() if n.startswith("oof_"))


def _rank(artifact: Artifact) -> tuple[bool, float]:
    """Best first; trainings behind what can become a submission, as they predict with one view only."""
    name, value = _metric(artifact)
    known = metrics.METRICS.get(name)
    return artifact.stage == "train", -value * (known.sign if known else 1)


def _row(artifact: Artifact, wide: int, trained: Mapping[str, float]) -> str:
    name, value = _metric(artifact)
    m = artifact.metrics
    score = f"{value:.4f} [{m['ci_low']:.4f}, {m['ci_high']:.4f}]"
    folds = sum(n.startswith("fold") and n != "folds" for n in artifact.inputs)
    part = "" if m.get("complete") == 1.0 else texts.RUNS_PARTIAL
    made = str(artifact.manifest["created"])[:16].replace("T", " ")
    count = str(folds) if folds else "–"
    row = (
        f"{artifact.stage:<9} {naming.label_of(artifact):<{wide}} {artifact.key[:SHORT]:<9} {score:<26} "
        f"{count:<6} {_minutes(artifact, trained):>6}  {made}  {name}"
    )
    return row + part


def _minutes(artifact: Artifact, trained: Mapping[str, float]) -> str:
    """Minutes that a run took, an inference with its training; `trained`: address -> seconds."""
    minutes = (artifact.seconds + trained.get(artifact.inputs.get("train", ""), 0.0)) / 60
    return f"{minutes:.1f}" if minutes >= LEAST_MINUTES else f"<{LEAST_MINUTES}"


def _cell(text: str) -> str:
    """A text as a cell of a markdown table."""
    return text.replace("|", "\\|")


def below(store: Store, competition: str) -> Mapping[str, str]:
    """Address of each result that stands below another in lists of runs -> address of that other."""
    runs = [a for a in store.chosen(*SCORED, "decide") if a.manifest.get("competition") == competition]
    return compared.all_below(runs)


def markdown(store: Store, competition: str) -> str:
    """The finished runs as a markdown table, for the MLflow UI."""
    rows = ["| stage | experiment | score | 95 % interval | key |", "|---|---|---|---|---|"]
    for artifact in _runs(store, competition):
        m = artifact.metrics
        rows.append(
            f"| {artifact.stage} | {_cell(naming.label_of(artifact))} | {_metric(artifact)[1]:.4f} "
            f"| {m['ci_low']:.4f} to {m['ci_high']:.4f} | {artifact.key[:SHORT]} |"
        )
    return "\n".join(rows)
