"""`make leaderboard`: out-of-fold against public scores, with the noise, and what lies behind the gap.

    make leaderboard                     looks into the gap of the best submission
    make leaderboard NAME=emoji-lite0-…  of this one

Owns the stage only; checks are `pipeline/submit/gap/diagnosis.py`, the page is `pipeline/submit/leaderboard_page.py`.
The folds looked at are those that the submission was trained on, whatever the settings say now.
"""

from __future__ import annotations

import numpy as np

from pipeline.core import metrics
from pipeline.core.noise import Band
from pipeline.core.samples import FoldPlan, Ints, Samples, positions
from pipeline.data import load, quarantine
from pipeline.eda.survey import survey
from pipeline.engine.stage import Built, Job
from pipeline.record.store import Artifact
from pipeline.record.tracking import note
from pipeline.submit import leaderboard_page, ledger, standing
from pipeline.submit.gap import diagnosis as gap
from pipeline.submit.gap.causes import Scene, Submitted
from pipeline.submit.gap.diagnosis import look_at
from pipeline.submit.gap.selection import Compared
from pipeline.submit.ledger import Entry

# Runs whose predictions are read to see what choosing among them brought; the best ones of more.
MOST_RUNS = 200


def build(job: Job) -> Built:
    """Write leaderboard.html and diagnosis.csv.

    Raises:
        DataError: the ledger is damaged, or images do not decode.
    """
    config = job.settings.config
    quarantine.refuse(config, job.inputs["images"])
    data = job.inputs["data"]
    train = load.samples(data, "train", job.home)
    entries = _entries(job)
    made = standing.artifacts(entries, job.store, data)
    public = standing.public_set(job.settings, data, job.home)
    bands = standing.bands(job.settings, entries, made, train, public.groups)
    best = standing.best(job.settings, entries, job.store, data)
    focus = next((e for e in entries if e.name == job.params["focus"]), None)
    asked = focus and gap.Question(focus.name, focus.oof, focus.public, public.groups)
    diagnosis = _diagnosis(job, made.get(focus.name), asked) if focus and asked else None
    found = leaderboard_page.Standings(
        title=config.competition.title or config.competition.name,
        metric=metrics.get(config.competition.metric).name,
        rows=tuple(_row(e, bands) for e in entries),
        best=best.entry.name if best else "",
        why=best.why if best else "",
        public=public.told,
        diagnosis=diagnosis,
    )
    page = leaderboard_page.render_html(found, config.report.thumbnail_px)
    (job.draft / "leaderboard.html").write_text(page, encoding="utf-8")
    leaderboard_page.causes_table(diagnosis).to_csv(job.draft / "diagnosis.csv", index=False)
    told = tuple(leaderboard_page.lines(found))
    figures = {"submissions": float(len(entries))}
    if asked and asked.gap is not None:
        figures["cv_lb_gap"] = asked.gap
    what = f"{len(entries)} submissions, out of fold against public"
    result = diagnosis.verdict if diagnosis else ""
    description = note(
        what, "can out-of-fold scores be trusted?", "make final N=2", "leaderboard.html", result
    )
    tags = {"verdict": diagnosis.causes[0].kind} if diagnosis else {}
    return Built(figures, told, description, ("leaderboard.html",), tags)


def _entries(job: Job) -> list[Entry]:
    config = job.settings.config.competition
    metric = metrics.get(config.metric).name
    read = ledger.read(job.home / str(job.params["a"]))
    return [e for e in read if (e.competition, e.metric) == (config.name, metric)]


def _row(entry: Entry, bands: dict[str, Band]) -> leaderboard_page.Row:
    return leaderboard_page.Row(
        entry.name,
        entry.kind,
        entry.oof,
        entry.oof_low,
        entry.oof_high,
        entry.public,
        entry.looks,
        entry.note,
        bands.get(entry.name),
    )


def _diagnosis(job: Job, artifact: Artifact | None, asked: gap.Question) -> gap.Diagnosis:
    config = job.settings.config
    data = job.inputs["data"]
    train, test = (load.samples(data, split, job.home) for split in ("train", "test"))
    facts = load.facts(job.inputs["images"])
    images = survey(train, test, facts[facts["split"].isin(("train", "test"))]).images
    parts = {split: load.prepared(job.inputs["prepared"], split) for split in ("train", "test")}
    at = {(split, name): k for split, part in parts.items() for k, name in enumerate(part.ids_N.tolist())}
    seen, looks = look_at(
        images, train.space.n_classes, lambda split, name: np.asarray(parts[split].x_NHWC[at[split, name]])
    )
    plan, folds = _plan(job, artifact)
    metric = metrics.get(config.competition.metric)
    scene = Scene(train.space, metric, images, looks, seen, plan, config.eda, config.statistics.draws)
    of = None if artifact is None else _submitted(artifact, train, test)
    compared = None if of is None or artifact is None else _compared(job, artifact, folds, train, of.rows_K)
    return gap.diagnose(scene, of, compared, asked)


def _plan(job: Job, artifact: Artifact | None) -> tuple[FoldPlan, str]:
    """The folds behind the score, and `folds/key` of them."""
    folds = job.inputs["folds"]
    if artifact is not None and "folds" in artifact.inputs:
        own = job.store.find(*artifact.inputs["folds"].split("/", 1))
        folds = own or folds
    return load.plan(folds), f"{folds.stage}/{folds.key}"


def _submitted(artifact: Artifact, train: Samples, test: Samples) -> Submitted:
    oof = load.oof(artifact, artifact.key).with_classes(train.space.classes)
    answered = load.test(artifact, artifact.key).with_classes(train.space.classes)
    rows_K = np.sort(positions(oof.ids_N, train.ids_N, "out-of-fold predictions"))
    return Submitted(rows_K, oof.take(train.ids_N[rows_K]).p_NC, answered.take(test.ids_N).p_NC)


def _compared(job: Job, chosen: Artifact, folds: str, train: Samples, rows_K: Ints) -> Compared | None:
    """The runs on the same data and folds, the best ones first; trainings behind an inference count once."""
    metric = metrics.get(job.settings.config.competition.metric)
    name, data = f"oof_{metric.name}", job.inputs["data"]
    same = {"data": f"{data.stage}/{data.key}", "folds": folds}
    runs = [
        a
        for a in job.store.chosen()
        if a.stage in ("train", "infer", "ensemble")
        and name in a.metrics
        and a.metrics.get("complete") == 1.0
        and {n: a.inputs.get(n) for n in same} == same
    ]
    inferred = {a.inputs.get("train") for a in runs if a.stage == "infer"}
    runs = [a for a in runs if f"{a.stage}/{a.key}" not in inferred]
    runs.sort(key=lambda a: -metric.sign * a.metrics[name])
    read = [chosen, *(a for a in runs if a.key != chosen.key)][:MOST_RUNS]
    ids = train.ids_N[rows_K]
    oofs = {a.key: load.oof(a, a.key) for a in read}
    whole = {key: oof for key, oof in oofs.items() if len(np.setdiff1d(ids, oof.ids_N)) == 0}
    arms = [oof.with_classes(train.space.classes).take(ids).p_NC for oof in whole.values()]
    return Compared(tuple(whole), rows_K, arms, max(len(runs), len(arms)), chosen.key)
