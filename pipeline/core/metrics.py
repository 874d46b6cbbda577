"""Metrics: the registry, their formulas, confusion counts and per-class tables.

Owns the definition of a metric, the registry of metrics and their formulas, and the conversion of any
function of rows or labels into such a formula. Does not own intervals or comparisons (`core/statistics.py`).

A metric is a function of how often each row counts. If every row counts once, it gives the score; if rows
count as often as a bootstrap drew them, it gives the score of that resample, without copies of rows.

Shape legend: N samples, C classes, A attributes, B resamples; a confusion is [truth, prediction].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.core import label_metrics, plugin, value_metrics
from pipeline.core.errors import ConfigError, nearest
from pipeline.core.language import _
from pipeline.core.metric_arithmetic import (
    LOG_FLOOR,
    OnWeights,
    Reals,
    area_under_roc,
    by_positions,
    by_rows,
    mean_of_columns,
    ratio,
)
from pipeline.core.predictions import Prediction
from pipeline.core.samples import Floats, Ints, Kind, LabelSpace, Truth
from pipeline.core.targets import EXCLUSIVE, LABELS, SHARES, VALUES, Target, most_probable
from pipeline.core.truths import Beside, Cells, beside_of, cells_of

Looks = Literal["first", "truth", "all"]
OnCounts = Callable[[Reals], Reals]
# From (B, C) correct predictions, true counts and predicted counts of each class to (B,) scores.
OnMargins = Callable[[Reals, Reals, Reals], Reals]
Prepare = Callable[[Ints, Floats], OnWeights]
Needs = Literal["labels", "probabilities"]
# The same for truths with a column each: (y_NK, p_NK) -> a function of (B, N) weights.
PrepareMatrix = Callable[[Floats, Floats], OnWeights]
PrepareCells = Callable[[Floats, Floats, Cells], OnWeights]
# (truth, predictions, what lies beside each row) -> a function of (B, N) weights.
PrepareSamples = Callable[[Truth, Floats, Beside], OnWeights]


def by_cells(function: Callable[[Ints, Ints], float]) -> OnCounts:
    """The `on_counts` of any `function(y_N, pred_N) -> float`: each cell is expanded into its rows again."""

    def scores(counts_BCC: Reals) -> Reals:
        size = counts_BCC.shape[-1]
        lists = [np.repeat(np.arange(size**2), c.ravel().astype(np.int64)) for c in counts_BCC]
        return np.array([function(cells // size, cells % size) for cells in lists], dtype=np.float64)

    return scores


def margins(counts: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """For each class, from the last two axes: correct predictions, true count, predicted count."""
    return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2)


def accuracy(hits: Reals, support: Reals, predicted: Reals) -> Reals:
    """(B,) share of correct predictions."""
    return ratio(hits.sum(-1), support.sum(-1))


def macro_f1(hits: Reals, support: Reals, predicted: Reals) -> Reals:
    """(B,) mean F1 over the classes that occur in the truth or the predictions."""
    occurs = (support + predicted) > 0
    return ratio(ratio(2 * hits, support + predicted).sum(-1), occurs.sum(-1))


def weighted_f1(hits: Reals, support: Reals, predicted: Reals) -> Reals:
    """(B,) F1 of the classes, weighted by their support."""
    return ratio((support * ratio(2 * hits, support + predicted)).sum(-1), support.sum(-1))


def balanced_accuracy(hits: Reals, support: Reals, predicted: Reals) -> Reals:
    """(B,) mean recall over the classes that occur in the truth."""
    return ratio(ratio(hits, support).sum(-1), (support > 0).sum(-1))


def qwk(counts_BCC: Reals) -> Reals:
    """(B,) quadratic weighted kappa; 0 if truth and predictions contain only one class, the same one."""
    size = counts_BCC.shape[-1]
    distance_CC = (np.arange(size)[:, None] - np.arange(size)) ** 2.0
    _, support, predicted = margins(counts_BCC)
    seen = (counts_BCC * distance_CC).sum(axis=(-2, -1))
    by_chance = np.einsum("bi,ij,bj->b", support, distance_CC, predicted)
    kappa = 1 - ratio(seen * support.sum(-1), by_chance)
    return np.where(by_chance > 0, kappa, 0.0)


def mcc(hits: Reals, support: Reals, predicted: Reals) -> Reals:
    """(B,) Matthews correlation; 0 if the truth or the predictions contain only one class."""
    total = support.sum(-1)
    covariance = hits.sum(-1) * total - (support * predicted).sum(-1)
    spread = (total**2 - (support**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    return ratio(covariance, np.sqrt(spread))


def log_loss(y_N: Ints, p_NC: Floats) -> OnWeights:
    """Mean of -log(probability of the true class); the probability is at least `LOG_FLOOR`."""
    p = p_NC.astype(np.float64)
    right_N = p[np.arange(len(y_N)), y_N] / p.sum(axis=1)
    loss_N = -np.log(np.clip(right_N, LOG_FLOOR, 1.0))
    return lambda w_BN: ratio(w_BN @ loss_N, w_BN.sum(axis=1))


def auc(y_N: Ints, p_NC: Floats) -> OnWeights:
    """Area under ROC, one class against the rest, mean over the classes in the truth; 0.5 for one class."""
    return mean_of_columns([area_under_roc(p_N, y_N == c) for c, p_N in enumerate(p_NC.T)], 0.5)


@dataclass(frozen=True)
class Metric:
    """A metric: one number that measures the quality of predictions.

    Args:
        name: as in the settings.
        higher_is_better: False for losses.
        needs: "labels" (the most probable class is judged) or "probabilities".
        minimum, maximum: the range of possible scores.
        description: one line for reports; says which classes are averaged.
        on_counts: for label metrics, (B, C, C) confusions to (B,) scores.
        looks_at: of probabilities of exclusive classes: "first": which classes are the most probable ones, at
            most a dozen, and the largest probability; "truth": that of the true class; "all": anything.
        on_margins: for those that need no more than three counts of each class; with thousands of classes a
            confusion is larger than all predictions.
        on_weights: for probability metrics, prepares (y_N, p_NC) once and returns a function of
            (B, N) row weights that gives (B,) scores.
        kinds: of targets that it can score; see `refuse`.
        on_matrix: for kinds other than exclusive classes: like `on_weights`, for a truth (N, K) whose NaN
            are unknown.
        on_cells: like `on_matrix`, where labels of several levels or weights make cells of the columns; None:
            the columns count as labels of their own. A metric of labels gets the answers as 0 and 1.
        on_samples: instead of all these, for a metric that reads other columns of the samples.
    """

    name: str
    higher_is_better: bool
    needs: Needs
    minimum: float
    maximum: float
    description: str
    on_counts: OnCounts | None = field(default=None, repr=False)
    on_weights: Prepare | None = field(default=None, repr=False)
    kinds: tuple[Kind, ...] = (EXCLUSIVE,)
    on_matrix: PrepareMatrix | None = field(default=None, repr=False)
    on_cells: PrepareCells | None = field(default=None, repr=False)
    on_margins: OnMargins | None = field(default=None, repr=False)
    on_samples: PrepareSamples | None = field(default=None, repr=False)
    looks_at: Looks = "all"

    def __post_init__(self) -> None:
        given = self.on_samples or (self.on_counts if self.needs == "labels" else self.on_weights)
        assert given is not None or EXCLUSIVE not in self.kinds, (
            f"metric {self.name} lacks the function its `needs` asks for"
        )

    @property
    def sign(self) -> float:
        """+1 if higher is better, else -1, so that a higher `sign * score` is always better."""
        return 1.0 if self.higher_is_better else -1.0

    def headroom(self, score: float) -> float:
        """How far a score is from a perfect one, ≥ 0, in units of the metric."""
        perfect = self.maximum if self.higher_is_better else self.minimum
        return max(self.sign * (perfect - score), 0.0)

    def refuse(self, target: Target) -> None:
        """Raise a `ConfigError` for a target that this metric cannot score."""
        target.require(self.kinds, f"competition.metric={self.name}")

    def score(self, y_N: Truth, p_NC: Floats) -> float:
        """The score of at least one row; label metrics take the most probable class (ties: the first).

        `y_N` may be the truth (N, K) of another kind of target than exclusive classes.
        """
        return float(self.resampler(y_N, p_NC)(np.ones((1, len(y_N))))[0])

    def score_labels(self, y_N: Ints, pred_N: Ints, n_classes: int) -> float:
        """The score of labels alone.

        Raises:
            ConfigError: the metric needs probabilities.
        """
        self.refuse_answers()
        if self.on_samples is not None:
            what = _("metric {name} reads other columns of the samples, and these answers have none").format(
                name=self.name
            )
            raise ConfigError(what, remedy=_("give a file with probabilities"))
        assert self.on_counts is not None, f"{self.name} scores labels that hold together only"
        if self.on_margins is not None:
            _cells(y_N, pred_N, n_classes)
            return float(_of_margins(self.on_margins, y_N, pred_N, n_classes)(np.ones((1, len(y_N))))[0])
        return float(self.on_counts(confusion(y_N, pred_N, n_classes)[None].astype(np.float64))[0])

    def refuse_answers(self) -> None:
        """Raise a `ConfigError` if this metric cannot score answers without probabilities."""
        if self.needs == "probabilities":
            raise ConfigError(
                _("metric {name} needs probabilities, but these predictions contain only labels").format(
                    name=self.name
                ),
                remedy=_("choose a label metric such as macro_f1, or give a file with probabilities"),
            )

    def resampler(self, y_N: Truth, p_NC: Floats) -> OnWeights:
        """A function from (B, N) weights ≥ 0, which are how often each row counts, to (B,) scores.

        Everything that is independent of the weights (most probable classes, sorting) is computed here, once.
        """
        assert len(y_N) > 0, "nothing to score"
        assert p_NC.ndim == 2 and len(p_NC) == len(y_N), f"p_NC is {p_NC.shape} for {len(y_N)} labels"
        cells = cells_of(y_N) if y_N.ndim == 2 else None
        if cells is not None and self.needs == "labels":
            p_NC = label_metrics.answered(p_NC, cells)
        if self.on_samples is not None:
            return self.on_samples(y_N.view(np.ndarray), p_NC, beside_of(y_N, self.name))
        if y_N.ndim == 2:
            assert self.on_matrix is not None, f"{self.name} scores exclusive classes only: see `refuse`"
            if cells is not None and self.on_cells is not None:
                return self.on_cells(np.asarray(y_N, np.float32), p_NC, cells)
            return self.on_matrix(np.asarray(y_N, np.float32), p_NC)
        y_N = np.asarray(y_N, np.int64)
        if self.on_counts is None:
            assert self.on_weights is not None, f"{self.name} does not score exclusive classes: see `refuse`"
            return self.on_weights(y_N, p_NC)
        on_counts, size = self.on_counts, p_NC.shape[1]
        if self.on_margins is not None:
            return _of_margins(self.on_margins, y_N, most_probable(p_NC), size)
        cell_N = _cells(y_N, most_probable(p_NC), size)

        def scores(w_BN: Reals) -> Reals:
            counts = [np.bincount(cell_N, weights=w_N, minlength=size * size) for w_N in w_BN]
            return on_counts(np.reshape(counts, (len(w_BN), size, size)))

        return scores


@dataclass(frozen=True)
class PerClass:
    """(C,) precision, recall, F1, support and predicted count of each class.

    The precision of a class that is never predicted is 0; so are recall and F1 of a class that never occurs.
    """

    precision_C: Reals
    recall_C: Reals
    f1_C: Reals
    support_C: Ints
    predicted_C: Ints


def get(name: str, folder: Path | None = None) -> Metric:
    """The metric with this name, or the user's own `module:function` in a folder.

    Args:
        name: of the registry, or e.g. "mymetrics:fbeta"; see `own`.
        folder: the folder that contains the module; None: the current folder.

    Raises:
        ConfigError: there is no such metric (similar names are suggested), or the user's own function cannot
            be loaded or lacks a declaration.
    """
    if plugin.is_plugin(name):
        return own(name, folder or Path.cwd())
    if name not in METRICS:
        remedy = nearest(name, METRICS) or _("choose one of {known}").format(known=", ".join(METRICS))
        raise ConfigError(_("competition.metric: unknown metric {name!r}").format(name=name), remedy=remedy)
    return METRICS[name]


def own(name: str, folder: Path) -> Metric:
    """A metric from the user's own code: a function that declares its direction, input and range.

        def fbeta(y_N, pred_N): ...          # or (y_N, p_NC), see needs
        fbeta.direction = "higher"           # or "lower"
        fbeta.needs = "labels"               # or "probabilities"
        fbeta.minimum = 0.0                  # of its range; `maximum` may be given too, else it is 1

    It is called with whole arrays (true class index; predicted class index, or (N, C) probabilities),
    never empty, and returns one finite number. The order of rows must not matter. If it has a parameter
    `columns`, it gets the columns of `competition.metric_columns`, by name and row by row; `names`: the names
    of the columns of predictions.

    Raises:
        ConfigError: it cannot be loaded, or a declaration is missing or wrong; all of them are named.
    """
    function = plugin.load(name, folder, "competition.metric")
    declared = {key: getattr(function, key, None) for key in ("direction", "needs", "minimum")}
    maximum = getattr(function, "maximum", 1.0)
    words = {"direction": ("higher", "lower"), "needs": ("labels", "probabilities")}
    faults = [
        f"{key} is {declared[key]!r}; write {name.partition(':')[2]}.{key} = {' or '.join(map(repr, known))}"
        for key, known in words.items()
        if declared[key] not in known
    ]
    for key, value in (("minimum", declared["minimum"]), ("maximum", maximum)):
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            faults.append(f"{key} is {value!r}; write {name.partition(':')[2]}.{key} = a number")
    if faults:
        raise ConfigError(_("competition.metric: {name} lacks valid declarations").format(name=name), faults)

    def score(y_N: Truth, answer: Any) -> float:
        return plugin.number(name, function, y_N, answer)

    labels = declared["needs"] == "labels"
    reads = [word for word in ("columns", "names") if plugin.takes(function, word)]

    def on_samples(y_N: Truth, p_NC: Floats, beside: Beside) -> OnWeights:
        answer = _answered(y_N, p_NC) if labels else p_NC

        def of_rows(at_N: Ints) -> float:
            own = beside.take(at_N)
            words = {"columns": own.columns, "names": own.names}
            given = partial(function, **{word: words[word] for word in reads})
            return plugin.number(name, given, y_N[at_N], answer[at_N])

        return by_positions(of_rows)

    return Metric(
        name=name.replace(":", "."),
        higher_is_better=declared["direction"] == "higher",
        needs="labels" if labels else "probabilities",
        minimum=float(str(declared["minimum"])),
        maximum=float(maximum),
        description=((function.__doc__ or "").strip().splitlines() or ["a metric of one's own"])[0],
        on_counts=by_cells(score) if labels else None,
        on_weights=None if labels else by_rows(score),
        # Values and shares have no answers besides themselves: above one half means nothing.
        kinds=(EXCLUSIVE, LABELS) if labels else (EXCLUSIVE, LABELS, VALUES, SHARES),
        on_matrix=by_rows(lambda y, p: score(y, p > 0.5 if labels else p)),
        on_samples=on_samples if reads else None,
    )


def _answered(y_N: Truth, p_NC: Floats) -> Any:
    """The answers that a metric of labels gets: classes, or whether each label holds."""
    return most_probable(p_NC) if y_N.ndim == 1 else p_NC > 0.5


def score_answers(metric: Metric, truth: Truth, predicted: Prediction, at_R: Ints, n_classes: int) -> float:
    """The score of a file: of its probabilities, or of its answers alone.

    Args:
        metric: any that fits the target.
        truth: of R images, as `Samples.truth`.
        predicted: the file.
        at_R: the place of these images in it.
        n_classes: C.

    Raises:
        ConfigError: the metric needs probabilities, and the file has only answers.
    """
    if predicted.probabilities is not None:
        return metric.score(truth, predicted.probabilities.p_NC[at_R])
    if predicted.answers.ndim == 1 and metric.on_samples is not None and metric.needs == "labels":
        return metric.score(truth, np.eye(n_classes, dtype=np.float32)[predicted.labels_N[at_R]])
    if predicted.answers.ndim == 1:
        return metric.score_labels(np.asarray(truth, dtype=np.int64), predicted.labels_N[at_R], n_classes)
    metric.refuse_answers()
    return metric.score(truth, np.asarray(predicted.answers[at_R], dtype=np.float32))


def confusion(y_N: Ints, pred_N: Ints, n_classes: int) -> Ints:
    """(C, C) counts; rows are true classes, columns are predicted classes."""
    cells = np.bincount(_cells(y_N, pred_N, n_classes), minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def per_class(y_N: Ints, pred_N: Ints, n_classes: int) -> PerClass:
    """Precision, recall, F1 and support of each class; see `PerClass` for the undefined ones."""
    cells = _cells(y_N, pred_N, n_classes)
    of_class = (np.asarray(pred_N)[cells % (n_classes + 1) == 0], y_N, pred_N)
    hits, support, predicted = (np.bincount(of, minlength=n_classes).astype(np.int64) for of in of_class)
    return PerClass(
        precision_C=ratio(hits, predicted),
        recall_C=ratio(hits, support),
        f1_C=ratio(2 * hits, support + predicted),
        support_C=support,
        predicted_C=predicted,
    )


def _of_margins(on_margins: OnMargins, y_N: Ints, pred_N: Ints, size: int) -> OnWeights:
    """The scores from three counts of each class; exact, as counts are whole numbers."""
    right_N = y_N == pred_N

    def scores(w_BN: Reals) -> Reals:
        parts = ((y_N[right_N], w_BN[:, right_N]), (y_N, w_BN), (pred_N, w_BN))
        counted = [[np.bincount(of, weights=w, minlength=size) for w in weights] for of, weights in parts]
        hits, support, predicted = (np.array(counts, dtype=np.float64) for counts in counted)
        return on_margins(hits, support, predicted)

    return scores


def attribute_scores(space: LabelSpace, y_N: Ints, answer: Floats | Ints) -> dict[str, float]:
    """Macro F1 of each attribute by itself.

    Args:
        space: how classes are built of attributes.
        y_N: true class index.
        answer: (N, C) probabilities, of which each attribute's marginal is judged (it may differ from
            the attribute of the most probable class), or (N,) predicted class indices.
    """
    scores, target = {}, Target.of(space)
    for a, attribute in enumerate(target.attributes):
        code_C = space.codes_CA[:, a]
        if answer.ndim == 2:
            pred_N = most_probable(target.marginal(answer.astype(np.float32), a))
        else:
            pred_N = code_C[answer]
        scores[attribute.name] = METRICS["macro_f1"].score_labels(code_C[y_N], pred_N, len(attribute.values))
    return scores


def _cells(y_N: Ints, pred_N: npt.NDArray[np.integer[Any]], n_classes: int) -> Ints:
    """(N,) the flat place of each row in a confusion."""
    y_N, pred_N = np.asarray(y_N), np.asarray(pred_N)
    assert y_N.shape == pred_N.shape and y_N.ndim == 1, f"shapes differ: {y_N.shape}, {pred_N.shape}"
    for what, label_N in (("true", y_N), ("predicted", pred_N)):
        inside = not len(label_N) or (label_N.min() >= 0 and label_N.max() < n_classes)
        assert inside, f"a {what} label lies outside 0…{n_classes - 1}"
    return np.asarray(y_N.astype(np.int64) * n_classes + pred_N, dtype=np.int64)


def _label(
    name: str,
    minimum: float,
    description: str,
    on_margins: OnMargins,
    on_matrix: PrepareMatrix | None = None,
    on_cells: PrepareCells | None = None,
) -> Metric:
    """A metric of the most probable class, and of labels at a threshold of one half where that exists."""
    kinds = (EXCLUSIVE, LABELS) if on_matrix else (EXCLUSIVE,)

    def on_counts(counts_BCC: Reals) -> Reals:
        return on_margins(*margins(counts_BCC))

    form = (on_counts, None, kinds, on_matrix, on_cells, on_margins)
    return Metric(name, True, "labels", minimum, 1.0, description, *form)


def _of_labels(name: str, needs: Needs, maximum: float, on_matrix: PrepareMatrix) -> Metric:
    """A metric of labels alone; its description is the first line of its formula's."""
    return Metric(name, True, needs, 0.0, maximum, _first_line(on_matrix), None, None, (LABELS,), on_matrix)


