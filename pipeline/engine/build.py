"""Building one missing result: its run in the record, its draft, its manifest.

Owns everything around the call of a stage's function. Does not own what the function computes (the rooms) or
when a result is reused (`engine/session.py`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from pipeline.core import metrics
from pipeline.core.language import ENGLISH, joined, languages, say
from pipeline.core.secrets import hidden_in
from pipeline.engine import compared, naming, request
from pipeline.engine.graph import Graph
from pipeline.engine.hardware import machine, profile
from pipeline.engine.need import Inputs, Need
from pipeline.engine.slices import config_slice, flat, guarded
from pipeline.engine.stage import Built, Host, Job, OnEpoch, Stage
from pipeline.pages import plots
from pipeline.record import board
from pipeline.record.store import STUDY, Artifact, told_as_storage_error
from pipeline.record.tracking import Run, RunInfo, Tracker, git_commit

# The picture of a run in the record.
PICTURE, PREVIEW = "score.svg", "out-of-fold {metric} with its 95 % interval"
# The setting in which the runs of one arm differ.
SEED = "train.seed"
# Runs whose names need no stage: what most lists of runs consist of.
SUBMITTED = ("infer", "ensemble")
VERSIONS_OF = ("torch", "timm", "albumentations", "numpy", "scikit-learn", "pandas")


class Builder(Host, Protocol):
    """The part of a session that building uses."""

    @property
    def graph(self) -> Graph:
        """Keys and inputs of needs."""

    @property
    def tracker(self) -> Tracker:
        """The record of runs."""

    @property
    def study(self) -> str | None:
        """Name of the search for which the result is built, if any."""

    @property
    def brief(self) -> bool:
        """Whether only runs that people compare are told, a line each."""

    def reports(self, need: Need) -> OnEpoch:
        """The function that a training calls after each epoch; it may end the training early."""

    @property
    def seconds(self) -> dict[str, float]:
        """Stage -> seconds that this command spent in it."""

    def run_all(self, needs: Inputs, run: Run) -> dict[str, Artifact]:
        """The finished results of these needs, as children of a run."""

    def say(self, text: str) -> None:
        """A line for the terminal."""

    def label(self, need: Need) -> str:
        """The name of a result: its experiment or its competition."""

    def title(self, need: Need) -> str:
        """The name under which a result is shown: its label with the overrides on which it depends."""


@dataclass(frozen=True)
class Order:
    """A result to be built.

    Args:
        stage, need, key: of the result.
        inputs: finished results, without those that are built inside the run.
        inside: needs that are built inside the run, as its children.
        parent: the run whose child the new run is.
    """

    stage: Stage
    need: Need
    key: str
    inputs: Mapping[str, Artifact]
    inside: Inputs
    parent: Run | None


def build(session: Builder, order: Order) -> Artifact:
    """Build the result, publish it and record it; a failure leaves no draft."""
    with opened(session, order) as run:
        return in_run(session, order, run)


@contextlib.contextmanager
def opened(session: Builder, order: Order) -> Iterator[Run]:
    """The run of the result in the record, with what is known before it is built."""
    with _run(session, order) as run:
        _announce(session, order)
        _record_inputs(session, order, run)
        yield run


def in_run(session: Builder, order: Order, run: Run) -> Artifact:
    """Build the result in its open run, first what is missing inside it."""
    stage, key = order.stage, order.key
    with session.store.draft(stage.name, key) as draft:
        inputs = {**order.inputs, **session.run_all(order.inside, run)}
        own = time.monotonic()
        work = session.home / "work" / stage.name / key
        job = _job(session, order, inputs, draft, work, run)
        with told_as_storage_error(draft):
            built = stage.build(job)
            # With the run time of its folds, also of those that were reused.
            seconds = time.monotonic() - own + sum(inputs[name].seconds for name in order.inside)
            seconds += built.shared_seconds
            manifest = _manifest(session, order, inputs, built, seconds)
            artifact = session.store.publish(stage.name, key, draft, manifest)
        # Only after publishing: if the disk fills up before, the unfinished work is still needed.
        shutil.rmtree(work, ignore_errors=True)
        _record_result(run, built, seconds + sum(a.seconds for a in compared.of_one_run(artifact, inputs)))
        for name in built.attach:
            run.artifact(artifact.folder / name)
        session.tracker.put_below(str(manifest["competition"]), compared.below(artifact))
    session.seconds[stage.name] = session.seconds.get(stage.name, 0.0) + time.monotonic() - own
    return artifact


def _record_result(run: Run, built: Built, seconds: float) -> None:
    """The figures of a result, those that people compare in words and as a picture, and its description."""
    metric = run.info.metric
    figures, words = board.in_words(metric, built.metrics, built.tags)
    run.metrics({**figures, **built.metrics, board.MINUTES: board.minutes(seconds)})
    named = {"mlflow.runName": built.name} if built.name else {}
    run.tag({**words, **built.tags, **built.shown, **named})
    run.describe(built.description)
    if figures and run.id is not None:
        score, low, high = (built.metrics.get(n) for n in (f"oof_{metric}", "ci_low", "ci_high"))
        if score is not None and low is not None and high is not None:
            title = PREVIEW.format(metric=metric)
            drawing = plots.whiskers([plots.Whisker("this run", score, low, high)], title)
            run.text(PICTURE, plots.file_of(drawing))


def _job(
    session: Builder, order: Order, inputs: Mapping[str, Artifact], draft: Path, work: Path, run: Run
) -> Job:
    stage, need = order.stage, order.need
    resolved = session.graph.resolved(need)
    guard = guarded(need.settings, resolved, f"stage {stage.name}")
    return Job(
        settings=need.settings if stage.whole_request else guard,
        params=need.params,
        inputs=inputs,
        draft=draft,
        work=work,
        home=session.home,
        store=session.store,
        run=run,
        key=order.key,
        resolved=resolved,
        words={n: need.settings.located(w) for n, w in session.graph.words(stage, need.settings).items()},
        words_of=lambda command, other: need.settings.located(session.graph.words_of(command, other)),
        accepts=session.graph.accepts,
        request=need.settings.request,
        title=session.title(need),
        on_epoch=session.reports(need),
    )


def _announce(session: Builder, order: Order) -> None:
    """Print the stage's lines before the missing inputs inside the run are built."""
    missing = [need for need in order.inside.values() if session.graph.found(need) is None]
    if missing and order.stage.announce is not None and not session.brief:
        lines = order.stage.announce(order.need.settings, order.inputs, missing, session)
        session.say(joined("\n", lines))


