"""Out of fold, where the truth is known: images that the new run fixed or broke, and images that both get
wrong.

Owns the counts of fixed and broken images with their tests, and the section that shows them together with
confusions and the worst classes. Does not own confusions and classes (`mistakes.py`), the test
(`core/group_resampling.py`), nor the conclusion by the competition's metric (`conclusion.py`).

The predicted value of an attribute is that of the predicted class, as in the submission.
Shape legend: N images that both sides predicted, G groups, K rows of the table.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.group_resampling import Bools, numbered, sign_flips, sums_by_group
from pipeline.core.language import joined
from pipeline.core.metric_arithmetic import Reals
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Ints, LabelSpace, Samples, Strings
from pipeline.core.wording import worded
from pipeline.errors import texts
from pipeline.errors.diff.flips import marked, parts, tested
from pipeline.errors.diff.mistakes import Mistakes
from pipeline.pages.report import Key, ReportSection, json_data, p_value, points

ANCHOR, SHORT = "truth", texts.TRUTH_SHORT
TITLE = texts.TRUTH_TITLE
# The kinds of images, in the order of the page.
KINDS = {"broken": texts.BROKEN, "fixed": texts.FIXED, "both": texts.BOTH_WRONG, "wrong": texts.WRONG}
ALL = "all"
UNDECIDED = "can't tell"
# If the two differ on fewer groups, no sign-flip test can reach 5 %.
FEWEST_GROUPS = 6
# All cards are in the document at once: a page with 5,000 loads in seven seconds (benchmarks/flips_page.py).
MOST_CARDS = 1000


@dataclass(frozen=True)
class TruthInputs:
    """What the section is made from.

    Args:
        new: the new run's out-of-fold probabilities.
        old: those of the old submission, if it has any.
        limit: cards in the gallery.
    """

    new: Probabilities
    old: Probabilities | None
    train: Samples
    mistakes: Mistakes
    seed: int
    limit: int


@dataclass(frozen=True)
class Difference:
    """New against old, image by image.

    Args:
        counts: images by kind: fixed, broken, both (wrong), right (both).
        overall: the change of accuracy on all images with its interval; one planned test.
        table: one row for each value of the class and of each attribute, smallest p first: part, value,
            images, groups, fixed, broken, both wrong, change, low, high, p, conclusion; corrected for all
            rows.
    """

    counts: dict[str, int]
    overall: "pd.Series[Any]"
    table: pd.DataFrame


@dataclass(frozen=True)
class TruthCard:
    """One image of the gallery; wrong values are marked."""

    key: Key
    kind: str
    true: int
    new: int
    truth: str
    answers: tuple[tuple[str, tuple[tuple[str, bool], ...], float], ...]

    @property
    def label(self) -> str:
        """The description for screen readers."""
        return joined("", (f"{self.key[1]}: {self.truth}, ", KINDS[self.kind]))


def difference(
    train: Samples, new: Probabilities, old: Probabilities, seed: int
) -> tuple[Difference, Strings, Ints, Ints]:
    """Count and test what changed on the images that both predicted; other images are left out.

    Returns:
        The difference, the ids, and the class that each side predicts for them.

    Raises:
        DataError: an id is not a training image, or the classes differ.
    """
    space = train.space
    ids_N = np.intersect1d(new.ids_N, old.ids_N)
    samples = train.take(ids_N)
    new_N, old_N = (p.with_classes(space.classes).take(ids_N).labels() for p in (new, old))
    y_N = samples.labels
    group_N, n_groups = numbered(samples.groups_N)
    rows, masks, gains = _rows(space, y_N, new_N, old_N)
    sums_GK = sums_by_group(np.stack(gains, axis=1), group_N, n_groups)
    tested = _tested(pd.DataFrame(rows), masks, sums_GK[:, 1:], group_N, seed, "differences")
    overall = _tested(pd.DataFrame(rows[:1]), masks[:1], sums_GK[:, :1], group_N, seed, "overall")
    right_new, right_old = new_N == y_N, old_N == y_N
    counts = {
        "fixed": int((right_new & ~right_old).sum()),
        "broken": int((~right_new & right_old).sum()),
        "both": int((~right_new & ~right_old).sum()),
        "right": int((right_new & right_old).sum()),
    }
    return Difference(counts, overall.iloc[0], tested), ids_N, new_N, old_N


def _rows(
    space: LabelSpace, y_N: Ints, new_N: Ints, old_N: Ints
) -> tuple[list[dict[str, Any]], list[Bools], list[Reals]]:
    """The counts of the table, the images of each row, and the gain of each image, overall first."""
    rows: list[dict[str, Any]] = []
    masks: list[Bools] = []
    gains: list[Reals] = [(new_N == y_N).astype(float) - (old_N == y_N)]
    for name, (values, code_C) in parts(space).items():
        right_new, right_old = code_C[new_N] == code_C[y_N], code_C[old_N] == code_C[y_N]
        gain = right_new.astype(float) - right_old
        of_value = [(ALL, np.ones(len(y_N), bool))]
        own_N = code_C[y_N]
        of_value += [(values[c], own_N == c) for c in tested(np.bincount(own_N, minlength=len(values)))]
        for value, mask in of_value:
            rows.append(
                {
                    "part": name,
                    "value": value,
                    "images": int(mask.sum()),
                    "fixed": int((mask & (gain > 0)).sum()),
                    "broken": int((mask & (gain < 0)).sum()),
                    "both wrong": int((mask & ~right_new & ~right_old).sum()),
                }
            )
            masks.append(mask)
            gains.append(gain * mask)
    return rows, masks, gains


def _tested(
    rows: pd.DataFrame, masks: list[Bools], sums_GK: Reals, group_N: Ints, seed: int, name: str
) -> pd.DataFrame:
    test = sign_flips(sums_GK, seed, name)
    images_K = np.array([max(int(mask.sum()), 1) for mask in masks])
    change_K = sums_GK.sum(axis=0) / images_K
    reach_K = test.factor * np.sqrt((sums_GK**2).sum(axis=0)) / images_K
    enough_K = test.groups_K >= FEWEST_GROUPS
    words = np.where(change_K > 0, "better", "worse")
    return (
        rows.assign(
            groups=[len(np.unique(group_N[mask])) for mask in masks],
            change=change_K,
            low=change_K - reach_K,
            high=change_K + reach_K,
            p=test.p_K,
            conclusion=np.where(test.found_K & enough_K, words, UNDECIDED),
        )
        .loc[lambda table: table["images"] > 0]
        .sort_values(["p", "part"], kind="stable", ignore_index=True)
    )


def section(inputs: TruthInputs) -> ReportSection:
    """The section of the page."""
    space, mistakes = inputs.train.space, inputs.mistakes
    compared: Difference | None = None
    if inputs.old is not None:
        compared, ids, new_N, old = difference(inputs.train, inputs.new, inputs.old, inputs.seed)
        old_N: Ints | None = old
    else:
        ids, old_N = inputs.new.ids_N, None
        new_N = inputs.new.with_classes(space.classes).labels()
    cards = _cards(inputs, ids, new_N, old_N)
    wanted = [card.key for card in cards] + list(mistakes.answers)
    views = parts(space)
    codes = {name: code.tolist() for name, (_, code) in views.items()}
    return ReportSection(
        ANCHOR,
        SHORT,
        "truth.html",
        {
            "title": TITLE,
            "mistakes": mistakes,
            "classes": space.classes,
            "difference": compared,
            "sentence": "" if compared is None else sentence(compared),
            "table": None if compared is None else _shown(compared.table),
            "kinds": {k: v for k, v in KINDS.items() if any(c.kind == k for c in cards)},
            "cards": cards,
            "erred": mistakes.n_wrong if compared is None else len(ids) - compared.counts["right"],
            "counts": None if compared is None else compared.counts,
        },
        tuple(wanted),
        json_data("truth-data", {"codes": codes, "values": {n: list(v) for n, (v, _) in views.items()}}),
        "truth.js",
        finding=worded(texts.TRUTH_FOUND, wrong=mistakes.n_wrong, images=mistakes.n_images),
    )


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as the page shows it, without rows in which nothing differs."""
    rows = table[(table["fixed"] + table["broken"]) > 0]
    shown = rows[["part", "value", "images", "groups", "fixed", "broken", "both wrong"]].copy()
    shown = shown.rename(columns={"part": "attribute"})
    shown["change, points"] = [points(change) for change in rows["change"]]
    ends = zip(rows["low"], rows["high"], strict=True)
    shown["interval"] = [f"[{points(low)}, {points(high)}]" for low, high in ends]
    shown["p, corrected"] = [p_value(p) for p in rows["p"]]
    shown["conclusion"] = rows["conclusion"]
    return shown


