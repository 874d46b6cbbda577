"""The stage of `submit/`: out-of-fold against public scores, and why they differ, as a page.

    make leaderboard                     examines the gap of the best submission
    make leaderboard NAME=emoji-lite0-…  of this one

Owns the declaration, the request for it, and the function that builds it. Does not own the checks
(`submit/gap/`) nor the page (`submit/page.py`). The folds that are examined are those that the submission was
trained on, whatever the settings are now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from pipeline.core import metrics
from pipeline.core.errors import DataError, nearest
from pipeline.core.language import _
from pipeline.data import load, quarantine
from pipeline.engine.need import Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, needs
from pipeline.pages.command_words import make_with
from pipeline.record.store import Artifact, Store
from pipeline.record.tracking import note
from pipeline.settings.load import Settings
from pipeline.submit import ledger, page, ranking, texts
from pipeline.submit.gap.scene import Diagnosis, Question
from pipeline.submit.ledger import Entry
from pipeline.submit.submission import LEDGER

# Finished runs that the page counts and compares with.
RUNS = ("train", "infer", "ensemble")


def leaderboard_need(
    settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact, asked: str, name: str
) -> Need:
    """The request for the page: the ledger, the submission whose gap is examined, and the finished runs.

    `entries`: at least one, of this competition and metric; `asked`: the data and folds whose
    out-of-fold scores are compared; `name`: the submission; empty: the best one that has a gap.

    Raises:
        DataError: no submission has that name.
    """
    names = [e.name for e in entries]
    if name and name not in names:
        hint = nearest(name, names) or _("the ledger has: {names}").format(names=", ".join(names))
        raise DataError(_("no submission {name!r}").format(name=name), remedy=hint)
    keys = sorted(a.address for a in store.chosen(*RUNS))
    params: dict[str, str | int] = {
        "a": f"submissions/{LEDGER}",
        "focus": name or _best_made_here(settings, entries, store, data, asked),
        "same": json.dumps(ranking.same_files(entries, store.home), ensure_ascii=False),
        "runs": hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16],
    }
    return Need("leaderboard", settings, params)


def _best_made_here(
    settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact, asked: str
) -> str:
    """The best submission that was made here and has a public score, else the best one."""
    made = ranking.artifacts(entries, store, data)
    here = [e for e in entries if e.name in made]
    scored = [e for e in here if e.public is not None]
    choice = ranking.best(settings, scored or here or entries, store, data, asked)
    return choice.entry.name if choice else entries[-1].name


def leaderboard_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """The digest of the ledger: a score or a pin that a person entered gives another page."""
    path = ask.home / str(params.get("a", ""))
    return ask.index.digest(path) if path.is_file() else ""


def build_leaderboard(job: Job) -> Built:
    """Write leaderboard.html and diagnosis.csv.

    Raises:
        DataError: the ledger is damaged, or images do not decode.
    """
    config = job.settings.config
    quarantine.refuse(config, job.inputs["images"])
    data = job.inputs["data"]
    train = load.samples(data, "train", job.home)
    metric = metrics.get(config.competition.metric).name
    entries = [
        e
        for e in ledger.read(job.home / str(job.params["a"]))
        if (e.competition, e.metric) == (config.competition.name, metric)
    ]
    same: dict[str, str] = json.loads(str(job.params["same"]))
    made = ranking.artifacts(entries, job.store, data)
    public = ranking.public_set(job.settings, data, job.home)
    bands = ranking.bands(job.settings, entries, made, train, public.groups)
    asked = ranking.on(data.address, job.inputs["folds"].address)
    best = ranking.best(job.settings, entries, job.store, data, asked)
    focus = next((e for e in entries if e.name == job.params["focus"]), None)
    question = focus and Question(focus.name, focus.oof, focus.public, public.groups)
    diagnosis = _diagnosis(job, made.get(focus.name), question) if focus and question else None
    board = page.Leaderboard(
        title=config.competition.title or config.competition.name,
        metric=metric,
        rows=tuple(page.Row(e, bands.get(e.name), same.get(e.name, "")) for e in entries),
        best=best.entry.name if best else "",
        why=best.why if best else "",
        public=public.text,
        diagnosis=diagnosis,
    )
    html = page.render_html(board, config.report.thumbnail_px, config.report.language)
    (job.draft / "leaderboard.html").write_text(html, encoding="utf-8")
    page.causes_table(diagnosis).to_csv(job.draft / "diagnosis.csv", index=False)
    figures = {"submissions": float(len(entries))}
    if question and question.gap is not None:
        figures["cv_lb_gap"] = question.gap
    title = texts.LEADERBOARD_RUN.format(submissions=len(entries))
    result = diagnosis.verdict if diagnosis else ""
    description = note(
        title,
        texts.LEADERBOARD_WHY,
        make_with("make final N=2", job.words["competition"]),
        "leaderboard.html",
        result,
    )
    tags = {"verdict": diagnosis.causes[0].kind} if diagnosis else {}
    return Built(figures, tuple(page.lines(board)), description, ("leaderboard.html",), tags)


def _diagnosis(job: Job, artifact: Artifact | None, question: Question) -> Diagnosis:
    # Imported here: scikit-learn and OpenCV take a second to load.
    from pipeline.submit.gap import diagnosis, scene, selection

    train, test = (load.samples(job.inputs["data"], split, job.home) for split in ("train", "test"))
    folds = scene.folds_of_submission(job, artifact)
    images = scene.load_scene(job, folds)
    if artifact is None:
        return diagnosis.diagnose(images, None, None, question)
    submitted = scene.load_submitted(artifact, train, test)
    compared = selection.compared_runs(job, artifact, folds, train, submitted.rows_K)
    return diagnosis.diagnose(images, submitted, compared, question)


STAGES = (
    Stage(
        "leaderboard",
        5,
        "out-of-fold against public scores",
        build_leaderboard,
        reads=(
            *("eda", "statistics", "competition.metric", "competition.title", "competition.public_share"),
            *("report.thumbnail_px", "report.language"),
        ),
        inputs=needs("data", "images", "folds", "prepared"),
        identity=leaderboard_identity,
        words=("competition",),
        tracked=True,
    ),
)
