"""What one can do now: `make` without a target prints three commands that fit what is there.

    python pipeline/home/now.py [key=value ...]

Owns the order in which commands are suggested, and reading what commands compute at this moment from their
state files (`engine/progress.py`). Does not own the home page (`home/page.py`), which shows the same.

Nothing but the standard library: `make` runs this file with any Python, before anything is installed.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # `make` runs this file by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.core.language import AUTO, ENGLISH, _, of_environment, say
from pipeline.pages.command_words import fold_words, mended, spoken

MANIFEST, CURRENT, PAGE = "manifest.json", "current-competition", "reports/index.html"
# What the home page knows of all results, and the ledger of submissions.
KEPT, LEDGER = ".home.json", "leaderboard.csv"
# The column and the mark of the submission that a person named the best.
PIN, PINNED = "best", "pinned"
# Manifests of one stage that are read until one is about the competition, the newest first.
MOST = 200
RUNNING, KILLED, FAILED = "running", "killed", "failed"
# Programs whose process may have written a state file.
OURS = (b"pipeline", b"podium", b"ipykernel", b"jupyter", b"pytest")

# Texts.
DEMO = _("run everything on the demo: about six minutes on two idle CPU cores")
QUICK = _("see one whole run in under a minute; its scores mean nothing")
OWN = _("set up your own competition from its files")
LOOK = _("look at the data, the most harmful findings first")
TRAIN = _("train the folds")
ALL = _("run everything up to the error report")
FOLDS = _("see which images train and which validate")
MISSING = _("train the folds that are missing")
PREDICT = _("predict the test set and write a submission")
ANOTHER = _("train another kind of member, in seconds on a CPU")
CURVE = _("find out whether more data would help")
BLEND = _("blend the {n} finished runs")
COMPARE = _("see where the newest submission is wrong, and what to try next")
NEWER = _("see what {n:run} after the newest error report brought, and what to try next")
ADVISED = _("follow advice {number} of the newest error report")
BY_EYE = _("read the newest error report: what it advises is done by eye")
LIST = _("list all runs, the best first")
EXPLAIN = _("see what the network looks at")
HAND_IN = _("check the best submission; nothing is sent")
SCORES = _("compare out-of-fold and public scores")
WATCH = _("watch the command that runs: {command}")
AGAIN = {
    FAILED: _("build only what is missing of the command that failed"),
    KILLED: _("build only what is missing of the command that was killed"),
    "stopped": _("build only what is missing of the command that was stopped"),
}
MEND = _("train with a setting that may mend the failure: {words}")
# Commands about one run, whose settings a mended setting may join; of several members it would change all.
OF_ONE_RUN = ("train", "infer", "refit")
HEAD = _("competition     {name}")
NOW = _("what you can do now:")
LINE = "  {number}  {what}\n     {command}"
HOME = _("home page: {path}")
REST = _("all targets: make help")


@dataclass(frozen=True)
class Suggestion:
    """A command that fits now, and what it is for."""

    what: str
    command: str


def newest(artifacts: Path, stage: str, competition: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folders and manifests of a stage's results about a competition, newest first, without trials."""
    found = sorted((artifacts / stage).glob(f"*/{MANIFEST}"), key=_modified, reverse=True)
    for path in found[:MOST]:
        manifest = _json(path)
        if manifest.get("competition") == competition and "study" not in manifest:
            yield path.parent, manifest


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def states(artifacts: Path) -> list[dict[str, Any]]:
    """The content of the state files of commands, the last one first; damaged files are left out.

    A command whose process has ended without saying so has the state `killed`.
    """
    found = []
    for path in (artifacts / ".state").glob("*.json"):
        one = _json(path)
        needs = one.get("needs")
        texts = all(isinstance(one.get(name), str) for name in ("host", "state", "command", "updated"))
        if not texts or not isinstance(needs, list) or not all(isinstance(need, dict) for need in needs):
            continue
        if one["state"] == RUNNING and one["host"] == socket.gethostname() and not _lives(one.get("pid")):
            one["state"] = KILLED
        found.append(one)
    return sorted(found, key=lambda one: str(one["updated"]), reverse=True)


