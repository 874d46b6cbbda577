"""Predicting a host's hidden test set: in chunks that are kept, watching the clock, always with an answer.

The CSV is written in the encoding of the host's sample, which the predictor knows.

Owns what the notebook of a bundle runs. Does not own predicting (`predict/predictor.py`), the choice of what
is dropped (`predict/clock.py`) nor the host's form (`data/host_format.py`).

    predict_hidden(bundle, sample, images, out, limit="9h")

Finished chunks are kept beside the CSV, and a second call goes on after them. Images that do not decode
are predicted as white ones, because a host wants an answer for every id. If the time ends all the same,
the images that are left get the mean prediction.

Legend: N images, C columns.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import strings
from pipeline.core.tables import read_table
from pipeline.core.text_files import UTF8
from pipeline.core.wording import duration, worded
from pipeline.data import host_format
from pipeline.predict import folder, oldest, texts
from pipeline.predict.clock import Clock
from pipeline.predict.pictures import Picture, Unreadable
from pipeline.predict.predictor import Answers, Part, Predicted, Predictor
from pipeline.record import files

# Images of a chunk: often enough to watch the clock, rarely enough that keeping it costs nothing.
CHUNK = 512
PARTIAL = "partial"
_TIME = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h)?\s*")
_UNITS = {"s": 1.0, None: 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds_of(limit: str | float) -> float:
    """The seconds of a text such as 9h, 30m or 600.

    Raises:
        ConfigError: it is no time above 0.
    """
    found = _TIME.fullmatch(str(limit))
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ConfigError(texts.NO_TIME.format(limit=limit), remedy=texts.NO_TIME_REMEDY)
    return seconds


@dataclass(frozen=True)
class Told:
    """What happened.

    Args:
        images: in the host's sample.
        seconds: of the whole run, loading included.
        per_image: seconds that one image took at the end.
        least: seconds that it takes with one view of the fastest member.
        dropped: views and members, in words, in their order.
        unreadable: images that do not decode.
        unanswered: images that got the mean prediction because the time ended.
        notes: what a step took into account.
    """

    images: int
    seconds: float
    per_image: float
    least: float
    dropped: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    unanswered: int
    notes: tuple[str, ...]


def predict_hidden(
    bundle: str | Path,
    sample: str | Path,
    images: str | Path,
    out: str | Path = "submission.csv",
    limit: str | float = "9h",
    table: str | Path | None = None,
    device: str = "auto",
    say: Callable[[str], None] = print,
    begin: float | None = None,
) -> Told:
    """Write the answers for every id of the host's sample, in its form.

    Args:
        bundle: the folder of the bundle, or of the predictor.
        sample: the host's sample submission for the hidden test set.
        images: the folder of the hidden images, or a file of several.
        out: the CSV to write; unfinished chunks are kept in `partial/` beside it.
        limit: the time from `begin`, such as 9h.
        table: the host's test table; None: the ids of the sample name the files.
        device: auto, cpu or cuda.
        say: gets a line for each chunk.
        begin: `time.monotonic()` where the clock started; None: now.

    Raises:
        DataError: a damaged bundle, or a sample that does not fit the host's form.
        ConfigError: `limit` is no time.
    """
    begin = time.monotonic() if begin is None else begin
    where, out = Path(bundle), Path(out)
    where = where if (where / folder.MANIFEST).is_file() else where / "predictor"
    for line in oldest.too_old():
        say(texts.NOTE.format(text=line))
    predictor = Predictor.load(where, device)
    clock = Clock(predictor.manifest, seconds_of(limit))
    given = _pictures(predictor, Path(sample), Path(images), None if table is None else Path(table))
    run = _Run(predictor, clock, begin, out.parent / PARTIAL, say)
    answers, left = run.all(given)
    form, found = predictor.manifest.host_form, predictor.manifest.encoding
    written = found or read_table(Path(sample), encoding=found).encoding
    plain = files.temporary_of(out.with_suffix(".utf8"))
    host_format.write(plain, answers.p, predictor.space, form, Path(sample), encoding=found)
    files.write_atomic(out, encoded(plain.read_bytes(), written, out.name))
    plain.unlink()
    seconds = time.monotonic() - begin
    told = (run.dropped, answers.unreadable, left, answers.notes)
    result = Told(len(given), seconds, clock.per_image(run.part.views), clock.least, *told)
    for line in _lines(out, result):
        say(line)
    return result


def encoded(text: bytes, encoding: str, name: str) -> bytes:
    """A UTF-8 text in another encoding; without a byte-order mark where that is UTF-8.

    Raises:
        DataError: it has characters that the encoding lacks.
    """
    if encoding in (UTF8, "utf-8"):
        return text
    odd = []
    for number, line in enumerate(text.decode().splitlines(), 1):
        try:
            line.encode(encoding)
        except UnicodeEncodeError as error:
            signs = error.object[error.start : error.end]
            odd.append(texts.NOT_ENCODED.format(line=number, characters=signs))
    if odd:
        raise DataError(texts.NOT_ENCODED_HEAD.format(name=name, encoding=encoding), odd)
    return text.decode().encode(encoding)


def _pictures(predictor: Predictor, sample: Path, images: Path, table: Path | None) -> list[Picture]:
    """The images that the sample asks for, in its order."""
    if table is not None:
        found = {one.id: one for one in predictor.pictures(table, root=images)}
    read = read_table(sample, encoding=predictor.manifest.encoding)
    form = predictor.manifest.host_form
    answers = host_format.answer_columns(read, predictor.space, form)
    wanted = host_format.images_of(read, answers, form)
    if table is not None:
        missing, empty = texts.NOT_IN_TABLE.format(table=table.name), ("",) * len(predictor.manifest.metadata)
        return [found.get(name) or Picture(name, missing, metadata=empty) for name in wanted]
    return predictor.named(wanted, images)


class _Run:
    """One run over the hidden images."""

    def __init__(
        self, predictor: Predictor, clock: Clock, begin: float, kept: Path, say: Callable[[str], None]
    ) -> None:
        self.predictor, self.clock, self._begin, self._kept, self._say = predictor, clock, begin, kept, say
        self.part: Part = predictor.whole
        self.dropped: tuple[str, ...] = ()

    def all(self, given: Sequence[Picture]) -> tuple[Answers, int]:
        """The answers for all images, and how many of them are the mean prediction."""
        parts: list[Predicted] = []
        batch = self.predictor.machine.batch
        size = max(min(self.predictor.chunk, CHUNK) // batch, 1) * batch
        done = 0
        while done < len(given):
            # The first chunk is one batch: it measures, and loads the models.
            chunk = list(given[done : done + (size if parts else batch)])
            elapsed = time.monotonic() - self._begin
            if parts and not self.clock.fits(self.part, len(chunk), elapsed):
                break
            found = self._one(chunk)
            parts.append(found)
            done += len(chunk)
            self._choose(len(given) - done)
            self._tell(done, len(given))
        left = list(given[done:])
        return self._finished(parts, left), len(left)

    def _one(self, chunk: list[Picture]) -> Predicted:
        kept = self._kept / f"{_digest(self.predictor, chunk)}.npz"
        if kept.is_file():
            return _kept(kept, chunk, self.predictor)
        begin = time.monotonic()
        found = self.predictor.one_part(chunk, self.part)
        self.clock.add(found, time.monotonic() - begin)
        _write(kept, found)
        return found

    def _choose(self, images: int) -> None:
        elapsed = time.monotonic() - self._begin
        self.part, dropped = self.clock.choose(self.part, images, elapsed)
        for line in dropped:
            self._say(line)
        self.dropped += tuple(dropped)

    def _tell(self, done: int, total: int) -> None:
        elapsed = time.monotonic() - self._begin
        more = (total - done) * self.clock.per_image(self.part.views)
        self._say(
            texts.CHUNK_DONE.format(done=done, total=total, took=duration(elapsed), more=duration(more))
        )

    def _finished(self, parts: list[Predicted], left: list[Picture]) -> Answers:
        answers = self.predictor.finished(parts, white=True)
        if not left:
            return answers
        mean_C = answers.p.p_NC.mean(axis=0, dtype=np.float64)
        rest = np.tile(mean_C, (len(left), 1))
        p = answers.p
        ids_N = strings([*p.ids_N.tolist(), *(one.id for one in left)])
        joined = p.target.normalised(np.concatenate([p.p_NC.astype(np.float64), rest]))
        return replace(answers, p=replace(p, ids_N=ids_N, p_NC=joined))


def _digest(predictor: Predictor, chunk: Sequence[Picture]) -> str:
    """What a kept chunk is called: the predictor, and the images."""
    named = [predictor.manifest.csv_sha256]
    named += ["\0".join([one.id, repr(one.source), *one.metadata]) for one in chunk]
    return hashlib.sha256("\n".join(named).encode()).hexdigest()[:16]


def _write(path: Path, part: Predicted) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    faults = json.dumps([[one.id, one.source, one.why] for one in part.unreadable], ensure_ascii=False)
    arrays: dict[str, Any] = {f"p{m}": p.p_NC for m, p in enumerate(part.p_M)}
    arrays |= {"names": np.array([p.name for p in part.p_M]), "faults": np.array(faults)}
    draft = files.temporary_of(path)
    with draft.open("wb") as file:
        np.savez(file, **arrays)
    draft.replace(path)


def _kept(path: Path, chunk: Sequence[Picture], predictor: Predictor) -> Predicted:
    ids_N = strings([one.id for one in chunk])
    with np.load(path) as z:
        p_M = tuple(
            Probabilities.of(predictor.target, ids_N, z[f"p{m}"], str(name))
            for m, name in enumerate(z["names"])
        )
        faults = tuple(Unreadable(*row) for row in json.loads(str(z["faults"])))
    return Predicted(tuple(chunk), p_M, faults, {})


def _lines(out: Path, told: Told) -> list[str]:
    lines = [worded(texts.HIDDEN_DONE, out=out, images=told.images, took=duration(told.seconds))]
    lines += [texts.NOTE.format(text=note) for note in told.notes]
    if told.dropped:
        lines.append(texts.HIDDEN_DROPPED.format(dropped="; ".join(told.dropped)))
    if told.unreadable:
        shown = ", ".join(one.id for one in told.unreadable[:5])
        lines.append(worded(texts.HIDDEN_UNREADABLE, images=len(told.unreadable), shown=shown))
    if told.unanswered:
        lines.append(worded(texts.HIDDEN_UNANSWERED, images=told.unanswered))
    return lines
