"""Whether test images look different: stored or decoded in another way, or a different mix of kinds.

Owns separating a *transform mismatch* (one change that was made to every test image) from a *covariate shift*
(other kinds of images, or other shares of them). Does not own the classifier between train and test
(`eda/shift.py`).

A transform is proved by undoing it: if mirroring the test images, or swapping their colours, makes them look
like training images, then that is what happened to them. A change of level (darker, lower contrast) could
also be another mix of images, so it must also put most test images outside the range of the training images;
so must a change that thumbnails do not show (blur, size, compression).

Shape legend: N training and test images together, K of them with predictions, T pixels of a thumbnail's side,
S sampled images, D columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression

from pipeline.core import seeds
from pipeline.core.language import joined
from pipeline.core.neighbours import linked, search_each, squares
from pipeline.eda import shift
from pipeline.eda.texts import fact
from pipeline.pages.report import percent
from pipeline.submit import texts
from pipeline.submit.gap.leak import MOST_IMAGES, nearest, pixels, plan_rows
from pipeline.submit.gap.scene import Cause, GapScene, Submitted, in_units_of_score

Values = npt.NDArray[np.float64]
Change = Callable[[Values], Values]

# Share of the difference that undoing a change must remove; less is enough for changes that no other mix of
# images could cause (mirrored, negatives), because any other change makes the difference larger.
REMOVED, REMOVED_PLAIN = 0.6, 0.45
# Share of test images outside the central 95 % of the training images; by chance 5 %.
BEYOND = 0.5
# Images nearer than this share of the distance to the 11th nearest one are assumed to be of one group.
CROWD, ALIKE = 10, 0.5
WHITE = 255.0
# The largest weight of an image, as a multiple of the mean: one outlier must not decide a score.
MOST_WEIGHT = 20.0


@dataclass(frozen=True)
class _Change:
    """A change of every test image that could be undone.

    Args:
        text: what was done to the test images.
        undo, do: on (…, 8, 8, 3) pixels from 0 to 255.
        level: whether another mix of images could look the same.
    """

    text: str
    undo: Change
    do: Change
    level: bool = False


@dataclass(frozen=True)
class SetDifference:
    """The difference between training and test images.

    Args:
        facts, thumbs: on image facts and on thumbnails; None where there are too few images or groups.
        alarm: whether at least one of them separates the sets.
    """

    facts: shift.Shift | None
    thumbs: shift.Shift | None
    alarm: bool

    @property
    def strength(self) -> float:
        """The larger AUC minus 0.5."""
        return max((s.auc for s in (self.facts, self.thumbs) if s is not None), default=0.5) - 0.5

    @property
    def figures(self) -> str:
        """The AUCs in words."""
        return joined(
            ", ",
            (
                texts.SHIFT_FIGURE.format(columns=texts.SHIFT_COLUMNS[name], auc=one.auc, chance=one.chance)
                for name, one in (("facts", self.facts), ("thumbs", self.thumbs))
                if one is not None
            ),
        )


def compare_sets(scene: GapScene, rows: npt.NDArray[np.bool_] | None = None) -> SetDifference:
    """Whether test images can be separated from training images; `rows`: only these of its images."""
    kept = np.ones(len(scene.images), bool) if rows is None else rows
    images = scene.images[kept].reset_index(drop=True)
    table = scene.facts[kept].reset_index(drop=True)
    facts = shift.measure(images, table, None, scene.settings)
    thumbs = shift.measure(images, table, pixels(scene.glance.thumbs_NTT3[kept]), scene.settings)
    alarm = any(
        s is not None and s.auc >= scene.settings.shift_auc and s.p <= scene.settings.shift_p
        for s in (facts, thumbs)
    )
    return SetDifference(facts, thumbs, alarm)


def with_look_alikes(scene: GapScene) -> GapScene:
    """The scene with images of one split joined to groups where they are suspiciously similar.

    Photos of one person without a known group would let the classifier recognise persons instead of sets, and
    count as independent evidence. Few images are linked where nothing is clustered (under a tenth of plain
    digits): with many links, a fold would lack the neighbours of its validation images, and the AUC would
    fall below 0.5.
    """
    images = scene.images.copy()
    for split in ("train", "test"):
        rows = np.flatnonzero((images["split"] == split).to_numpy())
        if len(rows) <= CROWD:
            continue
        x_ND = pixels(scene.glance.thumbs_NTT3[rows])
        nearest, square = search_each(x_ND, CROWD + 1, squares, np.arange(len(rows)))
        distance = np.sqrt(square)
        close = distance[:, :CROWD] < ALIKE * distance[:, [CROWD]]
        group = np.unique(images["group"].to_numpy(str)[rows], return_inverse=True)[1]
        one = np.concatenate([np.repeat(np.arange(len(rows)), CROWD)[close.ravel()], np.arange(len(rows))])
        other = np.concatenate([nearest[:, :CROWD].ravel()[close.ravel()], group + len(rows)])
        size = len(rows) + int(group.max()) + 1
        joined = linked(one, other, size)[: len(rows)]
        images.loc[images.index[rows], "group"] = [f"{split} {k}" for k in joined]
    return replace(scene, images=images)


def check(
    scene: GapScene, difference: SetDifference, by_classes: bool, submitted: Submitted | None
) -> tuple[Cause, Cause]:
    """Transform mismatch, and covariate shift.

    `by_classes`: the difference disappears when training has the class frequencies of the test set. Without
    predictions (`submitted`), the weighted score is left out.
    """
    how = texts.SHIFT_HOW.format(shuffles=scene.settings.shift_shuffles)
    transform_how = texts.TRANSFORM_HOW.format(how=how)
    figures = difference.figures
    if difference.facts is None or difference.thumbs is None:
        return (
            Cause("transform", False, texts.SHIFT_IMPOSSIBLE, transform_how, ""),
            Cause("covariate_shift", False, texts.SHIFT_IMPOSSIBLE, how, ""),
        )
    if not difference.alarm:
        alike = texts.NO_SHIFT.format(figures=figures)
        return (
            Cause("transform", False, texts.NO_TRANSFORM, transform_how, texts.NOTHING_TO_DO),
            Cause("covariate_shift", False, alike, how, texts.NOTHING_TO_DO),
        )
    transform = _transform(scene, transform_how)
    if transform.found:
        headline = texts.SHIFT_BY_TRANSFORM.format(figures=figures)
        return transform, Cause("covariate_shift", False, headline, how, texts.SEE_TRANSFORM)
    if by_classes:
        headline = texts.SHIFT_BY_CLASSES.format(figures=figures)
        return transform, Cause("covariate_shift", False, headline, how, texts.SEE_LABEL_SHIFT)
    return transform, _covariate(scene, difference, how, submitted)


def _transform(scene: GapScene, how: str) -> Cause:
    beyond = _beyond(scene)
    change, removed = _best_undone(scene, beyond)
    if change is not None:
        loss = _loss_by(scene, change)
        headline = texts.TRANSFORM.format(change=change.text, removed=percent(removed), loss=100 * loss)
        effect = in_units_of_score(scene.metric, -loss, scene.space.kind)
        return Cause("transform", True, headline, how, texts.TRANSFORM_ANSWER, effect)
    top = beyond.iloc[0]
    if top["share"] >= BEYOND:
        headline = texts.BEYOND.format(
            share=percent(top["share"]), fact=fact(str(top["fact"])), train=top["train"], test=top["test"]
        )
        return Cause("transform", True, headline, how, texts.TRANSFORM_ANSWER)
    return Cause("transform", False, texts.UNEXPLAINED_SHIFT, how, texts.NOTHING_TO_DO)


def _beyond(scene: GapScene) -> pd.DataFrame:
    """One row per fact: its name, medians of train and test, share of test images outside; largest first."""
    rows = []
    for name in scene.facts.columns:
        values = scene.facts[name].to_numpy(np.float64)
        train, test = values[~scene.is_test], values[scene.is_test]
        low, high = np.percentile(train, (2.5, 97.5))
        rows.append((name, np.median(train), np.median(test), float(((test < low) | (test > high)).mean())))
    table = pd.DataFrame(rows, columns=["fact", "train", "test", "share"])
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def _changes(scene: GapScene) -> list[_Change]:
    """Changes that can be undone on thumbnails; those that no mix of images can cause come first."""

    def turn(times: int) -> Change:
        return lambda x: np.rot90(x, times, axes=(-3, -2))

    def mirror(x: Values) -> Values:
        return x[..., ::-1, :]

    def swap(x: Values) -> Values:
        return x[..., ::-1]

    def negative(x: Values) -> Values:
        return WHITE - x

    plain = [
        _Change(texts.CHANGES["bgr"], swap, swap),
        _Change(texts.CHANGES["negative"], negative, negative),
        _Change(texts.CHANGES["mirror"], mirror, mirror),
        _Change(texts.CHANGES["flip"], lambda x: x[..., ::-1, :, :], lambda x: x[..., ::-1, :, :]),
        _Change(texts.CHANGES["half turn"], turn(2), turn(2)),
        _Change(texts.CHANGES["left"], turn(-1), turn(1)),
        _Change(texts.CHANGES["right"], turn(1), turn(-1)),
    ]
    return [*plain, *_levels(scene)]


def _levels(scene: GapScene) -> list[_Change]:
    x = scene.glance.thumbs_NTT3.astype(np.float64)
    train, test = x[~scene.is_test], x[scene.is_test]
    here, there = (float(np.median(side.mean(axis=(1, 2, 3)))) for side in (train, test))
    wide, narrow = (float(np.median(side.std(axis=(1, 2, 3)))) for side in (train, test))
    ratio = narrow / wide if wide > 0 and narrow > 0 else 1.0
    off = there - here
    factor = there / here if here > 0 and there > 0 else 1.0
    return [
        _Change(
            (texts.BRIGHTER if off > 0 else texts.DARKER).format(levels=abs(off)),
            lambda y: y - off,
            lambda y: y + off,
            True,
        ),
        _Change(
            texts.TIMES_AS_BRIGHT.format(factor=factor), lambda y: y / factor, lambda y: y * factor, True
        ),
        _Change(
            texts.CONTRAST.format(factor=ratio),
            lambda y: (y - there) / ratio + here,
            lambda y: (y - here) * ratio + there,
            True,
        ),
    ]


def _best_undone(scene: GapScene, beyond: pd.DataFrame) -> tuple[_Change | None, float]:
    """The change whose undoing makes the sets most similar, and the share of the difference it removes."""
    x = scene.glance.thumbs_NTT3.astype(np.float64)
    before = _difference(scene, x)
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
        removed = 1 - _difference(scene, undone) / before
        if removed >= (REMOVED if change.level else REMOVED_PLAIN) and removed > best[1]:
            best = (change, removed)
    return best[0], min(best[1], 1.0)


def _difference(scene: GapScene, x_NTT3: Values) -> float:
    """The larger AUC of pixels and colours of the thumbnails, minus 0.5."""
    mean_N3 = x_NTT3.mean(axis=(1, 2))
    red_N, green_N, blue_N = mean_N3.T
    colours = pd.DataFrame({"brightness": mean_N3.mean(axis=1), "contrast": x_NTT3.std(axis=(1, 2, 3))})
    colours = colours.assign(red=red_N - green_N, blue=blue_N - green_N)
    seed = scene.settings.seed
    sides = (pixels(x_NTT3), shift.spread_out(colours.round(6)))
    return max(shift.tell(scene.images, x_ND, seed).auc for x_ND in sides) - 0.5


def _loss_by(scene: GapScene, change: _Change) -> float:
    """Loss in the share of right answers of a look-up when validation images get the same change."""
    x = scene.glance.thumbs_NTT3[~scene.is_test].astype(np.float64)
    clean = pixels(x)
    changed = pixels(np.clip(change.do(x), 0, WHITE))
    draw = seeds.rng(scene.settings.seed, "gap transform", len(x))
    few = np.sort(draw.permutation(len(x))[:MOST_IMAGES])
    before, after, queries = 0.0, 0.0, 0
    for train, valid in plan_rows(scene):
        train, valid = np.intersect1d(train, few), np.intersect1d(valid, few)
        if not len(train) or not len(valid):
            continue
        known, truth = scene.truth[train], scene.truth[valid]
        before += float(scene.agreement(known[nearest(clean[train], clean[valid])[0]], truth).sum())
        after += float(scene.agreement(known[nearest(clean[train], changed[valid])[0]], truth).sum())
        queries += len(valid)
    return (before - after) / max(queries, 1)


def _covariate(scene: GapScene, difference: SetDifference, how: str, submitted: Submitted | None) -> Cause:
    assert difference.facts is not None and difference.thumbs is not None, "checked by the caller"
    facts, thumbs = difference.facts, difference.thumbs
    strongest = facts if facts.auc >= thumbs.auc else thumbs
    rows = strongest.table.head(3).to_dict("records")
    facts_read = (
        texts.COVARIATE_FACT.format(fact=fact(str(r["fact"])), train=r["train"], test=r["test"]) for r in rows
    )
    shown = joined(", ", facts_read)
    effect = None if submitted is None else _weighted(scene, strongest.on == "facts", submitted)
    effect_text = "" if effect is None else texts.COVARIATE_EFFECT.format(effect=effect)
    headline = texts.COVARIATE_SHIFT.format(figures=difference.figures, facts=shown, effect=effect_text)
    return Cause("covariate_shift", True, headline, how, texts.COVARIATE_ANSWER, effect)


def _weighted(scene: GapScene, by_facts: bool, submitted: Submitted) -> float:
    """Score with training images weighted by their odds of being test images, minus the unweighted score.

    Source: Sugiyama et al. (2007), Covariate Shift Adaptation by Importance Weighted Cross Validation.
    """
    x_ND = shift.spread_out(scene.facts) if by_facts else pixels(scene.glance.thumbs_NTT3)
    separated = shift.tell(scene.images, x_ND, scene.settings.seed)
    is_test_S = scene.is_test[separated.rows_S]
    model = LogisticRegression().fit(separated.score_S[:, None], is_test_S)
    rows, at_K, at_S = np.intersect1d(submitted.rows_K, separated.rows_S[~is_test_S], return_indices=True)
    odds = np.exp(model.decision_function(separated.score_S[~is_test_S, None]))[at_S]
    weight = np.minimum(odds / odds.mean(), MOST_WEIGHT)
    scores = scene.metric.resampler(scene.truth[rows], submitted.oof_KC[at_K])
    plain, shifted = (float(scores(w[None])[0]) for w in (np.ones(len(rows)), weight))
    return shifted - plain
