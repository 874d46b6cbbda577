"""Findings about labels that hold together, values and shares, which exclusive classes cannot have.

Owns their rules: images without a label, labels that always hold together, what is unknown, values far from
all others, values that stand for something else, and votes without a majority. Does not own the order of
findings (`eda/findings.py`) nor the words (`eda/texts.py`).

Shape legend: N training images, K columns of the truth.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.core.samples import Ints
from pipeline.eda import texts
from pipeline.eda.evidence import SHOWN, Finding, some
from pipeline.eda.outliers import MAD_OF_NORMAL
from pipeline.eda.survey import Survey, keys_of
from pipeline.pages.report import percent, plural
from pipeline.settings.eda import EdaSettings

Values = npt.NDArray[np.float64]

# Shares of the score at stake; see `eda/evidence.py`.
STRANGE, MOST_STRANGE = 0.3, 0.05
REDUNDANT, CONSTANT, CLUMPED = 0.0005, 0.5, 0.001
# Two labels are the same for a model if each holds in this share of the images of the other one.
TOGETHER, FEWEST_TOGETHER = 0.98, 10
# One number in this share of the images, of a value that has so many others, may mean "not measured".
CLUMP_SHARE, FEWEST_OTHERS = 0.1, 20
SKEWED = 2.0


def nouns(kind: str) -> str:
    """What the rows of `Survey.classes` are."""
    return {"labels": "label", "values": "range"}.get(kind, "class")


def codes_of(survey: Survey, attribute: int) -> Ints:
    """(N,) the value of an attribute of each training image, -1 where it is unknown or has no values."""
    train = survey.split("train")
    own = survey.space.codes_CA[:, attribute]
    if survey.truth is None:
        return np.asarray(own[train["label"].to_numpy()], dtype=np.int64)
    if survey.space.kind != "labels":
        return np.full(len(train), -1, np.int64)
    y_NK = survey.truth[:, own >= 0]
    known_N = ~np.isnan(y_NK).any(axis=1)
    y_NK = np.nan_to_num(y_NK)
    code_N = y_NK.argmax(axis=1) if y_NK.shape[1] > 1 else (y_NK[:, 0] >= 0.5).astype(np.int64)
    return np.where(known_N, code_N, -1).astype(np.int64)


def of_truth(survey: Survey, settings: EdaSettings) -> list[Finding]:
    """The findings that fit the kind of target; none for exclusive classes."""
    if survey.truth is None:
        return []
    y_NK = np.asarray(survey.truth, dtype=np.float64)
    if survey.space.kind == "labels":
        return [
            *_unknown(survey, y_NK),
            *_constant(survey, y_NK),
            *_together(survey, y_NK),
            _each(survey, y_NK),
        ]
    if survey.space.kind == "shares":
        return [_majority(survey, y_NK)]
    found = [*_unknown(survey, y_NK)]
    for name, y_N in zip(survey.space.classes, y_NK.T, strict=True):
        found += [*_far(survey, name, y_N, settings.outlier_z), *_clump(survey, name, y_N), _range(name, y_N)]
    return found


def _unknown(survey: Survey, y_NK: Values) -> list[Finding]:
    unknown_NK = np.isnan(y_NK)
    if not unknown_NK.any():
        return []
    share_K = unknown_NK.mean(axis=0)
    worst = int(share_K.argmax())
    headline = texts.UNKNOWN.format(
        share=percent(float(unknown_NK.mean())),
        name=survey.space.classes[worst],
        most=percent(float(share_K[worst])),
    )
    return [Finding("unknown", 0.0, headline, texts.UNKNOWN_MEANING, texts.UNKNOWN_ANSWER)]


def _constant(survey: Survey, y_NK: Values) -> list[Finding]:
    """Labels that hold in every image in which they are known."""
    held_NK, known_NK = np.nan_to_num(y_NK) >= 0.5, ~np.isnan(y_NK)
    always = [
        name
        for name, held, known in zip(survey.space.classes, held_NK.T, known_NK.T, strict=True)
        if known.any() and held[known].all()
    ]
    if not always:
        return []
    return [
        Finding(
            "label_always",
            CONSTANT * len(always) / len(survey.space.classes),
            texts.ALWAYS.format(labels=plural(len(always), "label"), names=some(always)),
            texts.ALWAYS_MEANING,
            texts.ALWAYS_ANSWER,
        )
    ]


def _together(survey: Survey, y_NK: Values) -> list[Finding]:
    """Pairs of labels of which each nearly always holds with the other."""
    held_NK = (np.nan_to_num(y_NK) >= 0.5).astype(np.float64)
    both_KK = held_NK.T @ held_NK
    counts_K = np.maximum(both_KK.diagonal(), 1)
    least_KK = np.minimum(both_KK / counts_K[:, None], both_KK / counts_K[None, :])
    # A label that holds everywhere is told by itself.
    usual_K = counts_K < len(y_NK)
    pairs = [
        (i, k)
        for i, k in np.argwhere(np.triu(least_KK >= TOGETHER, 1)).tolist()
        if both_KK[i, k] >= FEWEST_TOGETHER and usual_K[i] and usual_K[k]
    ]
    if not pairs:
        return []
    names = survey.space.classes
    told = [texts.PAIR.format(one=names[i], other=names[k]) for i, k in pairs]
    headline = texts.TOGETHER.format(pairs=plural(len(pairs), "pair"), names=some(told))
    return [Finding("labels_together", REDUNDANT, headline, texts.TOGETHER_MEANING, texts.TOGETHER_ANSWER)]


def _each(survey: Survey, y_NK: Values) -> Finding:
    """How many labels an image has, for information."""
    count_N = (np.nan_to_num(y_NK) >= 0.5).sum(axis=1)
    none = np.flatnonzero((count_N == 0) & ~np.isnan(y_NK).any(axis=1))
    headline = texts.LABELS_EACH.format(
        mean=count_N.mean(),
        most=int(count_N.max(initial=0)),
        none=plural(len(none), "image has", "images have"),
    )
    rows = survey.split("train").iloc[none]
    return Finding(
        "labels_each",
        0.0,
        headline,
        texts.LABELS_EACH_MEANING if len(none) else "",
        texts.LABELS_EACH_ANSWER if len(none) else texts.NOTHING_TO_DO,
        examples=keys_of(rows.head(SHOWN)),
    )


def _far(survey: Survey, name: str, y_N: Values, limit: float) -> list[Finding]:
    """Values far from all others, on a logarithmic scale where the value has a long tail."""
    known_N = ~np.isnan(y_N)
    scaled_N = _straightened(y_N[known_N])
    away_N = scaled_N - np.median(scaled_N) if len(scaled_N) else scaled_N
    spread = MAD_OF_NORMAL * float(np.median(np.abs(away_N))) if len(away_N) else 0.0
    if spread <= 0:
        return []
    far = np.flatnonzero(known_N)[np.abs(away_N) > limit * spread]
    if not len(far):
        return []
    order = far[np.argsort(-np.abs(y_N[far] - np.nanmedian(y_N)), kind="stable")]
    values = ", ".join(f"{v:.4g}" for v in y_N[order[:4]])
    rows = survey.split("train").iloc[order]
    return [
        Finding(
            f"far_{name}",
            min(STRANGE * len(far) / len(y_N), MOST_STRANGE),
            texts.FAR.format(values=plural(len(far), "value"), name=name, shown=values),
            texts.FAR_MEANING.format(limit=limit, middle=float(np.nanmedian(y_N))),
            texts.FAR_ANSWER,
            tuple((key,) for key in keys_of(rows)),
        )
    ]


def _straightened(y_N: Values) -> Values:
    """The values, or their logarithms if none is negative and the upper tail is long."""
    if not len(y_N) or y_N.min() < 0 or _skew(y_N) <= SKEWED:
        return y_N
    return np.asarray(np.log1p(y_N / max(float(np.median(y_N)), 1e-9)))


def _skew(y_N: Values) -> float:
    spread = float(y_N.std())
    return float(((y_N - y_N.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0


def _clump(survey: Survey, name: str, y_N: Values) -> list[Finding]:
    """One number at an end of the range that very many images have: often one that was not measured."""
    known_N = y_N[~np.isnan(y_N)]
    values, counts = np.unique(known_N, return_counts=True)
    if len(values) <= FEWEST_OTHERS:
        return []
    at = int(counts.argmax())
    share = float(counts[at] / len(known_N))
    if share < CLUMP_SHARE or at not in (0, len(values) - 1):
        return []
    rows = survey.split("train").iloc[np.flatnonzero(y_N == values[at])]
    return [
        Finding(
            f"clump_{name}",
            CLUMPED,
            texts.CLUMP.format(share=percent(share), name=name, value=values[at]),
            texts.CLUMP_MEANING,
            texts.CLUMP_ANSWER,
            examples=keys_of(rows.head(SHOWN)),
        )
    ]


def _range(name: str, y_N: Values) -> Finding:
    """What a value is like, for information."""
    known_N = y_N[~np.isnan(y_N)]
    low, middle, high = (float(v) for v in np.quantile(known_N, [0, 0.5, 1]))
    headline = texts.RANGE_OF.format(
        name=name, low=low, high=high, middle=middle, spread=float(known_N.std())
    )
    long = low >= 0 and _skew(known_N) > SKEWED
    answer = texts.LONG_TAIL_ANSWER if long else texts.NOTHING_TO_DO
    return Finding(f"range_{name}", 0.0, headline, texts.LONG_TAIL if long else "", answer)


def _majority(survey: Survey, y_NK: Values) -> Finding:
    """How many images have no share above one half, for information."""
    split = np.flatnonzero(y_NK.max(axis=1) <= 0.5)
    rows = survey.split("train").iloc[split]
    headline = texts.MAJORITY.format(
        images=plural(len(split), "image has", "images have"), share=percent(len(split) / max(len(y_NK), 1))
    )
    return Finding(
        "no_majority",
        0.0,
        headline,
        texts.MAJORITY_MEANING,
        texts.NOTHING_TO_DO,
        examples=keys_of(rows.head(SHOWN)),
    )
