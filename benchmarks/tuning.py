"""Does a search pay? TPE against random search on the same caches, and the gain from the caches.

    python benchmarks/tuning.py                  digits, a few minutes of CPU
    python benchmarks/tuning.py --seeds 10 --trials 40

Three questions, on small digits with networks and heads of random backbones:

1. Trials an hour with and without the caches: CPU seconds of a trial if everything upstream is in the store,
   and in an empty home. CPU seconds, not wall seconds, as the machine may be busy.
2. TPE against random search, equal trials. Every point of a finite space is built once, through the store,
   and both samplers draw from this table as a search does, default first. A search sees scores on one half of
   the groups; its winner is then scored on the other half, which the table shows.
3. The same at equal wall time, with real trials: each search gets so many seconds of
   `make tune STAGE=error-analysis` trials in a home with everything upstream and no trial; the winner is
   scored on faults planted anew among other groups.

Differences are paired by seed, with a t interval over seeds; the images are the same for all.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core.metrics import get as metric_of
from pipeline.core.search_space import Point, points
from pipeline.core.seeds import rng
from pipeline.data import load as read
from pipeline.engine.need import Need
from pipeline.errors.findings import planting
from pipeline.nets.model import build as network
from pipeline.record import study as studies
from pipeline.record.study import Plan
from pipeline.settings.load import Settings, load
from pipeline.settings.model import ModelSettings
from pipeline.stages import open_session
from pipeline.tune import space, space_check
from pipeline.tune.space import Search
from pipeline.tune.trials import KINDS, Bench, Trials

SAMPLERS = ("tpe", "random")
PARTS = ("caches", "tables", "clock")
DIGITS = (
    "competition=digits",
    "competition.demo.limit=600",
    "folds.n=3",
    "images.size=24",
    "statistics.draws=100",
)
QUIET = ("runtime.mlflow=false", "runtime.threads=1", "runtime.workers=0")
NETWORK = ("experiment=tiny_resnet", "train.epochs=4", "ensemble.members=[tiny_resnet,tiny_cnn]")
# Finite spaces, small enough to build every point.
SPACES = {
    "resample": """
space:
  resample.method: {type: categorical, choices: [none, under, over, smote, tomek, near_miss]}
  resample.neighbours: {type: int, low: 1, high: 9, step: 4, when: {resample.method: [smote, near_miss]}}
  loss.class_weights: {type: categorical, choices: [none, inverse, effective]}
  loss.name: {type: categorical, choices: [cross_entropy, focal]}
""",
    "tta": """
space:
  infer.views:
    type: subset
    always: [identity]
    of: ["shift(1,1)", "shift(-1,-1)", "scale(1.1)", "rotate(8)", "rotate(-8)"]
  infer.merge: {type: categorical, choices: [mean, fitted]}
""",
    "ensemble": """
space:
  ensemble.members: {type: subset}
  ensemble.method: {type: categorical, choices: [mean, weighted, geometric, rank, hard, search, stacking]}
  ensemble.temperature: {type: categorical, choices: [false, true]}
""",
    "decision": """
settings: {decision.adopt: always}
space:
  decision.steps: {type: subset, of: [class_scales, prior_correction]}
  decision.shrink:
    type: categorical
    choices: [0.001, 0.01, 0.1, 0.3, 1, 3]
    when: {"decision.steps[class_scales]": [true]}
  decision.prior:
    type: categorical
    choices: [table, uniform, estimated]
    when: {"decision.steps[prior_correction]": [true]}
