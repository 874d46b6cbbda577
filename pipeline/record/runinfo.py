"""What a run says of itself: its name, key and tags, a description, and the commit of the code.

Owns these values and their wording. Does not import mlflow; `record/tracking.py` writes them.
"""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunInfo:
    """What is known when a run starts.

    Args:
        stage: e.g. train.
        competition: becomes the MLflow experiment.
        experiment: our experiment, e.g. lite0; empty for stages that belong to none.
        name: what the UI's table calls the run, e.g. `train lite0`.
        key: the artifact's content key, the bridge between the record and the store.
        tags: flat extra tags, e.g. study; see `record/board.py` for the ones that are columns.
        params: the settings that differ or matter, flat: `{"train.lr": 1e-3}`.
        description: markdown; see `note`.
        git: see `git_commit`.
        metric: the competition's; the run's metric `oof_<metric>` orders the UI's table.
        higher_is_better: False for losses.
    """

    stage: str
    competition: str
    name: str
    key: str
    experiment: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    description: str = ""
    git: str = "none"
    metric: str = "macro_f1"
    higher_is_better: bool = True


def note(what: str, why: str, next_command: str, report: str = "", result: str = "") -> str:
    """A run's description in markdown, one line each; the UI folds away what is below the fourth.

    Args:
        what: one sentence: what was done.
        why: one sentence: what this run is to answer.
        next_command: a shell command.
        report: name of the run's HTML artifact, or empty.
        result: one sentence: how it came out, with its interval, or empty while it is open.
    """
    said = {"What": what, "Result": result, "Why": why}
    if report:
        said["Report"] = f"tab *Artifacts*, `{report}`"
    said["Next"] = f"`{next_command}`"
    # Two blanks at the end of a line are markdown's line break.
    return "  \n".join(f"**{name}** {text}" for name, text in said.items() if text)


def git_commit(folder: Path = CHECKOUT) -> str:
    """The short commit of `folder`, with `-dirty` when tracked files differ; "none" outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        return f"{commit}-dirty" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return "none"
