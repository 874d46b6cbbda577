"""Rules that look for faults of a run: each reads the facts and gives one piece of advice, or none.

Owns six faults and their thresholds. Does not own possible improvements of a sound run (`steps.py`), the
order (`advisor.py`) nor the words (`texts.py`). `benchmarks/advice.py` plants each fault; a comment says
which thresholds were chosen from its runs.

Shape legend: N out-of-fold images, C classes.
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from pipeline.core.targets import EXCLUSIVE
from pipeline.errors import texts
from pipeline.errors.advice.facts import Advice, Bools, Facts, TrainingFacts, metric_words
from pipeline.pages.command_words import make_with, train_with
from pipeline.pages.report import count, percent, plural
from pipeline.submit.gap.scene import Cause

# Epochs. There are too few if three things hold: the training loss is hardly lower than the validation loss
# (gap, as a share of the validation loss), much is left to learn (as a share of the loss of a random guess),
# and a curve still falls (by this share in the last third of the epochs). benchmarks/advice: gap .14 and left
# .98 if stopped at a fifth of the epochs, gap .80 and left .28 for a healthy run; lite0 on emoji, where twice
# the epochs helped: gap .12, left .36.
SMALL_GAP, MUCH_LEFT, STILL_FALLING = 0.25, 0.3, 0.05
MORE_EPOCHS = 3
# Augmentation. Without it, a training loss below this share of the validation loss means that the run
# memorises its images (benchmarks/advice: .05 against .77 without augmentation, .13 against .65 with it).
MEMORISED = 0.5
LEARNED = 0.1  # below this share of the loss of a random guess, the validation loss needs no fix
# Labels. The error rate of the most confident tenth (of at least FEWEST_CONFIDENT images) must be at least
# FLOOR, and at least FLAT times that of the more confident half. A hard task has few errors there (lite0 on
# emoji: 0 % of the most confident tenth, 5 % of the more confident half; a weak CNN 13 % and 41 %).
CONFIDENT_TENTH, CONFIDENT_HALF = 0.1, 0.5
# With a tenth of the labels changed: 11 % and 14 to 16 %; healthy 0 to 1 % and 3 % (benchmarks/advice).
# Above MOST_FLIPPED the run is too weak to say anything about the labels.
FEWEST_CONFIDENT, FLOOR, FLAT, MOST_FLIPPED = 90, 0.03, 0.5, 0.3
# Normalisation. Pixels are in [0, 1]: with the mean and standard deviation of ImageNet, the mean of an image
# is within [-2.2, 2.7] and its standard deviation at most 2.3; at 0.1 a channel hardly varies. Weights made
# with (.5, .5) are off by .78 with the values of ImageNet, and by about .3 with a data set's own values.
FAR, WIDE, NARROW, OFF = 3.0, 3.0, 0.1, 0.5
# Imbalance. Ratio of the largest to the smallest class; a class is rare below this share of the median; rare
# classes are lost if their recall is lower than that of the others by this much.
UNEVEN, RARE, LOST = 5.0, 0.5, 0.1
# Metrics that count a rare class as much as a frequent one.
BY_CLASS = ("macro_f1", "balanced_accuracy")
FREQUENCY_AWARE = ("logit_adjustment", "balanced_softmax", "ldam", "soft_f1")
# Leaks: with this effect on the score, or with a group on both sides of a fold, other figures are untrue.
SPOILS = 0.05
LEAKS = ("group_leak", "duplicates")


def _share_of_guess(facts: Facts, loss: float) -> float:
    """A loss as a share of that of a random guess; of other targets than classes, of the first epoch's."""
    if facts.space.kind != EXCLUSIVE and facts.run is not None:
        return loss / max(float(facts.run.curves["valid_loss"].iloc[0]), 1e-9)
    return loss / math.log(max(facts.space.n_classes, 2))


def too_few_epochs(facts: Facts) -> Advice | None:
    """A curve still falls when training ends."""
    run = facts.run
    if run is None or run.curves.empty or run.config.train.solved:
        return None
    last = run.curves.iloc[-1]
    gap = 1 - last["train_loss"] / max(last["valid_loss"], 1e-9)
    left = _share_of_guess(facts, float(last["valid_loss"]))
    n_epochs, asked = len(run.curves), run.config.train.epochs
    if run.config.train.early_stopping is not None and n_epochs < asked:
        return None  # an inner split ended the training: more epochs would end at the same place
    before = run.curves.iloc[max(math.ceil(n_epochs * 2 / 3) - 1, 0)]
    fallen = max(1 - last[name] / max(before[name], 1e-9) for name in ("train_loss", "valid_loss"))
    falling = n_epochs < 3 or fallen >= STILL_FALLING
    if gap > SMALL_GAP or left < MUCH_LEFT or not falling:
        return None
    more = asked * MORE_EPOCHS
    return Advice(
        "epochs",
        texts.EPOCHS_DO.format(more=more, now=asked),
        (texts.EPOCHS_FALLEN if n_epochs > 2 else texts.EPOCHS_SEEN).format(
            run=run.name,
            epochs=plural(asked, "epoch"),
            valid=last["valid_loss"],
            train=last["train_loss"],
            fallen=percent(fallen),
        ),
        texts.EPOCHS_WHY,
        train_with(facts.asked, f"train.epochs={more}"),
        (f"train.epochs={more}",),
        chance=0.4,
        minutes=facts.minutes(MORE_EPOCHS),
        hope=facts.second_guesses(),
    )


