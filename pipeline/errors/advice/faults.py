"""Rules that look for something wrong: each reads the facts and gives one piece of advice, or none.

Owns six faults and their thresholds. Does not own what could merely be better (`advice_steps.py`) nor the
order (`advice.py`). `benchmarks/advice.py` plants each of them; where a threshold was read off its runs, it
says so.

Legend: N out-of-fold images, C classes.
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from pipeline.errors.advice.facts import Advice, Bools, Facts, Training
from pipeline.pages.command_words import make_with, train_with
from pipeline.pages.report import count, percent, plural

# Epochs. Too few when training fits hardly better than validation (the gap as a share of the validation
# loss), there is much left to fit (share of the loss of a guess), and a curve still falls: what the last
# third of the epochs took off the loss. benchmarks/advice: gap .14 and left .98 when stopped at a fifth, gap
# .80 and left .28 when healthy; lite0 on emoji, which twice the epochs helped: gap .12, left .36.
SMALL_GAP, MUCH_LEFT, STILL_FALLING = 0.25, 0.3, 0.05
MORE_EPOCHS = 3
# Augmentation. Without any, a training loss below this share of the validation loss says that the run
# remembers rather than learns (benchmarks/advice: .05 of .77 without, .13 of .65 with some).
REMEMBERED = 0.5
LEARNED = 0.1  # a validation loss below this share of a guess's leaves nothing to mend
# Labels. Errors among the surest answers: the surest tenth, when it holds so many images, must be wrong at
# least this often, and at least so often compared with the surest half. A hard task has few errors there
# (lite0 on emoji: 0 % of the surest tenth, 5 % of the surest half; a weak CNN 13 % and 41 %).
SUREST, SURER = 0.1, 0.5
# With a tenth of the labels flipped: 11 % and 14 to 16 %; healthy 0 to 1 % and 3 % (benchmarks/advice).
# Above MOST_FLIPPED it is the run that knows nothing yet, not the labels.
FEWEST_SURE, FLOOR, FLAT, MOST_FLIPPED = 90, 0.03, 0.5, 0.3
# Normalisation. Pixels lie in [0, 1]: with ImageNet's figures no picture's mean can leave [-2.2, 2.7], no
# standard deviation exceed 2.3; a tenth of 1 is a channel that hardly varies. Weights made with (.5, .5)
# under ImageNet's figures are off by .78, a data set's own figures by about .3.
FAR, WIDE, NARROW, OFF = 3.0, 3.0, 0.1, 0.5
# Imbalance. Largest to smallest class; rare: below half of the median; their recall below that of the others.
UNEVEN, RARE, LOST = 5.0, 0.5, 0.1
# Metrics in which a rare class counts as much as a frequent one.
BY_CLASS = ("macro_f1", "balanced_accuracy")
FREQUENCY_AWARE = ("logit_adjustment", "balanced_softmax", "ldam", "soft_f1")
# Leaks: from this effect on the score (or with groups on both sides) other figures mean nothing any more.
SPOILS = 0.05
LEAKS = ("group_leak", "duplicates")


def _share_of_guess(facts: Facts, loss: float) -> float:
    return loss / math.log(max(facts.space.n_classes, 2))


def too_few_epochs(facts: Facts) -> Advice | None:
    """The curves still rise when training ends."""
    run = facts.run
    if run is None or run.curves.empty or run.config.train.head == "logistic":
        return None
    last = run.curves.iloc[-1]
    gap = 1 - last["train_loss"] / max(last["valid_loss"], 1e-9)
    left = _share_of_guess(facts, float(last["valid_loss"]))
    n_epochs, asked = len(run.curves), run.config.train.epochs
    before = run.curves.iloc[max(math.ceil(n_epochs * 2 / 3) - 1, 0)]
    fallen = max(1 - last[name] / max(before[name], 1e-9) for name in ("train_loss", "valid_loss"))
    falling = n_epochs < 3 or fallen >= STILL_FALLING
    if gap > SMALL_GAP or left < MUCH_LEFT or not falling:
        return None
    more = asked * MORE_EPOCHS
    bound, bounded = facts.second_guesses()
    then = f", and the loss fell by {percent(fallen)} in the last third of the epochs" if n_epochs > 2 else ""
    return Advice(
        "epochs",
        f"Train longer: {more} epochs instead of {asked}",
        f"{run.name} stops too early: after {plural(asked, 'epoch')} its validation loss, "
        f"{last['valid_loss']:.2f}, is hardly above that of training, {last['train_loss']:.2f}{then}.",
        "It has not learned what it could yet.",
        train_with(facts.asked, f"train.epochs={more}"),
        (f"train.epochs={more}",),
        bound,
        bounded,
        chance=0.4,
        minutes=facts.minutes(MORE_EPOCHS),
    )


def no_augmentation(facts: Facts) -> Advice | None:
    """Training sees the same pixels in every epoch, and remembers them."""
    run = facts.run
    if run is None or not run.pixels or run.curves.empty or not facts.policies:
        return None
    if run.config.augment.policy != "none" or run.config.train.mix.method != "none":
        return None
    last = run.curves.iloc[-1]
    if last["train_loss"] > REMEMBERED * last["valid_loss"]:
        return None
    if _share_of_guess(facts, float(last["valid_loss"])) < LEARNED:
        return None
    forbidden = any("hflip" in a.forbids for a in facts.config.competition.attributes)
    policy = "upright" if forbidden else "light"
    bound, bounded = facts.second_guesses()
    return Advice(
        "augmentation",
        f"Turn augmentation on: {policy}",
        f"{run.name} remembers its images: training loss {last['train_loss']:.2f}, validation loss "
        f"{last['valid_loss']:.2f}, and no augmentation is on.",
        "Images that are turned, moved or mirrored a little are new ones each epoch.",
        train_with(facts.asked, f"augment.policy={policy}"),
        (f"augment.policy={policy}",),
        bound,
        bounded,
        chance=0.4,
        minutes=facts.minutes(),
    )


def leaky_folds(facts: Facts) -> Advice | None:
    """Relatives of validation images train: the score is too good, and so is every comparison."""
    if facts.straddling:
        return Advice(
            "leak",
            "Deal whole groups into folds",
            f"The folds leak: the group of {percent(facts.straddling)} of the validation images trains too.",
            "The network recognises the thing and not the class; until this is mended no out-of-fold score "
            "or comparison means what it says, and the score will fall.",
            train_with(facts.asked, "folds.kind=stratified_group"),
            ("folds.kind=stratified_group",),
            bound=0.0,
            bounded="the score becomes true, not better",
            chance=1.0,
            minutes=facts.minutes(),
            spoils=True,
        )
    found = next((c for c in facts.leaks if c.found and c.kind in LEAKS), None)
    if found is None:
        return None
    about = [word for word in facts.asked if word.startswith("competition=")]
    return Advice(
        "leak",
        "Mend the folds",
        found.headline,
        found.answer,
        make_with("make eda", tuple(about)),
        bound=0.0,
        bounded="the score becomes true, not better",
        chance=1.0,
        spoils=found.effect is not None and abs(found.effect) >= SPOILS,
    )


def flipped_labels(facts: Facts) -> Advice | None:
    """Being sure does not help: as many errors among the surest answers as among the others.

    The risk-coverage curve of selective classification (El-Yaniv & Wiener 2010,
    https://jmlr.org/papers/v11/el-yaniv10a.html): what is hard makes a model unsure, a wrong label does not.
    """
    if facts.run is None:
        return None
    sure_N = facts.p_NC.max(axis=1)
    order = np.argsort(-sure_N, kind="stable")
    surest, surer = (order[: round(len(order) * share)] for share in (SUREST, SURER))
    if len(surest) < FEWEST_SURE:
        surest = order[:FEWEST_SURE]
    if len(surest) > len(surer):
        return None
    wrong_N = facts.wrong_N
    floor, risk = float(wrong_N[surest].mean()), float(wrong_N[surer].mean())
    # One-sided 5 % away from what is tolerated, as a tenth of the images is a small sample.
    error = math.sqrt(floor * (1 - floor) / len(surest))
    if not FLOOR <= floor - 1.6 * error < floor <= MOST_FLIPPED or floor < FLAT * risk:
        return None
    suspect_N = suspects(facts)
    patched = "competition.label_patches=label_patches.csv"
    return Advice(
        "labels",
        "Mend labels that look wrong",
        f"About {percent(floor)} of the labels look wrong: so many of the surest {count(len(surest))} "
        f"answers disagree with their label, and {percent(risk)} of the surest half.",
        "What is hard makes a model unsure; a wrong label does not. Look at the suspects in the report, keep "
        "the patches you agree with as label_patches.csv beside the training table, and train on them.",
        train_with(facts.asked, patched),
        (patched,),
        facts.mended(suspect_N),
        f"if the {count(int(suspect_N.sum()))} labels most in doubt were wrong and are mended",
        chance=0.5,
        minutes=facts.minutes(),
    )


def suspects(facts: Facts) -> Bools:
    """(N,) labels in doubt by confident learning.

    An image counts for another class when its probability is at least the mean that the images labelled so
    have for it, and larger than for its own (Northcutt et al. 2021, https://arxiv.org/abs/1911.00068).
    """
    p_NC, y_N = facts.p_NC, facts.truth_N
    own_N = p_NC[np.arange(len(y_N)), y_N]
    mean_C = np.array([own_N[y_N == c].mean() if (y_N == c).any() else np.inf for c in range(p_NC.shape[1])])
    best_N = np.where(p_NC >= mean_C, p_NC, -1.0).argmax(axis=1)
    above_N = p_NC[np.arange(len(y_N)), best_N] >= mean_C[best_N]
    return np.asarray(above_N & (best_N != y_N) & (p_NC[np.arange(len(y_N)), best_N] > own_N))


def wrong_normalisation(facts: Facts) -> Advice | None:
    """The first layer gets pixels that no picture should give."""
    run = facts.run
    if run is None or run.input is None:
        return None
    seen = run.input
    far = abs(seen.mean) > FAR or seen.std > WIDE or seen.std < NARROW
    if not far and seen.off <= OFF:
        return None
    bound, bounded = facts.second_guesses()
    own = run.config.model.mean is not None
    settings = ("model.mean=null", "model.std=null") if own else ()
    how = f"mean {seen.mean:+.2f} and standard deviation {seen.std:.3g} in its worst channel".replace(
        "-", "−"
    )
    return Advice(
        "normalisation",
        "Mend the normalisation",
        f"{run.name} gets pixels of {how.replace('-', '−')}, where 0 and 1 are meant."
        if far
        else f"{run.name} normalises otherwise than its weights were made with (by {seen.off:.2f} of their "
        "standard deviation).",
        "The normalisation does not fit: pixels come as 0 to 1, and `model.mean` and `model.std` are of that "
        "range. Without them a network gets what its weights were made with."
        if own
        else "Look at what changes the pixels before (`preprocess`, `crop`), and at the `pretrained_cfg` of "
        "a network of your own.",
        train_with(facts.asked, *settings) if own else make_with("make preview", facts.asked),
        settings,
        bound,
        bounded,
        chance=0.6,
        minutes=facts.minutes() if own else 1.0,
    )


def unhandled_imbalance(facts: Facts) -> Advice | None:
    """Rare classes are lost, the metric counts them as much as the others, and nothing is done about it."""
    run = facts.run
    if run is None or facts.config.competition.metric not in BY_CLASS or _balances(run):
        return None
    counts = pd.Series(facts.truth_N).value_counts()
    rare = counts.index[counts < RARE * counts.median()]
    if counts.max() < UNEVEN * counts.min() or not len(rare):
        return None
    rare_N = np.isin(facts.truth_N, rare)
    right_N = ~facts.wrong_N
    seen, other = float(right_N[rare_N].mean()), float(right_N[~rare_N].mean())
    given = int(np.isin(facts.answer_N, rare).sum())
    if other - seen < LOST or given >= rare_N.sum():
        return None
    solved = run.config.train.head == "logistic" and not run.pixels
    settings = ("resample.method=over", "resample.to=balanced") if solved else ("loss.name=logit_adjustment",)
    factor = float(counts.max() * len(counts) / counts.sum()) if solved else 1.0
    return Advice(
        "imbalance",
        "Tell training about the rare classes",
        f"{plural(len(rare), 'rare class', 'rare classes')} (at most {count(int(counts[rare].max()))} images "
        f"each, the largest has {count(int(counts.max()))}) {'is' if len(rare) == 1 else 'are'} recognised "
        f"{percent(seen)} of the time, the others {percent(other)}.",
        f"{facts.metric_name[:1].upper()}{facts.metric_name[1:]} counts a rare class as much as the largest, "
        "and nothing tells training so.",
        train_with(facts.asked, *settings),
        settings,
        facts.mended(rare_N & facts.wrong_N),
        f"if all {count(int((rare_N & facts.wrong_N).sum()))} errors on rare classes were right",
        chance=0.4,
        minutes=facts.minutes(factor),
    )


def _balances(run: Training) -> bool:
    """Whether training already does something about rare classes."""
    config = run.config
    losses = [config.loss, *config.loss.attributes.values()]
    weighed = any(one.class_weights != "none" or one.name in FREQUENCY_AWARE for one in losses)
    return weighed or config.resample.method != "none" or config.train.mix.partner == "minority"


RULES: tuple[Callable[[Facts], Advice | None], ...] = (
    leaky_folds, wrong_normalisation, flipped_labels, too_few_epochs, unhandled_imbalance, no_augmentation,
)  # fmt: skip