def _lives(pid: object) -> bool:
    """Whether a process of this machine runs, and may be one of ours: numbers are used again."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        with contextlib.suppress(PermissionError):  # it is somebody else's, so it runs
            os.kill(pid, 0)
    except (OSError, OverflowError):
        return False
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True  # no Linux, or no right to read it
    return any(name in words for name in OURS)


def is_missing(artifacts: Path, need: dict[str, Any]) -> bool:
    """Whether the result of a need has not been built since."""
    name = str(need.get("name", ""))
    return re.fullmatch(r"[\w-]+/[\w-]+", name) is None or not (artifacts / name / MANIFEST).is_file()


def unfinished(artifacts: Path, one: dict[str, Any]) -> list[dict[str, Any]]:
    """The needs that failed in a command, or ran when it was killed, and whose results are still missing.

    A need around another one that ended in the same way, such as a training around its fold, is left out.
    """
    ended = {KILLED: (FAILED, RUNNING), "stopped": (FAILED, RUNNING)}.get(one["state"], (FAILED,))
    found = [n for n in one["needs"] if n.get("state") in ended and is_missing(artifacts, n)]
    ways = ("state", "message")
    around = {(n.get("inside"), *(n.get(way) for way in ways)) for n in found}
    return [n for n in found if (n.get("name"), *(n.get(way) for way in ways)) not in around]


def repeated(one: Mapping[str, Any]) -> str:
    """The command of a state file as it was typed."""
    return str(one.get("typed") or f"make {one['command']}")


def mend_of(one: Mapping[str, Any], need: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of settings that may mend a need that failed; empty: none is known, or it is one of many."""
    words = need.get("mend")
    known = isinstance(words, list) and all(isinstance(word, str) for word in words)
    # With TIME the plan chose what was trained, and words of settings would change the plan.
    of_one = one["command"] in OF_ONE_RUN and " TIME=" not in repeated(one)
    return tuple(words) if known and words and of_one else ()


def command(target: str, *words: str) -> str:
    """A command with words of settings that need no quotes."""
    return f'make {target} ARGS="{" ".join(words)}"' if words else f"make {target}"


def suggestions(
    home: Path,
    competition: str,
    words: Sequence[str] = (),
    is_chosen: bool = True,
    compose: Callable[..., str] = command,
) -> list[Suggestion]:
    """Three commands that fit what is there, the first one first.

    Args:
        home: the folder of artifacts, submissions and records.
        competition: that the commands are about.
        words: of settings that every command gets.
        is_chosen: whether a person chose this competition.
        compose: makes the command of a target and words.
    """
    artifacts = home / "artifacts"

    def has(stage: str) -> bool:
        return next(newest(artifacts, stage, competition), None) is not None

    def suggest(what: str, target: str, *more: str) -> Suggestion:
        return Suggestion(what, compose(target, *words, *more))

    before = _of_states(artifacts, competition)
    if has("error_analysis") or has("infer") or has("ensemble"):
        rest = _after_prediction(home, competition, suggest)
    elif has("train"):
        parts = [m for _, m in newest(artifacts, "train", competition)]
        whole = any(m.get("metrics", {}).get("complete") == 1.0 for m in parts)
        first = suggest(PREDICT, "infer") if whole else suggest(MISSING, "train")
        rest = [first, suggest(ANOTHER, "train", "experiment=probe"), suggest(CURVE, "learning-curve")]
    elif has("eda"):
        rest = [suggest(TRAIN, "train"), suggest(FOLDS, "folds"), suggest(ALL, "all")]
    elif is_chosen:
        rest = [suggest(LOOK, "eda"), suggest(TRAIN, "train"), suggest(ALL, "all")]
    else:
        own = "new NAME=pets TRAIN=train.csv IMAGES=images SAMPLE=sample_submission.csv"
        quick = suggest(QUICK, "all", "experiment=debug")
        rest = [suggest(DEMO, "all"), Suggestion(OWN, f"make {own}"), quick]
    unique = {one.command: one for one in [*before, *rest]}
    return list(unique.values())[:3]


Suggest = Callable[..., Suggestion]


