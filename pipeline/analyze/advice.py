"""What to try next, said from the numbers of the error report.

Owns the few sentences and their order, and the command that tries a setting. Does not own the numbers
(`flips.py`, `mistakes.py`): each sentence cites one, and none is made without it.
"""

import re
import shlex
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from pipeline.analyze.flips import CLASS, Flips, changes
from pipeline.analyze.mistakes import SURE, Mistakes
from pipeline.analyze.report import count, percent, plural, signed
from pipeline.core.predictions import Comparison
from pipeline.core.types import LabelSpace
from pipeline.settings.fields import Side
from pipeline.settings.schema import Config

MOST = 4
FEW_IMAGES = 0.5
MUCH_OVERCONFIDENCE = 0.05
LARGER = 1.5
WORTH_IT = 1.1  # less of a larger side shows no detail that was not there
LARGEST_SIDE = int(TypeAdapter(Side).json_schema()["maximum"])
LOOK_AT_ERRORS = "see Confident errors in the report"
LOOK_AT_PAIRS = "see Confused pairs in the report"
TRAIN = "make train"
STRONGER = ("medium", "heavy")


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
    asked: tuple[str, ...] = (),
    policies: tuple[str, ...] = STRONGER,
) -> tuple[Advice, ...]:
    """Two to four things to try, most telling first; fewer where little is known.

    Args:
        space: the label space.
        flips: the differences from the best submission, if there is one.
        mistakes: the out-of-fold errors, if they are known.
        comparison: new against best, out of fold, if known.
        config: the settings of the new run, so that nothing is advised that is already on.
        asked: the words that asked for these settings; see `make_with`.
        policies: augmentation that could be tried, mildest first; none where training sees no pixels.
    """
    found: list[Advice | None] = []
    if mistakes is not None and mistakes.n_wrong:
        found += [_pair(space, mistakes, config, asked), _worst(mistakes, config, asked, policies)]
        found.append(_overconfident(mistakes, config, asked))
    if flips is not None and len(flips.images):
        found.append(_most_flipped(space, flips))
    if comparison is not None and comparison.verdict == "can't tell" and comparison.n_groups > 1:
        found.append(_undecided(comparison, config, asked))
    return tuple(_named(advice, asked) for advice in found if advice is not None)[:MOST]


def train_with(asked: tuple[str, ...], *settings: str) -> str:
    """`make_with` for `make train`."""
    return make_with(TRAIN, asked, *settings)


def make_with(command: str, asked: tuple[str, ...], *settings: str) -> str:
    """The shell command that does this with what was asked for, and these settings on top.

    Args:
        command: `make train` or another.
        asked: words such as `competition=digits`, `experiment=tiny_cnn`, `train.epochs=3`; one that a
            setting replaces is left out, as no path may be given twice.
        settings: words of the same form.
    """
    paths = {_path(word) for word in settings}
    words = [*(word for word in asked if _path(word) not in paths), *settings]
    # Three readers: the shell that make starts, make, and the shell in which this is typed.
    for_make = " ".join(shlex.quote(word) for word in words).replace("$", "$$")
    typed = re.sub(r'([\\"`$])', r"\\\1", for_make)
    return f'{command} ARGS="{typed}"'


def _path(word: str) -> str:
    return word.partition("=")[0]


def _named(advice: Advice, asked: tuple[str, ...]) -> Advice:
    """With the experiment that the command changes: of a blend, it is one member."""
    names = [word.partition("=")[2] for word in asked if _path(word) == "experiment"]
    if not names or not advice.command.startswith(TRAIN):
        return advice
    return replace(advice, sentence=f"{advice.sentence} The command changes {names[0]}.")


