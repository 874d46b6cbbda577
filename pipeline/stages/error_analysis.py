"""`make error-analysis`: the newest submission against the best other one, and where it errs.

    make error-analysis                          the current ensemble against the best submission
    make error-analysis A=mine.csv B=best.csv    any two host-format CSVs, a teammate's too

Owns the stage only; the comparison and the page are `pipeline/analyze/compare.py`. What needs
probabilities or out-of-fold predictions is left out for files that have no provenance beside them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.analyze import compare, flips
from pipeline.analyze.advice import STRONGER
from pipeline.combine import submission
from pipeline.core import metrics
from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Interval, Probabilities
from pipeline.core.types import LabelSpace
from pipeline.data import policies
from pipeline.record.runinfo import note
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.stages import host, load, scoring
from pipeline.stages.context import Built, Job
from pipeline.stages.graph import words
from pipeline.stages.registry import is_probe
from pipeline.stages.submission import is_untouched


@dataclass(frozen=True)
class _Side:
    """One submission with what its provenance leads to."""

    prediction: flips.Submission
    oof: Probabilities | None


def build(job: Job) -> Built:
    """Write error-analysis.html and flips.csv.

    Raises:
        DataError: a CSV is not in the host's format, or the two answer other ids.
    """
    config = job.settings.config
    train = load.samples(job.inputs["data"], "train", job.home)
    new, old = (_side(job, side, train.space) for side in ("a", "b"))
    asked = _asked(job.settings, _artifact(job, job.home / str(job.params["a"])))
    both = new.oof is not None and old.oof is not None
    inputs = compare.CompareInputs(
        title=config.competition.title or config.competition.name,
        space=train.space,
        new=new.prediction,
        old=old.prediction,
        image=load.image_of(job.inputs["images"]),
        config=asked.config,
        asked=words(asked, "train"),
        policies=() if is_probe(asked) else policies.allowed(STRONGER, asked.config.competition.attributes),
        oof=new.oof,
        train=train if new.oof is not None else None,
        comparison=scoring.compare(config, train, new.oof, old.oof) if both and new.oof and old.oof else None,
    )
    found = compare.compare(inputs)
    page = job.draft / "error-analysis.html"
    page.write_text(compare.render_html(found, inputs), encoding="utf-8")
    if found.flips is not None:
        found.flips.images.to_csv(job.draft / "flips.csv", index=False)
    verdict = (
        f"{new.prediction.name} against {old.prediction.name}: {found.verdict.word} {found.verdict.rest}"
    )
    told = [verdict]
    for advice in found.advice:
        told.append(f"try: {advice.sentence}")
        if advice.command:
            told.append(f"     {advice.command}")
    what = f"{new.prediction.name} against {old.prediction.name}"
    why = "; ".join(a.sentence for a in found.advice)
    nexts = next((a.command for a in found.advice if a.command.startswith("make")), "make runs")
    result = f"{found.verdict.word} {found.verdict.rest}"
    description = note(what, why, nexts, "error-analysis.html", result)
    tags = {"verdict": found.verdict.tag, "compared_with": old.prediction.name}
    return Built(found.metrics, tuple(told), description, ("error-analysis.html",), tags)


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


def _side(job: Job, side: str, space: LabelSpace) -> _Side:
    config = job.settings.config.competition
    path = job.home / str(job.params[side])
    sample = host.sample(job.settings, job.inputs["data"], job.home)
    read = submission.read(path, space, config.submission, sample)
    public = str(job.params.get(f"{side}_public", ""))
    artifact = _artifact(job, path)
    score, oof, probabilities = None, None, read.probabilities
    if artifact is not None:
        m = artifact.metrics
        oof = load.oof(artifact, path.stem)
        probabilities = load.test(artifact, path.stem)
        name = f"oof_{metrics.get(config.metric).name}"
        score = Interval(m[name], m["ci_low"], m["ci_high"], 0) if name in m else None
    prediction = flips.Submission(
        path.stem, read.ids_N, read.labels_N, probabilities, score, float(public) if public else None
    )
    return _Side(prediction, oof)


def _artifact(job: Job, path: Path) -> Artifact | None:
    """What a submission was made from, if it was made here on the same data and is still there."""
    beside = path.with_suffix(".json")
    if not beside.is_file() or not is_untouched(path):
        return None
    try:
        stage, _, key = str(json.loads(beside.read_text(encoding="utf-8"))["artifact"]).partition("/")
    except (ValueError, KeyError, TypeError):
        return None
    found = job.store.find(stage, key)
    data = job.inputs["data"]
    return found if found and found.inputs.get("data") == f"{data.stage}/{data.key}" else None
