"""Rules that look for the next step of a sound run: each gives one piece of advice, or none.

Owns these steps. Does not own faults (`faults.py`), the order (`advisor.py`) nor the words (`texts.py`).

How likely a step is to help (`chance`) follows the gains of single changes on the emoji demo (docs/log.md,
the fifteen arms of the recipe: larger images +.046; focal loss, oversampling, label smoothing and stronger
augmentation −.003 to −.014) and of blending (+.024). Steps that lost there are still advised, but late. Heads
on frozen networks gain most from images of the size that the weights were made for: 224 px instead of 64 or
96 px was better on eight of ten pairs of a head and an open set, by up to .27.
"""

from collections.abc import Callable

import numpy as np
from pydantic import TypeAdapter

from pipeline.core.language import joined
from pipeline.ensemble import decision
from pipeline.errors import texts
from pipeline.errors.advice.facts import WORTH_FITTING, Advice, Facts
from pipeline.errors.advice.faults import balances
from pipeline.errors.diff.flips import CLASS, changes
from pipeline.errors.diff.mistakes import SURE, ConfusedPair
from pipeline.errors.judging.estimate import ENOUGH_JUDGED
from pipeline.pages.command_words import make_with, train_with
from pipeline.pages.report import count, percent, plural, signed
from pipeline.settings.fields import Side
from pipeline.settings.model import PIXELS
from pipeline.settings.schema import Config
from pipeline.settings.submission import MOST_PAIRED

FEW_IMAGES = 0.5
MUCH_OVERCONFIDENCE = 0.05
LARGER = 1.5
WORTH_IT = 1.1  # a smaller factor shows no new detail
LARGEST_SIDE = int(TypeAdapter(Side).json_schema()["maximum"])
# Advice without a command -> the HTML id in the report.
ANCHORS = {
    texts.LOOK_AT_ERRORS: "errors",
    texts.LOOK_AT_PAIRS: "pairs",
    texts.LOOK_AT_LABELS: "suspects",
    texts.JUDGE_FLIPS: "judging",
}
# Family -> experiment of a small network that trains quickly from scratch.
OTHER_FAMILIES = {"resnet": "tiny_resnet", "mobilenetv": "small_cnn"}
# Losses that give difficult or rare images more weight.
WEIGHED = ("focal", "logit_adjustment", "balanced_softmax", "ldam")
LIKELY, MAYBE, RARELY = 0.5, 0.1, 0.05
SCALES = "class_scales"


def confused_pair(facts: Facts) -> Advice | None:
    """The most frequent confusion: larger images, or a look at the two classes."""
    mistakes, space = facts.mistakes, facts.space
    if mistakes is None or not mistakes.pairs or facts.run is None:
        return None
    pair = mistakes.pairs[0]
    back = next((p for p in mistakes.pairs if (p.true, p.predicted) == (pair.predicted, pair.true)), None)
    sentence = (texts.PAIR_REVERSE if back else texts.PAIR_SEEN).format(
        true=space.classes[pair.true],
        predicted=space.classes[pair.predicted],
        times=plural(pair.images, "time"),
        share=percent(pair.share),
        reverse=plural(back.images, "time") if back else "",
    )
    changed = [name for name, _, _ in changes(space, pair.true, pair.predicted)]
    several = len(space.attributes) > 1
    differ = (texts.PAIR_DIFFER.format(attributes=", ".join(changed)),) if several else ()
    detail = _has_more_detail(facts)
    size = larger(facts) if detail or facts.config.model.weights != "none" else None
    if size is None or frozen_size(facts) is not None:
        return _look_at(facts, pair, sentence, differ)
    # Larger images change every answer, not only those of the pair: no bound is known.
    reason = texts.LARGER_WHY if detail else texts.UPSCALED_WHY
    return Advice(
        "pair",
        texts.LARGER_DO.format(size=size),
        sentence,
        joined(" ", (*differ, reason.format(original=facts.original_px))),
        train_with(facts.asked, f"images.size={size}"),
        (f"images.size={size}",),
        chance=LIKELY if detail else MAYBE,
        minutes=facts.minutes_at(_area(size, facts.config)),
        hope=facts.second_guesses(),
    )


