"""`make error-analysis`: the newest submission against the best other one, and where it errs.

    make error-analysis                          the current ensemble against the best submission, if any
    make error-analysis A=mine.csv B=best.csv    any two host-format CSVs, a teammate's too
    make error-analysis VERDICTS=verdicts.csv    with what a person said of the flips (errors/judging/kept.py)

Owns the stage only; the comparison and the page are `pipeline/errors/page.py`. What needs
probabilities or out-of-fold predictions is left out for files that have no provenance beside them.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from pipeline.data import load
from pipeline.engine.stage import Built, Job
from pipeline.errors import beside, case
from pipeline.errors import page as compare
from pipeline.errors.advice import gathered, tested
from pipeline.errors.advice import kept as advised
from pipeline.errors.advice.kept import REPORTED
from pipeline.errors.advice.rules import BEST, Advice, advise
from pipeline.errors.advice.tested import Runs
from pipeline.errors.case import Case
from pipeline.errors.diff.flips import find_flips
from pipeline.errors.diff.verdict import Change
from pipeline.errors.judging import estimate_words
from pipeline.errors.judging import kept as judging
from pipeline.pages.report import gain, minutes
from pipeline.record import files
from pipeline.record.tracking import note
from pipeline.train import scoring

TOLD_CHANGES = 4


def build(job: Job) -> Built:
    """Write error-analysis.html, advice.json and flips.csv.

    Raises:
        DataError: a CSV is not in the host's format, or the two answer other ids.
    """
    config = job.settings.config
    train = load.samples(job.inputs["data"], "train", job.home)
    new = case.side(job, "a", train.space)
    old = case.side(job, "b", train.space) if job.params["b"] else None
    data, folds = (f"{job.inputs[name].stage}/{job.inputs[name].key}" for name in ("data", "folds"))
    runs = Runs(job.store, config, train, data, folds)
    about = gathered.subject(new.artifact, runs)
    known = gathered.gather(job, train, new.artifact, about, runs)
    comparison = scoring.compare(config, train, new.oof, old.oof) if old and new.oof and old.oof else None
    flips = None if old is None else find_flips(train.space, new.prediction, old.prediction)
    own = gathered.asked(job.settings, about)
    found_advice = advise(replace(known, flips=flips, comparison=comparison))
    given = [one for one in found_advice if gathered.possible(own, one)]
    todo, followed = advised.split(given, about, runs, job.home)
    image = load.image_of(job.inputs["images"])
    answers = judging.Judged(None, None)
    if old is not None:
        sides = (new.prediction, old.prediction)
        answers = judging.judged(job, train, sides, (new.oof, old.oof), image)
    inputs = compare.CompareInputs(
        title=config.competition.title or config.competition.name,
        space=train.space,
        new=new.prediction,
        old=None if old is None else old.prediction,
        image=image,
        config=known.config,
        oof=new.oof,
        train=train if new.oof is not None else None,
        comparison=comparison,
        advice=todo,
        advised=gathered.told(new.artifact, about),
        followed=followed,
        changes=() if old is None else tested.changes(runs, new.artifact, old.artifact),
        judging=answers.section,
        judged=answers.estimate,
        near=None if flips is None else beside.nearest(job, train, flips),
        asked=job.words["competition"],
    )
    found = compare.compare(inputs)
    sections = case.sections(
        Case(job, train, new, old, inputs.comparison, inputs.image, found, answers.estimate)
    )
    page = job.draft / "error-analysis.html"
    page.write_text(compare.render_html(found, inputs, sections), encoding="utf-8")
    if found.flips is not None:
        found.flips.images.to_csv(job.draft / "flips.csv", index=False)
    kept = [] if about is None else [advised.entry(a, about) for a in found.advice if a.settings]
    reported = {
        "advice": [asdict(advice) for advice in todo],
        "given": kept,
        "followed": [asdict(one) for one in followed],
        "changes": [asdict(one) for one in inputs.changes],
    }
    files.write_json(job.draft / REPORTED, reported)
    return _built(found, inputs)


def _built(found: compare.ErrorAnalysis, inputs: compare.CompareInputs) -> Built:
    what = inputs.new.name + (f" against {inputs.old.name}" if inputs.old else "")
    result = f"{found.verdict.word} {found.verdict.rest}".strip()
    told = [f"{what}: {result}"]
    told += [] if inputs.judged is None else [f"judged: {estimate_words.line(inputs.judged)}"]
    told += _changes(inputs.changes)
    told += [one.told for one in inputs.followed[:BEST]]
    for number, advice in enumerate(found.advice, start=1):
        told += _advice(number, advice)
    why = "; ".join(a.sentence for a in found.advice)
    nexts = next(
        (a.command for a in found.advice if a.command.startswith("make")), inputs.command("make runs")
    )
    description = note(what, why, nexts, "error-analysis.html", result)
    tags = {"verdict": found.verdict.tag, "compared_with": inputs.old.name if inputs.old else "none"}
    metrics = dict(found.metrics)
    if found.advice and found.advice[0].bound is not None:
        metrics["advice_bound"] = found.advice[0].bound
    if inputs.judged is not None:
        metrics |= estimate_words.figures(inputs.judged)
    return Built(metrics, tuple(told), description, ("error-analysis.html", REPORTED), tags)


def _changes(changes: tuple[Change, ...]) -> list[str]:
    """What the terminal says of the differences, a line each."""
    lines = []
    for change in changes[:TOLD_CHANGES]:
        alone = "" if change.tested is None else f"; alone: {change.tested}"
        alone = "; never tested alone" if change.command else alone
        lines.append(f"differs in {change.what}: {change.old or 'none'} → {change.new or 'none'}{alone}")
    rest = len(changes) - TOLD_CHANGES
    return lines + ([f"differs in {rest} more: see the report"] if rest > 0 else [])


def _advice(number: int, advice: Advice) -> list[str]:
    """What the terminal says of a piece of advice: why, what it can bring, the command."""
    known = (
        f"at most {gain(advice.bound)}, {advice.bounded}" if advice.bound is not None else "gain not known"
    )
    if advice.spoils:
        known = f"first of all: {advice.bounded}"
    took = "" if advice.minutes is None else f"; about {minutes(advice.minutes)}"
    return [
        f"try {number}: {advice.do}. {advice.sentence}",
        f"       {known}{took}",
        f"       {advice.command}",
    ]
