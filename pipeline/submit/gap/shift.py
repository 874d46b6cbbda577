"""Whether test images look different: stored or decoded otherwise, or a different mix of things.

Owns telling a *transform mismatch* (one change that was made to every test image) from a *covariate
shift* (other kinds of images, or other shares of them). Does not own telling train from test
(`shift.py`).

A transform is proved by undoing it: when mirroring the test images, or swapping their colours, makes them
look like training images, then that is what happened to them. A change of level (darker, flatter) could
also be another mix of images, so it must besides carry most test images beyond what training has; so must
a change that thumbnails do not show (blur, size, compression).

Shape legend: N training and test images together, T test images, S looked-at images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression

from pipeline.core import seeds
from pipeline.core.neighbours import search, squares
from pipeline.eda import shift
from pipeline.pages.report import percent
from pipeline.submit.gap.causes import Cause, Scene, Submitted, in_units_of_score
from pipeline.submit.gap.leak import MOST_IMAGES, looked_up, pixels, plan_rows

Values = npt.NDArray[np.float64]
Change = Callable[[Values], Values]

# Share of the tell-tale difference that undoing a change must remove; less is enough for what no other mix
# of images could look like (mirrored, negatives): there any other change makes the difference larger.
REMOVED, REMOVED_PLAIN = 0.6, 0.45
# Share of test images beyond the training images' middle 95 %: by chance 5 %.
BEYOND = 0.5
# Images nearer than this share of the distance to the 11th nearest one are taken to be of one group.
CROWD, ALIKE = 10, 0.5
WHITE = 255.0
# What an image weighs at most, as a multiple of the mean: one odd image must not decide a score.
MOST_WEIGHT = 20.0

HOW_SHIFT = (
    "Asked a classifier to tell test from training images, on image facts and on thumbnails as models see "
    "them, against {shuffles} shuffles of the names."
)
HOW_TRANSFORM = "Then undid simple changes on the test images, one by one, and asked again."


@dataclass(frozen=True)
class _Change:
    """A change of every test image that could be undone.

    Args:
        told: what was done to the test images.
        undo, do: on (…, 8, 8, 3) pixels from 0 to 255.
        level: a change that another mix of images could look like.
    """

    told: str
    undo: Change
    do: Change
    level: bool = False


@dataclass(frozen=True)
class Told:
    """What telling train from test gave.

    Args:
        facts, thumbs: on each kind of columns; None where there are too few images or groups.
        alarm: at least one of them tells the sets apart.
    """

    facts: shift.Shift | None
    thumbs: shift.Shift | None
    alarm: bool

    @property
    def strength(self) -> float:
        """How far the larger AUC lies above .5."""
        return max((s.auc for s in (self.facts, self.thumbs) if s is not None), default=0.5) - 0.5

    @property
    def words(self) -> str:
        """The figures."""
        parts = [
            f"{name} AUC {found.auc:.2f} (by chance below {found.chance:.2f})"
            for name, found in (("facts", self.facts), ("thumbnails", self.thumbs))
            if found is not None
        ]
        return ", ".join(parts)


def tell(scene: Scene, rows: npt.NDArray[np.bool_] | None = None) -> Told:
    """Whether test images can be told from training images.

    Args:
        scene: what is looked at.
        rows: only these of its images; None: all.
    """
    kept = np.ones(len(scene.images), bool) if rows is None else rows
    images = scene.images[kept].reset_index(drop=True)
    looks = scene.looks[kept].reset_index(drop=True)
    facts = shift.measure(images, looks, None, scene.settings)
    thumbs = shift.measure(images, looks, pixels(scene.seen.thumbs_NTT3[kept]), scene.settings)
    alarm = any(
        s is not None and s.auc >= scene.settings.shift_auc and s.p <= scene.settings.shift_p
        for s in (facts, thumbs)
    )
    return Told(facts, thumbs, alarm)


def with_look_alikes(scene: Scene) -> Scene:
    """The scene with images of one split joined to groups where they are suspiciously alike.

    Photos of one person whose group nobody told would let the classifier recognise persons instead of
    sets, and count as independent evidence. Links are few where nothing is clustered (under a tenth of plain
    digits): with many, a fold would lack the neighbours of what it asks about, and the AUC fall below .5.
    """
    images = scene.images.copy()
    for split in ("train", "test"):
        rows = np.flatnonzero((images["split"] == split).to_numpy())
        if len(rows) <= CROWD:
            continue
        x_ND = pixels(scene.seen.thumbs_NTT3[rows])
        itself = np.arange(len(rows))
        nearest, square = search(x_ND, x_ND, CROWD + 1, squares, (itself, itself))
        distance = np.sqrt(square)
        close = distance[:, :CROWD] < ALIKE * distance[:, [CROWD]]
        group = np.unique(images["group"].to_numpy(str)[rows], return_inverse=True)[1]
        one = np.concatenate([np.repeat(np.arange(len(rows)), CROWD)[close.ravel()], np.arange(len(rows))])
        other = np.concatenate([nearest[:, :CROWD].ravel()[close.ravel()], group + len(rows)])
        size = len(rows) + int(group.max()) + 1
        graph = coo_matrix((np.ones(len(one), np.int8), (one, other)), shape=(size, size))
        joined = connected_components(graph, directed=False)[1][: len(rows)]
        images.loc[images.index[rows], "group"] = [f"{split} {k}" for k in joined]
    return replace(scene, images=images)


def check(scene: Scene, told: Told, by_classes: bool, of: Submitted | None) -> tuple[Cause, Cause]:
    """Transform mismatch, and covariate shift.

    Args:
        scene: what is looked at.
        told: whether the sets look different.
        by_classes: that difference is gone once training has the test set's classes.
        of: for the weighted score; None: left out.
    """
    how = HOW_SHIFT.format(shuffles=scene.settings.shift_shuffles)
    both = f"{how} {HOW_TRANSFORM}"
    if told.facts is None or told.thumbs is None:
        why = "Cannot be asked: there is no test set, or too few groups."
        return tuple(Cause(k, False, why, h, "") for k, h in (("transform", both), ("covariate_shift", how)))  # type: ignore[return-value]
    if not told.alarm:
        alike = f"Test images look like training images ({told.words})."
        none = Cause(
            "transform", False, "No sign that test images were stored otherwise.", both, "Nothing to do."
        )
        return none, Cause("covariate_shift", False, alike, how, "Nothing to do.")
    transform = _transform(scene, both)
    if transform.found:
        why = f"The sets look different ({told.words}), as the change of every test image explains."
        return transform, Cause("covariate_shift", False, why, how, "See the transform mismatch.")
    if by_classes:
        why = f"The sets look different ({told.words}), but only because classes are not equally frequent."
        return transform, Cause("covariate_shift", False, why, how, "See the label shift.")
    return transform, _covariate(scene, told, how, of)


def _transform(scene: Scene, how: str) -> Cause:
    answer = (
        "Look at `make preview`, then load both splits in the same way: same decoding, colour order, "
        "orientation, size and compression; or bring the training images to the form of the test images "
        "by `preprocess.*`."
    )
    beyond = _beyond(scene)
    change, removed = _best_undone(scene, beyond)
    if change is not None:
        loss = _loss_by(scene, change)
        return Cause(
            "transform",
            True,
            f"Test images seem to be {change.told}: undoing it removes {percent(removed)} of what tells them "
            f"from training images. The same change costs a look-up {100 * loss:.1f} points.",
            how,
            answer,
            in_units_of_score(scene.metric, -loss),
        )
    top = beyond.iloc[0]
    if top["share"] >= BEYOND:
        return Cause(
            "transform",
            True,
            f"{percent(top['share'])} of test images lie beyond the training images in {top['fact']} (median "
            f"{top['train']:.4g} in training, {top['test']:.4g} in test; 5 % would by chance): they were "
            "stored, resized or decoded otherwise.",
            how,
            answer,
        )
    told = "No simple change of every test image explains the difference."
    return Cause("transform", False, told, how, "Nothing to do.")


def _beyond(scene: Scene) -> pd.DataFrame:
    """A row a fact, the largest first: fact, train, test (medians), share of test beyond training's 95 %."""
    rows = []
    for name in scene.looks.columns:
        values = scene.looks[name].to_numpy(np.float64)
        train, test = values[~scene.is_test], values[scene.is_test]
        low, high = np.percentile(train, (2.5, 97.5))
        rows.append((name, np.median(train), np.median(test), float(((test < low) | (test > high)).mean())))
    table = pd.DataFrame(rows, columns=["fact", "train", "test", "share"])
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def _changes(scene: Scene) -> list[_Change]:
    """What can be undone on thumbnails, those that no mix of images can look like first."""

    def turn(times: int) -> Change:
        return lambda x: np.rot90(x, times, axes=(-3, -2))

    def mirror(x: Values) -> Values:
        return x[..., ::-1, :]

    def swap(x: Values) -> Values:
        return x[..., ::-1]

    def negative(x: Values) -> Values:
        return WHITE - x

    plain = [
        _Change("in BGR instead of RGB order (or the other way round)", swap, swap),
        _Change("negatives (black for white)", negative, negative),
        _Change("mirrored", mirror, mirror),
        _Change("upside down", lambda x: x[..., ::-1, :, :], lambda x: x[..., ::-1, :, :]),
        _Change("turned by 180°", turn(2), turn(2)),
        _Change("turned by 90° to the left", turn(-1), turn(1)),
        _Change("turned by 90° to the right", turn(1), turn(-1)),
    ]
    return [*plain, *_levels(scene)]