def frozen_size(facts: Facts) -> Advice | None:
    """A frozen network that sees smaller images than those that its weights come from."""
    run, images = facts.run, facts.config.images
    if run is None or run.pixels or run.input is None:
        return None
    factor = min(run.input.made_for_px, images.cache_px, LARGEST_SIDE) / max(images.hw)
    if factor < LARGER:
        return None
    height, width = (round(side * factor) for side in images.hw)
    size = str(height) if height == width else f"[{height},{width}]"
    return Advice(
        "frozen",
        texts.LARGER_DO.format(size=size),
        texts.FROZEN_SEEN.format(
            run=run.name, now=max(images.hw), made_for=run.input.made_for_px, network=facts.config.model.name
        ),
        texts.FROZEN_WHY,
        train_with(facts.asked, f"images.size={size}"),
        (f"images.size={size}",),
        chance=LIKELY,
        minutes=facts.minutes_at(_area(size, facts.config)),
        hope=facts.second_guesses(),
    )


def _has_more_detail(facts: Facts) -> bool:
    """Whether the typical original image is larger than what the network sees; assumed if not known."""
    original = facts.original_px
    return original is None or original >= WORTH_IT * max(facts.config.images.hw)


def _look_at(facts: Facts, pair: ConfusedPair, sentence: str, differ: tuple[str, ...]) -> Advice:
    """Advice about a pair of classes if images cannot be larger."""
    two = (pair.true, pair.predicted)
    both_N = facts.wrong_N & np.isin(facts.truth_N, two) & np.isin(facts.answer_N, two)
    most = min(facts.config.images.cache_px, LARGEST_SIDE)
    reason = texts.LOOK_AT_PAIR_WHY if _has_more_detail(facts) else texts.LOOK_AT_SMALL_PAIR_WHY
    if frozen_size(facts) is not None:  # which advises larger images
        reason = texts.LOOK_AT_PAIR_FROZEN_WHY
    bound, bounded = facts.bound_of(both_N, texts.PAIR_BOUND)
    return Advice(
        "pair",
        texts.LOOK_AT_PAIR_DO,
        sentence,
        joined(" ", (*differ, reason.format(most=most, original=facts.original_px))),
        texts.LOOK_AT_PAIRS,
        bound=bound,
        bounded=bounded,
        chance=MAYBE,
        minutes=1.0,
        hope=facts.gain_if_fixed(both_N),
    )


def larger(facts: Facts) -> str | None:
    """The next size to try; None if the cached images or the schema hardly allow a larger one.

    Where the original images show more than the network sees, it goes no further than they do.
    """
    config, original = facts.config, facts.original_px
    if config.model.name == PIXELS:
        return None  # it makes the same small copy of any image
    height, width = config.images.hw
    most = min(config.images.cache_px, LARGEST_SIDE)
    if original is not None and _has_more_detail(facts):
        most = min(most, original)
    factor = min(LARGER, most / max(height, width))
    if factor < WORTH_IT:
        return None
    height, width = int(height * factor), int(width * factor)
    return str(height) if height == width else f"[{height},{width}]"


def _area(size: str, config: Config) -> float:
    sides = [int(part) for part in size.strip("[]").split(",")]
    height, width = config.images.hw
    return sides[0] * sides[-1] / (height * width)


def weakest_class(facts: Facts) -> Advice | None:
    """The class with the lowest F1: more weight or more varied images may help."""
    if facts.mistakes is None or not facts.mistakes.n_wrong or facts.run is None:
        return None
    table = facts.mistakes.tables[CLASS]
    row = table[table["images"] > 0].iloc[0]
    images, groups = plural(int(row["images"]), "image"), plural(int(row["groups"]), "group")
    scores = {"f1": row["F1"], "recall": row["recall"], "precision": row["precision"]}
    sentence = texts.WEAKEST_SEEN.format(name=row[CLASS], images=images, groups=groups, **scores)
    code = facts.space.classes.index(str(row[CLASS]))
    its_N = facts.wrong_N & ((facts.truth_N == code) | (facts.answer_N == code))
    rare = bool(row["images"] < FEW_IMAGES * table["images"].median())
    do, reason, settings = _for_weak_class(facts, rare)
    bound, bounded = facts.bound_of(its_N, texts.WEAKEST_BOUND)
    longer = 1.0
    if settings[:1] == ("resample.method=over",):
        longer = table["images"].max() * len(table) / table["images"].sum()
    return Advice(
        "weakest",
        do,
        sentence,
        reason,
        train_with(facts.asked, *settings) if settings else texts.LOOK_AT_ERRORS,
        settings,
        bound,
        bounded,
        RARELY,
        facts.minutes(float(longer)) if settings else 1.0,
        hope=facts.gain_if_fixed(its_N),
    )


