"""What to try next, said from the numbers of the error report.

Owns the few sentences and their order. Does not own the numbers (`flips.py`, `mistakes.py`): each
sentence cites one, and none is made without it.
"""

from dataclasses import dataclass

from pipeline.analyze.flips import CLASS, Flips, changes
from pipeline.analyze.mistakes import SURE, Mistakes
from pipeline.analyze.report import count, percent, plural, signed
from pipeline.core.predictions import Comparison
from pipeline.core.types import LabelSpace
from pipeline.settings.schema import Config

MOST = 4
FEW_IMAGES = 0.5
MUCH_OVERCONFIDENCE = 0.05
LOOK_AT_ERRORS = "see Confident errors in the report"


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Args:
        sentence: what was seen, with its number.
        reason: why this answer.
        command: what to run, or where to look.
        direction: position in the directions table of the flips to look at, if any.
    """

    sentence: str
    reason: str
    command: str
    direction: int | None = None


def advise(
    space: LabelSpace,
    flips: Flips | None,
    mistakes: Mistakes | None,
    comparison: Comparison | None,
    config: Config,
) -> tuple[Advice, ...]:
    """Two to four things to try, most telling first; fewer where little is known.

    Args:
        space: the label space.
        flips: the differences from the best submission, if there is one.
        mistakes: the out-of-fold errors, if they are known.
        comparison: new against best, out of fold, if known.
        config: the settings of the new run, so that nothing is advised that is already on.
    """
    found: list[Advice | None] = []
    if mistakes is not None and mistakes.n_wrong:
        found += [_pair(space, mistakes, config), _worst(mistakes, config), _overconfident(mistakes, config)]
    if flips is not None and len(flips.images):
        found.append(_most_flipped(space, flips))
    if comparison is not None and comparison.verdict == "can't tell":
        found.append(_undecided(comparison, config))
    return tuple(advice for advice in found if advice is not None)[:MOST]


def train_with(*settings: str) -> str:
    """The command that trains with these settings."""
    return f'make train ARGS="{" ".join(settings)}"'


def _pair(space: LabelSpace, mistakes: Mistakes, config: Config) -> Advice:
    pair = mistakes.pairs[0]
    back = next((p for p in mistakes.pairs if (p.true, p.predicted) == (pair.predicted, pair.true)), None)
    sentence = (
        f"“{space.classes[pair.true]}” is taken for “{space.classes[pair.predicted]}” "
        f"{plural(pair.images, 'time')}, {percent(pair.share)} of its images"
        + (f"; the other way round {plural(back.images, 'time')}." if back else ".")
    )
    changed = [name for name, _, _ in changes(space, pair.true, pair.predicted)]
    lost = f"They differ in {' and '.join(changed)}. " if len(space.attributes) > 1 else ""
    larger = [min(side * 3 // 2, 1024) for side in config.images.hw]
    size = larger[0] if larger[0] == larger[1] else f"[{larger[0]},{larger[1]}]"
    return Advice(
        sentence,
        f"{lost}Look at the pictures under Confused pairs: if a detail decides, larger images show it; "
        "if you cannot tell either, the labels are the limit.",
        train_with(f"images.size={size}"),
    )


def _worst(mistakes: Mistakes, config: Config) -> Advice:
    table = mistakes.tables[CLASS]
    row = table[table["images"] > 0].iloc[0]
    sentence = (
        f"“{row[CLASS]}” is the weakest class: F1 {row['F1']:.2f} (recall {row['recall']:.2f}, "
        f"precision {row['precision']:.2f}) on {plural(int(row['images']), 'image')} "
        f"of {plural(int(row['groups']), 'group')}."
    )
    rare = row["images"] < FEW_IMAGES * table["images"].median()
    if rare and config.resample.method == "none":
        return Advice(
            sentence,
            "It is rare, and a macro average counts it as much as the largest class.",
            train_with("resample.method=over", "resample.to=balanced"),
        )
    if config.loss.name != "focal":
        reason = "It is rare even after resampling" if rare else "It is hard rather than rare"
        return Advice(sentence, f"{reason}: weigh difficult images more.", train_with("loss.name=focal"))
    return Advice(
        sentence,
        "Resampling or focal loss is already on: more varied images may help more than more weight.",
        train_with("augment.policy=medium"),
    )


def _overconfident(mistakes: Mistakes, config: Config) -> Advice | None:
    reliability = mistakes.reliability
    if not mistakes.sure_wrong or reliability.excess <= 0 or reliability.error < MUCH_OVERCONFIDENCE:
        return None
    sentence = (
        f"{count(mistakes.sure_wrong)} of {plural(mistakes.n_wrong, 'error')} were made with at least "
        f"{percent(SURE)} confidence; on average confidence is off by {percent(reliability.error)}."
    )
    reason = "An over-sure member outvotes others in a blend; some may be wrong labels: see Confident errors."
    if config.loss.label_smoothing > 0:
        return Advice(
            sentence,
            f"{reason} `loss.label_smoothing={config.loss.label_smoothing}` is already on.",
            LOOK_AT_ERRORS,
        )
    return Advice(sentence, reason, train_with("loss.label_smoothing=0.1"))


def _most_flipped(space: LabelSpace, flips: Flips) -> Advice:
    total = len(flips.images)
    if len(space.attributes) > 1:
        by_attribute = flips.directions.groupby("attribute")["images"].sum()
        name = str(by_attribute.idxmax())
        lead = f"{count(int(by_attribute.max()))} of {plural(total, 'flip')} change {name}"
    else:
        lead = f"{plural(total, 'prediction')} changed"
    top = flips.directions.iloc[0]
    return Advice(
        f"{lead}; the commonest way is {top['old']} → {top['new']}, {plural(int(top['images']), 'image')}.",
        "Judge a dozen of these by eye: if the new answers look right more often, the gain is real.",
        "see Changed predictions in the report",
        direction=0,
    )


def _undecided(comparison: Comparison, config: Config) -> Advice:
    return Advice(
        f"The difference of {signed(comparison.delta)} is smaller than its interval is wide "
        f"({comparison.high - comparison.low:.4f}).",
        "A second seed shows whether it is more than chance, and both runs can be blended.",
        train_with(f"train.seed={config.train.seed + 1}"),
    )