def _both(name: str, maximum: float, on_matrix: PrepareMatrix) -> Metric:
    """A metric of one label's probability, which is also one of exclusive classes."""
    of_classes = partial(label_metrics.positive, on_matrix)
    kinds = (EXCLUSIVE, LABELS)
    line = _first_line(on_matrix)
    return Metric(name, True, "probabilities", 0.0, maximum, line, None, of_classes, kinds, on_matrix)


def _ranked(name: str, of_classes: Prepare, description: str) -> Metric:
    form = (True, "probabilities", 0.0, 1.0, description)
    return Metric(name, *form, on_weights=of_classes, looks_at="first")  # type: ignore[arg-type]


def _of_values(
    name: str, higher: bool, minimum: float, on_matrix: PrepareMatrix, kinds: tuple[Kind, ...] = (VALUES,)
) -> Metric:
    maximum = 1.0 if higher else math.inf
    line = _first_line(on_matrix)
    return Metric(name, higher, "probabilities", minimum, maximum, line, None, None, kinds, on_matrix)


def _first_line(function: PrepareMatrix) -> str:
    lines = (function.__doc__ or "").strip().splitlines()
    return lines[0].rstrip(".") if lines else function.__name__  # `python -OO` has no docstrings


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _label(
            "macro_f1",
            0.0,
            "mean F1 over the classes that occur in the truth or the predictions; rare ones count equally",
            macro_f1,
            label_metrics.macro_f1,
        ),
        _label(
            "accuracy",
            0.0,
            "share of right answers",
            accuracy,
            label_metrics.accuracy,
            label_metrics.accuracy_of_cells,
        ),
        _label(
            "balanced_accuracy",
            0.0,
            "mean recall over the classes that occur in the truth",
            balanced_accuracy,
        ),
        _label("weighted_f1", 0.0, "F1 averaged by how often a class is true", weighted_f1),
        Metric(
            "log_loss",
            False,
            "probabilities",
            0.0,
            -math.log(LOG_FLOOR),
            "mean of -log(probability of the true class), which is floored at 1.2e-7",
            on_weights=log_loss,
            looks_at="truth",
            kinds=(EXCLUSIVE, LABELS),
            on_matrix=label_metrics.log_loss,
            on_cells=label_metrics.log_loss_of_cells,
        ),
        Metric(
            "auc",
            True,
            "probabilities",
            0.0,
            1.0,
            "area under ROC, one class against the rest, mean over the classes of the truth; "
            "0.5 when the truth holds one class only",
            on_weights=auc,
            kinds=(EXCLUSIVE, LABELS),
            on_matrix=label_metrics.auc,
        ),
        Metric(
            "qwk",
            True,
            "labels",
            -1.0,
            1.0,
            "quadratic weighted kappa, classes ordered by index (absent ones keep their place); "
            "0 when truth and predictions hold one and the same class only",
            on_counts=qwk,
            kinds=(EXCLUSIVE, VALUES),
            on_matrix=value_metrics.qwk,
        ),
        _label("mcc", -1.0, "Matthews correlation; 0 when truth or predictions hold one class only", mcc),
        _ranked("map@3", partial(label_metrics.of_first, 3), "1 / rank of the true class, 0 below rank 3"),
        _ranked("map@5", partial(label_metrics.of_first, 5), "1 / rank of the true class, 0 below rank 5"),
        _ranked(
            "top3", partial(label_metrics.within_first, 3), "share of rows whose class is in the first 3"
        ),
        _ranked(
            "top5", partial(label_metrics.within_first, 5), "share of rows whose class is in the first 5"
        ),
        _ranked(
            "gap", label_metrics.global_average_precision, "average precision, all answers in one ranking"
        ),
        _both("pf1", 1.0, label_metrics.probabilistic_f1),
        _both("pauc", 0.2, label_metrics.partial_auc),
        _both("map", 1.0, label_metrics.mean_average_precision),
        _of_labels("micro_f1", "labels", 1.0, label_metrics.micro_f1),
        _of_labels("samples_f1", "labels", 1.0, label_metrics.samples_f1),
        _of_labels("exact_match", "labels", 1.0, label_metrics.exact_match),
        _of_labels("micro_auc", "probabilities", 1.0, label_metrics.micro_auc),
        _of_labels("lrap", "probabilities", 1.0, label_metrics.ranking_average_precision),
        _of_values("rmse", False, 0.0, value_metrics.rmse, (VALUES, SHARES)),
        _of_values("mae", False, 0.0, value_metrics.mae, (VALUES, SHARES)),
        _of_values("rmsle", False, 0.0, value_metrics.rmsle),
        _of_values("mape", False, 0.0, value_metrics.mape),
        _of_values("r2", True, -math.inf, value_metrics.r2),
        _of_values("pearson", True, -1.0, value_metrics.pearson),
        _of_values("spearman", True, -1.0, value_metrics.spearman),
        _of_values("kl", False, 0.0, value_metrics.kl, (SHARES,)),
        _of_values("cross_entropy", False, 0.0, value_metrics.cross_entropy, (SHARES,)),
    )
}