def _of_states(artifacts: Path, competition: str) -> list[Suggestion]:
    """What to do about the command that runs, or about the last one if it did not end well."""
    mine = [one for one in states(artifacts) if one.get("competition", competition) == competition]
    running = [one for one in mine if one["state"] == RUNNING]
    if running:
        return [Suggestion(WATCH.format(command=running[0]["command"]), "make serve")]
    left = unfinished(artifacts, mine[0]) if mine and mine[0]["state"] in AGAIN else []
    if not left:
        return []
    typed = repeated(mine[0])
    words = next((found for need in left if (found := mend_of(mine[0], need))), ())
    if words:
        return [Suggestion(MEND.format(words=" ".join(words)), mended(typed, words))]
    return [Suggestion(AGAIN[mine[0]["state"]], typed)]


def _after_prediction(home: Path, competition: str, suggest: Suggest) -> list[Suggestion]:
    """What follows once there is a prediction."""
    artifacts = home / "artifacts"
    predicted = [m for _, m in newest(artifacts, "infer", competition)]
    whole = [m for m in predicted if m.get("metrics", {}).get("complete") == 1.0]
    blends = [m for _, m in newest(artifacts, "ensemble", competition)]
    reports = [(folder, m) for folder, m in newest(artifacts, "error_analysis", competition)]
    rest = []
    if len(whole) > 1 and (not blends or any(_later(m, blends[0]) for m in whole)):
        folds = fold_words(whole[0])
        alike = sum(fold_words(m) == folds for m in whole)
        if alike > 1:
            rest.append(suggest(BLEND.format(n=alike), "ensemble", *folds, "ensemble.members=[auto]"))
    since = runs_since(artifacts, competition, reports[0][1]) if reports else []
    if since:
        rest.append(suggest(NEWER.format(n=len(since)), "error-analysis"))
    elif not reports:
        rest.append(suggest(COMPARE, "error-analysis"))
    else:
        rest += _advised(_json(reports[0][0] / "advice.json"))
    file = _best_csv(home, competition)
    if file:
        rest.append(suggest(HAND_IN, f"submit FILE={file} DRY=1"))
    if len(whole) == 1:
        rest.append(suggest(ANOTHER, "infer", "experiment=probe"))
    if next(newest(artifacts, "explain", competition), None) is None:
        rest.append(suggest(EXPLAIN, "explain"))
    return [*rest, suggest(SCORES, "leaderboard"), suggest(LOOK, "eda")]


