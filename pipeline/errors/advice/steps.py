"""Rules that look for the next step of a run that is sound: each gives one piece of advice, or none.

Owns these steps. Does not own faults (`advice_faults.py`) nor the order (`advice.py`).

How likely a step is to help (`chance`) follows what single changes brought on the emoji demo (docs/log.md,
the recipe's fifteen arms: larger images +.046, focal, oversampling, smoothing and stronger augmentation −.003
to −.014) and what blending brought there (+.024): what lost there is still said, but late.
"""

from collections.abc import Callable

import numpy as np
from pydantic import TypeAdapter

from pipeline.errors.advice.facts import Advice, Facts
from pipeline.errors.diff.flips import CLASS, changes
from pipeline.errors.diff.mistakes import SURE, ConfusedPair
from pipeline.pages.command_words import make_with, train_with
from pipeline.pages.report import count, percent, plural, signed
from pipeline.settings.fields import Side
from pipeline.settings.schema import Config

FEW_IMAGES = 0.5
MUCH_OVERCONFIDENCE = 0.05
LARGER = 1.5
WORTH_IT = 1.1  # less of a larger side shows no detail that was not there
LARGEST_SIDE = int(TypeAdapter(Side).json_schema()["maximum"])
LOOK_AT_ERRORS = "see Images under Out of fold in the report"
LOOK_AT_PAIRS = "see Confused pairs in the report"
JUDGE_FLIPS = "see Judging in the report"
# Where the report has them: ids of its HTML.
ANCHORS = {LOOK_AT_ERRORS: "errors", LOOK_AT_PAIRS: "pairs", JUDGE_FLIPS: "judging"}
ENSEMBLE = "make ensemble"
# Small networks of other families, quick to train from scratch: what a blend of one family lacks.
OTHER_FAMILIES = {"resnet": "tiny_resnet", "mobilenetv": "small_cnn"}
# Losses that weigh hard or rare images already.
WEIGHED = ("focal", "logit_adjustment", "balanced_softmax", "ldam")
LIKELY, MAYBE, RARELY = 0.5, 0.1, 0.05


def confused_pair(facts: Facts) -> Advice | None:
    """The commonest confusion: larger images, or a look at what cannot be told apart."""
    mistakes, space = facts.mistakes, facts.space
    if mistakes is None or not mistakes.pairs or facts.run is None:
        return None
    pair = mistakes.pairs[0]
    back = next((p for p in mistakes.pairs if (p.true, p.predicted) == (pair.predicted, pair.true)), None)
    sentence = (
        f"“{space.classes[pair.true]}” is taken for “{space.classes[pair.predicted]}” "
        f"{plural(pair.images, 'time')}, {percent(pair.share)} of its images"
        + (f"; the other way round {plural(back.images, 'time')}." if back else ".")
    )
    changed = [name for name, _, _ in changes(space, pair.true, pair.predicted)]
    lost = f"They differ in {' and '.join(changed)}. " if len(space.attributes) > 1 else ""
    size = larger(facts.config)
    if size is None:
        return _look_at(facts, pair, sentence, lost)
    # Larger images change every answer, not only those of the pair.
    bound, bounded = facts.second_guesses()
    return Advice(
        "pair",
        f"Show larger images: {size} px",
        sentence,
        f"{lost}Larger images show more detail; if you cannot tell the pictures under Confused pairs apart "
        "either, the labels are the limit.",
        train_with(facts.asked, f"images.size={size}"),
        (f"images.size={size}",),
        bound,
        bounded,
        LIKELY,
        facts.minutes_at(_area(size, facts.config)),
    )


def _look_at(facts: Facts, pair: ConfusedPair, sentence: str, lost: str) -> Advice:
    """What is left for a pair where images cannot be larger."""
    two = (pair.true, pair.predicted)
    both_N = facts.wrong_N & np.isin(facts.truth_N, two) & np.isin(facts.answer_N, two)
    most = min(facts.config.images.cache_px, LARGEST_SIDE)
    return Advice(
        "pair",
        "Look at the pair confused most",
        sentence,
        f"{lost}Look at the pictures under Confused pairs: if a detail decides, a crop of it may help, as "
        f"images cannot be much larger than now (at most {most} px); if you cannot tell either, the labels "
        "are the limit.",
        LOOK_AT_PAIRS,
        bound=facts.mended(both_N),
        bounded=f"if all {count(int(both_N.sum()))} errors of this pair were right",
        chance=MAYBE,
        minutes=1.0,
    )


