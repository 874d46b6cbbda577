"""Expected seconds of a member on this machine: from finished folds, or from one batch that is timed.

Owns turning rates into the seconds of features, folds and views. Does not own timing steps
(`train/step_timing.py`), keeping rates (`record/machine.py`, the file `machine.json` of the home), nor what
fits (`plan/planning.py`).

A rate is looked up in this order: the newest finished fold with the same network (or head), size and batch on
this machine; steps of the same network at a similar size, timed by this command; those of this size in
`machine.json`; its features at a similar size (for a head, they come first); a few steps on noise, timed now
and kept in that file. Weights do not matter for it, so none are loaded.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from pipeline.core.errors import UserError
from pipeline.core.samples import FoldPlan, Samples
from pipeline.core.targets import VALUES
from pipeline.data import load
from pipeline.engine.hardware import machine, set_up
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.nets.stages import features_need, is_probe, probe_views
from pipeline.plan.planning import Cost, Features
from pipeline.record.machine import Profile
from pipeline.settings.load import Settings
from pipeline.settings.train import AUTO
from pipeline.train import estimate, head_penalty, precision
from pipeline.train.studies import walltime

# A network's time follows the area of its images, but not from 32 px to 224: small images take longer than
# their area says. A rate is used for at most so many times the area, or so small a part of it.
FARTHEST = 6.0
# A CPU is timed on batches of at most so many pixels, so that timing large images takes seconds; and images.
TIMED_PIXELS, FEWEST_TIMED = 32 * 96 * 96, 8
# A pass without gradients, as a share of a training step of the same images.
FORWARD = 0.35
# Seconds of a fold that do not depend on its images: building the network, its file, its record.
START = 1.5
# Seconds of an epoch that do not: its checkpoint, its loaders, its figures (digits at 16 px, 75 to 600 rows).
EPOCH = 0.05
# Seconds of a head on features: the start of its stages.
HEAD_START = 2.0
# train.head_c=auto solves so many problems of values before: about five penalties, on parts of the rows.
PENALTIES = 5 * head_penalty.PARTS * (1 - 1 / head_penalty.PARTS)
# Seconds per image and size: making prepared images from decoded ones.
PREPARE = 1.5e-3


@dataclass(frozen=True)
class Scene:
    """The data on which all members of a plan are trained.

    Args:
        session: of the command.
        samples: that are trained on.
        plan: the folds.
        n_test: images of the test set.
        at_once: how many folds train at the same time, each with a GPU of its own.
    """

    session: Session
    samples: Samples
    plan: FoldPlan
    n_test: int
    at_once: int = 1
    _rates: dict[tuple[str, str, int], float] = field(default_factory=dict)

    @staticmethod
    def of(session: Session, settings: Settings) -> Scene:
        """Reads the data and the folds, which are built first."""
        data, folds = session.need("data", settings), session.need("folds", settings)
        test = load.samples(data, "test", session.home)
        at_once = 1
        if set_up(settings.config.runtime) == "cuda":  # on a CPU, processes share its cores
            with session.flow() as flow:
                at_once = flow.size
        return Scene(session, load.training(data, session.home), load.plan(folds), len(test), at_once)

    def cost(self, settings: Settings) -> Cost:
        """The expected cost of one member with all of its folds.

        Raises:
            UserError: settings that do not fit the model, or too little memory for one step.
        """
        work = walltime.work_of(settings, self.samples, self.plan)
        row, n = self.rate(settings), len(self.samples)
        prepare = PREPARE * (n + self.n_test)
        if is_probe(settings):
            return self._probe(settings, work, row, prepare)
        each = FORWARD * row * (n + len(self.plan) * self.n_test)
        side_by_side = work.folds / math.ceil(work.folds / self.at_once)
        epoch = work.rows * row + EPOCH * work.folds
        return Cost(prepare + START * work.folds, epoch / side_by_side, each)

    def _probe(self, settings: Settings, work: walltime.Work, row: float, prepare: float) -> Cost:
        """Of a head on features, which are computed once for each view of each split."""
        views, seconds = settings.config.infer.views, FORWARD * row
        each = {"train": seconds * len(self.samples), "test": seconds * self.n_test}
        of_view = tuple(self._missing(settings, each, view) for view in views)
        trained = [view for view in probe_views(settings) if view not in views]
        beside = [self._missing(settings, {"train": each["train"]}, view) for view in trained]
        features = Features(of_view, dict(ChainMap(*beside)), prepare)
        return Cost(HEAD_START + self._heads(settings, work), features=features)

    def _heads(self, settings: Settings, work: walltime.Work) -> float:
        """Seconds of the heads of all folds, by the newest one of the same kind, or else by their rows."""
        train = settings.config.train
        rows: float = work.rows * train.head_seeds * (1 if train.solved else train.epochs)
        known = estimate.earlier(self.session.store, settings, set_up(settings.config.runtime))
        if known is not None:
            return known * rows
        if train.head == "logistic" and train.head_c == AUTO and settings.config.competition.target == VALUES:
            rows += PENALTIES * min(rows, work.folds * head_penalty.ENOUGH)
        return estimate.head_row(settings, self.samples.space, self.session.home) * rows

    def _missing(self, settings: Settings, each: Mapping[str, float], view: str) -> dict[str, float]:
        """Seconds of the features of a view that are not there yet, by key; `each` has those of a split."""
        graph = self.session.graph
        needs = [(features_need(settings, split, view), seconds) for split, seconds in each.items()]
        return {graph.key(need): seconds for need, seconds in needs if graph.found(need) is None}

    def rate(self, settings: Settings) -> float:
        """Seconds of one training row, forward and backward; of a probe, of the backbone as if trained."""
        config, probe = settings.config, is_probe(settings)
        device = set_up(config.runtime)
        known = None if probe else estimate.earlier(self.session.store, settings, device)
        if known is not None:
            return known
        if device == "cuda" and config.train.precision == "auto" and not probe:
            return self._raced(settings, device)
        name, area = config.model.name, config.images.hw[0] * config.images.hw[1]
        profile, question = Profile(self.session.home), self._question(settings, device)
        other = self._of_other_size(name, device, area)
        if probe:
            scaled = self._passed(name, device, area) or other
        else:
            kept = None if other is not None else profile.find(question)
            scaled = other or (float(kept["seconds"]) if kept else self._passed(name, device, area))
        if scaled is not None:
            return scaled
        measured = profile.measured(question, lambda: self._timed(settings, device))
        self._rates[name, device, area] = float(measured["seconds"])
        return self._rates[name, device, area]

    def time_again(self, settings: Settings) -> bool:
        """Time the steps of a network now; whether they are quicker than its rate, which they then replace.

        A few steps beside other work may take three times as long as they do later, and so may features.
        Noise only adds to a time; that a machine became slower shows in the members that it trains.

        Raises:
            UserError: as `cost`.
        """
        config, device = settings.config, set_up(settings.config.runtime)
        if device == "cuda" or estimate.earlier(self.session.store, settings, device) is not None:
            return False
        before, timed = self.rate(settings), self._timed(settings, device)
        if timed["seconds"] >= before:
            return False
        Profile(self.session.home).keep(self._question(settings, device), timed)
        area = config.images.hw[0] * config.images.hw[1]
        self._rates[config.model.name, device, area] = float(timed["seconds"])
        return True

    def _question(self, settings: Settings, device: str) -> dict[str, Any]:
        """What the steps of a network depend on."""
        config = settings.config
        return {
            "what": "a training row",
            "machine": machine(),
            "device": device,
            "threads": config.runtime.threads,
            "versions": {name: version(name) for name in ("torch", "timm")},
            "model": config.model.model_dump(mode="json", exclude={"weights"}),
            "size": list(config.images.hw),
            "batch": config.train.batch_size,
            "channels": config.images.channels,
            "classes": self.samples.space.n_classes,
        }

    def _of_other_size(self, model: str, device: str, area: int) -> float | None:
        """The rate of the same network as timed by this command for images of this or a similar size."""
        known = {float(a): rate for (m, d, a), rate in self._rates.items() if (m, d) == (model, device)}
        return estimate.of_similar(known, area, FARTHEST)

    def _raced(self, settings: Settings, device: str) -> float:
        """The rate in the mode that `train.precision=auto` chooses: measured as trainings would, and kept."""
        config = settings.config
        home, space = self.session.home, self.samples.space
        precision.measure(config, space, device, (precision.STEPS_WORTH_MEASURING, 0), home)
        step = precision.choose(config, device, 0, home).seconds_per_step
        assert step is not None, "it was measured a moment ago"
        return estimate.OVERHEAD * step / config.train.batch_size

    def _passed(self, model: str, device: str, area: int) -> float | None:
        """The rate of features of the same network on this machine, for images of this area.

        On a GPU a pass says little about a step.
        """
        if device != "cpu":
            return None
        seconds = estimate.pass_seconds(self.session.store, model, area, FARTHEST)
        return None if seconds is None else seconds / FORWARD

    def _timed(self, settings: Settings, device: str) -> dict[str, Any]:
        """A few steps on noise, weights of no matter."""
        from pipeline.train import step_timing

        config = settings.config
        values: dict[str, Any] = {"strategy": "full", "head": "linear", "precision": "fp32"}
        if device == "cpu":
            few = max(TIMED_PIXELS // math.prod(config.images.hw), FEWEST_TIMED)
            values["batch_size"] = min(config.train.batch_size, few)
        train = config.train.model_copy(update=values)
        bare = config.model.model_copy(update={"weights": "none"})
        plain = config.model_copy(update={"train": train, "model": bare})
        seconds = step_timing.seconds_per_row(plain, self.samples.space, device)
        return {"seconds": estimate.OVERHEAD * seconds}

    def missing(self, settings: Settings) -> int:
        """How many folds of a member are still to be trained."""
        graph = self.session.graph
        folds = graph.inputs(Need("train", settings), "fold").values()
        return sum(graph.found(need) is None for need in folds)


def fault_of(error: UserError) -> str:
    """Why a recipe has no cost, in one line."""
    return "; ".join([error.headline, *error.faults[:1]])