def _levels(scene: Scene) -> list[_Change]:
    x = scene.seen.thumbs_NTT3.astype(np.float64)
    train, test = x[~scene.is_test], x[scene.is_test]
    here, there = (float(np.median(side.mean(axis=(1, 2, 3)))) for side in (train, test))
    wide, narrow = (float(np.median(side.std(axis=(1, 2, 3)))) for side in (train, test))
    ratio = narrow / wide if wide > 0 and narrow > 0 else 1.0
    off = there - here
    factor = there / here if here > 0 and there > 0 else 1.0
    return [
        _Change(
            f"{'brighter' if off > 0 else 'darker'} by {abs(off):.0f} of 255",
            lambda y: y - off,
            lambda y: y + off,
            True,
        ),
        _Change(f"{factor:.2f} times as bright", lambda y: y / factor, lambda y: y * factor, True),
        _Change(
            f"of {ratio:.2f} times the contrast",
            lambda y: (y - there) / ratio + here,
            lambda y: (y - here) * ratio + there,
            True,
        ),
    ]


def _best_undone(scene: Scene, beyond: pd.DataFrame) -> tuple[_Change | None, float]:
    """The change whose undoing makes the sets most alike, and the share of the difference it removes."""
    x = scene.seen.thumbs_NTT3.astype(np.float64)
    before = _apart(scene, x)
    if before <= 0:
        return None, 0.0
    seen = beyond[beyond["fact"].isin(("brightness", "contrast"))]["share"]
    far = len(seen) > 0 and float(seen.max()) >= BEYOND
    best: tuple[_Change | None, float] = (None, 0.0)
    for change in _changes(scene):
        if change.level and not far:
            continue
        undone = x.copy()
        undone[scene.is_test] = np.clip(change.undo(x[scene.is_test]), 0, WHITE)
        removed = 1 - _apart(scene, undone) / before
        if removed >= (REMOVED if change.level else REMOVED_PLAIN) and removed > best[1]:
            best = (change, removed)
    return best[0], min(best[1], 1.0)