def _for_weak_class(facts: Facts, rare: bool) -> tuple[str, str, tuple[str, ...]]:
    """What to do, why, and the settings; no settings if the advice is to look at images."""
    if rare and facts.run is not None and not balances(facts.run):
        settings = ("resample.method=over", "resample.to=balanced")
        return texts.OVERSAMPLE_DO, texts.OVERSAMPLE_WHY, settings
    solved = facts.run is not None and facts.run.solved
    if facts.config.loss.name not in WEIGHED and not solved:
        reason = texts.WEIGH_RARE_WHY if rare else texts.WEIGH_HARD_WHY
        return texts.WEIGH_DO, reason, ("loss.name=focal",)
    if solved:
        return texts.LOOK_AT_CLASS_DO, texts.LOOK_AT_CLASS_SOLVED_WHY, ()
    now = facts.config.augment.policy
    left = facts.policies[facts.policies.index(now) + 1 :] if now in facts.policies else facts.policies
    if not left:
        return texts.LOOK_AT_CLASS_DO, texts.LOOK_AT_CLASS_WHY, ()
    do = texts.STRONGER_DO.format(policy=left[0])
    return do, texts.STRONGER_WHY, (f"augment.policy={left[0]}",)


def scale_classes(facts: Facts) -> Advice | None:
    """A solved head takes no loss that weighs classes: its answers can be weighed afterwards."""
    run, metric = facts.run, facts.metric
    if run is None or not run.solved or metric.on_counts is None or facts.space.n_classes > MOST_PAIRED:
        return None
    if SCALES in (*facts.config.decision.steps, *facts.decided):
        return None
    scale_C = decision.fit_scales(facts.p_NC, facts.truth_N, metric, facts.config.decision.shrink)
    scaled_NC = decision.apply_scales(facts.p_NC, scale_C)
    before, after = (metric.score(facts.truth_N, p_NC) for p_NC in (facts.p_NC, scaled_NC))
    gain = metric.sign * (after - before)
    if gain < WORTH_FITTING:
        return None
    largest = int(np.abs(np.log(scale_C)).argmax())
    return Advice(
        SCALES,
        texts.DECIDE_DO[SCALES],
        texts.DECIDE_SEEN[SCALES].format(name=facts.space.classes[largest], scale=scale_C[largest]),
        joined(" ", (texts.SCALES_SOLVED_WHY, texts.DECIDE_WHY)),
        facts.blend_with_step(SCALES),
        (f"decision.steps=[{SCALES}]",),
        gain,
        texts.DECIDE_BOUND,
        MAYBE,
        1.0,
    )


def overconfident(facts: Facts) -> Advice | None:
    """Confident and wrong."""
    mistakes = facts.mistakes
    if mistakes is None or facts.run is None:
        return None
    reliability = mistakes.reliability
    if not mistakes.sure_wrong or reliability.excess <= 0 or reliability.error < MUCH_OVERCONFIDENCE:
        return None
    now = facts.config.loss.label_smoothing
    settings = ("loss.label_smoothing=0.1",) if now == 0 and not facts.run.solved else ()
    sure_N = facts.p_NC.max(axis=1) >= SURE
    bound, bounded = facts.bound_of(sure_N, texts.OVERCONFIDENT_BOUND)
    is_on = () if now == 0 else (texts.SMOOTHING_IS_ON.format(now=now),)
    return Advice(
        "oversure",
        texts.SMOOTH_DO if settings else texts.LOOK_AT_CONFIDENT_DO,
        texts.OVERCONFIDENT_SEEN.format(
            sure=count(mistakes.sure_wrong),
            errors=plural(mistakes.n_wrong, "error"),
            confidence=percent(SURE),
            error=percent(reliability.error),
        ),
        joined(" ", (texts.OVERCONFIDENT_WHY, *is_on)),
        train_with(facts.asked, *settings) if settings else texts.LOOK_AT_ERRORS,
        settings,
        bound,
        bounded,
        RARELY,
        facts.minutes() if settings else 1.0,
        hope=facts.gain_if_fixed(sure_N),
    )


def most_flipped(facts: Facts) -> Advice | None:
    """The most frequent change: twenty answers give an estimate."""
    flips, space = facts.flips, facts.space
    if flips is None or not len(flips.images):
        return None
    total = len(flips.images)
    by_attribute = flips.directions.groupby("attribute")["images"].sum()
    name = str(by_attribute.idxmax())
    if len(space.attributes) > 1:
        most = count(int(by_attribute.max()))
        lead = texts.FLIPS_OF_ATTRIBUTE.format(count=most, flips=plural(total, "flip"), attribute=name)
    else:
        lead = texts.FLIPS_CHANGED.format(predictions=plural(total, "prediction"))
    # The table starts with the most frequent change.
    top = flips.directions[flips.directions["attribute"] == name].iloc[0]
    images = plural(int(top["images"]), "image")
    return Advice(
        "flips",
        texts.FLIPS_DO if total > ENOUGH_JUDGED else texts.FLIPS_DO_ALL.format(flips=plural(total, "flip")),
        texts.FLIPS_SEEN.format(lead=lead, old=top["old"], new=top["new"], images=images),
        texts.FLIPS_WHY if total > ENOUGH_JUDGED else texts.FLIPS_WHY_ALL,
        texts.JUDGE_FLIPS,
        show=(name, str(top["old"]), str(top["new"])),
    )


