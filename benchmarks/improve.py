"""Whether `make improve` takes advice in a good order: each piece carried out once, then orders replayed.

    python -m benchmarks.improve --out cells                        demos, about 6 minutes of processor
    python -m benchmarks.improve --out cells --photos trash=trashnet-256.zip --worlds digits:bare trash:head
    python -m benchmarks.improve --out cells --table configs/advice/open_sets.yaml     writes what paid
    python -m benchmarks.improve --out cells --tiny                           minutes; says nothing

A world is a set (`benchmarks/sets.py`) and a first run on it. Its error report gives a list of pieces of
advice; each is carried out once, from that first run, and its out-of-fold predictions and its seconds are
kept in `--out`. An order of the list is then replayed without training: a piece is kept if it is better than
the first run, or if the blend with it is better than the blend before, both by paired intervals that are
corrected for the number of pieces so far, as `make improve` does.

Our order is that of `make improve` with time for all pieces, and with what paid in the worlds of the other
sets; it is compared with random orders of the same list, after each number of pieces: the cross-fitted score
of the blend of what was kept. Prints the score after each number of pieces, ours, the mean of the random
orders and how much of the difference was noise, for each world; then the mean over all worlds.
"""

import argparse
import contextlib
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import sets
from pipeline.core import metrics, statistics
from pipeline.core.errors import UserError
from pipeline.core.predictions import Comparison, Probabilities
from pipeline.core.voting import fitting
from pipeline.data import load
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.errors import case
from pipeline.errors import commands as reports
from pipeline.errors.advice import ledger
from pipeline.plan.costs import Scene
from pipeline.plan.improving import Move, best_first, expected, headroom, moves_of, subject
from pipeline.record.store import Artifact
from pipeline.settings.advice_table import Paid, counted
from pipeline.settings.load import Settings
from pipeline.settings.load import load as settings_of
from pipeline.stages import open_session
from pipeline.submit import submission
from pipeline.train import scoring

# First runs: as the demo's, one of somebody who forgot things, a head that was trained too briefly, and a
# small network without weights, trained too briefly.
RUNS = {
    "plain": ("experiment=lite0",),
    "bare": ("experiment=lite0", "train.epochs=2", "augment.policy=none"),
    "head": ("experiment=probe_mlp", "train.epochs=10"),
    "scratch": ("experiment=tiny_cnn", "train.epochs=2"),
}
WORLDS = (
    *("digits:bare", "digits:head", "digits:scratch", "digits-tail:scratch"),
    *("emoji:bare", "emoji:head", "emoji-people:head"),
)
TINY = ("images.size=32", "train.epochs=1", "statistics.draws=100", "infer.views=[identity]")
METRIC = metrics.get("macro_f1")
DRAWS, FIRST = 500, "first"
# Seconds of a blend and its share of a report, after each piece.
AFTER = 20.0
HEAD = """# How often each remedy paid on open sets, and how much it gained, when tried from a first run.
# `make improve` orders what the error report advises by this and by a project's own submissions/advice.jsonl.
#   python -m benchmarks.improve --out cells --table configs/advice/open_sets.yaml
"""


@dataclass(frozen=True)
class Piece:
    """A piece of advice that was carried out.

    Args:
        name: of the run.
        kind: of the advice.
        remedy: what it changes, numbers left out.
        own: the rule's own estimate of its chance.
        gain: its bound, or its hope where there is no bound.
        expected, seconds: what it was expected to take, and took, on this machine.
        p_NC: out of fold.
    """

    name: str
    kind: str
    remedy: str
    own: float
    gain: float
    expected: float
    seconds: float
    p_NC: np.ndarray