def _apart(scene: Scene, x_NTT3: Values) -> float:
    """How far the AUC lies above .5, by pixels or by colours of the thumbnails, whichever tells more."""
    mean_N3 = x_NTT3.mean(axis=(1, 2))
    looks = pd.DataFrame(
        {
            "brightness": mean_N3.mean(axis=1),
            "contrast": x_NTT3.std(axis=(1, 2, 3)),
            "red": mean_N3[:, 0] - mean_N3[:, 1],
            "blue": mean_N3[:, 2] - mean_N3[:, 1],
        }
    )
    seed = scene.settings.seed
    sides = (pixels(x_NTT3), shift.spread_out(looks.round(6)))
    return max(shift.tell(scene.images, x_ND, seed).auc for x_ND in sides) - 0.5


def _loss_by(scene: Scene, change: _Change) -> float:
    """How many fewer answers of a look-up are right when validation images are changed alike."""
    x = scene.seen.thumbs_NTT3[~scene.is_test].astype(np.float64)
    clean = pixels(x)
    changed = pixels(np.clip(change.do(x), 0, WHITE))
    draw = seeds.rng(scene.settings.seed, "gap transform", len(x))
    few = np.sort(draw.permutation(len(x))[:MOST_IMAGES])
    before, after, asked = 0, 0, 0
    for train, valid in plan_rows(scene):
        train, valid = np.intersect1d(train, few), np.intersect1d(valid, few)
        if not len(train) or not len(valid):
            continue
        truth = scene.labels[valid]
        before += int((looked_up(clean[train], clean[valid], scene.labels[train])[0] == truth).sum())
        after += int((looked_up(clean[train], changed[valid], scene.labels[train])[0] == truth).sum())
        asked += len(valid)
    return (before - after) / max(asked, 1)


