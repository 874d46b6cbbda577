"""The error report: a new submission against the best one, and where the new run is wrong.

Owns the report's inputs, its result and its page. Does not own the counting (`flips.py`, `mistakes.py`),
the verdict (`verdict.py`), the advice (`advice.py`), nor scores and intervals, which arrive as values.
"""

from dataclasses import dataclass, replace

import pandas as pd
from markupsafe import Markup

from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import LabelSpace, Samples
from pipeline.errors.advice.rules import BEST, Advice
from pipeline.errors.advice.steps import ANCHORS
from pipeline.errors.diff import flip_cards
from pipeline.errors.diff.flip_cards import Near
from pipeline.errors.diff.flips import CLASS, Flips, Submission, find_flips
from pipeline.errors.diff.mistakes import Mistakes, find_mistakes
from pipeline.errors.diff.verdict import Change, Followed, Verdict, verdict_of
from pipeline.errors.judging import estimate_words
from pipeline.errors.judging.estimate import Estimate
from pipeline.pages import plots
from pipeline.pages.command_words import make_with
from pipeline.pages.report import ImageOf, render, thumbnails
from pipeline.pages.section import Section, scripts
from pipeline.settings.schema import Config


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
        advice: what to try next, best first.
        advised: the run that advice is about, where it is not the submission itself.
        followed: what following earlier advice brought.
        changes: in what the two submissions differ.
        judging: the section in which a person judges flips.
        judged: what earlier answers say of the score.
        near: the training images nearest to some flips, where features are there.
        asked: words that ask for this competition again, as commands on the page need them.
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
    followed: tuple[Followed, ...] = ()
    changes: tuple[Change, ...] = ()
    judging: Section | None = None
    judged: Estimate | None = None
    near: Near | None = None
    asked: tuple[str, ...] = ()

    def command(self, target: str, *settings: str) -> str:
        """`make train` or another, as one types it for this competition."""
        return make_with(target, self.asked, *settings)


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
    verdict = verdict_of(flips, inputs.comparison, _metric_name(inputs.config))
    if inputs.judged is not None:
        metric, alone = _metric_name(inputs.config), inputs.comparison is None
        verdict = replace(
            verdict, **estimate_words.verdict_fields(inputs.judged, verdict.detail, metric, alone)
        )
    return ErrorAnalysis(verdict, inputs.advice[:BEST], flips, mistakes, _metrics(flips, mistakes))


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
    front = tuple(section for section in sections if section.early)
    about = (inputs.space, inputs.image, settings, inputs.judged, inputs.near)
    front += (flip_cards.section(analysis.flips, *about),)
    front += () if inputs.judging is None else (inputs.judging,)
    shown = (*front, *(section for section in sections if not section.early))
    wanted = [key for section in shown for key in section.wanted]
    return render(
        "compare.html",
        script=scripts(shown),
        sections=shown,
        title=f"{inputs.title}: {inputs.new.name}" + (f" against {inputs.old.name}" if inputs.old else ""),
        inputs=inputs,
        analysis=analysis,
        anchors=ANCHORS,
        metric=_metric_name(inputs.config),
        flips=analysis.flips,
        mistakes=analysis.mistakes,
        attributes=[a.name for a in inputs.space.attributes],
        score_table=_score_table(inputs),
        score_plots=_score_plots(inputs),
        thumbs=thumbnails(wanted, inputs.image, settings.thumbnail_px),
        thumbnail_px=settings.thumbnail_px,
    )


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