def undecided(facts: Facts) -> Advice | None:
    """The difference may be chance."""
    comparison = facts.comparison
    if comparison is None or comparison.verdict != "can't tell" or comparison.n_groups < 2:
        return None
    if facts.run is not None and facts.config.train.solved:
        return None  # it is solved, not trained: every seed gives the same run
    settings = (f"train.seed={facts.config.train.seed + 1}",)
    delta, low, high = (signed(x) for x in (comparison.delta, comparison.low, comparison.high))
    return Advice(
        "seed",
        texts.SEED_DO,
        texts.SEED_SEEN.format(delta=delta, low=low, high=high),
        texts.SEED_WHY,
        train_with(facts.asked, *settings),
        settings,
        chance=RARELY,
        minutes=facts.minutes(),
        hope=max(comparison.high, 0.0),
    )


def blend(facts: Facts) -> Advice | None:
    """Other finished runs are right on images that this one gets wrong."""
    run = facts.run
    if run is None or not facts.to_blend:
        return None
    family = family_of(facts.config.model.name)
    # A run without a word has not predicted yet: it can be blended after `make infer`.
    named = [o for o in facts.to_blend if o.word is not None] or list(facts.to_blend)
    wanted = [o for o in named if o.family != family] or named
    first = wanted[0].asked if wanted[0].word is None else ()
    some_N = np.zeros(len(facts.truth_N), bool)
    for other in wanted:
        known = other.oof.with_classes(facts.space.classes).take(run.oof.ids_N)
        some_N |= known.p_NC.argmax(axis=1) == facts.truth_N
    fixed_N = some_N & facts.wrong_N
    if not fixed_N.any():
        return None  # such as a solved head with another seed, which answers the same
    names = ", ".join(dict.fromkeys(o.name for o in wanted))
    seen = texts.BLEND_ONE_SEEN if len(wanted) == 1 else texts.BLEND_SOME_SEEN
    fixed, wrong = count(int(fixed_N.sum())), count(int(facts.wrong_N.sum()))
    bound, bounded = facts.bound_of(fixed_N, texts.BLEND_BOUND)
    return Advice(
        "blend",
        texts.BLEND_DO.format(names=names),
        seen.format(names=names, fixed=fixed, wrong=wrong, run=run.name),
        texts.BLEND_FIRST_WHY if first else texts.BLEND_WHY,
        make_with("make infer", first) if first else facts.blend_with(*(other.word for other in wanted)),
        bound=bound,
        bounded=bounded,
        chance=MAYBE,
        minutes=1.0,
        hope=facts.gain_if_fixed(fixed_N),
    )


def another_family(facts: Facts) -> Advice | None:
    """All finished runs use networks of one family."""
    run = facts.run
    if run is None or not run.pixels:
        return None
    known = {family_of(facts.config.model.name), *(o.family for o in facts.others)}
    missing = [experiment for family, experiment in OTHER_FAMILIES.items() if family not in known]
    if len(known) > 1 or not missing:
        return None
    added = "+".join((missing[0], *facts.overlays))
    shared = facts.shared or facts.competition_words
    alone = make_with("make infer", shared, f"experiment={added}")
    return Advice(
        "family",
        texts.FAMILY_DO.format(experiment=added),
        texts.FAMILY_SEEN.format(family=next(iter(known)), runs=plural(1 + len(facts.others), "run")),
        texts.FAMILY_WHY,
        facts.blend_with(added) if facts.members else alone,
        chance=RARELY,
        minutes=facts.minutes(),
        hope=facts.second_guesses(),
    )


def family_of(model: str) -> str:
    """`resnet` of `resnet18`, `tf_efficientnet_lite` of `tf_efficientnet_lite0`: the name up to a digit."""
    bare = model.removeprefix("torchvision:").removeprefix("test_")
    return bare[: next((k for k, sign in enumerate(bare) if sign.isdigit()), len(bare))].rstrip("_")


RULES: tuple[Callable[[Facts], Advice | None], ...] = (
    frozen_size, confused_pair, weakest_class, scale_classes, overconfident, blend, another_family, undecided,
    most_flipped,
)  # fmt: skip