def _cards(inputs: TruthInputs, ids: Strings, new_N: Ints, old_N: Ints | None) -> list[TruthCard]:
    """The gallery: the most confident images of each (truth, prediction), so that every cell has examples."""
    space = inputs.train.space
    y_N = inputs.train.take(ids).labels
    new_sure = inputs.new.take(ids).p_NC.max(axis=1)
    wrong_new = new_N != y_N
    if old_N is None or inputs.old is None:
        kind_N = np.where(wrong_new, "wrong", "")
        old_sure = new_sure
    else:
        wrong_old, old_sure = old_N != y_N, inputs.old.take(ids).p_NC.max(axis=1)
        wrong = [wrong_new & wrong_old, wrong_new, wrong_old]
        kind_N = np.select(wrong, ["both", "broken", "fixed"], default="")
    columns = {"at": np.arange(len(ids)), "kind": kind_N, "true": y_N, "new": new_N, "sure": new_sure}
    table = pd.DataFrame(columns).query("kind != ''").sort_values("sure", ascending=False, kind="stable")
    turn = table.groupby(["kind", "true", "new"]).cumcount()
    table = table.assign(turn=turn).sort_values(["turn", "sure"], ascending=[True, False], kind="stable")
    chosen = table.head(min(inputs.limit, MOST_CARDS)).sort_values("sure", ascending=False, kind="stable")
    cards = []
    for at, kind in zip(chosen["at"], chosen["kind"], strict=True):
        sides = [("new", int(new_N[at]), float(new_sure[at]))]
        if old_N is not None:
            sides.append(("old", int(old_N[at]), float(old_sure[at])))
        true = int(y_N[at])
        answers = tuple((name, marked(space, label, true), sure) for name, label, sure in sides)
        key = ("train", str(ids[at]))
        cards.append(TruthCard(key, str(kind), true, int(new_N[at]), space.classes[true], answers))
    return cards


def sentence(compared: Difference) -> str:
    """The planned test of all images in words."""
    row = compared.overall
    conclusions = {"better": texts.MORE_RIGHT, "worse": texts.FEWER_RIGHT}
    return texts.TRUTH_SENTENCE.format(
        fixed=compared.counts["fixed"],
        broken=compared.counts["broken"],
        conclusion=conclusions.get(str(row["conclusion"]), texts.RIGHT_UNKNOWN),
        change=points(row["change"]),
        low=points(row["low"]),
        high=points(row["high"]),
    )
