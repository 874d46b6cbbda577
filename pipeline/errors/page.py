"""The error report: its inputs, what follows from them, its page, and its summary for the terminal.

Owns the order of the page; its first part, which has the conclusion, what to try next, and what differs; and
reading from the artifacts what each later section needs. Does not own what a section shows (`errors/diff/`,
`errors/findings/`, `errors/judging/`, `infer/robustness.py`), counting flips and mistakes and the words of
the conclusion (`errors/diff/`), the advice (`errors/advice/`), nor scores and intervals, which arrive as
values.

Each word has one meaning: a person *judges* flips; an *answer* is what a person says about one image; a
*verdict* is the outcome of a comparison, better, worse or can't tell; the *conclusion* is the report's first
sentence, which holds the verdict about the two submissions.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from pipeline.core.language import Text, joined, languages, say
from pipeline.core.metadata import Kind
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Floats, LabelSpace, Samples, positions, strings
from pipeline.core.voting import stacking
from pipeline.data import load
from pipeline.data.host import competition_root
from pipeline.eda import duplicates
from pipeline.eda.survey import Duplicates, glance, survey
from pipeline.engine import naming
from pipeline.engine.stage import Built, Job
from pipeline.ensemble.stages import BLEND
from pipeline.errors import texts
from pipeline.errors.advice.facts import BEST, Advice, metric_words, worded_metric
from pipeline.errors.advice.ledger import REPORTED
from pipeline.errors.advice.steps import ANCHORS
from pipeline.errors.case import ReportCase, asked, given_result, read_features
from pipeline.errors.diff import attributes, flip_cards, truth
from pipeline.errors.diff.conclusion import Change, Conclusion, FollowedAdvice, conclusion_of
from pipeline.errors.diff.flip_cards import FlipNeighbours
from pipeline.errors.diff.flips import CLASS, Flips, Submission, find_flips
from pipeline.errors.diff.mistakes import Mistakes, find_mistakes
from pipeline.errors.findings import calibration, slices, suspects, why
from pipeline.errors.judging import page as judging_page
from pipeline.errors.judging.estimate import ScoreEstimate
from pipeline.infer import robustness
from pipeline.pages import plots
from pipeline.pages.command_words import make_with
from pipeline.pages.report import (
    ImageOf,
    Pixels,
    ReportSection,
    gain,
    minutes,
    render,
    scripts,
    thumbnails,
    without,
)
from pipeline.record import files
from pipeline.record.tracking import note
from pipeline.settings.competition import AttributeSettings
from pipeline.settings.schema import Config
from pipeline.train import scoring

PAGE = "error-analysis.html"
CHANGES_IN_TERMINAL = 4


@dataclass(frozen=True)
class ReportInputs:
    """What the report is made from; optional values add sections or sentences.

    Args:
        title: of the competition.
        new: the submission that the report is about.
        old: the submission to compare with; None for a first submission.
        image: gives the uint8 (H, W, C) pixels of an image by split and id.
        config: the settings of the new run.
        oof: out-of-fold probabilities of the new run.
        train: the labelled training samples; needed with `oof`.
        comparison: new minus old on out-of-fold predictions.
        advice: what to try next, best first.
        advised: the run that the advice is about, in words, if it is not the submission itself.
        followed: the gains of earlier advice that was followed.
        changes: settings and members in which the two submissions differ.
        judging: the section in which a person judges flips.
        judged: the score difference that a person's answers give.
        neighbours: the training images nearest to some flips, if there are features.
        metric: the competition's, or what takes its place for one label.
        label: the one label that the report is about; empty: the whole target.
        why_old: why `old` is the best other submission so far; empty where a person named it.
        asked: words that ask for this competition again, for commands on the page.
    """

    title: str
    space: LabelSpace
    new: Submission
    old: Submission | None
    image: ImageOf
    config: Config
    oof: Probabilities | None = None
    train: Samples | None = None
    comparison: Comparison | None = None
    advice: tuple[Advice, ...] = ()
    advised: str = ""
    followed: tuple[FollowedAdvice, ...] = ()
    changes: tuple[Change, ...] = ()
    judging: ReportSection | None = None
    judged: ScoreEstimate | None = None
    neighbours: FlipNeighbours | None = None
    why_old: str = ""
    asked: tuple[str, ...] = ()
    metric: str = ""
    label: str = ""

    def say(self, text: str) -> str:
        """A text in the language of the page."""
        return say(text, self.config.report.language)

    @property
    def metric_words(self) -> str:
        """The name of the metric in sentences."""
        return worded_metric(self.metric) if self.metric else metric_words(self.config)

    def command(self, target: str, *settings: str) -> str:
        """`make train` or another command for this competition, ready to paste."""
        return make_with(target, self.asked, *settings)

    @property
    def compared_with(self) -> str:
        """Which submission the old one is, in one sentence; empty for a first submission."""
        if self.old is None:
            return ""
        text = texts.AGAINST_THE_BEST if self.why_old else texts.AGAINST_NAMED
        return text.format(old=self.old.name, why=self.why_old)

    @property
    def best_advice(self) -> tuple[Advice, ...]:
        """The advice that is shown."""
        return self.advice[:BEST]


@dataclass(frozen=True)
class ErrorAnalysis:
    """What follows from the inputs.

    Args:
        conclusion: new against old.
        flips: the differences; None for a first submission.
        mistakes: the out-of-fold errors; None without out-of-fold predictions.
        metrics: figures for the record.
    """

    conclusion: Conclusion
    flips: Flips | None
    mistakes: Mistakes | None
    metrics: dict[str, float]


def inputs_of(case: ReportCase, config: Config) -> ReportInputs:
    """The inputs that the two submissions and the settings of the new run give; the rest is added later."""
    competition = case.job.settings.config.competition
    title = competition.title or competition.name
    return ReportInputs(
        title=title if case.view is None else texts.TITLE_OF_LABEL.format(title=title, label=case.view.name),
        space=case.train.space,
        new=case.new.prediction,
        old=None if case.old is None else case.old.prediction,
        image=case.image,
        config=config,
        oof=case.new.oof,
        train=case.train if case.new.oof is not None else None,
        comparison=case.comparison,
        why_old=_text(case.job.params.get("b_why", "")),
        asked=case.job.words["competition"],
        metric=case.metric.name,
        label="" if case.view is None else case.view.name,
    )


def _text(value: str | int) -> str:
    """A parameter of the command as a text, which may be one that is translated."""
    return value if isinstance(value, str) else str(value)


def analyze(inputs: ReportInputs) -> ErrorAnalysis:
    """Find the flips and the mistakes of the new run, and draw the conclusion.

    Raises:
        DataError: the submissions do not answer the same images, or an out-of-fold id is unknown.
    """
    flips = None if inputs.old is None else find_flips(inputs.space, inputs.new, inputs.old)
    mistakes = None
    if inputs.oof is not None:
        assert inputs.train is not None, "out-of-fold predictions came without the training samples"
        mistakes = find_mistakes(inputs.oof, inputs.train)
    return ErrorAnalysis(conclude(inputs, flips), flips, mistakes, _metrics(flips, mistakes))


def conclude(inputs: ReportInputs, flips: Flips | None) -> Conclusion:
    """The conclusion from the out-of-fold comparison and, if flips were judged, from the answers."""
    metric = inputs.metric_words
    conclusion = conclusion_of(flips, inputs.comparison, metric)
    if inputs.judged is None:
        return conclusion
    alone = inputs.comparison is None
    fields = judging_page.conclusion_fields(inputs.judged, conclusion.detail, metric, alone)
    return replace(conclusion, **fields)


def _metrics(flips: Flips | None, mistakes: Mistakes | None) -> dict[str, float]:
    metrics: dict[str, float] = {}
    if flips is not None:
        metrics["flips"] = len(flips.images)
        metrics["flip_share"] = len(flips.images) / max(flips.n_images, 1)
        for name, number in flips.directions.groupby("attribute")["images"].sum().items():
            metrics[f"flips_{name}"] = float(number)
    if mistakes is not None:
        metrics["oof_errors"] = mistakes.n_wrong
        metrics["oof_sure_errors"] = mistakes.sure_wrong
        metrics["oof_calibration_error"] = mistakes.reliability.error
        for name, share in mistakes.wrong.items():
            metrics[f"oof_error_share_{name}"] = share
        table = mistakes.tables[CLASS]
        metrics["f1_worst_class"] = float(table.loc[table["images"] > 0, "F1"].min())
    return {name: float(value) for name, value in metrics.items()}


def render_html(
    analysis: ErrorAnalysis, inputs: ReportInputs, sections: tuple[ReportSection, ...] = ()
) -> str:
    """The self-contained page, with these sections in order."""
    settings = inputs.config.report
    front = tuple(section for section in sections if section.early)
    about = (inputs.space, inputs.image, settings, inputs.judged, inputs.neighbours)
    front += (flip_cards.section(analysis.flips, *about),)
    front += () if inputs.judging is None else (inputs.judging,)
    shown = (*front, *(section for section in sections if not section.early))
    return render_page(analysis, inputs, shown)


def render_page(
    analysis: ErrorAnalysis,
    inputs: ReportInputs,
    shown: tuple[ReportSection, ...],
    tiles: Sequence[tuple[str, str]] = (),
) -> str:
    """The self-contained page with exactly these sections; `tiles`: further figures and what they are."""
    settings = inputs.config.report
    wanted = [key for section in shown for key in section.wanted]
    return render(
        "compare.html",
        language=settings.language,
        script=scripts(shown),
        sections=shown,
        title=_title(inputs),
        inputs=inputs,
        analysis=analysis,
        anchors=ANCHORS,
        metric=inputs.metric_words,
        flips=analysis.flips,
        mistakes=analysis.mistakes,
        attributes=[a.name for a in inputs.space.attributes],
        score_table=_score_table(inputs),
        score_plots=_score_plots(inputs),
        tiles=tiles,
        thumbs=thumbnails(wanted, inputs.image, settings.thumbnail_px),
        thumbnail_px=settings.thumbnail_px,
    )


def _title(inputs: ReportInputs) -> str:
    if inputs.old is None:
        return texts.TITLE.format(competition=inputs.title, new=inputs.new.name)
    return texts.TITLE_AGAINST.format(competition=inputs.title, new=inputs.new.name, old=inputs.old.name)


def _score_table(inputs: ReportInputs) -> pd.DataFrame:
    sides = [(texts.ROLE_NEW, inputs.new)]
    role = texts.ROLE_BEST if inputs.why_old else texts.ROLE_OLD
    sides += [(role, inputs.old)] if inputs.old else []
    scores = [side.score for _, side in sides]
    score = inputs.say(texts.SCORE_COLUMN.format(metric=inputs.metric_words))
    return pd.DataFrame(
        {
            "submission": [f"{side.name} ({inputs.say(role)})" for role, side in sides],
            score: [f"{s.value:.4f}" if s else "–" for s in scores],
            "95 % interval": [f"{s.low:.4f}–{s.high:.4f}" if s else "–" for s in scores],
            "public score": ["–" if s.public is None else f"{s.public:.4f}" for _, s in sides],
        }
    )


def _score_plots(inputs: ReportInputs) -> list[Markup]:
    sides = [side for side in (inputs.new, inputs.old) if side is not None and side.score is not None]
    drawn = []
    if sides:
        rows = [plots.Whisker(s.name, s.score.value, s.score.low, s.score.high) for s in sides if s.score]
        drawn.append(plots.whiskers(rows, texts.SCORE_PLOT))
    if inputs.comparison is not None:
        c = inputs.comparison
        row = plots.Whisker(texts.DIFFERENCE, c.delta, c.low, c.high)
        drawn.append(plots.whiskers([row], texts.DIFFERENCE_PLOT, zero=True))
    return drawn


def keep_advice(job: Job, inputs: ReportInputs, entries: Sequence[Mapping[str, object]]) -> None:
    """Write advice.json; `entries` are lines for the ledger of advice."""
    reported = {
        "advice": [asdict(one) | {"said": _said(one)} for one in inputs.advice],
        "given": list(entries),
        "followed": [asdict(one) for one in inputs.followed],
        "next": next_command(inputs),
        "changes": [asdict(one) for one in inputs.changes],
    }
    files.write_json(job.draft / REPORTED, reported)


def _said(advice: Advice) -> dict[str, dict[str, str]]:
    """What the home page says of advice, in every language: the page of a report is in one."""
    told = {"do": advice.do, "sentence": advice.sentence}
    return {name: {key: say(text, name) for key, text in told.items()} for name in languages()}


def next_command(inputs: ReportInputs) -> str:
    """The first advised command; `make runs` if nothing is advised that a command does."""
    commands = (a.command for a in inputs.best_advice if a.command.startswith("make"))
    return next(commands, inputs.command("make runs"))


def summary(inputs: ReportInputs, analysis: ErrorAnalysis) -> Built:
    """What the stage says about the report: metrics, lines, and the description of its run in the record."""
    pair = _pair(inputs)
    sentences = "; ".join(a.sentence for a in inputs.best_advice)
    description = note(pair, sentences, next_command(inputs), PAGE, analysis.conclusion.headline)
    tags = {"verdict": analysis.conclusion.tag, "compared_with": inputs.old.name if inputs.old else "none"}
    metrics = dict(analysis.metrics)
    if inputs.best_advice and inputs.best_advice[0].bound is not None:
        metrics["advice_bound"] = inputs.best_advice[0].bound
    if inputs.judged is not None:
        metrics |= judging_page.figures(inputs.judged)
    told = tuple(lines(inputs, analysis))
    return Built(metrics, told, description, (PAGE, REPORTED), tags)


def _pair(inputs: ReportInputs) -> str:
    if inputs.old is None:
        return inputs.new.name
    return texts.PAIR.format(new=inputs.new.name, old=inputs.old.name)


def lines(inputs: ReportInputs, analysis: ErrorAnalysis) -> list[str]:
    """What the terminal prints: the conclusion, what differs, what followed advice brought, what to try."""
    printed: list[str] = [joined(": ", (_pair(inputs), analysis.conclusion.headline))]
    printed += [] if inputs.judged is None else [texts.JUDGED.format(line=judging_page.line(inputs.judged))]
    printed += _change_lines(inputs.changes)
    printed += [one.line for one in inputs.followed[:BEST]]
    for number, advice in enumerate(inputs.best_advice, start=1):
        printed += _advice_lines(number, advice)
    return printed


def _change_lines(changes: tuple[Change, ...]) -> list[str]:
    printed: list[str] = []
    for change in changes[:CHANGES_IN_TERMINAL]:
        text, tested = texts.NEVER_TESTED if change.command else texts.DIFFERS, ""
        if change.tested is not None and not change.command:
            text, tested = texts.TESTED_ALONE, change.tested.in_words
        old, new = change.old or texts.NO_MEMBER, change.new or texts.NO_MEMBER
        words = {"old": old, "new": new, "comparison": tested, "between": change.between}
        printed.append(text.format(what=Text(change.what), **words))
    rest = len(changes) - CHANGES_IN_TERMINAL
    return printed + ([texts.DIFFERS_MORE.format(count=rest)] if rest > 0 else [])


def _advice_lines(number: int, advice: Advice) -> list[str]:
    """Why, what it can bring, and the command."""
    facts = []
    if advice.spoils:
        facts.append(texts.FIRST_OF_ALL.format(bounded=advice.bounded))
    elif advice.bound is not None:
        facts.append(texts.AT_MOST.format(gain=gain(advice.bound), bounded=advice.bounded))
    if advice.minutes is not None:
        facts.append(texts.TAKES.format(minutes=minutes(advice.minutes)))
    return [
        texts.TRY.format(number=number, do=advice.do, sentence=advice.sentence),
        *([joined("", ("       ", joined("; ", facts)))] if facts else []),
        joined("", ("       ", advice.command)),
    ]


def sections(case: ReportCase, analysis: ErrorAnalysis) -> tuple[ReportSection, ...]:
    """Every section, in the order of the page."""
    makers = (on_attributes, on_truth, on_slices, on_suspects, on_calibration, on_robustness, on_why)
    return tuple(make(case, analysis) for make in makers)


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
        return without(truth.ANCHOR, truth.SHORT, truth.TITLE, texts.NEEDS_OOF, again(case))
    config = case.job.settings.config
    old = None if case.old is None else case.old.oof
    seed, most = config.statistics.seed, config.report.max_flips
    return truth.section(truth.TruthInputs(case.new.oof, old, case.train, mistakes, seed, most))


def on_slices(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """Slices that fail more often than chance."""
    if case.new.oof is None:
        return without(slices.ANCHOR, slices.SHORT, slices.TITLE, texts.NEEDS_OOF, again(case))
    oof = case.new.oof.with_classes(case.train.space.classes)
    facts = load.facts(case.job.inputs["images"])
    of_train = facts[facts["split"] == "train"]
    seed, finders = case.job.settings.config.statistics.seed, case.job.settings.config.finders
    inputs = slices.SliceInputs(
        case.train, oof.ids_N, oof.labels(), of_train, seed, finders, metadata=metadata_of(case)
    )
    return slices.section(inputs)


def metadata_of(case: ReportCase) -> tuple[tuple[str, Kind], ...]:
    """Name and kind of each column of metadata."""
    return tuple((one.column, one.kind) for one in case.job.settings.config.competition.metadata)


def on_suspects(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """Labels that may be wrong."""
    if case.new.oof is None:
        return without(suspects.ANCHOR, suspects.SHORT, suspects.TITLE, texts.NEEDS_OOF, again(case))
    features = read_features(case.job, "features", case.train.ids_N)
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
        return list(attribute.values) or ["0", "1"]  # a label that is a word of a cell
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
        return without(*named, texts.NEEDS_OOF, again(case))
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
        blended=case.new.artifact is not None and case.new.artifact.has(BLEND),
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
    artifact = given_result(case.job, "robustness")
    if artifact is None:
        reason = texts.NO_ROBUSTNESS if case.new.artifact else texts.NO_ROBUSTNESS_OUTSIDE
        command = make_with("make robustness", _member_words(case))
        return without(robustness.ANCHOR, robustness.SHORT, robustness.TITLE, reason, command)
    table = pd.read_csv(artifact.folder / "robustness.csv")
    metric = metric_words(case.job.settings.config)
    experiment = naming.label_of(artifact)
    return robustness.section(robustness.RobustnessInputs(table, experiment, metric))


def on_why(case: ReportCase, analysis: ErrorAnalysis) -> ReportSection:
    """What the network looked at in its worst errors."""
    artifact = given_result(case.job, "explain") if case.view is None else None
    facts = {} if artifact is None else artifact.json("explain.json")
    if artifact is None or facts.get("format") != why.FORMAT:
        reason = texts.NO_MAPS if case.new.artifact else texts.NO_MAPS_OUTSIDE
        command = make_with("make explain", _member_words(case))
        if case.view is not None:
            reason, command = texts.MAPS_OF_LABEL, f"{command} LABEL={shlex.quote(case.view.name)}"
        return without(why.ANCHOR, why.SHORT, why.TITLE, reason, command)
    folder = artifact.folder
    named = f"make explain RUN={shlex.quote(str(facts['experiment']))}"
    command = make_with(named, case.job.words["competition"])

    def picture(file: str) -> Pixels:
        with Image.open(folder / file) as image:
            return np.asarray(image.convert("RGB"))

    features = read_features(case.job, "features", case.train.ids_N)
    return why.section(facts, picture, case.train, features, command)


def again(case: ReportCase) -> str:
    """The command for the report on one's own submissions."""
    return make_with("make error-analysis", case.job.words["error-analysis"])


def _member_words(case: ReportCase) -> tuple[str, ...]:
    """The words that ask for the best member of the submission."""
    return case.job.words_of("train", asked(case.job.store, case.job.settings, case.new.artifact))


def neighbours_of(case: ReportCase, flips: Flips) -> flip_cards.FlipNeighbours | None:
    """The training images nearest to the most doubtful flips; None without features of both splits."""
    of_train = read_features(case.job, "features", case.train.ids_N)
    ids = strings(flips.images["id"].astype(str).tolist())
    of_test = read_features(case.job, "features_test", ids)
    if of_train is None or of_test is None or of_train.digest != of_test.digest:
        return None
    return flip_cards.near(flips.images, case.train, of_train, of_test)