@dataclass(frozen=True)
class World:
    """A first run with every piece of advice that its report gives.

    Args:
        name: SET:RUN.
        y_N, group_N, part_N: of the images in the order of all predictions; parts have no group in common.
        first_NC: of the first run, out of fold.
        pieces: in the order of the report.
    """

    name: str
    y_N: np.ndarray
    group_N: np.ndarray
    part_N: np.ndarray
    first_NC: np.ndarray
    pieces: tuple[Piece, ...]
    _blends: dict[frozenset[str], np.ndarray] = field(default_factory=dict)
    _compared: dict[tuple[object, ...], bool] = field(default_factory=dict)

    @property
    def set_name(self) -> str:
        """Of the set, of which it may be a variant."""
        name = self.name.partition(":")[0]
        return next((name.removesuffix(f"-{v}") for v in sets.VARIANTS if name.endswith(f"-{v}")), name)

    @cached_property
    def by_name(self) -> dict[str, Piece]:
        """Its pieces."""
        return {piece.name: piece for piece in self.pieces}

    def blend(self, kept: frozenset[str]) -> np.ndarray:
        """(N, C) cross-fitted predictions of the blend of the first run and these pieces."""
        if kept not in self._blends:
            ids_N = np.arange(len(self.y_N)).astype(str)
            classes = tuple(f"c{k}" for k in range(self.first_NC.shape[1]))
            every = {FIRST: self.first_NC, **{n: self.by_name[n].p_NC for n in sorted(kept)}}
            members = [Probabilities(ids_N, classes, p.astype(np.float32), n) for n, p in every.items()]
            parts = [ids_N[self.part_N == part] for part in np.unique(self.part_N)]
            _, pooled = fitting.cross_fit(members, self.y_N, parts, METRIC)
            self._blends[kept] = pooled.p_NC
        return self._blends[kept]

    def compared(self, new_NC: np.ndarray, old_NC: np.ndarray, tries: int) -> Comparison:
        """A paired comparison of two predictions, as one of so many attempts."""
        sides = (new_NC, old_NC)
        return statistics.compare_tried(METRIC, self.y_N, sides, self.group_N, DRAWS, 0, tries)

    def helps(self, name: str, kept: frozenset[str], tries: int) -> bool:
        """Whether `make improve` would keep a piece after these, as its attempt of this number."""
        key = (name, kept, tries)
        if key not in self._compared:
            alone = self.compared(self.by_name[name].p_NC, self.first_NC, tries).verdict == "better"
            self._compared[key] = alone or (
                self.compared(self.blend(kept | {name}), self.blend(kept), tries).verdict == "better"
            )
        return self._compared[key]

    def replayed(self, order: Sequence[str]) -> list[frozenset[str]]:
        """What is kept after each number of pieces, 0 included."""
        kept = [frozenset[str]()]
        for tries, name in enumerate(order, start=1):
            more = {name} if self.helps(name, kept[-1], tries) else set()
            kept.append(kept[-1] | more)
        return kept

    def score(self, kept: frozenset[str]) -> float:
        """Of the blend."""
        return float(METRIC.score(self.y_N, self.blend(kept)))

    @cached_property
    def table(self) -> list[Paid]:
        """How often each remedy paid from the first run, and how much, each piece as the only attempt."""
        found = []
        for remedy in sorted({piece.remedy for piece in self.pieces}):
            own = [piece.name for piece in self.pieces if piece.remedy == remedy]
            kept = [name for name in own if self.helps(name, frozenset(), 1)]
            gain = sum(self.gain(name) for name in kept) / len(own)
            line = Paid(remedy, len(kept), len(own), round(gain, 4), "exclusive", len(self.y_N), self.name)
            found.append(line)
        return found

    @property
    def left(self) -> float:
        """How far the first run is from a perfect score."""
        return METRIC.headroom(METRIC.score(self.y_N, self.first_NC))

    def gain(self, name: str) -> float:
        """What a piece gains, alone or in the blend, as a share of the way to a perfect score."""
        alone = METRIC.score(self.y_N, self.by_name[name].p_NC) - METRIC.score(self.y_N, self.first_NC)
        together = self.score(frozenset({name})) - self.score(frozenset())
        return max(alone, together, 0.0) / max(self.left, 1e-9)


def ordered(world: World, table: Sequence[Paid]) -> list[str]:
    """The order of `make improve` with this table of what paid elsewhere."""
    moves = []
    for piece in world.pieces:
        elsewhere = counted(table, piece.remedy, "exclusive", len(world.y_N))
        gain = expected(piece.remedy, piece.own * piece.gain, world.left, [], elsewhere)
        moves.append(Move(piece.name, piece.kind, (), NO_SETTINGS, None, gain, piece.expected, AFTER))
    return [move.name for move in best_first(moves, math.inf)]


# The order looks at seconds and gain only.
NO_SETTINGS: Any = None


def elsewhere(worlds: Sequence[World], left_out: str) -> list[Paid]:
    """What paid in the worlds of other sets."""
    return [line for world in worlds if world.set_name != left_out for line in world.table]


@dataclass(frozen=True)
class Outcome:
    """Our order of a world against random ones.

    Args:
        ours: (1 + pieces,) score after each number of pieces.
        theirs: (orders, 1 + pieces) of the random orders.
        worse, better: how often ours, after some number of pieces, was so beyond noise; of `pairs`.
    """

    ours: np.ndarray
    theirs: np.ndarray
    worse: int
    better: int
    pairs: int