def no_augmentation(facts: Facts) -> Advice | None:
    """Training sees the same pixels in every epoch, and memorises them."""
    run = facts.run
    if run is None or not run.pixels or run.curves.empty or not facts.policies:
        return None
    if run.config.augment.policy != "none" or run.config.train.mix.method != "none":
        return None
    last = run.curves.iloc[-1]
    if last["train_loss"] > MEMORISED * last["valid_loss"]:
        return None
    if _share_of_guess(facts, float(last["valid_loss"])) < LEARNED:
        return None
    forbidden = any("hflip" in a.forbids for a in facts.config.competition.attributes)
    policy = "upright" if forbidden else "light"
    return Advice(
        "augmentation",
        texts.AUGMENT_DO.format(policy=policy),
        texts.AUGMENT_SEEN.format(run=run.name, train=last["train_loss"], valid=last["valid_loss"]),
        texts.AUGMENT_WHY,
        train_with(facts.asked, f"augment.policy={policy}"),
        (f"augment.policy={policy}",),
        chance=0.4,
        minutes=facts.minutes(),
        hope=facts.second_guesses(),
    )


def leaky_folds(facts: Facts) -> Advice | None:
    """Images of one group, or copies, are on both sides of a fold: scores and comparisons are too good."""
    if facts.straddling:
        return Advice(
            "leak",
            texts.GROUPS_DO,
            texts.GROUPS_SEEN.format(share=percent(facts.straddling)),
            texts.GROUPS_WHY,
            train_with(facts.asked, "folds.kind=stratified_group"),
            ("folds.kind=stratified_group",),
            bound=0.0,
            bounded=texts.LEAK_BOUND,
            chance=1.0,
            minutes=facts.minutes(),
            spoils=True,
        )
    # Copies in the test set make the leaderboard too good, which no setting changes.
    leak = next((c for c in facts.leaks if c.found and c.kind in LEAKS and not _of_test_set(facts, c)), None)
    if leak is None:
        return None
    return Advice(
        "leak",
        texts.LEAK_DO,
        leak.headline,
        leak.answer,
        make_with("make eda", facts.competition_words),
        bound=0.0,
        bounded=texts.LEAK_BOUND,
        chance=1.0,
        spoils=leak.effect is not None and abs(leak.effect) >= SPOILS,
    )


def _of_test_set(facts: Facts, cause: Cause) -> bool:
    """Whether a cause makes the public score better than the out-of-fold one."""
    return bool(cause.direction * facts.metric.sign > 0)


def flipped_labels(facts: Facts) -> Advice | None:
    """Confidence does not help: the most confident answers are wrong about as often as the others.

    The risk-coverage curve of selective classification (El-Yaniv & Wiener 2010,
    https://jmlr.org/papers/v11/el-yaniv10a.html): a hard image makes a model unsure, a wrong label does not.
    """
    if facts.run is None:
        return None
    confidence_N = facts.p_NC.max(axis=1)
    order = np.argsort(-confidence_N, kind="stable")
    tenth, half = (order[: round(len(order) * share)] for share in (CONFIDENT_TENTH, CONFIDENT_HALF))
    if len(tenth) < FEWEST_CONFIDENT:
        tenth = order[:FEWEST_CONFIDENT]
    if len(tenth) > len(half):
        return None
    wrong_N = facts.wrong_N
    floor, risk = float(wrong_N[tenth].mean()), float(wrong_N[half].mean())
    # A tenth of the images is a small sample: the lower end of a one-sided 95 % interval must reach FLOOR.
    error = math.sqrt(floor * (1 - floor) / len(tenth))
    if not FLOOR <= floor - 1.6 * error < floor <= MOST_FLIPPED or floor < FLAT * risk:
        return None
    suspect_N = suspects(facts)
    bound, bounded = facts.bound_of(suspect_N, texts.LABELS_BOUND)
    patched = "competition.label_patches=label_patches.csv"
    # With patches already, the same command would train the same run again: the file must grow first.
    is_patched = facts.config.competition.label_patches is not None
    return Advice(
        "labels",
        texts.LABELS_DO,
        texts.LABELS_SEEN.format(floor=percent(floor), tenth=count(len(tenth)), risk=percent(risk)),
        texts.LABELS_MORE_WHY if is_patched else texts.LABELS_WHY,
        texts.LOOK_AT_LABELS if is_patched else train_with(facts.asked, patched),
        () if is_patched else (patched,),
        bound,
        bounded,
        chance=0.5,
        minutes=facts.minutes(),
        hope=facts.gain_if_fixed(suspect_N),
    )


