"""What each row of an epoch draws for augmentation on the device: a table of parameters, made on the CPU.

Owns the tree of a policy in terms of device passes, the layout of the table's columns, and drawing it for
all rows at once. Does not own reading a policy (`data/device_policy.py`), what the passes do with pixels
(`data/device_passes.py`), or when a table is drawn and copied (`data/device_augment.py`).

A row's parameters are a function of its own seed: every node of the tree takes its numbers in the same order
and in the same number, whether it acts on the row or not. So batches, processes, order and kills change
nothing.

Legend: R rows, P columns of the table, C children.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.core.seeds import RowDraws, Units

Size: TypeAlias = tuple[int, int]
Table: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = npt.NDArray[np.bool_]
# A border of the image, by the words of a policy; `exact`: the change maps the image onto itself, so that
# there is no border; `window`: the border of a crop, continued by its outermost pixels.
Border: TypeAlias = Literal["exact", "window", "reflect", "reflect_edge", "replicate", "constant"]
_MATRIX = 6
# What the pass `histogram` does with a row; 0: nothing.
EQUALIZED, EQUALIZED_BELOW_WHITE, STRETCHED = 1.0, 2.0, 3.0


@dataclass(frozen=True)
class Act:
    """What one pass does on the device; transforms that are alternatives share an equal one.

    Args:
        name: of the pass in `PASSES` of `data/device_passes.py`.
        idle: the columns of a row that it leaves as it is.
        border: of a change of geometry (`name` is "warp").
        fill: value of new pixels, from 0 to 1, of a constant border or of holes; one for each channel.
        taps: pixels on each side that a filter reads.
        shared: noise that is the same in all channels.
        out: height and width of the result, px, where it is smaller than the image.
    """

    name: str
    idle: tuple[float, ...]
    border: Border = "exact"
    fill: tuple[float, ...] = ()
    taps: int = 0
    shared: bool = False
    out: Size | None = None


@dataclass(frozen=True)
class Leaf:
    """One transform: how often it acts, what it does, and its columns (R, len(act.idle)) for acting rows."""

    p: float
    act: Act
    draw: Callable[[RowDraws], Units]


@dataclass(frozen=True)
class Group:
    """A container: `all` of its children in order, `one` of them, or `some`, `n` different ones in order.

    Args:
        weights: of the children of `one`; they sum to 1.
    """

    kind: Literal["all", "one", "some"]
    p: float
    children: tuple[Leaf | Group, ...]
    weights: tuple[float, ...] = ()
    n: int = 0


Node: TypeAlias = Leaf | Group


@dataclass(frozen=True)
class Column:
    """One pass and its columns of the table, from `start`; a warp has a place for each of its stages."""

    act: Act
    start: int

    @property
    def end(self) -> int:
        """The column after its last one."""
        return self.start + len(self.act.idle)


class Layout:
    """The columns of some policies, and their draws.

    Args:
        trees: of the policies; a row follows one of them.
    """

    def __init__(self, trees: Sequence[Group]) -> None:
        self._trees = tuple(trees)
        self._steps: list[Act] = []
        # The step of each leaf, in the order in which the trees are walked.
        self._step_of: list[int] = []
        for tree in self._trees:
            self._place(tree, None)
        self._stages = _stages(self._steps)
        columns, start = [], 0
        for stage in self._stages:
            act = _joint(self._steps, stage)
            columns.append(Column(act, start))
            start = columns[-1].end
        self.columns = tuple(columns)
        self.width = start

    def _place(self, node: Node, alternatives: dict[Act, int] | None) -> None:
        """Give each leaf its step: a new one, or that of an equal alternative, of which one acts at most."""
        if isinstance(node, Group):
            among: dict[Act, int] | None = {} if node.kind == "one" else None
            for child in node.children:
                self._place(child, among if isinstance(child, Leaf) else None)
            return
        if alternatives is None or node.act not in alternatives:
            self._steps.append(node.act)
            if alternatives is not None:
                alternatives[node.act] = len(self._steps) - 1
            self._step_of.append(len(self._steps) - 1)
        else:
            self._step_of.append(alternatives[node.act])

    def draw(self, seed_R: npt.NDArray[np.uint64], policy_R: npt.NDArray[np.int64]) -> Table:
        """(R, P) the parameters of these rows.

        Args:
            seed_R: the seed of each row.
            policy_R: the index of its policy among the trees.
        """
        n_rows = len(seed_R)
        drawn = [np.tile(np.array(act.idle), (n_rows, 1)) for act in self._steps]
        leaves = iter(self._step_of)
        for number, tree in enumerate(self._trees):
            # Each policy counts its numbers from the row's seed, so that a second one changes nothing.
            _draw(tree, RowDraws(seed_R), policy_R == number, True, drawn, leaves)
        table_RP = np.empty((n_rows, self.width), np.float32)
        for column, stage in zip(self.columns, self._stages, strict=True):
            table_RP[:, column.start : column.end] = _composed([drawn[step] for step in stage], column.act)
        return table_RP


def _draw(
    node: Node, draws: RowDraws, acts_R: Rows, forced: bool, drawn: list[Units], leaves: Iterator[int]
) -> None:
    """Write the columns of rows on which this node acts; `forced`: whatever its probability is."""
    happens_R = draws.happens(node.p)
    acts_R = acts_R & (happens_R | forced)
    if isinstance(node, Leaf):
        step = next(leaves)
        drawn[step] = np.where(acts_R[:, None], node.draw(draws), drawn[step])
        return
    for child, chosen_R in zip(node.children, _chosen(node, draws), strict=True):
        _draw(child, draws, acts_R & chosen_R, _forces(node, child), drawn, leaves)


def _forces(node: Group, child: Node) -> bool:
    """Whether a chosen child acts whatever its own probability is, as in albumentations."""
    return node.kind == "one" and not (isinstance(child, Group) and child.kind == "some")


def _chosen(node: Group, draws: RowDraws) -> list[Rows]:
    """For each child the rows that chose it."""
    count = len(node.children)
    if node.kind == "one":
        at_R = np.searchsorted(np.cumsum(node.weights)[:-1], draws.unit(), side="right")
        return [at_R == number for number in range(count)]
    if node.kind == "some":
        order_RC = np.stack([draws.unit() for _ in range(count)], axis=1)
        rank_RC = order_RC.argsort(axis=1).argsort(axis=1)
        return [rank_RC[:, number] < node.n for number in range(count)]
    return [np.ones(len(draws), np.bool_)] * count


def _stages(steps: Sequence[Act]) -> list[list[int]]:
    """Steps that share columns: a change that maps the image onto itself joins its neighbour's matrix.

    It may join the change before it, and the one after it unless that one is a crop, whose window it would
    move. Reflecting, repeating or filling outside of the whole image commutes with it.
    """
    stages: list[list[int]] = []
    for number, act in enumerate(steps):
        before = [steps[step] for step in stages[-1]] if stages else []
        mapped = act.name == "warp" and bool(before) and before[0].name == "warp"
        only_exact = mapped and all(one.border == "exact" for one in before)
        if mapped and (act.border == "exact" or (only_exact and act.border != "window")):
            stages[-1].append(number)
        else:
            stages.append([number])
    return stages


def _joint(steps: Sequence[Act], stage: Sequence[int]) -> Act:
    """The pass of a stage: that of its member with a border, if it has one."""
    acts = [steps[number] for number in stage]
    return next((act for act in acts if act.border != "exact"), acts[0])


def _composed(drawn: Sequence[Units], act: Act) -> Units:
    """The columns of a stage from those of its steps; matrices lead from new coordinates to old ones."""
    if len(drawn) == 1:
        return drawn[0]
    matrix_R33 = _square(drawn[0])
    for columns in drawn[1:]:
        matrix_R33 = matrix_R33 @ _square(columns)
    rest = next((d[:, _MATRIX:] for d in drawn if d.shape[1] == len(act.idle)), drawn[0][:, _MATRIX:])
    return np.concatenate([matrix_R33[:, :2].reshape(-1, _MATRIX), rest], axis=1)


def _square(columns_RP: Units) -> Units:
    matrix_R33 = np.tile(np.eye(3), (len(columns_RP), 1, 1))
    matrix_R33[:, :2] = columns_RP[:, :_MATRIX].reshape(-1, 2, 3)
    return matrix_R33
