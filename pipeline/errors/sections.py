"""The sections of the error report after the conclusion and the advice: what each is made from.

Owns the list of sections, and reading what each needs from the artifacts. Does not own what a section shows
(`errors/diff/`, `errors/findings/`, `infer/robustness.py`) nor the flips and the questions, which
`errors/page.py` puts between these sections.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Floats, positions, strings
from pipeline.core.voting import stacking
from pipeline.data import load
from pipeline.data.host import competition_root
from pipeline.eda import duplicates
from pipeline.eda.survey import Duplicates, glance, survey
from pipeline.errors import sources, texts
from pipeline.errors.advice.facts import metric_words
from pipeline.errors.case import ReportCase
from pipeline.errors.diff import attributes, flip_cards, truth
from pipeline.errors.diff.flips import Flips
from pipeline.errors.findings import calibration, slices, suspects, why
from pipeline.errors.page import ErrorAnalysis
from pipeline.infer import robustness
from pipeline.pages.command_words import make_with
from pipeline.pages.report import Pixels
from pipeline.pages.section import ReportSection, without
from pipeline.settings.competition import AttributeSettings
from pipeline.train import scoring


def on_attributes(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """Flips and errors by attribute."""
    test = load.samples(case.job.inputs["data"], "test", case.job.home)
    groups = dict(zip(test.ids_N.tolist(), test.groups_N.tolist(), strict=True))
    statistics = case.job.settings.config.statistics
    about = (analysis.flips, groups, case.new.oof, analysis.mistakes, case.train)
    inputs = attributes.AttributeInputs(case.train.space, *about, statistics.draws, statistics.seed)
    return attributes.section(inputs)


def on_truth(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """Images that the new run fixed or broke, and images that both get wrong."""
    mistakes = analysis.mistakes
    if case.new.oof is None or mistakes is None:
        return without(truth.ANCHOR, truth.SHORT, truth.TITLE, texts.NEEDS_OOF, _again(case))
    config = case.job.settings.config
    old = None if case.old is None else case.old.oof
    seed, most = config.statistics.seed, config.report.max_flips
    return truth.section(truth.TruthInputs(case.new.oof, old, case.train, mistakes, seed, most))


def on_slices(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """Slices that fail more often than chance."""
    if case.new.oof is None:
        return without(slices.ANCHOR, slices.SHORT, slices.TITLE, texts.NEEDS_OOF, _again(case))
    oof = case.new.oof.with_classes(case.train.space.classes)
    facts = load.facts(case.job.inputs["images"])
    of_train = facts[facts["split"] == "train"]
    seed, finders = case.job.settings.config.statistics.seed, case.job.settings.config.finders
    return slices.section(slices.SliceInputs(case.train, oof.ids_N, oof.labels(), of_train, seed, finders))


def on_suspects(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """Labels that may be wrong."""
    if case.new.oof is None:
        return without(suspects.ANCHOR, suspects.SHORT, suspects.TITLE, texts.NEEDS_OOF, _again(case))
    features = sources.read_features(case.job, "features", case.train.ids_N)
    finders = case.job.settings.config.finders
    ranked = suspects.find(case.new.oof, case.train, _copies(case), features, finders)
    columns = case.job.settings.config.competition.attributes
    inputs = suspects.SuspectInputs(
        space=case.train.space,
        suspects=ranked,
        raw={a.name: _raw(a) for a in columns},
        checked=len(case.new.oof),
        neighbours=features is not None,
        command=make_with("make train", _member_words(case), "competition.label_patches=label_patches.csv"),
        folder=os.path.relpath(competition_root(case.job.settings), case.job.home),
    )
    return suspects.section(inputs)


def _raw(attribute: AttributeSettings) -> list[str]:
    """The text of each value in the table; for a numeric column a number inside the bin."""
    if attribute.bins is None:
        return list(attribute.values)
    codes = range(len(attribute.values))
    return [f"{suspects.representative(attribute.bins, code):g}" for code in codes]


def _copies(case: ReportCase) -> tuple[Duplicates, ...]:
    """Training images that are equal or nearly equal."""
    job = case.job
    surveyed = survey(case.train, None, load.facts(job.inputs["images"]))
    seen = glance(surveyed.images, case.train.space.n_classes, case.image)
    near = duplicates.near_duplicates(surveyed.images, seen, job.settings.config.eda)
    return (*surveyed.duplicates, *near)


def on_calibration(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """Confidence against accuracy, before and after temperature scaling."""
    if case.new.oof is None:
        named = calibration.ANCHOR, calibration.SHORT, calibration.TITLE
        return without(*named, texts.NEEDS_OOF, _again(case))
    statistics = case.job.settings.config.statistics
    oof = case.new.oof.with_classes(case.train.space.classes)
    samples = case.train.take(oof.ids_N)
    inputs = calibration.CalibrationInputs(
        y_N=samples.labels,
        before_NC=oof.p_NC,
        after_NC=_at_temperature(case, oof),
        temperature=stacking.fit_temperature(oof.p_NC, samples.labels),
        groups_N=samples.groups_N,
        classes=case.train.space.classes,
        draws=statistics.draws,
        seed=statistics.seed,
        command=make_with("make ensemble", case.job.words["competition"], "ensemble.temperature=true"),
        blended=case.new.artifact is not None and (case.new.artifact.folder / "blend.json").is_file(),
    )
    return calibration.section(inputs)


def _at_temperature(case: ReportCase, oof: Probabilities) -> Floats | None:
    """The probabilities of each fold with the temperature that was fitted on the other folds."""
    plan, config = load.plan(case.job.inputs["folds"]), case.job.settings.config
    parts = scoring.crossfit_parts(config, case.train, plan, oof.ids_N)
    if len(parts) < 2:
        return None
    y_N = case.train.take(oof.ids_N).labels
    scaled_NC = oof.p_NC.copy()
    for part in parts:
        at = positions(part, oof.ids_N, "out-of-fold predictions")
        others = np.setdiff1d(np.arange(len(oof)), at)
        temperature = stacking.fit_temperature(oof.p_NC[others], y_N[others])
        scaled_NC[at] = stacking.apply_temperature(oof.p_NC[at], temperature)
    return scaled_NC


def on_robustness(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """The score of the best member under growing corruption."""
    artifact = sources.named(case.job, "robustness")
    if artifact is None:
        reason = texts.NO_ROBUSTNESS + (texts.NO_ROBUSTNESS_OUTSIDE if case.new.artifact is None else "")
        command = make_with("make robustness", _member_words(case))
        return without(robustness.ANCHOR, robustness.SHORT, robustness.TITLE, reason, command)
    table = pd.read_csv(artifact.folder / "robustness.csv")
    metric = metric_words(case.job.settings.config)
    experiment = str(artifact.manifest["experiment"])
    return robustness.section(robustness.RobustnessInputs(table, experiment, metric))


def on_why(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """What the network looked at in its worst errors."""
    artifact = sources.named(case.job, "explain")
    facts = {} if artifact is None else artifact.json("explain.json")
    if artifact is None or facts.get("format") != why.FORMAT:
        reason = texts.NO_MAPS + (texts.NO_MAPS_OUTSIDE if case.new.artifact is None else "")
        command = make_with("make explain", _member_words(case))
        return without(why.ANCHOR, why.SHORT, why.TITLE, reason, command)
    folder = artifact.folder

    def picture(file: str) -> Pixels:
        with Image.open(folder / file) as image:
            return np.asarray(image.convert("RGB"))

    features = sources.read_features(case.job, "features", case.train.ids_N)
    return why.section(facts, picture, case.train, features)


def _again(case: ReportCase) -> str:
    """The command for the report on one's own submissions."""
    return make_with("make error-analysis", case.job.words["error-analysis"])


def _member_words(case: ReportCase) -> tuple[str, ...]:
    """The words that ask for the best member of the submission."""
    return case.job.words_of("train", sources.asked(case.job.settings, case.new.artifact))


def sections(case: ReportCase, analysis: ErrorAnalysis) -> tuple[ReportSection, ...]:
    """Every section, in the order of the page."""
    makers = (on_attributes, on_truth, on_slices, on_suspects, on_calibration, on_robustness, on_why)
    return tuple(make(case, analysis) for make in makers)


def neighbours_of(case: ReportCase, flips: Flips) -> flip_cards.FlipNeighbours | None:
    """The training images nearest to the most doubtful flips; None without features of both splits."""
    of_train = sources.read_features(case.job, "features", case.train.ids_N)
    ids = strings(flips.images["id"].astype(str).tolist())
    of_test = sources.read_features(case.job, "features_test", ids)
    if of_train is None or of_test is None or of_train.digest != of_test.digest:
        return None
    return flip_cards.near(flips.images, case.train, of_train, of_test)
