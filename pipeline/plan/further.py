"""What a budget of time is spent on once the recipes are through.

Owns the order of the further recipes: all views of networks that had time for fewer; what the error reports
advise; other seeds of finished members, which also fill minutes that are too short for anything else. Does
not own the advice (`plan/improving.py`) nor which of them fit (`plan/planning.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import case
from pipeline.nets.stages import is_probe
from pipeline.plan import texts
from pipeline.plan.improving import headroom, read_report, unread
from pipeline.plan.recipes import Recipe
from pipeline.plan.running import Runner
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings

# How many other seeds of a finished member are tried, and the setting.
SEEDS, SEED = 3, "train.seed"
# Seconds that reading a report is expected to take at least.
LEAST_REPORT = 10.0


def after_portfolio(runner: Runner) -> list[Recipe]:
    """The next further recipes, each once; empty: there are none."""
    names = {recipe.name for recipe in runner.recipes}
    fuller = [recipe for recipe in _all_views(runner) if recipe.name not in names]
    if fuller:
        return fuller
    member = None
    while _may_report(runner, member):
        found = read_report(runner, member)
        fresh = [m for m in found.moves if m.name not in names] if found is not None else []
        if fresh:
            return [Recipe(m.name, m.settings, texts.OF_ADVICE.format(do=" ".join(m.words))) for m in fresh]
        member = unread(runner)
        if member is None:
            break
    return [recipe for recipe in _seeds(runner) if recipe.name not in names]


def _all_views(runner: Runner) -> Iterator[Recipe]:
    """The trained networks whose time was too short for all views of their recipes, with all of them."""
    for recipe in runner.recipes:
        settings = _of(runner, runner.done.get(recipe.name))
        if settings is None or is_probe(settings):
            continue
        views, asked = settings.config.infer.views, recipe.settings.config.infer.views
        if len(views) < len(asked):
            name = texts.WITH_VIEWS.format(name=recipe.name, n=len(asked))
            whole = settings.with_values({"infer.views": asked})
            yield Recipe(name, whole, texts.OF_VIEWS, least_views=len(views) + 1)


def _may_report(runner: Runner, member: Artifact | None) -> bool:
    """Whether there is time for the report on a member, or the best result, and for that at the end."""
    assert runner.best is not None, "the portfolio is through, so there is a result"
    is_there = runner.reported is not None and runner.reported[0] == runner.best.artifact.key
    return (member is None and is_there) or runner.left > 2 * max(runner.reserve.report, LEAST_REPORT)


def _seeds(runner: Runner) -> Iterator[Recipe]:
    """The finished networks with another seed, then the heads that depend on one; the best first."""
    done = {name: a for name, a in runner.done.items() if a is not None and f"{SEED}=" not in name}
    made = [(name, a, settings) for name, a in done.items() if (settings := _of(runner, a)) is not None]
    made = [one for one in made if not one[2].config.train.solved]
    made.sort(key=lambda one: (is_probe(one[2]), headroom(one[1], runner.metric)))
    for number in range(1, SEEDS + 1):
        for name, _, settings in made:
            other = settings.with_values({SEED: number})
            yield Recipe(f"{name} {SEED}={number}", other, texts.OF_SEED)


def _of(runner: Runner, made: Artifact | None) -> Settings | None:
    """The settings that asked for a member; None: there is none, or they cannot be read again."""
    return None if made is None else case.again(made, runner.settings)