""",
}  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """A point of a table: its score where the search looks, and where it does not."""

    point: Point
    seen: float
    unseen: float


def bench_of(home: Path, stage: str, words: tuple[str, ...], text: str) -> Bench:
    """A search of this space in this home."""
    file = home.parent / f"{stage}.yaml"
    file.write_text(text, encoding="utf-8")
    form = space.read(file)
    settings = load([*words, *DIGITS, *QUIET, f"runtime.home={home}"]).with_values(form.settings)
    kind = KINDS[stage]
    search = space_check.checked(str(file), form, settings, kind.sections, lambda _: None)
    return Bench(Trials(settings, open_session(settings), f"benchmark {stage}"), kind, search, settings)


def words_of(stage: str, weights: Path) -> tuple[str, ...]:
    """What trials of a stage start from: heads on features for `resample`, networks for the others."""
    if stage != "resample":
        return NETWORK
    # Digits are balanced; without imbalance there would be nothing to resample for.
    head = ("experiment=probe", "train.epochs=5", "model.name=test_resnet")
    return (*head, f"model.weights=file:{weights}")


def table_of(bench: Bench) -> list[Scored]:
    """Every point of the space, the default's first."""
    samples = read.samples(bench.session.get(Need("data", bench.settings)), "train", bench.session.home)
    groups = np.unique(samples.groups_N)
    chosen = rng(0, "halves for the benchmark").permutation(len(groups))[: len(groups) // 2]
    metric, found = metric_of(bench.settings.config.competition.metric), []
    default, _ = space_check.defaults(bench.search, bench.settings)
    for point in [default, *(p for p in points(bench.search.dimensions) if p != default)]:
        oof = read.oof(bench.result(bench.with_point(point)), "oof")
        known = samples.take(oof.ids_N)
        seen_N = np.isin(known.groups_N, groups[chosen])
        halves = [metric.sign * metric.score(known.labels[w], oof.p_NC[w]) for w in (seen_N, ~seen_N)]
        found.append(Scored(point, halves[0], halves[1]))
    return found


def drawn(search: Search, table: list[Scored], sampler: str, seed: int, trials: int) -> Scored:
    """What one search of the table finds."""
    plan = Plan(
        "benchmark", search.dimensions, (True,), sampler, seed=seed, queue=(("default", table[0].point),)
    )
    study = studies.in_memory(plan)
    known = {repr(sorted(s.point.items())): s for s in table}
    while (trial := study.ask(trials)) is not None:
        study.tell(trial.number, [known[repr(sorted(trial.point.items()))].seen])
    best = study.best()
    assert best is not None
    return known[repr(sorted(best.point.items()))]


def timed(bench: Bench, sampler: str, seed: int, seconds: float) -> tuple[float, float, int]:
    """A search by the clock: the winner's score in the search, re-tested, and how many trials there were."""
    shutil.rmtree(bench.session.home / "artifacts" / "finders", ignore_errors=True)
    # What was looked up before is forgotten with it.
    bench = replace(bench, session=Trials(bench.settings, open_session(bench.settings), "clock"))
    default, _ = space_check.defaults(bench.search, bench.settings)
    plan = Plan(
        "benchmark", bench.search.dimensions, (True,), sampler, seed=seed, queue=(("default", default),)
    )
    study, end = studies.in_memory(plan), time.monotonic() + seconds
    while time.monotonic() < end and (trial := study.ask(10_000)) is not None:
        study.tell(trial.number, [bench.score(bench.result(bench.with_point(trial.point)))])
    best = study.best()
    assert best is not None
    again = planting.need(bench.with_point(best.point), {}, tuple(range(101, 107)), planting.CONFIRM)
    return best.values[0], planting.figure(planting.units(bench.session.get(again))), len(study.done())


def cpu(bench: Bench, settings: Settings) -> float:
    """CPU seconds that this process takes for a trial."""
    began = time.process_time()
    bench.result(settings)
    return time.process_time() - began


def difference(tpe: list[float], random: list[float]) -> str:
    """TPE minus random search, paired by seed."""
    delta = np.array(tpe) - np.array(random)
    mean, n = float(delta.mean()), len(delta)
    reach = float(stats.t.ppf(0.975, n - 1) * delta.std(ddof=1) / np.sqrt(n))
    verdict = "better" if mean - reach > 0 else "worse" if mean + reach < 0 else "can't tell"
    return f"{mean:+.4f} [{mean - reach:+.4f}, {mean + reach:+.4f}] {verdict}"


@contextmanager
def workplace() -> Iterator[tuple[Path, Path]]:
    """A folder for homes, and weights of a small backbone in a file."""
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name) / "test_resnet.pth"
        made: Any = network(ModelSettings(name="test_resnet", weights="none"), 1000, 0)
        torch.save(made.backbone.state_dict(), weights)
        yield Path(name), weights


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument(
        "--trials", type=int, default=25, help="of each search by a table; TPE draws 10 at random"
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of each search by the clock")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    with workplace() as (folder, weights):
        home, others = folder / "home", {"caches", "tables"} & set(options.parts)
        benches = {
            stage: bench_of(home, stage, words_of(stage, weights), text)
            for stage, text in SPACES.items()
            if others
        }
        for bench in benches.values():
            bench.result(bench.settings)
        if "caches" in options.parts:
            print_caches(benches, folder)
        if "tables" in options.parts:
            print_tables(benches, options.seeds, options.trials)
        if "clock" in options.parts:
            print_clock(home, options.seeds, options.seconds)


def print_caches(benches: dict[str, Bench], folder: Path) -> None:
    """CPU seconds of a trial, warm and cold."""
    print("stage      CPU s a trial: caches, empty home   trials an hour: caches, empty home")
    for stage, bench in benches.items():
        every = list(points(bench.search.dimensions))
        some = [every[k] for k in rng(1, "warm").permutation(len(every))[:4]]
        warm = float(np.median([cpu(bench, bench.with_point(p)) for p in some]))
        home = folder / f"cold-{stage}"
        settings = load([*bench.settings.words, f"runtime.home={home}"])
        settings = settings.with_values(bench.search.values(some[0]))
        empty = replace(bench, session=Trials(settings, open_session(settings), "cold"))
        cold = cpu(empty, settings)
        shutil.rmtree(home, ignore_errors=True)
        hourly = f"{3600 / warm:24,.0f} {3600 / cold:8,.0f}"
        print(f"{stage:<10} {warm:8.2f} {cold:8.2f} {hourly}   x{cold / warm:.0f}", flush=True)


def print_tables(benches: dict[str, Bench], seeds: int, trials: int) -> None:
    """TPE against random search by tables."""
    print(f"\nequal trials ({trials}), {seeds} seeds; score on groups that the search never saw")
    print("stage      points  default    tpe  random  best seen   tpe - random")
    for stage, bench in benches.items():
        table = table_of(bench)
        found = {s: [drawn(bench.search, table, s, k, trials) for k in range(seeds)] for s in SAMPLERS}
        mean = {s: float(np.mean([f.unseen for f in of])) for s, of in found.items()}
        best = max(table, key=lambda s: s.seen)
        told = difference(*([f.unseen for f in found[s]] for s in SAMPLERS))
        seen = difference(*([f.seen for f in found[s]] for s in SAMPLERS))
        print(
            f"{stage:<10} {len(table):6d} {table[0].unseen:8.4f} {mean['tpe']:6.4f} {mean['random']:7.4f} "
            f"{best.unseen:10.4f}   {told}; in the search {seen}",
            flush=True,
        )


def print_clock(home: Path, seeds: int, seconds: float) -> None:
    """TPE against random search by the clock."""
    text = (Path(__file__).resolve().parents[1] / "configs" / "tune" / "error-analysis.yaml").read_text()
    bench = bench_of(home, "error-analysis", NETWORK, text)
    default = bench.score(bench.result(bench.settings))
    # The faults of the re-test are upstream: they are made before the clock starts.
    again = bench.session.get(planting.need(bench.settings, {}, tuple(range(101, 107)), planting.CONFIRM))
    retested = planting.figure(planting.units(again))
    found = {s: list[tuple[float, float, int]]() for s in SAMPLERS}
    for seed in range(seeds):
        # The first sampler alternates, so that a busy minute of the machine favours neither.
        for sampler in SAMPLERS if seed % 2 == 0 else SAMPLERS[::-1]:
            found[sampler].append(timed(bench, sampler, seed, seconds))
    print(
        f"\nequal wall time ({seconds:g} s), error-analysis, {seeds} seeds; "
        f"default {default:.4f}, {retested:.4f} re-tested"
    )
    for sampler, runs in found.items():
        seen, unseen, trials = (float(np.mean(column)) for column in zip(*runs, strict=True))
        print(f"{sampler:<8} {trials:5.1f} trials   {seen:.4f} in the search, {unseen:.4f} re-tested")
    print(f"tpe - random, re-tested: {difference(*([r[1] for r in found[s]] for s in SAMPLERS))}")


if __name__ == "__main__":
    main()