def outcome(world: World, table: Sequence[Paid], orders: int, seed: int = 0) -> Outcome:
    """Replay our order and random ones."""
    names = [piece.name for piece in world.pieces]
    draw = np.random.default_rng(seed)
    own = world.replayed(ordered(world, table))
    others = [world.replayed([names[k] for k in draw.permutation(len(names))]) for _ in range(orders)]
    verdicts: dict[tuple[frozenset[str], frozenset[str]], str] = {}
    told = []
    for other in others:
        # At the end of the list every order has carried out the same.
        for mine, its in list(zip(own, other, strict=True))[1:-1]:
            if mine != its and (mine, its) not in verdicts:
                verdicts[mine, its] = world.compared(world.blend(mine), world.blend(its), 1).verdict
            told.append(verdicts.get((mine, its), "can't tell"))
    return Outcome(
        np.array([world.score(kept) for kept in own]),
        np.array([[world.score(kept) for kept in other] for other in others]),
        told.count("worse"),
        told.count("better"),
        len(told),
    )


def built(name: str, options: argparse.Namespace) -> World:
    """A world: its first run, its report, and each piece of advice carried out."""
    photos = {n: Path(path) for n, _, path in (text.partition("=") for text in options.photos)}
    set_name, _, run = name.partition(":")
    home = (options.out / "stores" / name.replace(":", "-")).resolve()
    one = sets.made(set_name, photos, options.out, options.images)
    own = [f"runtime.home={home}", "runtime.mlflow=false", "runtime.threads=1", "folds.n=2"]
    words = [*one.words, *RUNS[run], *own, *options.words]
    settings = settings_of(list({word.partition("=")[0]: word for word in words}.values()))
    session = open_session(settings)
    first = session.get(Need("infer", settings))
    report = reports.compare(session, submission.publish(first, settings, session.store), None)
    about = subject(session, settings, first)
    again = None if about is None else case.again(about, settings)
    assert again is not None, f"{name}: the run that was made a moment ago can be asked for again"
    scene = Scene.of(session, settings)
    assert about is not None, "it was asked for again"
    moves, _ = moves_of(report, again, headroom(about, METRIC), scene, 1.0, AFTER)
    given = {tuple(one["settings"]): one for one in report.json(ledger.REPORTED)["advice"]}
    pieces = [carried_out(session, move, given[move.words], name) for move in moves]
    return world_of(session, settings, name, first, [piece for piece in pieces if piece is not None])


def carried_out(session: Session, move: Move, given: Mapping[str, Any], name: str) -> Piece | None:
    """One piece, or None where it cannot be carried out, which is said."""
    began = time.process_time()
    try:
        made = session.get(Need("infer", move.settings))
    except UserError as error:
        print(f"{name}: {move.name}: {error.headline}", flush=True)
        return None
    gain = float(given["hope"] if given["bound"] is None else given["bound"])
    # Processor time: on a busy machine, the time by the clock says nothing about the piece.
    seconds = time.process_time() - began
    oof = load.oof(made, made.stage)
    order = np.argsort(oof.ids_N)
    remedy, own = ledger.remedy_of(move.words, move.kind), float(given["chance"])
    return Piece(move.name, move.kind, remedy, own, gain, move.seconds, seconds, oof.p_NC[order])


def world_of(
    session: Session, settings: Settings, name: str, first: Artifact, pieces: Sequence[Piece]
) -> World:
    """The truth, the groups and the parts of a world with its predictions, in the order of the ids."""
    oof = load.oof(first, first.stage)
    ids_N = np.sort(oof.ids_N)
    samples = load.samples(session.need("data", settings), "train", session.home).take(ids_N)
    plan = load.plan(session.need("folds", settings))
    parts = scoring.crossfit_parts(settings.config, samples, plan, ids_N)
    part_N = np.zeros(len(ids_N), np.int64)
    for number, part in enumerate(parts):
        part_N[np.isin(ids_N, part)] = number
    return World(
        name, samples.labels, samples.groups_N, part_N, oof.p_NC[np.argsort(oof.ids_N)], tuple(pieces)
    )