def _record_inputs(session: Builder, order: Order, run: Run) -> None:
    """Record the settings as a file of the run and the data as its dataset; a fold has its parent's."""
    need = order.need
    if run.id is None or (order.parent is not None and "fold" in need.params):
        return
    resolved = session.graph.resolved(need)
    run.text("settings.json", json.dumps(resolved, indent=1, ensure_ascii=False))
    data = order.inputs.get("data")
    if data is not None:
        name = f"{need.settings.config.competition.name} train"
        run.dataset(name, data.key, int(data.metrics["train"]))


def _run(session: Builder, order: Order) -> contextlib.AbstractContextManager[Run]:
    """The run of a tracked stage, a child of its parent, or one that records nothing."""
    stage, need = order.stage, order.need
    if order.parent is not None:
        fold = str(need.params.get("fold", "all"))
        # Curves of folds of several trainings stand in one drawing.
        above = order.parent.info.name.removesuffix(f" · {order.parent.info.stage}")
        name = f"{'all data' if fold == 'all' else f'fold {fold}'} of {above}"
        return order.parent.child(name, tags={"stage": stage.name, "fold": fold, "key": order.key})
    metric = metrics.get(need.settings.config.competition.metric)
    label = session.title(need)
    info = RunInfo(
        stage=stage.name,
        competition=need.settings.config.competition.name,
        name=_run_name(session, order),
        key=order.key,
        experiment=label,
        tags={**{k: str(v) for k, v in need.params.items()}, **_sorted_in(session, order)},
        params=flat(session.graph.resolved(need)),
        git=git_commit(),
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
    )
    tracker = session.tracker
    return tracker.run(info) if stage.tracked else contextlib.nullcontext(Run(tracker, info, None))


def _sorted_in(session: Builder, order: Order) -> dict[str, str]:
    """The tags by which the views of the record choose and group runs."""
    stage = order.stage
    if not stage.compared:
        return {board.BESIDE: "yes"}
    experiment, values = _tried(session, order)
    arm = naming.label(experiment, naming.without(values, SEED), session.graph.resolved(order.need))
    return {board.ARM: f"{arm} · {_word(stage)}"}


def _run_name(session: Builder, order: Order) -> str:
    """What the run is called in the record: what it tried first, as the table cuts long names.

    The stage stands behind those that cannot become a submission, and in front of reports.
    """
    stage = order.stage
    experiment, values = _tried(session, order)
    mine = naming.overrides(values, session.graph.resolved(order.need))
    competition = order.need.settings.config.competition.name
    runs = session.store.chosen(stage.name)
    earlier = [dict(naming.values_of(a)) for a in runs if a.manifest.get("competition") == competition]
    name = naming.run_name(experiment, mine, earlier)
    if not stage.compared:
        return f"{_word(stage)} · {name}"
    return name if stage.name in SUBMITTED else f"{name} · {_word(stage)}"


def _tried(session: Builder, order: Order) -> tuple[str, list[tuple[str, Any]]]:
    """The experiment of a run, or the name of a blend by its members, and the overrides beside it."""
    settings = order.need.settings
    wanted = settings.config.ensemble.members
    members = naming.member_names(order.stage.name, [*order.inputs, *order.inside], wanted)
    if members:
        return naming.blend(members), naming.without(settings.request.values, naming.MEMBERS)
    return session.label(order.need), list(settings.request.values)


def _word(stage: Stage) -> str:
    return stage.name.replace("_", "-")


def said_lines(lines: Sequence[str]) -> dict[str, list[str]]:
    """The lines by language, for those that translate one of them: a result is the same in every language."""
    told = {name: [say(line, name) for line in lines] for name in languages()}
    return {name: said for name, said in told.items() if said != told[ENGLISH]}


def _manifest(
    session: Builder, order: Order, inputs: Mapping[str, Artifact], built: Built, seconds: float
) -> dict[str, Any]:
    stage, need, graph = order.stage, order.need, session.graph
    return {
        **({STUDY: session.study} if session.study else {}),
        "version": stage.version,
        "experiment": session.label(need),
        "competition": need.settings.config.competition.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "config": {
            **config_slice(need.settings.config, stage.sections(need.settings), keyed=True),
            **need.params,
        },
        "settings": hidden_in(graph.resolved(need)),
        "identity": graph.identity(need),
        "request": request.of(need.settings, graph.chain([need])) if stage.tracked else None,
        "inputs": {name: a.address for name, a in inputs.items()},
        "metrics": built.metrics,
        "tags": built.tags,
        "lines": [str(line) for line in built.lines],
        "said": said_lines(built.lines),
        "git": git_commit(),
        "versions": {name: version(name) for name in VERSIONS_OF},
        "hardware": machine(),
        "profile": profile(need.settings.config.runtime),
    }