def larger(config: Config) -> str | None:
    """The next size to try; None where the cache or the schema leaves hardly any room."""
    height, width = config.images.hw
    most = min(config.images.cache_px, LARGEST_SIDE)
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
    """The class with the worst F1, where more weight or more varied images may help."""
    if facts.mistakes is None or not facts.mistakes.n_wrong or facts.run is None:
        return None
    table = facts.mistakes.tables[CLASS]
    row = table[table["images"] > 0].iloc[0]
    sentence = (
        f"“{row[CLASS]}” is the weakest class: F1 {row['F1']:.2f} (recall {row['recall']:.2f}, "
        f"precision {row['precision']:.2f}) on {plural(int(row['images']), 'image')} "
        f"of {plural(int(row['groups']), 'group')}."
    )
    code = facts.space.classes.index(str(row[CLASS]))
    its_N = facts.wrong_N & ((facts.truth_N == code) | (facts.answer_N == code))
    rare = bool(row["images"] < FEW_IMAGES * table["images"].median())
    do, reason, settings = _for_weak_class(facts, rare)
    longer = (
        table["images"].max() * len(table) / table["images"].sum()
        if settings[:1] == ("resample.method=over",)
        else 1.0
    )
    return Advice(
        "weakest",
        do,
        sentence,
        reason,
        train_with(facts.asked, *settings) if settings else LOOK_AT_ERRORS,
        settings,
        facts.mended(its_N),
        f"if its {count(int(its_N.sum()))} errors, both ways, were right",
        RARELY,
        facts.minutes(float(longer)) if settings else 1.0,
    )


def _for_weak_class(facts: Facts, rare: bool) -> tuple[str, str, tuple[str, ...]]:
    """What to do, why, and the settings; none where there is only looking left."""
    if rare and facts.config.resample.method == "none":
        settings = ("resample.method=over", "resample.to=balanced")
        return "Repeat images of rare classes", "It is rare: show it as often as the others.", settings
    if facts.config.loss.name not in WEIGHED:
        why = "It is rare even after resampling" if rare else "It is hard rather than rare"
        return "Weigh difficult images more", f"{why}: weigh difficult images more.", ("loss.name=focal",)
    now = facts.config.augment.policy
    left = facts.policies[facts.policies.index(now) + 1 :] if now in facts.policies else facts.policies
    if not left:
        return (
            "Look at the weakest class",
            "More weight is on already and will not do; look at its images.",
            (),
        )
    reason = "More weight is on already: more varied images may help more."
    return f"Augment more: {left[0]}", reason, (f"augment.policy={left[0]}",)


def overconfident(facts: Facts) -> Advice | None:
    """Sure and wrong."""
    mistakes = facts.mistakes
    if mistakes is None or facts.run is None:
        return None
    reliability = mistakes.reliability
    if not mistakes.sure_wrong or reliability.excess <= 0 or reliability.error < MUCH_OVERCONFIDENCE:
        return None
    now = facts.config.loss.label_smoothing
    settings = ("loss.label_smoothing=0.1",) if now == 0 else ()
    reason = "An over-sure member outvotes others in a blend; some may be wrong labels: see Labels."
    return Advice(
        "oversure",
        "Smooth the labels" if settings else "Look at confident errors",
        f"{count(mistakes.sure_wrong)} of {plural(mistakes.n_wrong, 'error')} were made with at least "
        f"{percent(SURE)} confidence; on average confidence is off by {percent(reliability.error)}.",
        reason if settings else f"{reason} `loss.label_smoothing={now}` is already on.",
        train_with(facts.asked, *settings) if settings else LOOK_AT_ERRORS,
        settings,
        facts.mended(facts.wrong_N & (facts.p_NC.max(axis=1) >= SURE)),
        "if all errors made so surely were right",
        RARELY,
        facts.minutes() if settings else 1.0,
    )


