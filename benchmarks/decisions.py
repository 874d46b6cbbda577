"""Thresholds of labels against one half, and cut points of grades against classes, on data of known truth.

    python benchmarks/decisions.py                 20 data sets each; prints two tables, about two minutes
    python benchmarks/decisions.py --sets 4        a quick look

Labels: 900 images in groups of three, ten labels of 2 to 40 % prevalence. Probabilities of a model are the
true ones behind noise of its log odds, so they are calibrated on average and one half is too high for F1.
Thresholds are fitted as the decision step does it, cross-fitted over five parts; the score that counts is
that on 20,000 other images, drawn alike.

Grades: 900 images with a grade of five (49, 7, 27, 5 and 12 % of them, as in a well-known competition of
eye disease), told by twelve noisy features whose mean depends on the grade. A logistic regression predicts
the grade as a class, a ridge regression as a value, both out of fold. Compared are the most probable class,
the value rounded at halves, and cut points of each.

`gain` is the difference of means with a 95 % interval over data sets; `promised` is what the cross-fitted
figure said about it, and `naive` what the rows said that were fitted.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict

from pipeline.core import metrics
from pipeline.core.metrics import Metric
from pipeline.core.samples import Attribute, Floats, LabelSpace, Truth
from pipeline.core.seeds import rng
from pipeline.core.targets import Target, sigmoid
from pipeline.ensemble.decision import FittedStep, Rows
from pipeline.ensemble.thresholds import CutPoints, Thresholds

Reals = npt.NDArray[np.float64]
N, GROUP, PARTS, OTHERS = 900, 3, 5, 20_000
PREVALENCE = np.array([0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4])
GRADES = np.array([0.49, 0.07, 0.27, 0.05, 0.12])
FEATURES = 12
LABELS = Target.of(
    LabelSpace.independent([Attribute(f"label{k}", ("0", "1")) for k in range(len(PREVALENCE))])
)
CLASSES = Target.of(LabelSpace.product([Attribute("grade", tuple("01234"))]))
VALUE = Target.of(LabelSpace.numbers(["grade"]))
QWK = metrics.get("qwk")


@dataclass(frozen=True)
class Result:
    """Scores of one data set: on other images, before and after; cross-fitted and naive gains."""

    before: float
    after: float
    promised: float
    naive: float


Fit = Callable[[Floats, Truth, Rows], FittedStep]


def rows_of(n: int) -> Rows:
    """Rows in groups."""
    ids = np.array([f"{i:06d}" for i in range(n)])
    return Rows(ids, np.array([f"{i // GROUP}" for i in range(n)]), np.arange(n))


def tried(
    fit: Fit,
    metric: Metric,
    here: tuple[Floats, Truth],
    there: tuple[Floats, Truth],
    start: Floats | None = None,
) -> Result:
    """Fit a step on one set, cross-fitted and whole, and score it on the other."""
    (p, y), (other, truth) = here, there
    rows, part = rows_of(len(p)), np.arange(len(p)) // GROUP % PARTS
    crossed = np.array(p)
    for k in range(PARTS):
        learn, at = np.flatnonzero(part != k), np.flatnonzero(part == k)
        crossed[at] = fit(p[learn], y[learn], rows.take(learn)).apply(p[at], rows.take(at))
    whole = fit(p, y, rows)
    before = metric.score(y, p)
    return Result(
        metric.score(truth, other),
        metric.score(truth, whole.apply(other, rows_of(len(other)))),
        metric.score(y, crossed) - before,
        metric.score(y, whole.apply(p, rows)) - before,
    )


def drawn_labels(seed: int, n: int) -> tuple[Floats, Floats]:
    """Probabilities and truth of labels; images of a group share half of what makes a label likely."""
    draw = rng(seed, "labels", n)
    shared = np.repeat(draw.normal(size=(-(-n // GROUP), len(PREVALENCE))), GROUP, axis=0)[:n]
    odds = 1.4 * (0.7 * shared + 0.7 * draw.normal(size=shared.shape)) + np.log(PREVALENCE / (1 - PREVALENCE))
    y = (draw.random(odds.shape) < sigmoid(odds)).astype(np.float32)
    seen = odds + draw.normal(size=odds.shape) * 0.5
    return sigmoid(seen), y


@dataclass(frozen=True)
class GradeModels:
    """Two models of grades, and their out-of-fold predictions."""

    classes: Floats
    values: Floats
    grade_N: npt.NDArray[np.int64]
    of_classes: Callable[[Reals], Floats]
    of_values: Callable[[Reals], Floats]


def drawn_grades(seed: int, n: int) -> tuple[Reals, npt.NDArray[np.int64]]:
    """Noisy features that depend on the grade, and the grade."""
    draw, way = rng(seed, "grades", n), rng(0, "direction")
    grade_N = draw.choice(len(GRADES), n, p=GRADES)
    direction, bend = way.normal(size=(2, FEATURES)) / np.sqrt(FEATURES)
    x = 1.3 * grade_N[:, None] * direction + 0.5 * (grade_N[:, None] ** 1.5) * bend
    return x + draw.normal(size=x.shape) * 1.6, grade_N.astype(np.int64)


def learned(seed: int) -> GradeModels:
    """Both models, out of fold and on all images."""
    x, grade_N = drawn_grades(seed, N)
    part = np.arange(N) // GROUP % PARTS
    folds = [(np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in range(PARTS)]
    classes, values = LogisticRegression(max_iter=500), Ridge(alpha=1.0)
    p = cross_val_predict(classes, x, grade_N, cv=folds, method="predict_proba").astype(np.float32)
    v = cross_val_predict(values, x, grade_N, cv=folds).astype(np.float32)[:, None]
    classes.fit(x, grade_N)
    values.fit(x, grade_N)
    return GradeModels(
        p,
        v,
        grade_N,
        lambda given: np.asarray(classes.predict_proba(given), np.float32),
        lambda given: np.asarray(values.predict(given)[:, None], np.float32),
    )


def mean_and_reach(values: list[float]) -> str:
    """A mean with its 95 % interval over data sets."""
    array = np.array(values)
    return f"{array.mean():+.4f} ± {1.96 * array.std(ddof=1) / np.sqrt(len(array)):.4f}"


def told(name: str, results: list[Result]) -> str:
    """One row of a table."""
    gains = [r.after - r.before for r in results]
    worse = np.mean([gain < 0 for gain in gains])
    before, after = (np.mean([getattr(r, of) for r in results]) for of in ("before", "after"))
    return (
        f"{name:<34} {before:.4f} {after:.4f}  gain {mean_and_reach(gains)}  "
        f"promised {mean_and_reach([r.promised for r in results])}  "
        f"naive {mean_and_reach([r.naive for r in results])}  worse in {worse:.0%}"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=20)
    n_sets = parser.parse_args().sets
    print("labels: one half, thresholds")
    for name in ("macro_f1", "micro_f1", "samples_f1"):
        metric = metrics.get(name)
        for shrink in (0.0, 0.1, 1e6):
            of = {0.0: "free", 0.1: "default", 1e6: "one for all"}[shrink]
            step = Thresholds(metric, shrink, LABELS)
            results = [
                tried(step.fit, metric, drawn_labels(seed, N), drawn_labels(seed + 1000, OTHERS))
                for seed in range(n_sets)
            ]
            print(told(f"{name}, {of}", results), flush=True)
    print("grades under kappa: without and with cut points")
    rows: dict[str, list[Result]] = {"most probable class": [], "value": []}
    against = []
    for seed in range(n_sets):
        made = learned(seed)
        x, grade_N = drawn_grades(seed + 1000, OTHERS)
        here, there = (made.classes, made.grade_N), (made.of_classes(x), grade_N)
        rows["most probable class"].append(tried(CutPoints(QWK, 0.1, CLASSES).fit, QWK, here, there))
        truth = made.grade_N.astype(np.float32)[:, None]
        seen = (made.of_values(x), grade_N.astype(np.float32)[:, None])
        rows["value"].append(tried(CutPoints(QWK, 0.1, VALUE).fit, QWK, (made.values, truth), seen))
        against.append(rows["value"][-1].after - rows["most probable class"][-1].before)
    for name, results in rows.items():
        print(told(name, results))
    print(f"value with cut points minus most probable class: {mean_and_reach(against)}")


if __name__ == "__main__":
    main()
