"""Does a cheap proxy rank settings as full training does? A few trials are trained in full, and compared.

    make tune STAGE=eda       `full:` in configs/tune/eda.yaml says which experiment, how many, on which folds

Owns choosing these trials, training them, and the two figures: the rank correlation, and what the best
trial is worth in full training. Does not own searching or the re-test of the proxy (`tune/retest.py`).

Shape legend: T trials.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from pipeline.core import statistics
from pipeline.core.errors import ConfigError, UserError
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.data import load
from pipeline.engine.need import Need
from pipeline.record.study import Study, Trial
from pipeline.settings.load import Settings
from pipeline.tune.space import Full, broken
from pipeline.tune.trials import Bench, Kind

# Of fewer ranks even a perfect order is likely by chance: 1 of 6 orders of three.
FEWEST = 4
# All orders of so many ranks are tried; of more, as many at random.
ORDERS = 5040


def lines(bench: Bench, study: Study, say: Callable[[str], None]) -> list[str]:
    """Train some trials in full, and tell how well the proxy's ranks are theirs.

    Args:
        bench: of the trials.
        study: the finished search.
        say: gets a line before the trainings.

    Returns:
        For the report; empty where the space asks for nothing.
    """
    full = bench.search.form.full
    if full is None:
        return []
    chosen = spread(study.trials(), full.trials, bench.metric.sign)
    if len(chosen) < FEWEST:
        return [f"the proxy was not held against full training: fewer than {FEWEST} different scores"]
    say(
        f"full training   {len(chosen)} trials from best to worst as {full.experiment}, "
        f"folds {_named(full)}: does the proxy rank them alike?"
    )
    oofs, failed = list[Probabilities | None](), list[str]()
    for trial in chosen:
        try:
            oofs.append(load.oof(bench.result(in_full(bench, full, trial)), "oof"))
        except UserError as error:
            oofs.append(None)
            failed.append(f"trial {trial.number} cannot be trained in full: {error.headline}")
    there = [(trial, oof) for trial, oof in zip(chosen, oofs, strict=True) if oof is not None]
    if len(there) < FEWEST:
        return [*failed, f"the proxy's ranks are not known to hold: {FEWEST} full trainings are needed"]
    return [*failed, *_told(bench, full, there)]


def refuse(file: str, full: Full, kind: Kind, settings: Settings) -> None:
    """Raise ConfigError, before the search, for full trainings that cannot be.

    Args:
        file: of the space.
        full: what it asks for.
        kind: what is tuned.
        settings: what trials start from.
    """
    faults = []
    if kind.stage != "train":
        faults.append(f"full: {kind.name} trains nothing, so it has no proxy; eda, resample and train have")
    try:
        settings.member(full.experiment).with_values({"train.folds": full.folds})
    except ConfigError as error:
        faults += [f"full.experiment={full.experiment}: {f}" for f in error.faults or [error.headline]]
    if faults:
        raise broken(file, faults)


def unasked(bench: Bench) -> list[str]:
    """What is told where no time is left for full trainings."""
    if bench.search.form.full is None:
        return []
    return [
        f"the proxy was not held against full training; make tune STAGE={bench.kind.name} goes on with it"
    ]


def spread(trials: Sequence[Trial], number: int, sign: float) -> list[Trial]:
    """Trials from the best to the worst, evenly by rank, one of each score.

    Args:
        trials: of a study.
        number: how many at most.
        sign: positive where more is better.
    """
    complete = sorted(
        (t for t in trials if t.state == "complete"), key=lambda t: (-sign * t.values[0], t.number)
    )
    ranked = list({t.values[0]: t for t in reversed(complete)}.values())[::-1]
    at = np.unique(np.linspace(0, len(ranked) - 1, min(number, len(ranked))).round().astype(int))
    return [ranked[n] for n in at]


def in_full(bench: Bench, full: Full, trial: Trial) -> Settings:
    """The settings of a trial's full training."""
    values = bench.search.values(trial.point)
    return bench.settings.member(full.experiment).with_values({"train.folds": full.folds, **values})


def correlation(proxy_T: Sequence[float], full_T: Sequence[float]) -> tuple[float, float]:
    """Spearman's rank correlation, and how often a random order has as much.

    Args:
        proxy_T: scores of the proxy.
        full_T: scores of the full trainings.

    Returns:
        -1 to 1, and the one-sided p of a permutation test (all orders of up to seven).
    """

    def rho(order_T: np.ndarray) -> float:
        return float(stats.spearmanr(order_T, full_T).statistic)

    tested = stats.permutation_test(
        (np.array(proxy_T),), rho, permutation_type="pairings", alternative="greater",
        n_resamples=ORDERS, rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(tested.statistic), float(tested.pvalue)


def _told(bench: Bench, full: Full, there: list[tuple[Trial, Probabilities]]) -> list[str]:
    known = load.samples(bench.session.get(Need("data", bench.settings)), "train", bench.session.home)
    scores = [bench.metric.score(known.take(oof.ids_N).labels, oof.p_NC) for _, oof in there]
    proxy = [trial.values[0] for trial, _ in there]
    where = (
        f"{len(there)} trials from best to worst, trained in full ({full.experiment}, folds {_named(full)})"
    )
    if len(set(scores)) == 1:
        return [f"{where} score all alike"]
    rho, p = correlation(proxy, scores)
    pairs = ", ".join(f"{a:.3f}→{b:.3f}" for a, b in zip(proxy, scores, strict=True))
    worth = _against_default(bench, full, there[0][1])
    return [
        f"the proxy's rank correlation with full training: {rho:+.2f} (Spearman; chance gives as much in "
        f"{max(p, 0.001):.1%} of orders) over {where}: {pairs}",
        f"the proxy's best trial, trained in full on these folds, against the default: {worth}",
    ]


def _against_default(bench: Bench, full: Full, best: Probabilities) -> Comparison:
    """One planned comparison: the proxy chose, and full training did not."""
    start = bench.settings.member(full.experiment).with_values({"train.folds": full.folds})
    default = load.oof(bench.result(start), "oof")
    ids = np.intersect1d(best.ids_N, default.ids_N)
    known = load.samples(bench.session.get(Need("data", bench.settings)), "train", bench.session.home).take(
        ids
    )
    rules = bench.settings.config.statistics
    return statistics.compare(
        bench.metric, known.labels, best.take(ids).p_NC, default.take(ids).p_NC, known.groups_N,
        rules.draws, rules.seed,
    )  # fmt: skip


def _named(full: Full) -> str:
    return "all" if full.folds is None else ", ".join(map(str, full.folds))
