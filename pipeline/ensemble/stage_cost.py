"""`cost`: what an ensemble and its members cost, what each adds, and which blends nothing beats.

    make ensemble                                 ends with it: ensemble.html
    make ensemble ARGS="ensemble.max_ms=20"       the best blend that is as fast as that

Owns the stage only: figures are added up by `ensemble/cost.py`, the page is `ensemble/page.py`. Imports
no torch.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.core import metrics
from pipeline.core.metrics import Metric
from pipeline.core.predictions import Probabilities, align
from pipeline.core.samples import Ints
from pipeline.core.voting import soft_voting
from pipeline.data import load
from pipeline.engine.stage import Built, Job
from pipeline.ensemble import cost
from pipeline.ensemble import page as page_of
from pipeline.ensemble.cost import Price
from pipeline.ensemble.page import EnsemblePage, Point
from pipeline.record.store import Artifact
from pipeline.record.tracking import note

PREFIX = "member:"
NOTES = (
    "Time is that of forward passes on this machine, of all folds, models and views; a pass of a frozen "
    "backbone that several members share is paid once. Reading and decoding images is not in it.",
    "`gain` is what the blend loses without a member, with its weights as they are: of correlated members "
    "none seems to matter, though all together do.",
    "Cheaper blends keep the members of the largest weights, in a soft vote. Their scores are on the "
    "predictions that chose the weights, so they are optimistic; `ensemble.max_ms` gives the cross-fitted "
    "score of a blend under a budget.",
)


def build(job: Job) -> Built:
    """Write ensemble.html and cost.csv."""
    config, blend = job.settings.config, job.inputs["ensemble"]
    samples = load.samples(job.inputs["data"], "train", job.home)
    metric = metrics.get(config.competition.metric)
    every = {n.removeprefix(PREFIX): a for n, a in job.inputs.items() if n.startswith(PREFIX)}
    members = {name: a for name, a in every.items() if cost.known(a)}
    found = blend.json("blend.json")
    odd = [n for n in {**found["weights"], **found["test_only"]} if n not in members]
    untimed = f"not timed, and not in any figure here: {', '.join(odd)}"
    if not members:
        why = "none of the members was timed here"
        return Built({}, (untimed,), note("cost of the ensemble", why, "make error-analysis", result=untimed))
    oofs = align([load.oof(a, name) for name, a in members.items()])
    y_N = samples.take(oofs[0].ids_N).labels
    weights = [float(found["weights"][name]) for name in members]
    priced = [cost.of(a) for a in members.values()]
    used = [p for p, w in zip(priced, weights, strict=True) if w > 0]
    gains = {str(name): float(gain) for name, gain in found["contributions"].items()}
    table = _table(members, gains, weights, priced, oofs, y_N, metric)
    whole = cost.total(used)
    score = blend.metrics[f"oof_{metric.name}"]
    per_ms = score / whole.ms_64 if used else np.nan
    last = ("blend", whole.parameters / 1e6, whole.ms_1, whole.ms_64, score, per_ms, 1.0, np.nan)
    table.loc[len(table)] = last
    best = str(found["best_member"])
    alone = {name: f"{p.alone.ms_64:.2f}" for name, p in zip(members, priced, strict=True)}
    answer = (
        f"The blend takes {whole.ms_64:.2f} ms an image, its best member {best} "
        f"{alone.get(best, 'unknown')}; score {found['against_best_member']}"
    )
    notes = (*NOTES, f"{untimed[0].upper()}{untimed[1:]}.") if odd else NOTES
    apart = soft_voting.disagreement(oofs)
    points = _points(members, weights, priced, oofs, y_N, metric)
    points = _marked([*points, Point("blend (cross-fitted)", whole.ms_64, score, "blend", False)], metric)
    page = EnsemblePage(metric.name, table, tuple(points), tuple(members), apart, answer, notes)
    title = config.competition.title or config.competition.name
    (job.draft / "ensemble.html").write_text(page_of.render_html(page, title, config), encoding="utf-8")
    table.to_csv(job.draft / "cost.csv", index=False)
    told = (*page_of.lines(page), *([untimed] if odd else []))
    description = note(
        "cost of the ensemble", "is it worth its time?", "make distill", "ensemble.html", answer
    )
    figures = {"parameters": whole.parameters, "ms_1": whole.ms_1, "ms_64": whole.ms_64}
    return Built(figures, told, description, ("ensemble.html", "cost.csv"))


def _table(
    members: dict[str, Artifact],
    gains: dict[str, float],
    weights: list[float],
    priced: list[Price],
    oofs: tuple[Probabilities, ...],
    y_N: Ints,
    metric: Metric,
) -> pd.DataFrame:
    """A row a member."""
    rows = []
    for name, weight, price, oof in zip(members, weights, priced, oofs, strict=True):
        score, alone = metric.score(y_N, oof.p_NC), price.alone
        figures = (alone.parameters / 1e6, alone.ms_1, alone.ms_64, score, score / alone.ms_64)
        rows.append((name, *figures, weight, gains.get(name, np.nan)))
    columns = ["member", "M parameters", "ms ×1", "ms ×64", metric.name, "score per ms", "weight", "gain"]
    return pd.DataFrame(rows, columns=columns)


def _points(
    members: dict[str, Artifact],
    weights: list[float],
    priced: list[Price],
    oofs: tuple[Probabilities, ...],
    y_N: Ints,
    metric: Metric,
) -> list[Point]:
    """Members, and blends of those with the largest weights."""
    points = [
        Point(name, price.alone.ms_64, metric.score(y_N, oof.p_NC), "member", False)
        for name, price, oof in zip(members, priced, oofs, strict=True)
    ]
    order = [m for m in np.argsort(-np.array(weights), kind="stable").tolist() if weights[m] > 0]
    for size in range(2, len(order)):
        chosen = order[:size]
        p = soft_voting.soft_vote([oofs[m] for m in chosen], [weights[m] for m in chosen], "cheaper")
        ms = cost.total([priced[m] for m in chosen]).ms_64
        points.append(Point(f"{size} heaviest", ms, metric.score(y_N, p.p_NC), "cheaper blend", False))
    return points


def _marked(points: list[Point], metric: Metric) -> list[Point]:
    front = cost.undominated([p.ms for p in points], [metric.sign * p.score for p in points])
    return [Point(p.name, p.ms, p.score, p.kind, n in front) for n, p in enumerate(points)]