def most_flipped(facts: Facts) -> Advice | None:
    """Where the new submission changed most: twenty judged by eye give an estimate."""
    flips, space = facts.flips, facts.space
    if flips is None or not len(flips.images):
        return None
    total = len(flips.images)
    by_attribute = flips.directions.groupby("attribute")["images"].sum()
    name = str(by_attribute.idxmax())
    lead = (
        f"{count(int(by_attribute.max()))} of {plural(total, 'flip')} change {name}"
        if len(space.attributes) > 1
        else f"{plural(total, 'prediction')} changed"
    )
    # The table is ordered, commonest first: the first row of this attribute is its commonest way.
    top = flips.directions[flips.directions["attribute"] == name].iloc[0]
    return Advice(
        "flips",
        "Judge twenty flips by eye",
        f"{lead}; the commonest way is {top['old']} → {top['new']}, {plural(int(top['images']), 'image')}.",
        "Under Judging you say what you see, both answers hidden; from twenty on that gives the difference "
        "with an interval.",
        JUDGE_FLIPS,
        show=(name, str(top["old"]), str(top["new"])),
    )


def undecided(facts: Facts) -> Advice | None:
    """The difference may be chance."""
    comparison = facts.comparison
    if comparison is None or comparison.verdict != "can't tell" or comparison.n_groups < 2:
        return None
    settings = (f"train.seed={facts.config.train.seed + 1}",)
    return Advice(
        "seed",
        "Train once more with another seed",
        f"The difference of {signed(comparison.delta)} may be chance: its interval, "
        f"{signed(comparison.low)} to {signed(comparison.high)}, contains zero.",
        "Another seed makes a second run of the same settings. `make runs` shows both scores: if they lie "
        "as far apart as this difference, it says nothing.",
        train_with(facts.asked, *settings),
        settings,
        max(comparison.high, 0.0),
        "the interval's upper end",
        RARELY,
        facts.minutes(),
    )


def blend(facts: Facts) -> Advice | None:
    """What other finished runs know that this one does not."""
    run = facts.run
    if run is None or facts.blended:
        return None
    family = family_of(facts.config.model.name)
    wanted = [o for o in facts.others if o.family != family] or list(facts.others)
    if wanted:
        some_N = np.zeros(len(facts.truth_N), bool)
        for other in wanted:
            known = other.oof.with_classes(facts.space.classes).take(run.oof.ids_N)
            some_N |= known.p_NC.argmax(axis=1) == facts.truth_N
        fixed_N = some_N & facts.wrong_N
        names = ", ".join(dict.fromkeys(o.name for o in wanted))
        about = tuple(word for word in facts.asked if word.startswith("competition="))
        return Advice(
            "blend",
            f"Let {names} vote with it",
            f"{names} {'is' if len(wanted) == 1 else 'are'} right on {count(int(fixed_N.sum()))} of the "
            f"{count(int(facts.wrong_N.sum()))} images that {run.name} gets wrong.",
            "Runs that err elsewhere vote better together; what is finished is not trained again.",
            make_with(ENSEMBLE, about, "ensemble.members=[auto]"),
            (),
            facts.mended(fixed_N),
            "if every vote found the run that is right",
            MAYBE,
            1.0,
        )
    return None


def another_family(facts: Facts) -> Advice | None:
    """A blend, or a run, to which no other family of networks contributes."""
    run = facts.run
    if run is None or not run.pixels:
        return None
    known = {family_of(facts.config.model.name), *(o.family for o in facts.others)}
    missing = [experiment for family, experiment in OTHER_FAMILIES.items() if family not in known]
    if len(known) > 1 or not missing:
        return None
    bound, bounded = facts.second_guesses()
    about = tuple(word for word in facts.asked if word.startswith("competition="))
    return Advice(
        "family",
        f"Add another family: {missing[0]}",
        f"Every finished run on these folds is of one family, {next(iter(known))} "
        f"({1 + len(facts.others)} in all).",
        "Networks of one family err alike; a blend gains most from one that errs elsewhere.",
        make_with(ENSEMBLE, about, f"ensemble.members=[{run.name},{missing[0]}]"),
        (),
        bound,
        bounded,
        RARELY,
        facts.minutes(),
    )


def family_of(model: str) -> str:
    """`resnet` of `resnet18`, `tf_efficientnet_lite` of `tf_efficientnet_lite0`: the name up to a digit."""
    bare = model.removeprefix("torchvision:").removeprefix("test_")
    return bare[: next((k for k, sign in enumerate(bare) if sign.isdigit()), len(bare))].rstrip("_")


RULES: tuple[Callable[[Facts], Advice | None], ...] = (
    confused_pair, weakest_class, overconfident, blend, another_family, undecided, most_flipped,
)  # fmt: skip
