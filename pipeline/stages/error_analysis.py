"""`make error-analysis`: the newest submission against the best other one, and where it errs.

    make error-analysis                          the current ensemble against the best submission
    make error-analysis A=mine.csv B=best.csv    any two host-format CSVs, a teammate's too
    make error-analysis VERDICTS=verdicts.csv    with what a person said of the flips (stages/judging.py)

Owns the stage only; the comparison and the page are `pipeline/analyze/compare.py`. What needs
probabilities or out-of-fold predictions is left out for files that have no provenance beside them.
"""

from __future__ import annotations

from pipeline.analyze import compare, judged
from pipeline.analyze.advice import STRONGER
from pipeline.analyze.estimate import Estimate
from pipeline.core.errors import ConfigError
from pipeline.data import policies
from pipeline.record.runinfo import note
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.stages import case, judging, load, scoring
from pipeline.stages.case import Case
from pipeline.stages.context import Built, Job
from pipeline.stages.graph import words
from pipeline.stages.registry import is_probe


def build(job: Job) -> Built:
    """Write error-analysis.html and flips.csv.

    Raises:
        DataError: a CSV is not in the host's format, or the two answer other ids.
    """
    config = job.settings.config
    train = load.samples(job.inputs["data"], "train", job.home)
    new, old = (case.side(job, which, train.space) for which in ("a", "b"))
    asked = _asked(job.settings, new.artifact)
    both = new.oof is not None and old.oof is not None
    image = load.image_of(job.inputs["images"])
    answers = judging.judged(job, train, (new.prediction, old.prediction), (new.oof, old.oof), image)
    inputs = compare.CompareInputs(
        title=config.competition.title or config.competition.name,
        space=train.space,
        new=new.prediction,
        old=old.prediction,
        image=image,
        config=asked.config,
        asked=words(asked, "train"),
        policies=() if is_probe(asked) else policies.allowed(STRONGER, asked.config.competition.attributes),
        oof=new.oof,
        train=train if new.oof is not None else None,
        comparison=scoring.compare(config, train, new.oof, old.oof) if both and new.oof and old.oof else None,
        judging=answers.section,
        judged=answers.estimate,
    )
    found = compare.compare(inputs)
    sections = case.sections(
        Case(job, train, new, old, inputs.comparison, inputs.image, found, answers.estimate)
    )
    page = job.draft / "error-analysis.html"
    page.write_text(compare.render_html(found, inputs, sections), encoding="utf-8")
    if found.flips is not None:
        found.flips.images.to_csv(job.draft / "flips.csv", index=False)
    verdict = (
        f"{new.prediction.name} against {old.prediction.name}: {found.verdict.word} {found.verdict.rest}"
    )
    told = [verdict, *_told(found, answers.estimate)]
    figures = found.metrics if answers.estimate is None else found.metrics | judged.figures(answers.estimate)
    what = f"{new.prediction.name} against {old.prediction.name}"
    why = "; ".join(a.sentence for a in found.advice)
    nexts = next((a.command for a in found.advice if a.command.startswith("make")), "make runs")
    result = f"{found.verdict.word} {found.verdict.rest}"
    description = note(what, why, nexts, "error-analysis.html", result)
    tags = {"verdict": found.verdict.tag, "compared_with": old.prediction.name}
    return Built(figures, tuple(told), description, ("error-analysis.html",), tags)


def _told(found: compare.ErrorAnalysis, estimate: Estimate | None) -> list[str]:
    """What the terminal says below the verdict."""
    told = [] if estimate is None else [f"judged: {judged.line(estimate)}"]
    for advice in found.advice:
        told.append(f"try: {advice.sentence}")
        if advice.command:
            told.append(f"     {advice.command}")
    return told


def _asked(settings: Settings, made_of: Artifact | None) -> Settings:
    """The settings to advise on: those of the submission, or of a blend's best member."""
    if made_of is None:
        return settings
    blend = (made_of.folder / "blend.json").is_file()
    name = made_of.json("blend.json")["best_member"] if blend else made_of.manifest["experiment"]
    try:
        return settings.member(str(name))
    except ConfigError:
        return settings  # named by a key, or by a file that is gone
