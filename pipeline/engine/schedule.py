"""The order of work: what may start, what is given up after a fault, and when nothing is left.

Owns the order of named pieces of work that wait for each other, as plain data. Does not own what they are nor
where they run (`engine/executors/`): there is no process and no clock here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

WAITING, RUNNING, DONE, FAILED, GIVEN_UP = "waiting", "running", "done", "failed", "given up"


class Schedule:
    """Pieces of work, each of which waits for others.

    Args:
        after: piece -> the pieces that must be done before it starts. Of several that may start, the earlier
            one in this mapping comes first.

    Raises:
        AssertionError: a piece waits for itself, or for one that is not in the mapping.
    """

    def __init__(self, after: Mapping[str, Collection[str]]) -> None:
        self._states = dict[str, str]()
        self._left = dict[str, set[str]]()
        self._next = dict[str, list[str]]()
        self.faults: dict[str, BaseException] = {}
        self.add(after)

    def add(self, after: Mapping[str, Collection[str]]) -> None:
        """Further pieces, which may wait for earlier ones; one that has ended starts anew.

        Raises:
            AssertionError: see the class; or one of them has not ended yet.
        """
        begun = [piece for piece in after if self._states.get(piece) in (WAITING, RUNNING)]
        assert not begun, f"these have not ended: {', '.join(sorted(begun))}"
        unknown = (
            {below for wanted in after.values() for below in wanted} - after.keys() - self._states.keys()
        )
        assert not unknown, f"nothing is known about {', '.join(sorted(unknown))}"
        for piece in after:
            self._states[piece], self._next[piece] = WAITING, []
            self.faults.pop(piece, None)
        for piece, wanted in after.items():
            self._left[piece] = {below for below in wanted if self._states[below] != DONE}
            for below in self._left[piece]:
                self._next[below].append(piece)
        self._refuse_circles()

    def drop(self, pieces: Collection[str]) -> None:
        """Forget pieces that have ended and for which nothing waits."""
        for piece in pieces:
            assert self._states[piece] not in (WAITING, RUNNING), f"{piece} has not ended"
            del self._states[piece], self._left[piece], self._next[piece]
            self.faults.pop(piece, None)

    def _refuse_circles(self) -> None:
        left = {p: len(self._left[p]) for p, state in self._states.items() if state in (WAITING, RUNNING)}
        free = [piece for piece, n in left.items() if n == 0]
        for piece in free:  # grows while it is read
            for above in self._next[piece]:
                left[above] -= 1
                if left[above] == 0:
                    free.append(above)
        circle = sorted(left.keys() - set(free))
        assert not circle, f"these wait for each other: {', '.join(circle)}"

    def ready(self) -> list[str]:
        """The pieces that may start now, in the order of the mapping."""
        return [p for p, state in self._states.items() if state == WAITING and not self._left[p]]

    def start(self, piece: str) -> None:
        """A ready piece has started."""
        assert self._states[piece] == WAITING and not self._left[piece], f"{piece} is not ready"
        self._states[piece] = RUNNING

    def again(self, piece: str) -> None:
        """A piece that has started waits again: it could not run yet."""
        assert self._states[piece] == RUNNING, f"{piece} has not started"
        self._states[piece] = WAITING

    def done(self, piece: str) -> None:
        """A piece that has started is done: what waited for it alone becomes ready."""
        assert self._states[piece] == RUNNING, f"{piece} has not started"
        self._states[piece] = DONE
        for above in self._next[piece]:
            self._left[above].discard(piece)

    def failed(self, piece: str, error: BaseException) -> list[str]:
        """A piece that has started failed; returns what is given up with it, everything else goes on."""
        assert self._states[piece] == RUNNING, f"{piece} has not started"
        self._states[piece] = FAILED
        self.faults[piece] = error
        lost, left = list[str](), list(self._next[piece])
        while left:
            above = left.pop()
            if self._states[above] == WAITING:
                self._states[above] = GIVEN_UP
                lost.append(above)
                left += self._next[above]
        return lost

    def knows(self, piece: str) -> bool:
        """Whether a piece is in the schedule."""
        return piece in self._states

    def state(self, piece: str) -> str:
        """`waiting`, `running`, `done`, `failed` or `given up`."""
        return self._states[piece]

    def count(self, *states: str) -> int:
        """How many pieces are in one of these states."""
        return sum(state in states for state in self._states.values())

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing can start any more."""
        return not self.count(WAITING, RUNNING)
