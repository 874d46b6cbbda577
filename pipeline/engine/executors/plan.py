"""What is missing of some needs, and what each piece of the work waits for.

Owns the nodes of the schedule. Does not own the order (`engine/schedule.py`) nor the work
(`engine/executors/building.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pipeline.engine.executors.here import Site
from pipeline.engine.need import Need

OPEN = "open "


@dataclass
class Node:
    """A missing need in the schedule: what is built inside it, and in which other one it is built."""

    need: Need
    heavy: bool
    inside: list[str] = field(default_factory=list)
    parent: str | None = None


def missing(site: Site, needs: Sequence[Need]) -> dict[str, Node]:
    """Name -> node of every missing need in the chains of these needs, inputs first.

    Raises:
        UserError: of a stage that refuses, before anything is built.
    """
    graph, found = site.graph, dict[str, Node]()
    there: set[str] = set()

    def visit(need: Need) -> str | None:
        name = f"{need.stage}/{graph.key(need)}"
        if name in there or graph.found(need) is not None:
            there.add(name)
            return None
        if name in found:
            return name
        site.refuse_one(need)
        stage = graph.stage(need)
        inputs = graph.inputs(need)
        for below in (n for n in inputs.values() if n.stage != stage.inside):
            visit(below)
        inside = [visit(below) for below in inputs.values() if below.stage == stage.inside]
        found[name] = Node(need, stage.is_heavy(need.settings), [one for one in inside if one is not None])
        return name

    for need in needs:
        visit(need)
    return found


def after(site: Site, nodes: dict[str, Node], begun: Collection[str] = ()) -> dict[str, set[str]]:
    """Piece of work -> those that it waits for; `open NAME` claims a need and opens its run for its folds.

    Args:
        site: of the needs.
        nodes: what is missing.
        begun: nodes that are in the schedule already, e.g. of another trial; they wait for nothing new.
    """
    graph, waits = site.graph, dict[str, set[str]]()
    for name, node in nodes.items():
        if name in begun:
            continue
        stage = graph.stage(node.need)
        inputs = graph.inputs(node.need).values()
        below = {f"{n.stage}/{graph.key(n)}" for n in inputs if n.stage != stage.inside} & nodes.keys()
        if node.inside:
            waits[OPEN + name] = below
            below = {OPEN + name, *node.inside}
        waits[name] = below
    for name, node in nodes.items():
        if name in begun:
            continue
        for child in node.inside:
            # The first parent has it as its child, unless the parent itself waits for it.
            is_free = child not in begun and nodes[child].parent is None
            if is_free and child not in _reached(waits, OPEN + name):
                nodes[child].parent = name
                waits[child].add(OPEN + name)
    return waits


def _reached(waits: dict[str, set[str]], piece: str) -> set[str]:
    seen: set[str] = set()
    left = [piece]
    while left:
        for below in waits.get(left.pop(), set()) - seen:  # what has begun waits for nothing new
            seen.add(below)
            left.append(below)
    return seen
