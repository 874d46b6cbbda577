"""The error report: a new submission against the best one, and where the new run is wrong.

Owns the report's inputs, its verdict, its result and its page. Does not own the counting
(`flips.py`, `mistakes.py`), the advice (`advice.py`), nor scores and intervals, which arrive as values.
"""

from dataclasses import dataclass, replace

import pandas as pd
from markupsafe import Markup

from pipeline.analyze import agreement, flip_cards, judged, plots
from pipeline.analyze.advice import Advice, advise
from pipeline.analyze.estimate import Estimate
from pipeline.analyze.flips import CLASS, Flips, Submission, changes, find_flips, parts
from pipeline.analyze.mistakes import Mistakes, find_mistakes
from pipeline.analyze.report import (
    ImageOf,
    Key,
    count,
    percent,
    plural,
    render,
    signed,
    thumbnails,
)
from pipeline.analyze.section import Section, scripts
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.types import LabelSpace, Samples
from pipeline.settings.schema import Config

UNDECIDED = "can't tell"
# States of the verdict, as the page colours them.
STATES = {"better": "better", "worse": "worse", UNDECIDED: "unclear"}


@dataclass(frozen=True)
class CompareInputs:
    """What the error report is made of; the more is given, the more it says.

    Args:
        title: the competition's.
        space: the label space.
        new: the submission under study.
        old: the best one so far, or None for a first submission.
        image: gives the uint8 (H, W, C) pixels of an image by split and id.
        config: the settings of the new run.
        oof: the new run's out-of-fold probabilities.
        train: the labelled training samples; needed with `oof`.
        comparison: new minus old on out-of-fold predictions.
        asked: the words that asked for `config`, e.g. `competition=digits`, `experiment=tiny_cnn` and
            overrides: advised commands start with them.
        policies: augmentation that may be advised, mildest first.
        judging: the section in which a person judges flips.
        judged: what earlier answers say of the score.
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
    asked: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    judging: Section | None = None
    judged: Estimate | None = None


@dataclass(frozen=True)
class Verdict:
    """The first thing a reader sees.

    Args:
        state: "better", "worse", "unclear", "same" or "first".
        word: the verdict itself.
        rest: the headline's continuation, with the number.
        detail: what it rests on.
    """

    state: str
    word: str
    rest: str
    detail: str

    @property
    def tag(self) -> str:
        """For tables and tags: "better", "worse" or "can't tell", and no other word."""
        return self.state if self.state in ("better", "worse") else UNDECIDED


@dataclass(frozen=True)
class ErrorAnalysis:
    """What was found.

    Args:
        verdict: new against old.
        advice: what to try next.
        flips: the differences, if there is an old submission.
        mistakes: the out-of-fold errors, if they are known.
        metrics: numbers for tracking.
    """

    verdict: Verdict
    advice: tuple[Advice, ...]
    flips: Flips | None
    mistakes: Mistakes | None
    metrics: dict[str, float]


def compare(inputs: CompareInputs) -> ErrorAnalysis:
    """Compare the submissions and look for the new run's mistakes.

    Raises:
        DataError: the submissions do not answer the same images, or an out-of-fold id is unknown.
    """
    flips = None if inputs.old is None else find_flips(inputs.space, inputs.new, inputs.old)
    mistakes = None
    if inputs.oof is not None:
        assert inputs.train is not None, "out-of-fold predictions came without the training samples"
        mistakes = find_mistakes(inputs.oof, inputs.train)
    advice = advise(
        inputs.space, flips, mistakes, inputs.comparison, inputs.config, inputs.asked, inputs.policies
    )
    verdict = _verdict(inputs, flips)
    if inputs.judged is not None:
        metric, alone = _metric_name(inputs.config), inputs.comparison is None
        verdict = replace(verdict, **judged.verdict_fields(inputs.judged, verdict.detail, metric, alone))
    return ErrorAnalysis(verdict, advice, flips, mistakes, _metrics(flips, mistakes))


def _verdict(inputs: CompareInputs, flips: Flips | None) -> Verdict:
    metric, comparison = _metric_name(inputs.config), inputs.comparison
    if inputs.old is None or flips is None:
        return Verdict("first", "First submission", "", "There is no earlier one to compare it with.")
    changed = f"{count(len(flips.images))} of {plural(flips.n_images, 'test prediction')} differ."
    if not len(flips.images):
        return Verdict(
            "same", "The same", "as the best submission", f"All {count(flips.n_images)} predictions agree."
        )
    if comparison is None:
        rest = "which is better: there are no out-of-fold predictions of both to compare"
        return Verdict("unclear", "Can't tell", rest, changed)
    low, high = signed(comparison.low), signed(comparison.high)
    detail = (
        f"95 % interval {low} to {high}, {plural(comparison.n_groups, 'training group')} resampled, "
        f"out of fold; better in {percent(comparison.p_better)} of the resamples. {changed}"
    )
    if comparison.note:
        detail += f" Caution: {comparison.note}."
    if comparison.verdict == UNDECIDED:
        why = "the interval contains zero" if comparison.n_groups > 1 else "one group proves nothing"
        rest = f"{signed(comparison.delta)} {metric}, and {why}"
        return Verdict("unclear", "Can't tell:", rest, detail)
    word = f"{comparison.verdict.capitalize()} by {abs(comparison.delta):.4f}"
    return Verdict(STATES[comparison.verdict], word, metric, detail)


def _metric_name(config: Config) -> str:
    return config.competition.metric.replace("_", " ").replace("f1", "F1")


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
        for name in mistakes.confusion:
            metrics[f"oof_error_share_{name}"] = mistakes.wrong_share(name)
        table = mistakes.tables[CLASS]
        metrics["f1_worst_class"] = float(table.loc[table["images"] > 0, "F1"].min())
    return {name: float(value) for name, value in metrics.items()}


def render_html(analysis: ErrorAnalysis, inputs: CompareInputs, sections: tuple[Section, ...] = ()) -> str:
    """The self-contained page.

    Args:
        analysis: what `compare` found on these inputs.
        inputs: for pictures, names and settings.
        sections: what follows, in order.
    """
    settings = inputs.config.report
    mistakes = analysis.mistakes
    front: tuple[Section, ...] = (
        () if analysis.flips is None else (agreement.section(analysis.flips, inputs.space),)
    )
    front += (flip_cards.section(analysis.flips, inputs.space, inputs.image, settings, inputs.judged),)
    front += () if inputs.judging is None else (inputs.judging,)
    wanted = [] if mistakes is None else list(mistakes.answers)
    wanted += [key for section in (*front, *sections) for key in section.wanted]
    return render(
        "compare.html",
        script=scripts((*front, *sections)),
        front=front,
        sections=sections,
        title=f"{inputs.title}: {inputs.new.name}" + (f" against {inputs.old.name}" if inputs.old else ""),
        inputs=inputs,
        analysis=analysis,
        classes=inputs.space.classes,
        flips=analysis.flips,
        mistakes=mistakes,
        attributes=[a.name for a in inputs.space.attributes],
        score_table=_score_table(inputs),
        score_plots=_score_plots(inputs),
        confusions=_confusion_plots(mistakes, inputs.space),
        reliability=_reliability_plot(mistakes),
        captions=_captions(mistakes, inputs.space),
        thumbs=thumbnails(wanted, inputs.image, settings.thumbnail_px),
        thumbnail_px=settings.thumbnail_px,
    )


def _captions(mistakes: Mistakes | None, space: LabelSpace) -> dict[Key, str]:
    """What is wrong in each error that is shown, and how sure the model was of it."""
    answers = {} if mistakes is None else mistakes.answers
    return {
        key: "; ".join(f"{was} → {now}" for _, was, now in changes(space, true, predicted))
        + f", {percent(sure)}"
        for key, (true, predicted, sure) in answers.items()
    }


def _score_table(inputs: CompareInputs) -> pd.DataFrame:
    sides = [("new", inputs.new)] + ([("best so far", inputs.old)] if inputs.old else [])
    scores = [side.score for _, side in sides]
    return pd.DataFrame(
        {
            "submission": [f"{side.name} ({role})" for role, side in sides],
            f"{_metric_name(inputs.config)}, out of fold": [f"{s.value:.4f}" if s else "–" for s in scores],
            "95 % interval": [f"{s.low:.4f}–{s.high:.4f}" if s else "–" for s in scores],
            "public score": ["–" if s.public is None else f"{s.public:.4f}" for _, s in sides],
        }
    )


def _score_plots(inputs: CompareInputs) -> list[Markup]:
    sides = [side for side in (inputs.new, inputs.old) if side is not None and side.score is not None]
    drawn = []
    if sides:
        rows = [plots.Whisker(s.name, s.score.value, s.score.low, s.score.high) for s in sides if s.score]
        drawn.append(plots.whiskers(rows, "Out-of-fold score with its 95 % interval"))
    if inputs.comparison is not None:
        c = inputs.comparison
        row = plots.Whisker("new − best", c.delta, c.low, c.high)
        drawn.append(plots.whiskers([row], "Difference with its 95 % interval", zero=True))
    return drawn


def _confusion_plots(mistakes: Mistakes | None, space: LabelSpace) -> list[tuple[str, Markup]]:
    if mistakes is None:
        return []
    views = parts(space)
    return [
        (name, plots.heatmap(counts, views[name][0], f"Confusion by {name}", "true", "predicted"))
        for name, counts in mistakes.confusion.items()
    ]


def _reliability_plot(mistakes: Mistakes | None) -> Markup:
    if mistakes is None:
        return Markup("")
    r = mistakes.reliability
    curve = plots.Curve("out of fold", r.confidence_B.tolist(), r.right_B.tolist())
    return plots.curves(
        [curve], "How often it is right, by how sure it is", "confidence", "right", identity=True
    )
