"""What a budget of time is spent on once the recipes are through.

Owns the order of the further recipes: views of networks that had no time for all of theirs; what the error
reports advise; other seeds of finished members, which also fill minutes that are too short for anything else.
Does not own the advice (`plan/improving.py`) nor which of them fit (`plan/planning.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.engine.need import Need
from pipeline.errors import case
from pipeline.nets.stages import is_probe
from pipeline.plan import recipes, texts
from pipeline.plan.improving import Move, headroom, read_report, unread
from pipeline.plan.recipes import Recipe
from pipeline.plan.running import Runner
from pipeline.record.store import Artifact

# How many other seeds of a finished member are tried, and the setting.
SEEDS, SEED = 3, "train.seed"
# Seconds that reading a report is expected to take at least.
LEAST_REPORT = 10.0


def after_portfolio(runner: Runner) -> list[Recipe]:
    """The next further recipes, each once; empty: there are none."""
    found, member = more_views(runner), None
    while not found and _may_report(runner, member):
        reading = read_report(runner, member)
        found = _fresh(runner, [] if reading is None else map(_advised, reading.moves))
        member = unread(runner)
        if member is None:
            break
    return found or _fresh(runner, _seeds(runner))


def more_views(runner: Runner) -> list[Recipe]:
    """The trained networks that had no time for all views of their recipes, with all of them; each once."""
    return _fresh(runner, _with_all_views(runner))


def _advised(move: Move) -> Recipe:
    about_epochs = any(word.startswith("train.epochs=") for word in move.words)
    return Recipe(move.name, move.settings, is_about_epochs=about_epochs)


def _fresh(runner: Runner, listed: Iterable[Recipe]) -> list[Recipe]:
    """Those that are not known yet, and that no earlier command finished with all of their views."""
    names = {recipe.name for recipe in runner.recipes}
    graph = runner.session.graph
    finished = {artifact.key for artifact in graph.finished("infer")}
    found = []
    for recipe in listed:
        epochs = recipes.begun(runner.session, recipe)
        settings = recipe.settings if epochs is None else recipe.at(epochs=epochs)
        if recipe.name not in names and graph.key(Need("infer", settings)) not in finished:
            found.append(recipe)
    return found


def _with_all_views(runner: Runner) -> Iterator[Recipe]:
    for recipe in runner.recipes:
        if recipe.kind == "probe" or recipe.faults or recipe.of:
            continue
        asked = recipe.settings.config.infer.views
        for size in recipe.sizes:
            own = size == recipe.settings.config.images.size
            label = recipe.name if own else texts.AT_SIZE.format(name=recipe.name, size=size)
            made = runner.done.get(label)
            views = [] if made is None else list(made.setting("infer.views") or ())
            if made is not None and views == asked[: len(views)] != asked:
                settings = recipe.at(size=size, epochs=int(made.setting("train.epochs")))
                name = texts.MORE_VIEWS.format(name=label)
                yield Recipe(name, settings, of=label, views_there=len(views), is_about_epochs=True)


def _may_report(runner: Runner, member: Artifact | None) -> bool:
    """Whether there is time for the report on a member, or the best result, and for that at the end."""
    assert runner.best is not None, "the portfolio is through, so there is a result"
    is_there = runner.reported is not None and runner.reported[0] == runner.best.artifact.key
    return (member is None and is_there) or runner.left > 2 * max(runner.reserve.report, LEAST_REPORT)


def _seeds(runner: Runner) -> Iterator[Recipe]:
    """The finished networks with another seed, then the heads that depend on one; the best first."""
    made = []
    for name, artifact in runner.done.items():
        settings = None if artifact is None else case.again(artifact, runner.settings)
        if artifact is None or settings is None or settings.config.train.solved or f"{SEED}=" in name:
            continue
        made.append((is_probe(settings), headroom(artifact, runner.metric), name, settings))
    made.sort(key=lambda one: one[:2])
    for number in range(1, SEEDS + 1):
        for _, _, name, settings in made:
            yield Recipe(f"{name} {SEED}={number}", settings.with_values({SEED: number}))
