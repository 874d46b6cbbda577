"""The re-test of a search: its best trials are tested again, so that a winner by luck is not adopted.

Owns both tests. If results depend on seeds, the best few trials and the default are built again with other
seeds (and for training on other folds) and compared by intervals that hold for all trials at once. If they
do not, the search itself is cross-fitted: for each part of the groups it is run on all other parts, and its
winner predicts that part. Does not own intervals (`core/statistics.py`) or searching.

Shape legend: N samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pipeline.core import statistics
from pipeline.core.errors import ConfigError, UserError
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.samples import Floats, Ints, Samples, Strings, positions
from pipeline.data import load
from pipeline.engine.need import Need
from pipeline.errors.findings import planting
from pipeline.record import study as studies
from pipeline.record.study import Plan, Studies, Study, Trial
from pipeline.settings.load import Settings
from pipeline.train import scoring
from pipeline.train.stages import folds_of
from pipeline.tune import texts
from pipeline.tune.trials import EARLIER, Bench

# Fold plans that another seed changes, without changing which images are scored.
DEALT = ("stratified_group", "stratified", "repeated")
Say = Callable[[str], None]
# Cost of five searches, one for each part, with about half of the points built already.
CROSSFITS = 2.5


@dataclass(frozen=True)
class Contender:
    """One trial in the search and in the re-test.

    Args:
        trial: of the search.
        naive: its score in the search; optimistic, because it was chosen by this score.
        retested: its score in the re-test; if the search is cross-fitted, the score of that search.
        comparison: with the default, in the re-test.
    """

    trial: Trial
    naive: float
    retested: float
    comparison: Comparison

    @property
    def is_better(self) -> bool:
        """Whether it may be adopted."""
        return self.comparison.verdict == "better"


@dataclass(frozen=True)
class RetestVerdict:
    """The outcome of the re-test.

    Args:
        default: score of the unchanged settings in the search.
        default_retested: the same in the re-test.
        candidates: the best re-tested one first; empty: no trial scored better than the default.
        how: the test in words.
    """

    default: float
    default_retested: float
    candidates: tuple[Contender, ...]
    how: str

    @property
    def winner(self) -> Contender | None:
        """The candidate to adopt: the best of those that are better; None: none is better."""
        return next((c for c in self.candidates if c.is_better), None)


def retest(bench: Bench, study: Study, say: Say) -> RetestVerdict:
    """Test the best trials of a search again; `say` gets a line that describes the test."""
    default = bench.score(bench.result(bench.settings))
    complete, distinct = _complete(study), _better(bench, study)
    if not distinct:
        return RetestVerdict(default, default, (), texts.RETEST_NOTHING)
    if not bench.kind.is_random:
        verdict = _crossfitted(bench, study, distinct[0], say)
    elif bench.kind.is_planted:
        verdict = _replanted(bench, distinct[: bench.search.form.retest_top], say)
    else:
        verdict = _seeded(bench, complete, distinct[: bench.search.form.retest_top], say)
    looks = study.looked(verdict.how)
    again = texts.RETEST_AGAIN.format(n=looks)
    return replace(verdict, how=verdict.how + again) if looks > 1 else verdict


def seconds(bench: Bench, study: Study) -> float:
    """About how many seconds the re-test takes; results that exist take none."""
    done, distinct = [t.seconds for t in _complete(study)], _better(bench, study)
    if not distinct:
        return 0.0
    if not bench.kind.is_random:
        return CROSSFITS * float(np.sum(done))
    if bench.kind.is_planted:
        return runs(bench) * float(np.max(done))
    form = bench.search.form
    wanted = [bench.settings, *(bench.with_point(t.point) for t in distinct[: form.retest_top])]
    needs = [bench.kind.need(_reseeded(bench, s, seed)) for s in wanted for seed in form.retest_seeds]
    missing = sum(bench.session.graph.found(need) is None for need in needs)
    return runs(bench) * missing / len(needs) * float(np.max(done))


def _complete(study: Study) -> list[Trial]:
    return [t for t in study.trials() if t.state == "complete"]


def _better(bench: Bench, study: Study) -> list[Trial]:
    """Trials that scored better than the default with other settings, best first, one for each point."""
    default, sign = bench.score(bench.result(bench.settings)), bench.metric.sign
    unchanged = next((t.point for t in study.trials() if t.origin == "default"), {})
    values = bench.search.values(unchanged)
    better = [t for t in _complete(study) if sign * t.values[0] > sign * default]
    better = [t for t in better if bench.search.values(t.point) != values]
    ranked = sorted(better, key=lambda t: (-sign * t.values[0], t.number))
    return list({repr(sorted(t.point.items())): t for t in reversed(ranked)}.values())[::-1]


def runs(bench: Bench) -> float:
    """The cost of a re-test with other seeds, in trials: it may use more folds than the search did."""
    form, share = bench.search.form, 1.0
    if not bench.kind.is_planted and is_unseen(bench):
        share = len(_left(bench.settings)) / len(folds_of(bench.settings))
    return (form.retest_top + 1) * len(form.retest_seeds) * share


def _seeded(bench: Bench, complete: Sequence[Trial], chosen: Sequence[Trial], say: Say) -> RetestVerdict:
    """Re-test with other seeds of training and resampling, and for `train` of the folds."""
    seeds, folds = bench.search.form.retest_seeds, _folds_text(bench)
    runs_ = (len(chosen) + 1) * len(seeds)
    say(texts.RETEST_SEEDED.format(trials=len(chosen), seeds=len(seeds), folds=folds, runs=runs_))
    wanted = [bench.settings, *(bench.with_point(t.point) for t in chosen)]
    bench.results([_reseeded(bench, s, seed) for s in wanted for seed in seeds])
    oofs = [[load.oof(bench.result(_reseeded(bench, s, seed)), "oof") for seed in seeds] for s in wanted]
    ids = oofs[0][0].ids_N
    for oof in (oof for arm in oofs for oof in arm):
        ids = np.intersect1d(ids, oof.ids_N)
    unseen = is_unseen(bench)
    if unseen:
        ids = _unseen(bench, ids)
    # Trials on the same images are arms as well, so that the intervals account for choosing the best of many.
    others = [] if unseen else _others(bench, complete, chosen, ids)
    earlier = [] if unseen else _of_earlier(bench, complete, ids)
    every: list[list[Floats]] = [[oof.take(ids).p_NC for oof in arm] for arm in oofs]
    every += [[p_NC] for p_NC in (*others, *earlier)]
    known, rules = bench.samples().take(ids), bench.settings.config.statistics
    scores = statistics.compare_arms(
        bench.metric, known.truth, every, [(n, 0) for n in range(1, len(every))], known.groups_N,
        rules.draws, rules.seed,
    )  # fmt: skip
    candidates = [
        Contender(t, t.values[0], float(scores.mean_A[n]), scores.comparisons[n - 1])
        for n, t in enumerate(chosen, start=1)
    ]
    candidates.sort(key=lambda c: -c.comparison.delta)
    how = texts.RETEST_SEEDED_HOW.format(
        seeds=len(seeds),
        folds=folds,
        trials=len(every) - 1,
        earlier=texts.RETEST_EARLIER.format(n=len(earlier)) if earlier else "",
    )
    default = bench.score(bench.result(bench.settings))
    return RetestVerdict(default, float(scores.mean_A[0]), tuple(candidates), how)


def _replanted(bench: Bench, chosen: Sequence[Trial], say: Say) -> RetestVerdict:
    """Re-test with faults planted with other seeds, in the groups that the search never saw."""
    seeds, rules = tuple(bench.search.form.retest_seeds), bench.settings.config.statistics
    say(texts.RETEST_PLANTED.format(n=len(seeds)))
    params = {k: v for k, v in bench.kind.params.items() if k == planting.FEATURES}
    every = [bench.settings, *(bench.with_point(t.point) for t in chosen)]
    needs = [planting.need(s, params, seeds, planting.CONFIRM) for s in every]
    made = [planting.units(artifact) for artifact in bench.session.get_all(needs)]
    scores, comparisons = planting.compare(made[0], made[1:], rules.draws, rules.seed)
    rows = zip(chosen, scores[1:], comparisons, strict=True)
    candidates = [Contender(t, t.values[0], s, c) for t, s, c in rows]
    candidates.sort(key=lambda c: -c.comparison.delta)
    how = texts.RETEST_PLANTED_HOW.format(n=len(seeds), trials=len(chosen))
    return RetestVerdict(bench.score(bench.result(bench.settings)), scores[0], tuple(candidates), how)


def _others(bench: Bench, complete: Sequence[Trial], chosen: Sequence[Trial], ids: Strings) -> list[Floats]:
    """Out-of-fold probabilities of the trials that are not re-tested, on the same images."""
    numbers, known = {t.number for t in chosen}, set[str]()
    others = []
    for trial in complete:
        if trial.number in numbers or trial.origin == "default" or trial.notes.get("result") in known:
            continue
        known.add(trial.notes.get("result", ""))
        oof = load.oof(bench.result(bench.with_point(trial.point)), "oof")
        if np.isin(ids, oof.ids_N).all():
            others.append(oof.take(ids).p_NC)
    return others


def _of_earlier(bench: Bench, complete: Sequence[Trial], ids: Strings) -> list[Floats]:
    """The same of the studies whose winners were tried here: they were chosen on these images too."""
    names = {t.origin.removeprefix(EARLIER) for t in complete if t.origin.startswith(EARLIER)}
    if not names:
        return []
    home, earlier = bench.session.home, []
    storage = Studies(studies.storage_of(home), home)
    results = {t.notes.get("result", "") for n in names for t in storage.trials(n) if t.state == "complete"}
    for result in sorted(results):
        stage, _, key = result.partition("/")
        artifact = bench.session.store.find(stage, key) if key else None
        oof = load.oof(artifact, "oof") if artifact else None
        if oof is not None and np.isin(ids, oof.ids_N).all():
            earlier.append(oof.take(ids).p_NC)
    return earlier


def _changed_folds(bench: Bench) -> Literal["", "other", "dealt"]:
    """Whether the re-test uses other folds than the search, newly dealt folds, or the same folds."""
    if bench.kind.name != "train":
        return ""
    config = bench.settings.config
    if config.train.folds is not None:
        return "other" if _left(bench.settings) else ""
    return "dealt" if config.folds.kind in DEALT else ""


def _folds_text(bench: Bench) -> str:
    """Which folds the re-test uses, in words; empty: the same folds."""
    changed = _changed_folds(bench)
    if changed == "other":
        return texts.RETEST_OTHER_FOLDS.format(folds=_left(bench.settings))
    return texts.RETEST_NEW_FOLDS if changed else ""


def is_unseen(bench: Bench) -> bool:
    """Whether the re-test uses images that no trial of this study was scored on.

    Winners of earlier studies may have been chosen on these images, so none is tried in this case.
    """
    return bench.kind.is_planted or _changed_folds(bench) == "other"


def _left(settings: Settings) -> list[int]:
    every = range(settings.config.folds.splits)
    return [k for k in every if k not in folds_of(settings)]


def _unseen(bench: Bench, ids: Strings) -> Strings:
    """The ids without groups that the search was scored on: repeats and bootstraps validate images again.

    Raises:
        ConfigError: no id is left.
    """
    seen = bench.samples().take(load.oof(bench.result(bench.settings), "oof").ids_N)
    left = ids[~np.isin(bench.samples().take(ids).groups_N, seen.groups_N)]
    if not len(left):
        raise ConfigError(texts.NO_NEW_IMAGES, remedy=texts.NO_NEW_IMAGES_REMEDY)
    return left


def _reseeded(bench: Bench, settings: Settings, seed: int) -> Settings:
    values: dict[str, object] = {"train.seed": seed, "resample.seed": seed}
    if is_unseen(bench):
        values["train.folds"] = _left(settings)
    elif _changed_folds(bench) == "dealt":
        values["folds.seed"] = settings.config.folds.seed + seed
    return settings.with_values(values)


def _crossfitted(bench: Bench, study: Study, best: Trial, say: Say) -> RetestVerdict:
    """Run the search for each part on the other parts, and pool the winners' predictions of their parts."""
    base = bench.result(bench.settings)
    oof = load.oof(base, "default")
    plan, samples = load.plan(bench.session.get(Need("folds", bench.settings))), bench.samples()
    parts = scoring.crossfit_parts(bench.settings.config, samples, plan, oof.ids_N)
    known, rules = samples.take(oof.ids_N), bench.settings.config.statistics
    n_trials = len(study.done())
    say(texts.RETEST_CROSSFIT.format(trials=n_trials, parts=len(parts)))
    p_NC = oof.p_NC.copy()
    for part in parts:
        at = positions(part, oof.ids_N, "out-of-fold predictions")
        others = np.setdiff1d(np.arange(len(oof.ids_N)), at)
        chosen = _searched(bench, study.plan, (known, others), n_trials) or oof
        p_NC[at] = chosen.take(oof.ids_N).p_NC[at]
    comparison = statistics.compare(
        bench.metric, known.truth, p_NC, oof.p_NC, known.groups_N, rules.draws, rules.seed
    )
    default = bench.score(base)
    retested = bench.metric.score(known.truth, p_NC)
    how = texts.RETEST_CROSSFIT_HOW.format(trials=n_trials, parts=len(parts))
    return RetestVerdict(default, default, (Contender(best, best.values[0], retested, comparison),), how)


def _searched(bench: Bench, plan: Plan, scored: tuple[Samples, Ints], n_trials: int) -> Probabilities | None:
    """Predictions of the trial that the search finds if it is scored on some rows only."""
    known, others = scored
    # Winners of earlier searches were chosen with all labels, including those of this part.
    queue = tuple((word, point) for word, point in plan.queue if not word.startswith(EARLIER))
    inner = studies.in_memory(replace(plan, maximise=plan.maximise[:1], pruner="none", queue=queue))
    oofs: dict[int, Probabilities] = {}
    while (trial := inner.ask(n_trials)) is not None:
        try:
            oof = load.oof(bench.result(bench.with_point(trial.point)), "oof").take(known.ids_N)
            score = bench.metric.score(known.truth[others], oof.p_NC[others])
        except UserError as error:
            inner.fail(trial.number, str(error))
            continue
        oofs[trial.number] = oof
        inner.tell(trial.number, [score])
    best = inner.best()
    return oofs[best.number] if best else None