def suspects(facts: Facts) -> Bools:
    """(N,) suspicious labels, by confident learning.

    A label is suspicious if the probability of another class is at least the mean probability that images
    with that label have, and larger than the probability of its own class (Northcutt et al. 2021,
    https://arxiv.org/abs/1911.00068).
    """
    p_NC, y_N = facts.p_NC, facts.truth_N
    own_N = p_NC[np.arange(len(y_N)), y_N]
    mean_C = np.array([own_N[y_N == c].mean() if (y_N == c).any() else np.inf for c in range(p_NC.shape[1])])
    best_N = np.where(p_NC >= mean_C, p_NC, -1.0).argmax(axis=1)
    above_N = p_NC[np.arange(len(y_N)), best_N] >= mean_C[best_N]
    return np.asarray(above_N & (best_N != y_N) & (p_NC[np.arange(len(y_N)), best_N] > own_N))


def wrong_normalisation(facts: Facts) -> Advice | None:
    """The first layer gets pixel values that no image should have."""
    run = facts.run
    if run is None or run.input is None:
        return None
    seen = run.input
    far = abs(seen.mean) > FAR or seen.std > WIDE or seen.std < NARROW
    if not far and seen.off <= OFF:
        return None
    own = run.config.model.mean is not None
    settings = ("model.mean=null", "model.std=null") if own else ()
    mean, std = (text.replace("-", "−") for text in (f"{seen.mean:+.2f}", f"{seen.std:.3g}"))
    return Advice(
        "normalisation",
        texts.NORMALISATION_DO,
        texts.NORMALISATION_FAR.format(run=run.name, mean=mean, std=std)
        if far
        else texts.NORMALISATION_OFF.format(run=run.name, off=seen.off),
        texts.NORMALISATION_OWN_WHY if own else texts.NORMALISATION_OTHER_WHY,
        train_with(facts.asked, *settings) if own else make_with("make preview", facts.asked),
        settings,
        chance=0.6,
        minutes=facts.minutes() if own else 1.0,
        hope=facts.second_guesses(),
    )


def unhandled_imbalance(facts: Facts) -> Advice | None:
    """Rare classes have a low recall, the metric counts them like the others, and training ignores it."""
    run = facts.run
    if run is None or facts.config.competition.metric not in BY_CLASS or balances(run):
        return None
    counts = pd.Series(facts.truth_N).value_counts()
    rare = counts.index[counts < RARE * counts.median()]
    if counts.max() < UNEVEN * counts.min() or not len(rare):
        return None
    rare_N = np.isin(facts.truth_N, rare)
    right_N = ~facts.wrong_N
    recall, other = float(right_N[rare_N].mean()), float(right_N[~rare_N].mean())
    predicted = int(np.isin(facts.answer_N, rare).sum())
    if other - recall < LOST or predicted >= rare_N.sum():
        return None
    over = ("resample.method=over", "resample.to=balanced")
    settings = over if run.solved else ("loss.name=logit_adjustment",)
    factor = float(counts.max() * len(counts) / counts.sum()) if run.solved else 1.0
    metric = metric_words(facts.config)
    bound, bounded = facts.bound_of(rare_N, texts.RARE_BOUND)
    return Advice(
        "imbalance",
        texts.RARE_DO,
        texts.RARE_SEEN.format(
            classes=plural(len(rare), "rare class"),
            most=count(int(counts[rare].max())),
            largest=count(int(counts.max())),
            recall=percent(recall),
            other=percent(other),
        ),
        texts.RARE_WHY.format(metric=metric[:1].upper() + metric[1:]),
        train_with(facts.asked, *settings),
        settings,
        bound,
        bounded,
        chance=0.4,
        minutes=facts.minutes(factor),
        hope=facts.gain_if_fixed(rare_N),
    )


def balances(run: TrainingFacts) -> bool:
    """Whether training already accounts for rare classes."""
    config = run.config
    losses = [config.loss, *config.loss.attributes.values()]
    weighed = any(one.class_weights != "none" or one.name in FREQUENCY_AWARE for one in losses)
    return weighed or config.resample.method != "none" or config.train.mix.partner == "minority"


RULES: tuple[Callable[[Facts], Advice | None], ...] = (
    leaky_folds, wrong_normalisation, flipped_labels, too_few_epochs, unhandled_imbalance, no_augmentation,
)  # fmt: skip
