"""The predictor: everything that a submission is made of, as one object that predicts any images.

    predictor = Predictor.load("predictors/pets-ensemble-3fa29b")
    answers = predictor.predict("new/photos")
    answers.p.p_NC, answers.p.classes, answers.unreadable
    predictor.predict(["a.jpg", "b.jpg"], metadata={"age": [41, None], "site": ["arm", "leg"]})

Owns the order: chunks of images, the members, their vote, the decision steps; and predicting with a part of
the ensemble. Does not own the folder (`predict/folder.py`) nor any step (`pictures.py`, `members.py`,
`blending.py`). It needs no store, no settings files and no MLflow, and imports neither pandas nor Optuna.

Each image is predicted in a batch that is filled up to a fixed size, so that its neighbours and the order of
a folder change no bit. Memory does not grow with the number of images, but for the answers themselves.

Legend: N images, C columns, M members, V views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import LabelSpace, strings
from pipeline.core.targets import Target
from pipeline.core.wording import worded
from pipeline.data.decode import Pixels
from pipeline.ensemble.trees import Trees
from pipeline.predict import beside, blending, folder, members, pictures, steps, texts
from pipeline.predict.members import Chunk, Machine, Models
from pipeline.predict.pictures import Eye, Picture, Source, Unreadable
from pipeline.record.files import space_of_text

# Bytes of prepared images of one chunk, and the most images in it.
CHUNK_BYTES, MOST_IMAGES = 256e6, 4096
# Weights that are kept in memory.
KEEP_GB = 4.0
Images = str | Path | Sequence[Source]
Progress = Callable[[int, int], None]
# Column → a value for each image.
Metadata = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Part:
    """The part of the ensemble that predicts.

    Args:
        views: member → its views, in their order; members that are missing are left out.
    """

    views: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Predicted:
    """Answers for some images.

    Args:
        pictures: the images, in their order.
        p_M: of each member where the vote depends on all images, else the vote of all members alone.
        unreadable: images that do not decode, which were predicted as white images.
        seconds: (member, view) → seconds that it took.
        without_box: images that had no box in a file of boxes.
    """

    pictures: tuple[Picture, ...]
    p_M: tuple[Probabilities, ...]
    unreadable: tuple[Unreadable, ...]
    seconds: dict[tuple[str, str], float]
    without_box: int = 0


@dataclass(frozen=True)
class Answers:
    """The prediction of all images.

    Args:
        p: probabilities or values; the images that do not decode are left out unless they were asked for.
        unreadable: those images.
        notes: what a step took into account, in words.
    """

    p: Probabilities
    unreadable: tuple[Unreadable, ...]
    notes: tuple[str, ...]


class Predictor:
    """Predicts images with everything that a submission is made of.

    Args:
        home: the folder of the predictor, already checked.
        manifest: its manifest.
        machine: where models run.
    """

    def __init__(self, home: Path, manifest: folder.Manifest, machine: Machine) -> None:
        self.home, self.manifest, self.machine = home, manifest, machine
        self.space: LabelSpace = space_of_text(manifest.space)
        self.whole = Part({m.name: tuple(m.views) for m in manifest.members})
        places = {member.look: member.images for member in manifest.members}
        self.eyes = [Eye.of(home, look, places.get(n, 1)) for n, look in enumerate(manifest.looks)]
        self.models = Models(home, manifest, machine)
        self._fitted = blending.fitted_of(home, manifest)
        self.trees = trees_of(home, manifest)

    @staticmethod
    def load(
        where: str | Path,
        device: str = "auto",
        threads: int | None = None,
        batch: int | None = None,
        keep_gb: float = KEEP_GB,
        check: bool = True,
    ) -> Predictor:
        """The predictor of a folder.

        Args:
            where: a folder that `make predict` or `make bundle` wrote.
            device: auto, cpu or cuda; auto is a GPU where there is one.
            threads: of torch on a CPU; None: as they are. Equal bits need an equal number.
            batch: images that pass a network together; None: as where the submission was made. A service
                that answers one image at a time is faster with 1; the bits then differ by rounding.
            keep_gb: weights that are kept in memory; larger ensembles read each model for each chunk.
            check: compare the digest of every file first.

        Raises:
            DataError: it is no such folder, or it is damaged; all faults are named.
            ConfigError: a function of the user's own cannot be loaded.
            DataError: LightGBM is not installed, and boosted trees are a member.
        """
        home = Path(where).resolve()
        manifest = folder.read(home, check)
        if threads is not None:
            torch.set_num_threads(threads)
        machine = Machine(members.device_of(device), batch or manifest.batch, keep_gb * 1e9)
        return Predictor(home, manifest, machine)

    @property
    def classes(self) -> tuple[str, ...]:
        """(C,) names of the columns of predictions."""
        return self.space.classes

    @property
    def target(self) -> Target:
        """What the columns mean."""
        return Target.of(self.space)

    def size_of(self, member: folder.Member) -> tuple[int, int]:
        """Height and width of what a member's networks see, px."""
        eye = self.eyes[member.look]
        return eye.hw or eye.look.size

    def of_pixels(self, x_LNHWC: Sequence[Pixels]) -> Probabilities:
        """The predictions of images that are prepared already, for each look; without groups.

        Where no member reads metadata: the graph of an export does not, either.
        """
        ids = [f"{n:06d}" for n in range(len(x_LNHWC[0]))]
        votes = []
        for member in self.manifest.members:
            chunk = Chunk.of(x_LNHWC[member.look], member.channels, self.size_of(member))
            vote = members.predict(self.models, member, chunk, member.views)
            votes.append(replace(vote.p, ids_N=strings(ids)))
        given = tuple(Picture(name, "") for name in ids)
        p_M = tuple(votes) if self._is_ranked else (self._vote(votes),)
        return self.finished([Predicted(given, p_M, (), {})]).p

    @property
    def chunk(self) -> int:
        """Images that are decoded and predicted together; a multiple of the batch."""
        bytes_each = sum(
            eye.look.size[0] * eye.look.size[1] * eye.channels * (eye.places or 4) for eye in self.eyes
        )
        batches = max(int(min(CHUNK_BYTES / bytes_each, MOST_IMAGES) / self.machine.batch), 1)
        return batches * self.machine.batch

    def pictures(
        self,
        images: Images,
        ids: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        root: str | Path | None = None,
        metadata: Metadata | None = None,
    ) -> list[Picture]:
        """The images of a folder, of a CSV, or of a list of paths, bytes and arrays; see `pictures.py`.

        `root`: where the files of a CSV lie; None: beside it. `metadata`: see `predict`; a CSV has its own.

        Raises:
            DataError: there is no such place, it names no images, or metadata that members read is missing.
        """
        wanted = self.manifest.metadata
        if not isinstance(images, str | Path):
            found = pictures.listed(images, ids, groups)
            return self._with_metadata(found, metadata)
        where, source, reading = Path(images), self.manifest.source, self.eyes[0].how.sources.how
        if where.is_dir():
            if wanted:
                raise self._without_metadata(str(where))
            return pictures.below(where, source, reading)
        return pictures.of_table(where, None if root is None else Path(root), source, reading, wanted)

    def _with_metadata(self, found: list[Picture], metadata: Metadata | None) -> list[Picture]:
        wanted = self.manifest.metadata
        if wanted and metadata is None:
            raise self._without_metadata("images")
        cells = beside.given(metadata or {}, wanted, len(found))
        return [replace(one, metadata=own) for one, own in zip(found, cells, strict=True)]

    def _without_metadata(self, where: str) -> DataError:
        columns = ", ".join(one.name for one in self.manifest.metadata)
        return DataError(
            texts.METADATA_NEEDED.format(where=where, columns=columns), remedy=texts.METADATA_NEEDED_REMEDY
        )

    def named(self, ids: Sequence[str], root: str | Path) -> list[Picture]:
        """The images whose files below `root` are named by their ids, in the order of the ids.

        Raises:
            DataError: an id occurs twice, files of a sample cannot be found by its id, or members read
                metadata, which ids do not bring.
        """
        if self.manifest.metadata:
            raise self._without_metadata(texts.METADATA_OF_IDS)
        reading = self.eyes[0].how.sources.how
        return pictures.of_ids(ids, Path(root), self.manifest.source, reading)

    def predict(
        self,
        images: Images | Sequence[Picture],
        ids: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
        white: bool = False,
        metadata: Metadata | None = None,
    ) -> Answers:
        """The answers for any images.

        Args:
            images: a folder, a CSV, or a sequence of paths, bytes of image files and arrays of pixels.
            ids: of a sequence; by default the paths, or the places in it.
            groups: of a sequence: images of one group are averaged where the submission did so.
            progress: called with the number of images that are done, and of all.
            white: whether images that do not decode are answered as a white image is, instead of left out.
            metadata: of a sequence: column → a value for each image, None where it is missing, e.g. a dict of
                lists or a data frame. Columns that no member reads are ignored.

        Raises:
            DataError: there are no images, an id occurs twice, a sample has more images than those of the
                competition, or metadata that members read is missing.
            StorageError: the memory ended while a large image was decoded.
        """
        given: list[Picture] = []
        if not isinstance(images, str | Path) and all(isinstance(one, Picture) for one in images):
            given = [one for one in images if isinstance(one, Picture)]
        else:
            given = self.pictures(images, ids, groups, metadata=metadata)  # type: ignore[arg-type]
        pictures.refuse_many(given, [eye.places for eye in self.eyes])
        done, parts = 0, []
        for part in self.parts(given):
            parts.append(part)
            done += len(part.pictures)
            if progress is not None:
                progress(done, len(given))
        return self.finished(parts, white=white)

    def parts(self, given: Sequence[Picture], part: Part | None = None) -> Iterator[Predicted]:
        """The predictions of the members, a chunk of images at a time."""
        for start in range(0, len(given), self.chunk):
            yield self.one_part(given[start : start + self.chunk], part)

    def one_part(self, given: Sequence[Picture], part: Part | None = None) -> Predicted:
        """The predictions of the members for one chunk; `part` is the part of the ensemble that predicts."""
        views = (part or self.whole).views
        seen = pictures.see(given, self.eyes)
        cells = [one.metadata for one in given]
        beside_NE = beside.encoded(self.manifest.metadata, cells) if self.manifest.metadata else None
        found: dict[str, Probabilities] = {}
        seconds: dict[tuple[str, str], float] = {}
        for member in self.manifest.members:
            if member.name not in views:
                continue
            x_NHWC = seen.x_LNHWC[member.look]
            chunk = Chunk.of(x_NHWC, member.channels, self.size_of(member), beside_NE)
            vote = members.predict(self.models, member, chunk, views[member.name])
            found[member.name] = replace(vote.p, ids_N=strings([one.id for one in given]))
            seconds |= {(member.name, v): s for v, s in zip(views[member.name], vote.seconds_V, strict=True)}
        if self.trees is not None and set(self.trees.members) <= found.keys():
            voted = self._of_trees(self.trees, found, cells)
            found[voted.name] = voted
        votes = [found[voter.name] for voter in self.manifest.voters if voter.name in found]
        if not self._is_ranked:
            votes = [self._vote(votes)]
        return Predicted(tuple(given), tuple(votes), tuple(seen.unreadable), seconds, seen.without_box)

    @property
    def _is_ranked(self) -> bool:
        return self._fitted is not None and self._fitted.rule.name in blending.OF_THE_WHOLE_SET

    def _of_trees(
        self, trees: Trees, found: Mapping[str, Probabilities], cells: Sequence[tuple[str, ...]]
    ) -> Probabilities:
        """The predictions of the member `gbdt`, from those of the members that it reads."""
        assert self.manifest.trees is not None, "asked for trees"
        names = [one.name for one in self.manifest.metadata]
        columns = {name: [own[at] for own in cells] for at, name in enumerate(names)}
        read = [found[name] for name in trees.members]
        return replace(read[0], p_NC=trees.predict(read, columns), name=self.manifest.trees.name)

    def _vote(self, votes: Sequence[Probabilities]) -> Probabilities:
        if self._fitted is None:
            return votes[0]
        names = [p.name for p in votes]
        at = [n for n, voter in enumerate(self.manifest.voters) if voter.name in names]
        return blending.of_some(self._fitted, at, self.target).apply(votes, "blend")

    def _together(self, parts: Sequence[Predicted], broken: Set[str]) -> Probabilities:
        """The vote of all chunks without the broken images; by rank among those of the same members."""
        voted = []
        for run in _alike(parts):
            joined = [_joined([part.p_M[m] for part in run]) for m in range(len(run[0].p_M))]
            if broken:
                kept = strings([name for name in joined[0].ids_N.tolist() if name not in broken])
                joined = [p.take(kept) for p in joined]
            voted.append(self._vote(joined) if self._is_ranked else joined[0])
        return _joined(voted)

    def finished(self, parts: Sequence[Predicted], white: bool = False) -> Answers:
        """The answers of all chunks together, after the decision steps; `white` as in `predict`.

        There is at least one chunk.
        """
        unreadable = tuple(one for part in parts for one in part.unreadable)
        broken = set() if white else {one.id for one in unreadable}
        given = [one for part in parts for one in part.pictures if one.id not in broken]
        notes: list[str] = []
        p = self._together(parts, broken)
        if self._is_ranked and given:
            notes.append(worded(texts.RANKED, images=len(given)))
        p = replace(p, name=self.manifest.name)
        if given:
            groups_N = np.array([one.group for one in given], dtype=np.str_)
            decided = steps.decide(self.home, self.manifest.steps, self.space, p, groups_N)
            p, notes = decided.p, [*notes, *decided.notes]
        notes += beside.notes(self.manifest.metadata, [one.metadata for one in given])
        if without := sum(part.without_box for part in parts):
            notes.append(worded(texts.SHARED_WINDOW, images=without))
        return Answers(p, unreadable, tuple(notes))


def trees_of(home: Path, manifest: folder.Manifest) -> Trees | None:
    """The trees of a packed submission; None: it has none.

    Raises:
        DataError: LightGBM is not installed.
    """
    if manifest.trees is None:
        return None
    return Trees.read(home, manifest.trees.model_dump(), Target.of(space_of_text(manifest.space)))


def _alike(parts: Sequence[Predicted]) -> Iterator[list[Predicted]]:
    """Runs of chunks that the same members predicted."""
    for _, run in groupby(parts, key=lambda part: tuple(p.name for p in part.p_M)):
        yield list(run)


def _joined(parts: Sequence[Probabilities]) -> Probabilities:
    if len(parts) == 1:
        return parts[0]
    ids_N = strings([name for part in parts for name in part.ids_N.tolist()])
    return replace(parts[0], ids_N=ids_N, p_NC=np.concatenate([part.p_NC for part in parts]))
