"""Which submissions to select in the end: the safest one, and others that err elsewhere.

Owns the proposal and its reasons. Does not own the ledger (`leaderboard.py`) nor the widths of noise
(`core/noise.py`), which arrive.

Hosts let one choose a few submissions before the private scores are shown, and the best of them counts. So
the first shall not disappoint, and each further one shall be about as good and as different as can be: two
that agree everywhere are one chance, not two.

Shape legend: T test images.

Requests about the whole ledger: the leaderboard's page, and which submissions to select in the end.

Owns naming the page's request, and the words of the proposal. Does not own the page
(`submit/stage_leaderboard.py`) nor the choice (`submit/final.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core import metrics
from pipeline.core.errors import DataError, nearest
from pipeline.core.noise import Band
from pipeline.core.samples import Ints
from pipeline.data import host, host_format, load
from pipeline.engine.need import Need
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.submit import standing
from pipeline.submit.ledger import Entry
from pipeline.submit.submission import LEDGER


@dataclass(frozen=True)
class Pick:
    """One proposed submission.

    Args:
        entry: its line of the ledger.
        why: the reasons, a sentence each.
    """

    entry: Entry
    why: tuple[str, ...]


@dataclass(frozen=True)
class Field:
    """What there is to choose from.

    Args:
        entries: of one competition and metric.
        answers: (T,) class index by name, same images in the same order; those without a file are missing.
        bands: by name, where public − OOF lies by luck.
        higher_is_better: False for losses.
    """

    entries: Sequence[Entry]
    answers: Mapping[str, Ints]
    bands: Mapping[str, Band]
    higher_is_better: bool

    @property
    def sign(self) -> int:
        """+1 when higher is better, else -1."""
        return 1 if self.higher_is_better else -1

    def floor(self, entry: Entry) -> float:
        """The bad end of the OOF interval, in the good direction."""
        low, high = entry.oof_low, entry.oof_high
        end = low if self.higher_is_better else high
        assert end is not None, "asked of lines with an interval"
        return self.sign * end


def propose(field: Field, n: int) -> tuple[Pick, ...]:
    """At most `n` submissions, the safest first; fewer where there are no more.

    Raises:
        DataError: no submission with an OOF interval has its file here.
    """
    known = [e for e in field.entries if not e.former and e.name in field.answers]
    scored = [e for e in known if e.oof is not None and None not in (e.oof_low, e.oof_high)]
    if not scored:
        raise DataError(
            "no submission has an OOF score with an interval and its CSV in submissions/",
            remedy="make infer or make ensemble first",
        )
    picks = [_safest(field, scored)]
    while len(picks) < n:
        following = _different(field, scored, picks)
        if following is None:
            break
        picks.append(following)
    return tuple(picks)


def _safest(field: Field, scored: Sequence[Entry]) -> Pick:
    gaps = [e.public - e.oof for e in scored if e.public is not None and e.oof is not None]
    # What moves all submissions alike (other images, other classes) speaks against none of them.
    usual = float(np.median(gaps)) if gaps else 0.0
    sound = [e for e in scored if not _contradicted(field, e, usual)]
    kept = sound or list(scored)
    first = max(kept, key=field.floor)
    end = "low" if field.higher_is_better else "high"
    why = [f"safest: the {end} end of its OOF interval, {abs(field.floor(first)):.4f}, is the best"]
    if first.public is None:
        why.append("it has no public score yet that could contradict it")
    elif sound:
        why.append(
            f"its public score {first.public:.4f} is where its OOF score {first.oof:.4f} lets expect it"
        )
    else:
        why.append("every public score lies off its OOF score by more than luck: run make leaderboard first")
    dropped = [e.name for e in scored if e not in kept and field.floor(e) > field.floor(first)]
    if dropped:
        why.append(f"passed over, as public contradicts OOF by more than luck: {', '.join(dropped)}")
    return Pick(first, tuple(why))


def _contradicted(field: Field, entry: Entry, usual: float) -> bool:
    band = field.bands.get(entry.name)
    if entry.public is None or entry.oof is None or band is None:
        return False
    # Half the band on either side of what is usual here; only a public score that is too bad counts.
    off = field.sign * (entry.public - entry.oof - usual)
    return off < -(band.high - band.low) / 2


def _different(field: Field, scored: Sequence[Entry], picks: Sequence[Pick]) -> Pick | None:
    """The submission that disagrees most with those picked, among those that are about as good."""
    first = picks[0].entry
    taken = {pick.entry.name for pick in picks}
    rest = [(e, _least_disagreement(field, e, taken)) for e in scored if e.name not in taken]
    rest = [(e, off) for e, off in rest if off > 0]
    if not rest:
        return None
    assert first.oof is not None
    width = abs((first.oof_high or 0.0) - (first.oof_low or 0.0)) / 2
    near = [(e, off) for e, off in rest if field.sign * ((e.oof or 0.0) - first.oof) >= -width]
    if not near:
        best, off = max(rest, key=lambda pair: field.sign * (pair[0].oof or 0.0))
        reason = f"no other comes within {width:.4f} of the safest (half its interval); this is the next best"
        return Pick(best, (reason, f"it answers {off:.1%} of the test images otherwise"))
    best, off = max(near, key=lambda pair: pair[1])
    return Pick(
        best,
        (
            f"different: it answers {off:.1%} of the test images otherwise than those above, the most of "
            f"{len(near)} whose OOF score is within {width:.4f} of the safest (half its interval)",
            f"its OOF score is {best.oof:.4f} against {first.oof:.4f}",
        ),
    )


def _least_disagreement(field: Field, entry: Entry, taken: set[str]) -> float:
    """Share of test images answered otherwise, against the most similar one taken."""
    own = field.answers[entry.name]
    return min(float((own != field.answers[name]).mean()) for name in taken)


def leaderboard_need(
    settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact, name: str
) -> Need:
    """The request for the page: what stands in the ledger, which gap, and which runs there are.

    Raises:
        DataError: no submission of that name.
    """
    names = [e.name for e in entries]
    if name and name not in names:
        hint = nearest(name, names) or f"the ledger knows: {', '.join(names)}"
        raise DataError(f"no submission {name!r}", remedy=hint)
    keys = sorted(f"{a.stage}/{a.key}" for a in store.chosen() if a.stage in ("train", "infer", "ensemble"))
    params: dict[str, str | int] = {
        "a": f"submissions/{LEDGER}",
        "focus": name or _focus(settings, entries, store, data),
        "runs": hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16],
    }
    return Need("leaderboard", settings, params)


def _focus(settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact) -> str:
    """Whose gap is looked into: the best one made here that has a public score, else the best one."""
    made = standing.artifacts(entries, store, data)
    here = [e for e in entries if e.name in made]
    scored = [e for e in here if e.public is not None]
    found = standing.best(settings, scored or here or entries, store, data)
    return found.entry.name if found else entries[-1].name


def proposal(settings: Settings, entries: Sequence[Entry], store: Store, data: Artifact, n: int) -> list[str]:
    """The lines of `make final`.

    Raises:
        DataError: nothing in the ledger can be proposed.
    """
    config = settings.config.competition
    train = load.samples(data, "train", store.home)
    sample = host.sample(settings, data, store.home)
    answers = {}
    for entry in entries:
        path = store.home / "submissions" / f"{entry.name}.csv"
        if path.is_file() and not entry.former:
            answers[entry.name] = host_format.read(path, train.space, config.submission, sample).labels_N
    public = standing.public_set(settings, data, store.home)
    made = standing.artifacts(entries, store, data)
    bands = standing.bands(settings, entries, made, train, public.groups)
    metric = metrics.get(config.metric)
    picks = propose(Field(entries, answers, bands, metric.higher_is_better), n)
    lines = []
    for number, pick in enumerate(picks, 1):
        lines.append(f"{number}. submissions/{pick.entry.name}.csv")
        lines += [f"   {reason}" for reason in pick.why]
    if len(picks) < n:
        lines.append(f"only {len(picks)} of {n}: no other submission has an OOF score and other answers")
    return lines
