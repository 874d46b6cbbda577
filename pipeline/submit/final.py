"""`make final N=2`: which submissions to select at the end: the safest one, and others with different errors.

Owns the proposal and its reasons. Does not own the ledger (`submit/ledger.py`) nor the noise of scores
(`core/statistics.py`).

Hosts let one select a few submissions before the private scores are shown, and the best of them counts. So
the first one should not disappoint, and each further one should be about as good and as different as
possible: two submissions that agree everywhere are one chance, not two.

Shape legend: T test images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core import metrics
from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.predictions import differ_N
from pipeline.core.samples import Truth
from pipeline.core.statistics import Band
from pipeline.data import host, host_format, load
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.submit import ranking, texts
from pipeline.submit.ledger import Entry


@dataclass(frozen=True)
class Pick:
    """One proposed submission, and the reasons, one sentence each."""

    entry: Entry
    why: tuple[str, ...]


@dataclass(frozen=True)
class Candidates:
    """The submissions to choose from.

    Args:
        entries: of one competition and metric.
        answers: by name, as `Prediction.answers`, of the same images in the same order; only of submissions
            with a file.
        bands: by name, the range of public − OOF by luck alone.
        higher_is_better: False for losses.
    """

    entries: Sequence[Entry]
    answers: Mapping[str, Truth]
    bands: Mapping[str, Band]
    higher_is_better: bool

    @property
    def sign(self) -> int:
        """+1 when higher is better, else -1."""
        return 1 if self.higher_is_better else -1

    def floor(self, entry: Entry) -> float:
        """The worse end of the OOF interval, signed so that more is better."""
        low, high = entry.oof_low, entry.oof_high
        end = low if self.higher_is_better else high
        assert end is not None, "only called for entries with an interval"
        return self.sign * end


def propose(candidates: Candidates, n: int) -> tuple[Pick, ...]:
    """At most `n` submissions, the safest first; fewer where there are no more.

    Raises:
        DataError: no submission with an OOF interval has its file here.
    """
    known = [e for e in candidates.entries if not e.former and e.name in candidates.answers]
    scored = [e for e in known if e.oof is not None and None not in (e.oof_low, e.oof_high)]
    if not scored:
        raise DataError(texts.NO_CANDIDATE, remedy=_("make infer or make ensemble first"))
    picks = [_safest(candidates, scored)]
    while len(picks) < n:
        following = _different(candidates, scored, picks)
        if following is None:
            break
        picks.append(following)
    return tuple(picks)


def _safest(candidates: Candidates, scored: Sequence[Entry]) -> Pick:
    gaps = [e.public - e.oof for e in scored if e.public is not None and e.oof is not None]
    # A gap that all submissions share (other images, other classes) contradicts none of them.
    usual = float(np.median(gaps)) if gaps else 0.0
    sound = [e for e in scored if not _contradicted(candidates, e, usual)]
    kept = sound or list(scored)
    first = max(kept, key=candidates.floor)
    safest = texts.SAFEST_LOW if candidates.higher_is_better else texts.SAFEST_HIGH
    why = [safest.format(bound=abs(candidates.floor(first)))]
    if first.public is None:
        why.append(texts.SAFEST_UNTESTED)
    elif sound:
        why.append(texts.SAFEST_CONFIRMED.format(public=first.public, oof=first.oof))
    else:
        why.append(texts.SAFEST_CONTRADICTED)
    dropped = [e.name for e in scored if e not in kept and candidates.floor(e) > candidates.floor(first)]
    if dropped:
        why.append(texts.PASSED_OVER.format(names=", ".join(dropped)))
    return Pick(first, tuple(why))


def _contradicted(candidates: Candidates, entry: Entry, usual: float) -> bool:
    band = candidates.bands.get(entry.name)
    if entry.public is None or entry.oof is None or band is None:
        return False
    # Half the band on either side of the usual gap; only a public score that is too bad counts.
    off = candidates.sign * (entry.public - entry.oof - usual)
    return off < -(band.high - band.low) / 2


def _different(candidates: Candidates, scored: Sequence[Entry], picks: Sequence[Pick]) -> Pick | None:
    """The submission that differs most from those picked, among those that are about as good."""
    first = picks[0].entry
    taken = {pick.entry.name for pick in picks}
    rest = [(e, _least_disagreement(candidates, e, taken)) for e in scored if e.name not in taken]
    rest = [(e, off) for e, off in rest if off > 0]
    if not rest:
        return None
    assert first.oof is not None, "only scored entries are picked"
    width = abs((first.oof_high or 0.0) - (first.oof_low or 0.0)) / 2
    near = [(e, off) for e, off in rest if candidates.sign * ((e.oof or 0.0) - first.oof) >= -width]
    if not near:
        best, off = max(rest, key=lambda pair: candidates.sign * (pair[0].oof or 0.0))
        return Pick(best, (texts.NEXT_BEST.format(width=width), texts.NEXT_BEST_DIFFERS.format(share=off)))
    best, off = max(near, key=lambda pair: pair[1])
    reason = texts.DIFFERENT.format(share=off, count=len(near), width=width)
    return Pick(best, (reason, texts.DIFFERENT_SCORE.format(oof=best.oof, safest=first.oof)))


def _least_disagreement(candidates: Candidates, entry: Entry, taken: set[str]) -> float:
    """Share of test images with another answer than the most similar submission taken."""
    own = candidates.answers[entry.name]
    return min(float(differ_N(own, candidates.answers[name]).mean()) for name in taken)


@dataclass(frozen=True)
class FinalPicks:
    """The lines of `make final`, and the entry to select first."""

    lines: tuple[str, ...]
    first: Entry


def proposal(
    settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact, asked: str, n: int
) -> FinalPicks:
    """What `make final` proposes.

    `asked`: the data and folds whose out-of-fold scores are compared; submissions of others are named.

    Raises:
        DataError: no submission of the ledger can be proposed.
    """
    config = settings.config.competition
    train = load.samples(data, "train", store.home)
    sample = host.sample(settings, data, store.home)
    answers = {}
    alike = ranking.comparable(entries, store, asked)
    others = [e.name for e in entries if e.oof is not None and not e.former and e not in alike]
    for entry in alike:
        path = store.home / "submissions" / f"{entry.name}.csv"
        if path.is_file() and not entry.former:
            answers[entry.name] = host_format.read(
                path, train.space, config.submission, sample, config.encoding
            ).answers
    public = ranking.public_set(settings, data, store.home)
    made = ranking.artifacts(entries, store, data)
    bands = ranking.bands(settings, entries, made, train, public.groups)
    metric = metrics.get(config.metric)
    picks = propose(Candidates(alike, answers, bands, metric.higher_is_better), n)
    lines = []
    for number, pick in enumerate(picks, 1):
        lines.append(texts.PICK.format(number=number, name=pick.entry.name))
        lines += [texts.PICK_REASON.format(reason=reason) for reason in pick.why]
    if len(picks) < n:
        lines.append(texts.FEWER_PICKS.format(found=len(picks), n=n))
    if others:
        lines.append(texts.OTHER_FOLDS.format(names=", ".join(others)))
    return FinalPicks(tuple(lines), picks[0].entry)