def runs_since(artifacts: Path, competition: str, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The manifests of the complete runs that are newer than an error report, which does not know them.

    A training and the inference on it are one run: the training is left out.
    """
    made = [
        (f"{stage}/{folder.name}", manifest)
        for stage in ("train", "infer", "ensemble")
        for folder, manifest in newest(artifacts, stage, competition)
        if _later(manifest, dict(report)) and manifest.get("metrics", {}).get("complete") == 1.0
    ]
    inferred = {(manifest.get("inputs") or {}).get("train") for _, manifest in made}
    return [manifest for name, manifest in made if name not in inferred]


def _advised(reported: Mapping[str, Any]) -> list[Suggestion]:
    """The first command that a report advises, with the number of its advice; else how to go on."""
    command = reported.get("next")
    if not isinstance(command, str) or not command.startswith("make "):
        return []
    advice = reported.get("advice")
    told = [one.get("command") for one in advice if isinstance(one, dict)] if isinstance(advice, list) else []
    if command in told:
        return [Suggestion(ADVISED.format(number=told.index(command) + 1), command)]
    if told:
        return [Suggestion(BY_EYE, "make serve")]
    return [Suggestion(LIST, command)] if command.startswith("make runs") else []


def _later(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return str(one.get("created", "")) > str(other.get("created", ""))


def _best_csv(home: Path, competition: str) -> str:
    """The best submission that was written for this competition, as a path that needs no quotes.

    It is the one that a person pinned, else the best by out-of-fold score on the data and folds of the newest
    one that has a score. Without any score it is the file of the stable name, which only commands with TIME
    keep up to date, or else the newest.
    """
    folder = home / "submissions"
    found = {
        path.stem: path.with_suffix(".csv")
        for path in sorted(folder.glob("*.json"), key=_modified, reverse=True)[:MOST]
        if path.with_suffix(".csv").is_file() and _json(path).get("competition") == competition
    }
    if not found:
        return ""
    rows = [row for row in _rows(folder / LEDGER) if row.get("name") in found]
    pinned = [str(row["name"]) for row in rows if row.get(PIN) == PINNED]
    stable = [name for name in (f"{competition}-best",) if name in found]
    scored = _best_scored(home / "artifacts" / KEPT, competition, rows)
    if stable and [_json(folder / f"{stable[0]}.json").get("name")] == scored:
        scored = stable  # the same under its lasting name
    best = [*pinned, *scored, *stable, *found][0]
    path = os.path.relpath(found[best])
    path = str(found[best].resolve()) if path.startswith("..") else path
    return path if re.fullmatch(r"[\w./+@-]+", path) else ""


def _best_scored(kept: Path, competition: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The name of the submission with the best comparable score; empty: none has one, or the way is unknown.

    Args:
        kept: what the home page knows of the results: their data and folds, and whether higher is better.
        competition: that the submissions are about.
        rows: of the ledger, oldest first.
    """
    known = _json(kept)
    about = _part(_part(known, "competitions"), competition)
    results = [_part(one, "result") for one in _part(known, "results").values()]
    on = {str(one.get("key")): str(one.get("on", "")) for one in results}
    scored = []
    for row in rows:
        with contextlib.suppress(KeyError, TypeError, ValueError):
            if row["metric"] == about["metric"]:
                scored.append((float(row["oof"]), str(row["name"]), on.get(row["key"], "")))
    last = next((place for _, _, place in reversed(scored) if place), "")
    alike = [(score, name) for score, name, place in scored if place in ("", last)]
    sign = 1.0 if about.get("higher_is_better", True) else -1.0
    best = max(alike, key=lambda one: sign * one[0], default=None)
    return [] if best is None else [best[1]]


def _part(of: object, name: str) -> dict[str, Any]:
    """The object of this name in another one; empty where the file was damaged."""
    found = of.get(name) if isinstance(of, dict) else None
    return found if isinstance(found, dict) else {}


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of the ledger; empty if it is missing or damaged, which other commands say."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []


def home_of(words: Sequence[str], base: Path) -> Path:
    """The home that these words or `config.yaml` name, as far as this file can read it."""
    given = [word.partition("=")[2] for word in words if word.startswith("runtime.home=")]
    written = re.search(r"^runtime:\n(?:[ #].*\n)*?  +home: *([^\s#]+)", _text(base), re.MULTILINE)
    path = given[-1] if given else written[1].strip("\"'") if written else "."
    return Path("." if "://" in path else path)


def competition_of(words: Sequence[str], home: Path, base: Path) -> tuple[str, bool]:
    """The competition that a command would be about, and whether a person chose it."""
    given = [word.partition("=")[2] for word in words if word.startswith("competition=")]
    current = _text(home / CURRENT).strip()
    if given or current:
        return (given[-1] if given else current), True
    default = re.search(r"^ +competition: *([\w.+-]+)", _text(base), re.MULTILINE)
    return (default[1] if default else "emoji"), False


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def language_of(words: Sequence[str], base: Path, environment: Mapping[str, str]) -> str:
    """The language that words, `config.yaml` or the environment name, as far as this file can read it."""
    given = [word.partition("=")[2] for word in words if word.startswith("report.language=")]
    written = re.search(r"^report:\n(?:[ #].*\n)*?  +language: *(\w+)", _text(base), re.MULTILINE)
    return of_environment(environment, given[-1] if given else written[1] if written else AUTO)


def lines(words: Sequence[str], base: Path, language: str = ENGLISH) -> list[str]:
    """What `make` without a target prints; `base` is `configs/config.yaml`."""
    home = home_of(words, base)
    name, is_chosen = competition_of(words, home, base)
    kept = [word for word in words if re.fullmatch(r"[\w.]+=[\w./+@,:\[\]-]+", word)]
    printed: list[str] = [HEAD.format(name=name), NOW]
    for number, one in enumerate(suggestions(home, name, kept, is_chosen), start=1):
        printed.append(LINE.format(number=number, what=say(one.what, language), command=spoken(one.command)))
    if (home / PAGE).is_file():
        printed.append(HOME.format(path=os.path.relpath(home / PAGE)))
    return [say(line, language) for line in (*printed, REST)]


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    typed = sys.argv[1:]
    file = Path(__file__).resolve().parents[2] / "configs" / "config.yaml"
    print("\n".join(lines(typed, file, language_of(typed, file, os.environ))))
