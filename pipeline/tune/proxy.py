"""Does a cheap proxy rank settings like full training? A few trials are trained in full and compared.

    make tune STAGE=eda     `full:` in configs/tune/eda.yaml sets the experiment, how many trials, which folds

Owns choosing these trials, training them, and the two results: the rank correlation, and the effect of the
best trial in full training. Does not own searching or the re-test of the proxy (`tune/retest.py`).

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
from pipeline.record.study import Study, Trial
from pipeline.settings.load import Settings
from pipeline.tune import texts
from pipeline.tune.space import Full, broken
from pipeline.tune.trials import Bench, TuneKind

# With fewer ranks even a perfect order is likely by chance: 1 of 6 orders of three.
FEWEST = 4
# Number of orders that are tried: all orders of seven ranks; of more ranks, as many random ones.
ORDERS = 5040


def lines(bench: Bench, study: Study, say: Callable[[str], None]) -> list[str]:
    """Train some trials in full, and describe how well the proxy ranks them; empty without `full`."""
    full = bench.search.form.full
    if full is None:
        return []
    chosen = spread(study.trials(), full.trials, bench.metric.sign)
    if len(chosen) < FEWEST:
        return [texts.FULL_FEW.format(fewest=FEWEST)]
    say(texts.FULL_BEGUN.format(n=len(chosen), experiment=full.experiment, folds=_folds(full)))
    oofs, failed = list[Probabilities | None](), list[str]()
    made = bench.each_result([in_full(bench, full, trial) for trial in chosen])
    for trial, result in zip(chosen, made, strict=True):
        if isinstance(result, UserError):
            oofs.append(None)
            failed.append(texts.FULL_FAILED.format(number=trial.number, why=result.headline))
        else:
            oofs.append(load.oof(result, "oof"))
    trained = [(trial, oof) for trial, oof in zip(chosen, oofs, strict=True) if oof is not None]
    if len(trained) < FEWEST:
        return [*failed, texts.FULL_UNKNOWN.format(fewest=FEWEST)]
    return [*failed, *_compared(bench, full, trained)]


def refuse(file: str, full: Full, kind: TuneKind, settings: Settings) -> None:
    """Raise ConfigError, before the search, for full trainings that are impossible."""
    faults = []
    if not kind.trains:
        faults.append(texts.FULL_UNTRAINED.format(stage=kind.name))
    try:
        settings.member(full.experiment).with_values({"train.folds": full.folds})
    except ConfigError as error:
        faults += [f"full.experiment={full.experiment}: {f}" for f in error.faults or [error.headline]]
    if faults:
        raise broken(file, faults)


def postponed(bench: Bench) -> list[str]:
    """Lines for the report if there is no time left for full trainings."""
    return [texts.FULL_LATER.format(stage=bench.kind.name)] if bench.search.form.full else []


def spread(trials: Sequence[Trial], number: int, sign: float) -> list[Trial]:
    """At most `number` trials from the best to the worst, evenly spaced by rank, one of each score."""
    complete = [t for t in trials if t.state == "complete"]
    best_first = sorted(complete, key=lambda t: (-sign * t.values[0], t.number))
    ranked = list({t.values[0]: t for t in reversed(best_first)}.values())[::-1]
    at = np.unique(np.linspace(0, len(ranked) - 1, min(number, len(ranked))).round().astype(int))
    return [ranked[n] for n in at]


def in_full(bench: Bench, full: Full, trial: Trial) -> Settings:
    """The settings of a trial's full training."""
    values = bench.search.values(trial.point)
    return bench.settings.member(full.experiment).with_values({"train.folds": full.folds, **values})


def correlation(proxy_T: Sequence[float], full_T: Sequence[float]) -> tuple[float, float]:
    """Spearman's rank correlation, and how often a random order reaches it.

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


def _compared(bench: Bench, full: Full, trained: list[tuple[Trial, Probabilities]]) -> list[str]:
    known = bench.samples()
    scores = [bench.metric.score(known.take(oof.ids_N).truth, oof.p_NC) for _, oof in trained]
    proxy = [trial.values[0] for trial, _ in trained]
    where = texts.FULL_WHERE.format(n=len(trained), experiment=full.experiment, folds=_folds(full))
    if len(set(scores)) == 1:
        return [texts.FULL_SAME.format(where=where)]
    rho, p = correlation(proxy, scores)
    pairs = ", ".join(f"{a:.3f}→{b:.3f}" for a, b in zip(proxy, scores, strict=True))
    comparison = _against_default(bench, full, trained[0][1])
    return [
        texts.FULL_CORRELATION.format(rho=rho, p=max(p, 0.001), where=where, pairs=pairs),
        texts.FULL_BEST.format(comparison=comparison),
    ]


def _against_default(bench: Bench, full: Full, best: Probabilities) -> Comparison:
    """One planned comparison: the trial was chosen by the proxy, not by full training."""
    start = bench.settings.member(full.experiment).with_values({"train.folds": full.folds})
    default = load.oof(bench.result(start), "oof")
    ids = np.intersect1d(best.ids_N, default.ids_N)
    known = bench.samples().take(ids)
    rules = bench.settings.config.statistics
    return statistics.compare(
        bench.metric, known.truth, best.take(ids).p_NC, default.take(ids).p_NC, known.groups_N,
        rules.draws, rules.seed,
    )  # fmt: skip


def _folds(full: Full) -> str:
    return "all" if full.folds is None else ", ".join(map(str, full.folds))
