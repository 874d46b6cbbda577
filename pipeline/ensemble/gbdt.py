"""The member `gbdt`: gradient-boosted trees on the predictions of the other members and the metadata.

Owns the table that they read, fitting one booster or one for each column, out-of-fold predictions by groups
of samples, and which columns of the table matter. Does not own the members (`ensemble/members.py`), applying
and keeping trees (`ensemble/trees.py`) nor what metadata means (`core/metadata.py`). LightGBM is the extra
`gbdt`.

The trees start from the mean of the members, in logits (of values: the values themselves), and learn
corrections of it, so that a booster that learns nothing is the mean. The number of trees is chosen on one of
the parts that it is not scored on.

    target              boosters
    exclusive           one for all classes; two classes: one, of their log odds
    labels              one a column, on the rows whose truth is known; levels are then made to sum to 1
    shares              one a column, on the share; rows are then made to sum to 1
    values              one a column, of the squared error, on the rows whose truth is known

Source: Ke et al. 2017, LightGBM; Wolpert 1992, Stacked generalization.

Legend: N samples, M members, K columns, F columns of the table, T trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core import metadata
from pipeline.core.errors import ConfigError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Floats, Ints, Samples
from pipeline.core.targets import EXCLUSIVE, Target
from pipeline.data.readers.reading import library
from pipeline.ensemble import texts, trees
from pipeline.ensemble.trees import EACH, EXTRA, MEMBER_COLUMN, WORD, Boosted, Reals
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.ensemble import GbdtSettings

# More columns would be thousands of boosters or trees.
MOST_COLUMNS = 100
# Trees without a gain on the part that chooses their number.
PATIENCE = 30


@dataclass(frozen=True)
class Rows:
    """The table of the trees.

    Args:
        x: (N, F) predictions of members, and metadata: numbers, and categories as codes.
        base_NK: the logits that the trees start from.
        n_predictions: how many of the columns are predictions; they come first.
    """

    x: pd.DataFrame
    base_NK: Floats
    n_predictions: int = 0

    @property
    def plain(self) -> pd.DataFrame:
        """The table under names that LightGBM takes: it refuses some signs."""
        return self.x.set_axis([f"c{at}" for at in range(self.x.shape[1])], axis=1)

    @property
    def x_NF(self) -> Reals:
        """The table as plain numbers: of categories, which have codes by now, NaN where there is none."""
        made = []
        for _, column in self.x.items():
            numbers = column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column
            values = np.asarray(numbers, dtype=np.float64)
            made.append(np.where(values < 0, np.nan, values) if numbers is not column else values)
        return np.stack(made, axis=1)

    def take(self, at: Ints) -> Rows:
        """Some of the rows."""
        return Rows(self.x.iloc[at], self.base_NK[at], self.n_predictions)


def table(members: Sequence[Probabilities], samples: Samples, settings: CompetitionSettings) -> Rows:
    """The table of these samples: the predictions of the members, aligned, and their metadata."""
    target = Target.of(samples.space)
    columns: dict[str, Any] = {}
    for member in members:
        for k in trees.kept_columns(target):
            name = MEMBER_COLUMN.format(member=member.name, column=target.columns[k])
            columns[name] = member.p_NC[:, k].astype(np.float64)
    predictions = len(columns)
    for at, one in enumerate(settings.metadata if samples.cells_NM is not None else []):
        assert samples.cells_NM is not None, "asked above"
        cells = samples.cells_NM[:, at].tolist()
        if one.kind == "number":
            columns[one.column] = [metadata.number(cell) for cell in cells]
        else:
            columns[one.column] = [trees.word(cell) for cell in cells]
    return Rows(pd.DataFrame(columns, index=samples.ids_N), trees.base(members, target), predictions)


def fit(
    rows: Rows, truth: Any, inner: tuple[Ints, Ints] | None, target: Target, how: GbdtSettings
) -> Boosted:
    """Fit the trees.

    Args:
        rows: the training rows.
        truth: (N,) classes or (N, K) of every other kind, NaN where it is unknown.
        inner: positions of rows to learn from and to choose the number of trees on; None: all trees are used.
        target: what the columns mean.
        how: the settings of the trees.
    """
    lightgbm = library("lightgbm", EXTRA, WORD)
    if target.kind == EXCLUSIVE:
        two = target.n_columns == 2
        base = rows.base_NK[:, 1] - rows.base_NK[:, 0] if two else rows.base_NK
        extra = {"objective": "binary"} if two else {"objective": "multiclass", "num_class": target.n_columns}
        booster, count = _booster(lightgbm, rows.plain, np.asarray(truth), base, inner, extra, how)
        return Boosted((booster,), (count,), target)
    objective = "cross_entropy" if target.kind in EACH else "regression"
    made = []
    for k in range(target.n_columns):
        y_N = np.asarray(truth, dtype=np.float64)[:, k]
        known = np.flatnonzero(np.isfinite(y_N))
        at = None
        if inner is not None:
            first, second = (np.searchsorted(known, np.intersect1d(part, known)) for part in inner)
            at = first, second
        own = {"objective": objective}
        made.append(
            _booster(lightgbm, rows.plain.iloc[known], y_N[known], rows.base_NK[known, k], at, own, how)
        )
    return Boosted(tuple(b for b, _ in made), tuple(n for _, n in made), target)


def _booster(
    lightgbm: Any,
    x: pd.DataFrame,
    y_N: npt.NDArray[Any],
    base: Floats,
    inner: tuple[Ints, Ints] | None,
    objective: dict[str, Any],
    how: GbdtSettings,
) -> tuple[Any, int]:
    """(booster, trees that count); (None, 0) where there is nothing to learn."""
    if len(y_N) < 2 * how.min_rows or len(np.unique(y_N)) < 2:
        return None, 0
    parameters = {
        **objective,
        "learning_rate": how.rate,
        "num_leaves": how.leaves,
        "min_data_in_leaf": how.min_rows,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "boost_from_average": False,
        "seed": how.seed,
        # The same bits on every machine.
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }

    def data(at: Ints | None, reference: Any = None) -> Any:
        some = slice(None) if at is None else at
        init = np.asarray(base[some], dtype=np.float64)
        flat = init.ravel(order="F") if init.ndim == 2 else init
        given = {"init_score": flat, "reference": reference, "free_raw_data": False}
        return lightgbm.Dataset(x.iloc[some], y_N[some], **given)

    rounds = how.rounds
    if inner is not None and len(inner[0]) >= 2 * how.min_rows and len(inner[1]):
        learned = data(inner[0])
        chosen = data(inner[1], learned)
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        tried = lightgbm.train(parameters, learned, how.rounds, valid_sets=[chosen], callbacks=[stop])
        rounds = int(tried.best_iteration)
    if rounds < 1:
        return None, 0
    return lightgbm.train(parameters, data(None), rounds), rounds


@dataclass(frozen=True)
class Result:
    """Predictions of both sets.

    Args:
        oof_NK: of each sample by trees that never saw its part.
        test_NK: by trees of all samples.
        importance: columns of the table and their share of the gain, the largest first.
        boosted: the trees of all samples.
        columns: the columns of the table, with the codes of categories.
        rounds: the mean number of trees of a booster that learned on all samples.
    """

    oof_NK: Floats
    test_NK: Floats
    importance: pd.DataFrame
    boosted: Boosted
    columns: tuple[trees.Column, ...]
    rounds: float


def cross_fitted(
    rows: Rows, truth: Any, parts: Sequence[Ints], test: Rows, target: Target, how: GbdtSettings
) -> Result:
    """Out-of-fold predictions by parts that share no group, and those of the test set.

    Args:
        rows: all samples with out-of-fold predictions of the members.
        truth: of these samples.
        parts: disjoint positions of the rows.
        test: the test set.
        target: what the columns mean.
        how: the settings of the trees.

    Raises:
        ConfigError: more columns than trees are made for.
    """
    if target.n_columns > MOST_COLUMNS:
        text = texts.GBDT_COLUMNS.format(columns=target.n_columns, most=MOST_COLUMNS)
        raise ConfigError(text, remedy=texts.GBDT_COLUMNS_REMEDY)
    rows, test = _same_categories(rows, test)
    oof = np.zeros_like(rows.base_NK)
    for number, part in enumerate(parts):
        rest = np.setdiff1d(np.arange(len(rows.x)), part)
        inner = None
        if len(parts) > 2:
            chooser = parts[(number + 1) % len(parts)]
            inner = np.flatnonzero(~np.isin(rest, chooser)), np.flatnonzero(np.isin(rest, chooser))
        made = fit(rows.take(rest), np.asarray(truth)[rest], inner, target, how)
        scored = rows.take(part)
        oof[part] = made.predict(scored.x_NF, scored.base_NK)
    chooser = parts[0]
    others = np.setdiff1d(np.arange(len(rows.x)), chooser)
    whole = fit(rows, np.asarray(truth), (others, np.sort(chooser)), target, how)
    rounds = float(np.mean(whole.rounds)) if whole.rounds else 0.0
    predicted = whole.predict(test.x_NF, test.base_NK)
    return Result(oof, predicted, importance(whole, rows), whole, _columns(rows), rounds)


def _columns(rows: Rows) -> tuple[trees.Column, ...]:
    """The columns of a table whose categories have codes; predictions of members have a name of two parts."""
    made = []
    for at, (name, column) in enumerate(rows.x.items()):
        categories = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else ()
        kind: trees.Kind = "prediction" if at < rows.n_predictions else "number"
        if isinstance(column.dtype, pd.CategoricalDtype):
            kind = "category"
        made.append(trees.Column(str(name), kind, tuple(map(str, categories))))
    return tuple(made)


def _same_categories(rows: Rows, test: Rows) -> tuple[Rows, Rows]:
    """Both tables with categories as codes of the training rows; other values are missing."""
    train_x, test_x = rows.x.copy(), test.x.copy()
    for column in train_x.columns:
        if train_x[column].dtype.kind not in "fiu":
            kind = pd.CategoricalDtype(sorted({v for v in train_x[column] if isinstance(v, str)}))
            code = {value: at for at, value in enumerate(kind.categories)}
            for x in (train_x, test_x):
                codes = [code.get(value, -1) for value in x[column]]
                x[column] = pd.Categorical.from_codes(codes, dtype=kind)
    n = rows.n_predictions
    return Rows(train_x, rows.base_NK, n), Rows(test_x, test.base_NK, n)


def importance(made: Boosted, rows: Rows) -> pd.DataFrame:
    """The share of each column of the table in the gain of all trees."""
    gain = np.zeros(rows.x.shape[1])
    for booster in made.boosters:
        if booster is not None:
            gain += booster.feature_importance("gain")
    share = gain / gain.sum() if gain.sum() > 0 else gain
    table = pd.DataFrame({"column": list(rows.x.columns), "share of the gain": share})
    return table.sort_values("share of the gain", ascending=False, kind="stable").reset_index(drop=True)
