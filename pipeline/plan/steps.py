"""What each minute of a command bought: its steps, the best result so far, and the file under a stable name.

Owns the values, the file `<competition>-best.csv`, the comparisons of all steps, corrected for their number.
Does not own the lines (`plan/table.py`) nor the page (`plan/page.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.core import metrics, statistics
from pipeline.core.predictions import Comparison
from pipeline.core.samples import Samples
from pipeline.data import load
from pipeline.pages.command_words import shown
from pipeline.plan import texts
from pipeline.record import paths
from pipeline.record.files import write_atomic
from pipeline.record.store import Artifact
from pipeline.settings.load import Settings
from pipeline.settings.schema import Config
from pipeline.submit.submission import is_untouched


@dataclass(frozen=True)
class Step:
    """One member, or one piece of advice that was carried out.

    Args:
        name: of the member; empty: what existed before the command.
        at: seconds since the command began, at its end.
        seconds: that it took, with its blend.
        made: its own result; None: it has none, see `note`.
        blend: of everything so far; None: there is no new one.
        note: why there is no result, or why it was not kept.
        kept: whether it is a part of what follows.
    """

    name: str
    at: float
    seconds: float
    made: Artifact | None
    blend: Artifact | None
    note: str = ""
    kept: bool = True


@dataclass(frozen=True)
class Best:
    """The best result so far, by its out-of-fold score.

    Args:
        artifact: an inference, a blend, or a decision.
        settings: with which it was asked for.
        path: its submission, by the name that the ledger has.
        stable: the same file under the stable name.
        score: out of fold.
        members: how many there are in it.
        written: whether its submission was written; not yet, if that of an earlier command is better.
    """

    artifact: Artifact
    settings: Settings
    path: Path
    stable: Path
    score: float
    members: int
    written: bool = True

    @property
    def shown(self) -> str:
        """The stable path for the terminal."""
        return shown(self.stable)


def stable_path(home: Path, competition: str) -> Path:
    """The file of the best submission so far, whichever result it is."""
    return paths.below(home / "submissions", f"{competition}-best.csv")


def keep_best(path: Path, stable: Path, say: Callable[[str], None]) -> Path:
    """Copy a submission and its provenance to the file with the stable name; returns that path.

    A file of that name which was not written here, or was changed since, stays as it is: then `path` itself
    is returned.
    """
    if stable.is_file() and not is_untouched(stable):
        say(texts.NOT_OURS.format(file=shown(stable)))
        return path
    write_atomic(stable.with_suffix(".json"), path.with_suffix(".json").read_bytes())
    write_atomic(stable, path.read_bytes())
    return stable


def gains(config: Config, samples: Samples, steps: Sequence[Step]) -> list[Comparison | None]:
    """Each step's blend against the best kept one before it; the intervals hold for all steps at once.

    A step that made nothing has none, and the first has nothing to be compared with.
    """
    metric = metrics.get(config.competition.metric)
    blends = [step.blend for step in steps if step.blend is not None]
    tries = max(len(blends) - 1, 1)
    best: Artifact | None = None
    found: list[Comparison | None] = []
    for step in steps:
        if step.blend is None:
            found.append(None)
            continue
        found.append(None if best is None else compared(config, samples, step.blend, best, tries))
        better = best is None or metric.sign * (_score(step.blend, metric) - _score(best, metric)) > 0
        if step.kept and better:
            best = step.blend
    return found


def compared(config: Config, samples: Samples, new: Artifact, old: Artifact, tries: int) -> Comparison:
    """Two results on the images that both predict, as one of so many attempts."""
    metric, numbers = metrics.get(config.competition.metric), config.statistics
    a, b = load.oof(new, new.stage), load.oof(old, old.stage)
    both = np.intersect1d(a.ids_N, b.ids_N)
    known = samples.take(both)
    sides = a.take(both).p_NC, b.with_classes(a.classes).take(both).p_NC
    return statistics.compare_tried(
        metric, known.truth, sides, known.groups_N, numbers.draws, numbers.seed, tries
    )


def is_better(config: Config, samples: Samples, new: Artifact, old: Artifact, tries: int) -> bool:
    """Whether a result is better than another one beyond noise, as one of so many attempts."""
    return new.key != old.key and compared(config, samples, new, old, tries).verdict == "better"


def _score(artifact: Artifact, metric: metrics.Metric) -> float:
    return float(artifact.metrics[f"oof_{metric.name}"])
