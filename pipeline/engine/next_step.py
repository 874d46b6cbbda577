"""The first and the last line of a command: which competition it is about, and the command to run next.

Owns both, and the offer to name overrides. The last line is complete: it repeats the words of the user's
command that the next one reads, so that it can be pasted. Does not own which command follows which
(`pipeline/cli.py`, and the commands of a room where it depends on the outcome).
"""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.language import _, joined
from pipeline.core.wording import worded
from pipeline.engine import naming
from pipeline.engine.session import Session
from pipeline.pages.command_words import make_with, shown, spoken
from pipeline.record.store import Artifact
from pipeline.settings import named
from pipeline.settings.load import Settings

COMPETITION = _("competition     {name}")
TITLE = ": {title}"
NEXT = _("next: {command}")
WROTE = _("wrote {path}: experiment={name} means these settings from now on")
WILL_WRITE = _("NAME= in the next command gives these overrides a name: {path}")
OFFER = _("name: {command}\n      (writes {path}, so that one word means this run; nothing is built again)")
OTHER_FOLDS = _(
    "other folds     {runs:earlier run} of these data {runs:has|have} other folds, the newest folds.n={n}: "
    "only runs on the same folds are compared; folds.n={n} in ARGS makes this one comparable"
)
WORSE = "worse"
# With words about an experiment, it would blend instead of taking the newest submission.
NEWEST = "error-analysis"


def say_competition(session: Session, how: str) -> None:
    """The first line of a command; `how` its competition was chosen may be empty."""
    config = session.settings.config.competition
    title = TITLE.format(title=config.title) if config.title else ""
    session.say(joined("", (COMPETITION.format(name=config.name), title, *((" (", how, ")") if how else ()))))


def say_written(session: Session, path: Path) -> None:
    """A line about a new experiment file."""
    session.say(WROTE.format(path=shown(path), name=path.stem))


def command(
    session: Session, target: str, settings: Settings | None = None, words: Sequence[str] | None = None
) -> str:
    """The command with every word of the user's command that it reads.

    Args:
        session: of the user's command.
        target: of make, with its variables, such as `gc DRY=1`.
        settings: those of the next command, if they are others.
        words: the words of the next command, if they are known.
    """
    name = target.partition(" ")[0]
    if target == NEWEST:
        words = session.settings.competition_words
    given = session.graph.words_of(name, settings or session.settings) if words is None else tuple(words)
    return make_with(spoken(f"make {target}"), session.settings.located(given))


def typed(session: Session, options: Namespace, flags: Sequence[str]) -> str:
    """The user's command with the variables that it was given, by their flags: `make all TIME=2h`."""
    given = {flag.upper(): value for flag in flags if (value := getattr(options, flag))}
    words = [f"{name}={1 if value is True else shlex.quote(str(value))}" for name, value in given.items()]
    return command(session, " ".join([options.command, *words]))


def say(
    session: Session, target: str, settings: Settings | None = None, words: Sequence[str] | None = None
) -> None:
    """The last line of a command; arguments as for `command`."""
    session.end_with(NEXT.format(command=command(session, target, settings, words)))


def say_with_file(session: Session, target: str, variable: str, path: Path, more: str = "") -> None:
    """The last line of a command that made a file: `make error-analysis A=submissions/….csv`."""
    say(session, f"{target} {variable}={shlex.quote(shown(path))}{more}")


def after_training(session: Session, trained: Artifact) -> None:
    """After `make train`: the missing folds, or prediction, which names overrides that did not lose."""
    say_other_folds(session, trained)
    if trained.metrics.get("complete") != 1.0:
        values = tuple((p, v) for p, v in session.settings.request.values if p != "train.folds")
        say(session, "train", session.settings.with_only(values))
        return
    name = name_to_offer(session, trained)
    if name is None:
        say(session, "infer")
        return
    session.end_with(WILL_WRITE.format(path=_file_of(session, name)))
    say(session, f"infer NAME={name}")


def say_other_folds(session: Session, run: Artifact) -> None:
    """A line if runs of the same data have other folds and none has these: they are not compared with it."""
    same_data = [a for a in session.store.chosen(run.stage) if a.inputs.get("data") == run.inputs.get("data")]
    others = [a for a in same_data if a.inputs.get("folds") != run.inputs.get("folds")]
    if others and len(same_data) == len(others) + 1:
        n = others[-1].setting("folds.n")
        session.say(worded(OTHER_FOLDS, runs=len(others), n=n))


def offer_name(session: Session, run: Artifact) -> None:
    """After `make infer`: how to give overrides that were no failure a name."""
    say_other_folds(session, run)
    name = name_to_offer(session, run)
    if name is not None:
        again = command(session, f"infer NAME={name}")
        session.say(OFFER.format(command=again, path=_file_of(session, name)))


def name_to_offer(session: Session, run: Artifact) -> str | None:
    """A name for the overrides of a run; None: it has a name, has no overrides, or lost its comparison."""
    settings = session.settings
    if not named.has_values(settings) or run.manifest.get("tags", {}).get("verdict") == WORSE:
        return None
    base, _ = naming.shared(run, settings)
    if naming.experiment_of(run, naming.Experiments(base)) is not None:
        return None
    return named.proposed(settings)


def _file_of(session: Session, name: str) -> str:
    return shown(session.settings.folder / "experiment" / f"{name}.yaml")