def keep(world: World, path: Path) -> None:
    """Write a world."""
    about = [{k: v for k, v in vars(piece).items() if k != "p_NC"} for piece in world.pieces]
    p_MNC = np.stack([world.first_NC, *(piece.p_NC for piece in world.pieces)])
    np.savez(path, y=world.y_N, group=world.group_N, part=world.part_N, p=p_MNC, about=json.dumps(about))


def read(name: str, path: Path) -> World:
    """A world that was kept."""
    with np.load(path) as kept:
        about, p_MNC = json.loads(str(kept["about"])), kept["p"]
        pieces = tuple(Piece(**one, p_NC=p_NC) for one, p_NC in zip(about, p_MNC[1:], strict=True))
        return World(name, kept["y"], kept["group"], kept["part"], p_MNC[0], pieces)


def report(worlds: Sequence[World], orders: int) -> None:
    """Each piece, then each world's orders, then all."""
    every = []
    for world in worlds:
        print(f"\n{world.name}: {len(world.y_N)} images, first run {world.score(frozenset()):.4f}")
        for piece in world.pieces:
            told = world.compared(piece.p_NC, world.first_NC, 1)
            print(f"    {piece.kind:<14} {piece.name:<60} {told}  {piece.seconds:4.0f} s", flush=True)
        if len(world.pieces) < 2:
            print("    fewer than two pieces have no order")
            continue
        made = outcome(world, elsewhere(worlds, world.set_name), orders)
        every.append(made)
        print(f"    pieces      {' '.join(f'{n:>6}' for n in range(1, len(made.ours)))}")
        print(f"    ours        {' '.join(f'{score:6.4f}' for score in made.ours[1:])}")
        print(f"    random      {' '.join(f'{score:6.4f}' for score in made.theirs.mean(axis=0)[1:])}")
        print(f"    beyond noise: better {made.better}, worse {made.worse} of {made.pairs} pairs")
    if every:
        gained = [
            float((one.ours - one.theirs.mean(axis=0))[1:-1].mean()) for one in every if len(one.ours) > 2
        ]
        worse, better, pairs = (sum(getattr(one, n) for one in every) for n in ("worse", "better", "pairs"))
        print(f"\nours minus random, mean over the numbers of pieces: {np.mean(gained):+.4f} ", end="")
        print(f"(worlds: {', '.join(f'{gain:+.4f}' for gain in gained)})")
        print(f"beyond noise: better {better}, worse {worse} of {pairs} pairs")


def write_table(worlds: Sequence[World], path: Path) -> None:
    """What paid in all worlds, a line for each remedy and size."""
    today, rows = datetime.now(UTC).strftime("%Y-%m-%d"), []
    lines = [line for world in worlds for line in world.table]
    for remedy, images in sorted({(line.remedy, line.images) for line in lines}):
        own = [line for line in lines if (line.remedy, line.images) == (remedy, images)]
        names = ", ".join(sorted({line.origin for line in own}))
        rows.append(
            {
                "remedy": remedy,
                "kept": sum(line.kept for line in own),
                "tried": sum(line.tried for line in own),
                "gain": round(sum(line.tried * line.gain for line in own) / sum(x.tried for x in own), 4),
                "target": own[0].target,
                "images": images,
                "origin": f"benchmarks/improve.py, {today}: {names}",
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEAD + yaml.safe_dump(rows, sort_keys=False, width=120), encoding="utf-8")


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The words of the command line."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--out", type=Path, required=True, help="folder of worlds, sets and stores")
    words.add_argument("--worlds", nargs="*", default=list(WORLDS), help=f"SET:RUN; runs: {', '.join(RUNS)}")
    words.add_argument("--photos", nargs="*", default=[], help="NAME=archive with a folder for each class")
    words.add_argument("--images", type=int, default=400, help="cut each set to so many images")
    words.add_argument("--orders", type=int, default=20, help="random orders")
    words.add_argument("--words", nargs="*", default=[], help="settings of every first run")
    words.add_argument("--table", type=Path, help="write here how often each kind of advice paid")
    words.add_argument("--tiny", action="store_true", help="one world of a few digits")
    return words.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        options.worlds, options.images, options.words = ["digits:bare"], 120, [*options.words, *TINY]
    worlds = []
    for name in options.worlds:
        path = options.out / f"{name.replace(':', '-')}.npz"
        if not path.is_file():
            began, said = time.perf_counter(), io.StringIO()
            with contextlib.redirect_stdout(said):
                keep(built(name, options), path)
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
        worlds.append(read(name, path))
    report(worlds, options.orders)
    if options.table is not None:
        write_table(worlds, options.table)


if __name__ == "__main__":
    main()