def _covariate(scene: Scene, told: Told, how: str, of: Submitted | None) -> Cause:
    assert told.facts is not None and told.thumbs is not None
    strongest = told.facts if told.facts.auc >= told.thumbs.auc else told.thumbs
    top = strongest.table.head(3).to_dict("records")
    facts = ", ".join(f"{r['fact']} {r['train']:.4g} → {r['test']:.4g}" for r in top)
    effect = None if of is None else _weighted(scene, strongest.on == "facts", of)
    expected = (
        "" if effect is None else f" Weighing training images like test images moves OOF by {effect:+.3f}."
    )
    return Cause(
        "covariate_shift",
        True,
        f"Test images are of other kinds, or other shares of them ({told.words}). Most telling, train → "
        f"test: {facts}.{expected}",
        how,
        "Look at section Shift of `make eda`; collect or oversample training images like the test images "
        "(`resample.method=over`), or cover the difference by a stronger `augment.policy`. Validate on "
        "images like the test images (`folds.kind=column`).",
        effect,
    )


def _weighted(scene: Scene, by_facts: bool, of: Submitted) -> float:
    """Score of the training images weighed by the odds that they are test images, less the plain one.

    Source: Sugiyama et al. (2007), Covariate Shift Adaptation by Importance Weighted Cross Validation.
    """
    x_ND = shift.spread_out(scene.looks) if by_facts else pixels(scene.seen.thumbs_NTT3)
    told = shift.tell(scene.images, x_ND, scene.settings.seed)
    is_test_S = scene.is_test[told.rows_S]
    model = LogisticRegression().fit(told.score_S[:, None], is_test_S)
    rows, at_K, at_S = np.intersect1d(of.rows_K, told.rows_S[~is_test_S], return_indices=True)
    odds = np.exp(model.decision_function(told.score_S[~is_test_S, None]))[at_S]
    weight = np.minimum(odds / odds.mean(), MOST_WEIGHT)
    scores = scene.metric.resampler(scene.labels[rows], of.oof_KC[at_K])
    plain, shifted = (float(scores(w[None])[0]) for w in (np.ones(len(rows)), weight))
    return shifted - plain
