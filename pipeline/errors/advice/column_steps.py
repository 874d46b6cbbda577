"""Rules for labels that hold together, values and shares: each gives one piece of advice, or none.

Owns the next steps of a run whose images have several answers. Does not own what is true of every run
(leaks, epochs, augmentation: `faults.py`), steps for classes (`steps.py`) nor the words (`texts.py`).

The bound of a step is computed on the run's own out-of-fold predictions where that is possible: thresholds
and cut points are fitted on the very rows that they are scored on, so no remedy of that kind can gain more.

Shape legend: N out-of-fold images, K columns.
"""

from collections.abc import Callable

import numpy as np

from pipeline.core.targets import LABELS, VALUES, Target
from pipeline.core.voting import soft_voting
from pipeline.ensemble import thresholds
from pipeline.ensemble.decision import Rows
from pipeline.errors import texts
from pipeline.errors.advice.facts import WORTH_FITTING, Advice, Facts
from pipeline.errors.advice.steps import LIKELY, MAYBE, RARELY, family_of, frozen_size, larger
from pipeline.errors.columns.scores import Scored, label_table, value_table
from pipeline.pages.command_words import make_with, train_with
from pipeline.pages.report import percent, plural

WEAKEST = "weakest label"
# A label is weak if its F1 is this far below the median label's.
WEAK = 0.1
# Share of the residuals of images in the outer tenth on either side, from which a few images decide a score.
HEAVY = 0.5


def scored_of(facts: Facts) -> Scored | None:
    """The run's out-of-fold predictions with their truth; None: there are none."""
    if facts.run is None or facts.train is None or not len(facts.run.oof):
        return None
    return Scored.of(facts.train, facts.run.oof)


def _rows(scored: Scored) -> Rows:
    return Rows(scored.ids_N, scored.groups_N, np.arange(len(scored.ids_N)))


def fit_thresholds(facts: Facts) -> Advice | None:
    """A metric of answers, and labels that are rarer or commoner than one half."""
    scored = scored_of(facts)
    if scored is None or scored.target.kind != LABELS or facts.metric.needs == "probabilities":
        return None
    if "thresholds" in (*facts.config.decision.steps, *facts.decided):
        return None
    step = thresholds.Thresholds(facts.metric, facts.config.decision.shrink, scored.target)
    if step.off:
        return None
    fitted = step.fit(scored.p_NK, scored.truth_NK, _rows(scored))
    return _decided(facts, scored, "thresholds", fitted.apply(scored.p_NK, _rows(scored)), fitted.text)


def fit_cut_points(facts: Facts) -> Advice | None:
    """Grades that are scored by kappa: values are drawn to the middle."""
    scored = scored_of(facts)
    if scored is None or scored.target.kind != VALUES or facts.metric.name != "qwk":
        return None
    unfit = thresholds.not_whole(scored.truth_NK, thresholds.MOST_GRADES)
    if unfit or "cut_points" in (*facts.config.decision.steps, *facts.decided):
        return None
    step = thresholds.CutPoints(facts.metric, facts.config.decision.shrink, scored.target)
    fitted = step.fit(scored.p_NK, scored.truth_NK, _rows(scored))
    return _decided(facts, scored, "cut_points", fitted.apply(scored.p_NK, _rows(scored)), fitted.text)


def _decided(facts: Facts, scored: Scored, name: str, p_NK: np.ndarray, text: str) -> Advice | None:
    metric = facts.metric
    gain = metric.sign * (metric.score(scored.truth_NK, p_NK) - metric.score(scored.truth_NK, scored.p_NK))
    if gain < WORTH_FITTING:
        return None
    return Advice(
        name,
        texts.DECIDE_DO[name],
        texts.DECIDE_SEEN[name].format(fitted=text),
        texts.DECIDE_WHY,
        facts.blend_with_step(name),
        (f"decision.steps=[{name}]",),
        gain,
        texts.DECIDE_BOUND,
        LIKELY,
        1.0,
    )