def _pair(space: LabelSpace, mistakes: Mistakes, config: Config, asked: tuple[str, ...]) -> Advice:
    pair = mistakes.pairs[0]
    back = next((p for p in mistakes.pairs if (p.true, p.predicted) == (pair.predicted, pair.true)), None)
    sentence = (
        f"“{space.classes[pair.true]}” is taken for “{space.classes[pair.predicted]}” "
        f"{plural(pair.images, 'time')}, {percent(pair.share)} of its images"
        + (f"; the other way round {plural(back.images, 'time')}." if back else ".")
    )
    changed = [name for name, _, _ in changes(space, pair.true, pair.predicted)]
    lost = f"They differ in {' and '.join(changed)}. " if len(space.attributes) > 1 else ""
    look = f"{lost}Look at the pictures under Confused pairs: if a detail decides, "
    limit = "if you cannot tell either, the labels are the limit."
    size = _larger(config)
    if size is None:
        most = min(config.images.cache_px, LARGEST_SIDE)
        return Advice(
            sentence,
            f"{look}a crop of it may help, as images cannot be much larger than now (at most {most} px); "
            f"{limit}",
            LOOK_AT_PAIRS,
        )
    return Advice(sentence, f"{look}larger images show it; {limit}", train_with(asked, f"images.size={size}"))


def _larger(config: Config) -> str | None:
    """The next size to try; None where the cache or the schema leaves hardly any room."""
    height, width = config.images.hw
    most = min(config.images.cache_px, LARGEST_SIDE)
    factor = min(LARGER, most / max(height, width))
    if factor < WORTH_IT:
        return None
    height, width = int(height * factor), int(width * factor)
    return str(height) if height == width else f"[{height},{width}]"


def _worst(mistakes: Mistakes, config: Config, asked: tuple[str, ...], policies: tuple[str, ...]) -> Advice:
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
            train_with(asked, "resample.method=over", "resample.to=balanced"),
        )
    if config.loss.name != "focal":
        reason = "It is rare even after resampling" if rare else "It is hard rather than rare"
        command = train_with(asked, "loss.name=focal")
        return Advice(sentence, f"{reason}: weigh difficult images more.", command)
    on = "Focal loss is on already" if not rare else "Resampling and focal loss are on already"
    now = config.augment.policy
    left = policies[policies.index(now) + 1 :] if now in policies else policies
    if not left:
        return Advice(sentence, f"{on}: more weight will not do; look at its images.", LOOK_AT_ERRORS)
    return Advice(
        sentence,
        f"{on}: more varied images may help more than more weight.",
        train_with(asked, f"augment.policy={left[0]}"),
    )


def _overconfident(mistakes: Mistakes, config: Config, asked: tuple[str, ...]) -> Advice | None:
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
    return Advice(sentence, reason, train_with(asked, "loss.label_smoothing=0.1"))


def _most_flipped(space: LabelSpace, flips: Flips) -> Advice:
    total = len(flips.images)
    by_attribute = flips.directions.groupby("attribute")["images"].sum()
    name = str(by_attribute.idxmax())
    lead = (
        f"{count(int(by_attribute.max()))} of {plural(total, 'flip')} change {name}"
        if len(space.attributes) > 1
        else f"{plural(total, 'prediction')} changed"
    )
    # The table is ordered, commonest first: the first row of this attribute is its commonest way.
    place = int((flips.directions["attribute"] == name).argmax())
    top = flips.directions.iloc[place]
    return Advice(
        f"{lead}; the commonest way is {top['old']} → {top['new']}, {plural(int(top['images']), 'image')}.",
        "Judge a dozen of these by eye: if the new answers look right more often, the gain is real.",
        "see Changed predictions in the report",
        direction=place,
    )


def _undecided(comparison: Comparison, config: Config, asked: tuple[str, ...]) -> Advice:
    return Advice(
        f"The difference of {signed(comparison.delta)} may be chance: its interval, "
        f"{signed(comparison.low)} to {signed(comparison.high)}, contains zero.",
        "Another seed makes a second run of the same settings. `make runs` shows both scores: if they lie "
        "as far apart as this difference, it says nothing.",
        train_with(asked, f"train.seed={config.train.seed + 1}"),
    )
