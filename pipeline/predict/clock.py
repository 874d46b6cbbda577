"""Which part of an ensemble still fits into the time that is left.

Owns the choice: first views are dropped, the one with the least vote for its time first, then members in the
same order; one member with one view stays. Does not own measuring (`predict/predictor.py`) nor predicting.

The time of a view is measured on the images that are done, or, before that, its share of the time that was
measured where the ensemble was made. Decoding takes the same time for any part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.predict import folder, texts
from pipeline.predict.predictor import Part, Predicted

Views = dict[str, tuple[str, ...]]
# Share of the time that is left which is not planned: writing, and images that are larger than those before.
MARGIN = 0.1


@dataclass
class Clock:
    """The time of a run, and what is left of it.

    Args:
        manifest: of the predictor.
        limit: seconds from the start of the clock until everything must be written.
        margin: share of the remaining time that is kept back, 0 to 1.
    """

    manifest: folder.Manifest
    limit: float
    margin: float = MARGIN
    _seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    _images: dict[tuple[str, str], int] = field(default_factory=dict)
    _other: float = 0.0
    _done: int = 0

    def add(self, part: Predicted, seconds: float) -> None:
        """Learn from a chunk that took so many seconds in all."""
        n = len(part.pictures)
        for view, own in part.seconds.items():
            self._seconds[view] = self._seconds.get(view, 0.0) + own
            self._images[view] = self._images.get(view, 0) + n
        self._other += max(seconds - sum(part.seconds.values()), 0.0)
        self._done += n

    def per_image(self, views: Mapping[str, Sequence[str]]) -> float:
        """Seconds that an image takes with this part of the ensemble, decoding included."""
        other = self._other / self._done if self._done else 0.0
        return other + sum(self.seconds_of(name, view) for name, own in views.items() for view in own)

    def seconds_of(self, member: str, view: str) -> float:
        """Seconds that an image takes for one view of one member."""
        at = (member, view)
        if self._images.get(at):
            return self._seconds[at] / self._images[at]
        known = next(m for m in self.manifest.members if m.name == member)
        return known.ms_per_image / 1000 / len(known.views)

    @property
    def least(self) -> float:
        """Seconds that an image takes with one view of the fastest member."""
        voting = [m for m in self.manifest.members if m.votes]
        if not voting:  # trees alone, which need every member that they read
            return self.per_image({m.name: m.views[:1] for m in self.manifest.members})
        return min(self.per_image({m.name: (view,)}) for m in voting for view in m.views)

    def choose(self, now: Part, images: int, elapsed: float) -> tuple[Part, list[str]]:
        """The largest part of `now` with which the remaining images fit, and what was dropped, in words.

        Where even one view of one member does not fit, that is what remains.
        """
        left = max(self.limit - elapsed, 0.0) * (1 - self.margin)
        views: Views = {name: tuple(own) for name, own in now.views.items()}
        dropped = []
        while images * self.per_image(views) > left:
            cut = self._least_view(views) or self._least_member(views)
            if cut is None:
                break
            name, view = cut
            views[name] = tuple(v for v in views[name] if v != view)
            if views[name]:
                dropped.append(texts.DROPPED_VIEW.format(view=view, member=name))
            else:
                del views[name]
                dropped.append(texts.DROPPED_MEMBER.format(member=name))
        return Part(views), dropped

    def fits(self, part: Part, images: int, elapsed: float) -> bool:
        """Whether so many images fit into the time that is left, without the margin."""
        return images * self.per_image(part.views) <= self.limit - elapsed

    def _least_view(self, views: Views) -> tuple[str, str] | None:
        """The view with the least vote for its time, of members that have another one."""
        found = [(name, view) for name, own in views.items() if len(own) > 1 for view in own]
        return min(found, key=lambda at: self._vote(*at) / self._cost(at[0])) if found else None

    def _least_member(self, views: Views) -> tuple[str, str] | None:
        """The last view of the member with the least vote for its time."""
        voting = {m.name for m in self.manifest.members if m.votes}
        # Trees do not vote without all members that they read, so another one has to stay.
        found = [(name, own[0]) for name, own in views.items() if voting & (views.keys() - {name})]
        weight = {name: self.manifest.weight_of(name) for name in views}
        return min(found, key=lambda at: weight[at[0]] / self._cost(at[0])) if found else None

    def _cost(self, member: str) -> float:
        """Seconds of one view: the same network runs for each, and the first one also warms up."""
        known = next(m for m in self.manifest.members if m.name == member)
        return max(sum(self.seconds_of(member, view) for view in known.views) / len(known.views), 1e-9)

    def _vote(self, member: str, view: str) -> float:
        known = next(m for m in self.manifest.members if m.name == member)
        at = known.views.index(view)
        # Of equal views the first one stays: it is usually the image as it is.
        return self.manifest.weight_of(member) * known.view_weights[at] * (1 - 1e-6 * at)