def weakest_label(facts: Facts) -> Advice | None:
    """The label with the lowest F1: a page of its own shows where it fails."""
    scored = scored_of(facts)
    if scored is None or scored.target.kind != LABELS:
        return None
    table = label_table(scored).dropna(subset=["F1"])
    if len(table) < 2:
        return None
    row = table.iloc[0]
    if row["F1"] > table["F1"].median() - WEAK:
        return None
    k = scored.target.columns.index(str(row["label"]))
    right_NK = np.array(scored.p_NK)
    fixed = scored.wrong_NK[:, k]
    right_NK[fixed, k] = scored.holds_NK[fixed, k]
    metric = facts.metric
    gain = metric.sign * (
        metric.score(scored.truth_NK, right_NK) - metric.score(scored.truth_NK, scored.p_NK)
    )
    space = facts.space
    name = space.attributes[int((space.codes_CA[k] >= 0).argmax())].name
    return Advice(
        WEAKEST,
        texts.WEAK_LABEL_DO.format(label=name),
        texts.WEAK_LABEL_SEEN.format(
            label=row["label"],
            f1=row["F1"],
            images=plural(int(row["images"]), "image"),
            missed=plural(int(row["missed"]), "time"),
            alarms=plural(int(row["false alarms"]), "time"),
        ),
        texts.WEAK_LABEL_WHY,
        make_with(f"make error-analysis LABEL={_quoted(name)}", facts.competition_words),
        bound=max(gain, 0.0),
        bounded=texts.WEAK_LABEL_BOUND,
        chance=RARELY,
        minutes=1.0,
    )


def _quoted(name: str) -> str:
    return name if name.isidentifier() else "'" + name.replace("'", "'\\''") + "'"


def heavy_tails(facts: Facts) -> Advice | None:
    """A few images have most of the squared error: a loss that counts them linearly."""
    scored = scored_of(facts)
    if scored is None or facts.run is None or scored.target.kind != VALUES:
        return None
    if facts.config.loss.name not in ("cross_entropy", "mse") or facts.run.solved:
        return None
    off_N = np.sort(np.nansum((scored.residual_NK / scored.spread_K) ** 2, axis=1))
    few = max(len(off_N) // 10, 1)
    share = float(off_N[-few:].sum() / max(off_N.sum(), 1e-12))
    if share < HEAVY:
        return None
    worst = value_table(scored).iloc[0]
    return Advice(
        "tails",
        texts.HUBER_DO,
        texts.HUBER_SEEN.format(share=percent(share), value=worst["value"], r2=worst["R²"]),
        texts.HUBER_WHY,
        train_with(facts.asked, "loss.name=huber"),
        ("loss.name=huber",),
        chance=MAYBE,
        minutes=facts.minutes(),
        hope=facts.hope,
    )


def larger_images(facts: Facts) -> Advice | None:
    """The network sees less than the original images show."""
    original = facts.original_px
    size = larger(facts) if frozen_size(facts) is None else None
    if facts.run is None or size is None or original is None or original < 1.1 * max(facts.config.images.hw):
        return None
    sides = [int(part) for part in size.strip("[]").split(",")]
    height, width = facts.config.images.hw
    now = f"{height}" if height == width else f"{height} × {width}"
    return Advice(
        "size",
        texts.LARGER_DO.format(size=size),
        texts.SMALL_SEEN.format(original=original, now=now),
        texts.SMALL_WHY,
        train_with(facts.asked, f"images.size={size}"),
        (f"images.size={size}",),
        chance=LIKELY,
        minutes=facts.minutes_at(sides[0] * sides[-1] / (height * width)),
        hope=facts.hope,
    )


def blend(facts: Facts) -> Advice | None:
    """Other finished runs: the mean of predictions that differ is mostly better."""
    run, scored = facts.run, scored_of(facts)
    if run is None or scored is None or not facts.to_blend:
        return None
    named = [o for o in facts.to_blend if o.word is not None] or list(facts.to_blend)
    wanted = [o for o in named if o.family != family_of(facts.config.model.name)] or named
    first = wanted[0].asked if wanted[0].word is None else ()
    target, metric = Target.of(facts.space), facts.metric
    members = [run.oof, *(o.oof.take(run.oof.ids_N) for o in wanted)]
    apart = float(soft_voting.disagreement(members)[0, 1:].max())
    mean_NK = target.normalised(np.mean([m.with_classes(target.columns).p_NC for m in members], axis=0))
    gain = metric.sign * (metric.score(scored.truth_NK, mean_NK) - metric.score(scored.truth_NK, scored.p_NK))
    if gain <= 0:
        return None
    names = ", ".join(dict.fromkeys(o.name for o in wanted))
    return Advice(
        "blend",
        texts.BLEND_DO.format(names=names),
        texts.BLEND_MEAN_SEEN.format(names=names, apart=percent(apart)),
        texts.BLEND_FIRST_WHY if first else texts.BLEND_WHY,
        make_with("make infer", first) if first else facts.blend_with(*(other.word for other in wanted)),
        chance=LIKELY,
        minutes=1.0,
        hope=gain,
    )


RULES: tuple[Callable[[Facts], Advice | None], ...] = (
    fit_thresholds, fit_cut_points, weakest_label, heavy_tails, larger_images, blend,
)  # fmt: skip
