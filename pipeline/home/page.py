"""The home page: what was made in this home, what runs or failed, and what to do next, by competition.

Owns gathering these, the page, and writing it to `reports/index.html`. Does not own reading manifests
(`home/facts.py`), the suggested commands (`home/now.py`), nor any report that it links to. It reads small
files only, and nothing that it cannot read stops a command.
"""

from __future__ import annotations

import json
import logging
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from pipeline.core.errors import PodiumError, UserError
from pipeline.core.language import ENGLISH, _, recalled, say
from pipeline.core.wording import duration
from pipeline.ensemble.texts import BLENDED
from pipeline.home import facts, now, texts
from pipeline.home.facts import Competition, Facts, Result
from pipeline.pages import plots
from pipeline.pages.command_words import mended, ui_command
from pipeline.pages.report import Thumbnails, render, signed
from pipeline.record import board
from pipeline.record.files import write_atomic
from pipeline.submit import ledger, submit_log
from pipeline.submit.ledger import Entry
from pipeline.train.scoring import SCORED

log = logging.getLogger(__name__)

PAGE = Path("reports") / "index.html"
# From the page to the home.
UP = ".."
VERDICTS, NEXT_TO_SHOW = 3, 3
# Between the values of a setting before and after it changed.
ARROW = " → "
LANGUAGE = re.compile(r'<html lang="([\w-]+)"')
FIRST = "first of its kind"
SURE = ("better", "worse")
PREDICTED, TRAINED = ("infer", "ensemble"), ("train",)


@dataclass(frozen=True)
class Place:
    """Where everything lies, and how its commands are written.

    Args:
        home: the folder of artifacts, submissions and records.
        current: the competition that commands are about if they name none.
        compose: makes a command of a target and words.
        language: of the page.
        is_chosen: whether a person chose `current`; else it has a tab only if it has results, or none has.
    """

    home: Path
    current: str
    compose: Callable[..., str] = now.command
    language: str = ENGLISH
    is_chosen: bool = True

    @property
    def artifacts(self) -> Path:
        """The folder of results."""
        return self.home / "artifacts"


def write(place: Place, known: Sequence[Competition] = ()) -> Path | None:
    """Write the page; None: it could not be written, which is a warning and stops nothing."""
    path = place.home / PAGE
    try:
        page = html(place, known)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, page.encode())
    except Exception as error:
        log.warning(
            _("{path} was not written: {name}: {error}").format(
                path=path, name=type(error).__name__, error=error
            )
        )
        return None
    return path


def html(place: Place, known: Sequence[Competition] = ()) -> str:
    """The page as one text; `known` are competitions whose settings were read."""
    read = facts.read(place.artifacts, known)
    states = now.states(place.artifacts)
    entries, ledger_fault = _or_fault(
        lambda: ledger.read(place.home / "submissions" / "leaderboard.csv"), place.language
    )
    submits, log_fault = _or_fault(
        lambda: submit_log.read(place.home / "submissions" / "submits.csv"), place.language
    )
    links = _mlflow(place.home)
    names = _names(place, read, states, entries or ())
    tabs = [
        _tab(place, name, read, [s for s in states if s.get("competition") in (None, name)])
        | _submitted(place, read.competitions.get(name), name, entries or (), submits or ())
        | {"mlflow": links.get(name, "")}
        for name in names
    ]
    return render(
        "home.html",
        script="home.js",
        connects=True,
        language=place.language,
        home="",
        title=texts.TITLE,
        texts=texts,
        tabs=tabs,
        faults=[fault for fault in (ledger_fault, log_fault) if fault],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        ui=ui_command(place.home),
        thumbs=Thumbnails.none(),
        thumbnail_px=72,
    )


def _or_fault(read: Callable[[], Any], language: str) -> tuple[Any, str]:
    """What a file holds, or why it cannot be read."""
    try:
        return read(), ""
    except UserError as error:
        return None, error.said(language)
    except PodiumError as error:
        return None, str(error)


def _names(
    place: Place, read: Facts, states: Sequence[Mapping[str, Any]], entries: Sequence[Entry]
) -> list[str]:
    """Competitions with results, the current one first, then the last used ones."""
    used = [r.competition for r in reversed(read.results)]
    used += [e.competition for e in reversed(entries) if e.competition]
    used += [str(s["competition"]) for s in states if s.get("competition")]
    shown = place.is_chosen or not used or place.current in used
    return list(dict.fromkeys([place.current, *used] if shown else used))


def _mlflow(home: Path) -> dict[str, str]:
    """The address of each competition's table in the UI of this machine, if runs are recorded here."""
    try:
        return {name: board.link(number) for name, number in board.experiments(home / "mlflow.db")}
    except Exception:  # no record, or one that another program is writing
        return {}


def _tab(place: Place, name: str, read: Facts, states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the page says about one competition, without its submissions."""
    own = [r for r in read.results if r.competition == name]
    known = read.competitions.get(name) or Competition(name)
    scored, elsewhere = _comparable(own, known)
    best = _best(scored, known)
    return {
        "name": name,
        "at": re.sub(r"[^\w.-]", "-", name),
        "title": known.title or name,
        "best": None if best is None else _best_words(best, scored, elsewhere),
        "running": [_running(s) for s in states if s["state"] == now.RUNNING],
        "failed": _failures(place, states),
        "next": _next(place, name, own),
        "compared": [_verdict(r, place.language) for r in reversed(own) if _is_verdict(r)][:VERDICTS],
        "history": _history(scored, known),
        **_learning(place.artifacts, own),
        "reports": _reports(place, name, own),
    }


def _comparable(own: Sequence[Result], known: Competition) -> tuple[list[Result], int]:
    """Complete runs scored on the data and folds of the newest one, and how many others there are.

    An inference says more than the training that it stands on, so trainings count only without one.
    """
    scored = [r for r in own if r.score is not None and r.complete]
    scored = [r for r in scored if not known.metric or r.metric == known.metric]
    for stages in (PREDICTED, TRAINED):
        of_kind = [r for r in scored if r.stage in stages]
        if of_kind:
            same = [r for r in of_kind if (r.on, r.metric) == (of_kind[-1].on, of_kind[-1].metric)]
            return same, len(of_kind) - len(same)
    return [], 0


def _best(scored: Sequence[Result], known: Competition) -> Result | None:
    sign = 1.0 if known.higher_is_better else -1.0
    return max(scored, key=lambda r: sign * (r.score or 0.0), default=None)


def _best_words(best: Result, scored: Sequence[Result], elsewhere: int) -> dict[str, Any]:
    about = [] if len(scored) < 2 else [texts.ONE_OF.format(runs=len(scored))]
    about += [texts.ELSEWHERE.format(runs=elsewhere)] if elsewhere else []
    return {
        "headline": texts.BEST.format(label=_named(best), metric=best.metric, score=f"{best.score:.4f}"),
        "score": f"{best.score:.4f}",
        "metric": best.metric,
        "interval": _interval(best.low, best.high, ""),
        "verdict": _against(best) if _is_verdict(best) else "",
        "state": _state(best),
        "runs": len(scored),
        "about": about,
    }


def _interval(low: float | None, high: float | None, unknown: str) -> str:
    return unknown if low is None else texts.INTERVAL.format(low=f"{low:.4f}", high=f"{high:.4f}")


def _named(result: Result) -> str:
    """A run in words: a blend has the competition's name, which says nothing."""
    return texts.BLEND.format(key=result.key[:8]) if result.stage == "ensemble" else result.label


def _titled(result: Result) -> str:
    """A run with its stage, or a report with its kind."""
    kind = texts.KIND_TITLES.get(result.stage)
    if kind is not None:
        return kind
    if result.stage == "ensemble":
        return _named(result)
    if result.stage not in texts.STAGES:
        return f"{result.stage} {_named(result)}"
    return texts.STAGES[result.stage].format(label=_named(result))


def _capital(text: str, language: str) -> str:
    """A text in this language, its first letter in upper case."""
    told = say(text, language)
    return told[:1].upper() + told[1:]


def _state(result: Result) -> str:
    return result.verdict if result.verdict in SURE else "unclear"


def _is_verdict(result: Result) -> bool:
    return bool(result.rival) and result.rival != "none" and not result.verdict.startswith(FIRST)


def _against(result: Result) -> str:
    """The verdict of a comparison with its interval, where it has one."""
    rival = result.rival.partition(" (")[0]
    if result.delta is None or result.delta_low is None or result.delta_high is None:
        if result.stage == "error_analysis":
            return texts.REPORTED[_state(result)].format(rival=result.rival)
        verdict = texts.STATES.get(result.verdict, result.verdict)
        return texts.VERDICT_ALONE.format(verdict=verdict, rival=rival)
    ends = (signed(value) for value in (result.delta, result.delta_low, result.delta_high))
    delta, low, high = ends
    return texts.COMPARED[_state(result)].format(rival=rival, delta=delta, low=low, high=high)


def _verdict(result: Result, language: str) -> dict[str, str]:
    return {
        "state": _state(result),
        "about": _capital(_titled(result), language),
        "words": _against(result),
        "changed": _changed(result),
        "when": _moment(result.created),
        "link": _link(result, result.pages[0]) if result.pages else "",
    }


def _changed(result: Result) -> str:
    """The settings that changed; where there are none, as beside a blend, what the run is."""
    if ARROW in result.changed:
        return texts.CHANGED.format(what=result.changed)
    if result.changed or result.stage not in SCORED:
        return recalled(result.changed, BLENDED)
    return texts.MADE_WITH.format(words=result.label)


def _moment(created: str) -> str:
    return created[:16].replace("T", " ")


def _link(result: Result, page: str) -> str:
    return f"{UP}/artifacts/{quote(result.stage)}/{quote(result.key)}/{quote(page)}"


def _running(state: Mapping[str, Any]) -> dict[str, Any]:
    """A command that runs, with the trainings whose epochs are known."""
    counts = {name: int(value) for name, value in (state.get("counts") or {}).items() if _is_count(value)}
    eta: Any = state.get("eta_seconds")
    failed = counts.get("failed", 0)
    needs = [n for n in state["needs"] if n.get("state") == now.RUNNING]
    headline = texts.RUNS_ETA if _is_count(eta) else texts.RUNS
    return {
        "headline": headline.format(
            command=f"make {state['command']}",
            host=state["host"],
            began=_moment(str(state.get("began", ""))),
            **({"time": duration(float(eta))} if _is_count(eta) else {}),
        ),
        "done": counts.get("done", 0),
        "all": max(sum(counts.values()), 1),
        "counts": (texts.COUNTS_FAILED if failed else texts.COUNTS).format(
            done=counts.get("done", 0),
            all=sum(counts.values()),
            running=counts.get("running", 0),
            failed=failed,
        ),
        "silent": texts.SILENT.format(updated=_moment(str(state["updated"]))),
        "needs": [_need_words(need) for need in needs[:8]],
    }


def _is_count(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _need_words(need: Mapping[str, Any]) -> str:
    title = str(need.get("title", ""))
    if need.get("epochs"):
        return texts.EPOCH.format(title=title, epoch=need.get("epoch"), epochs=need["epochs"])
    return title


def _failures(place: Place, states: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What failed or was lost, and was not built since; each result once, as the last command left it."""
    found, seen = [], set[str]()
    for state in states:
        if state["state"] == now.RUNNING:
            seen |= {str(need.get("name")) for need in state["needs"]}
            continue
        for need in now.unfinished(place.artifacts, state):
            name = str(need.get("name"))
            if name in seen:
                continue
            seen.add(name)
            title = str(need.get("title", name))
            is_fault = need.get("state") == now.FAILED
            ended = texts.LOST_STOPPED if state["state"] == "stopped" else texts.LOST_KILLED
            lost = ended.format(title=title, command=f"make {state['command']}")
            found.append(
                {
                    "title": texts.FAILED.format(title=title) if is_fault else lost,
                    "message": str(need.get("message", "")),
                    "when": _moment(str(state["updated"])),
                    **_remedy(state, need),
                }
            )
    return found


def _remedy(state: Mapping[str, Any], need: Mapping[str, Any]) -> dict[str, str]:
    """The command that goes on after a failure, and what it does: some need other settings."""
    typed, words = now.repeated(state), now.mend_of(state, need)
    if words:
        return {"how": texts.MENDED, "command": mended(typed, words)}
    return {"how": texts.REPEAT, "command": typed}


def _next(place: Place, name: str, own: Sequence[Result]) -> list[dict[str, str]]:
    """The advice of the newest error report, then what fits what is there.

    A report does not know newer runs, which may have followed its advice: then the first step is a new one.
    """
    steps = []
    report = next((r for r in reversed(own) if r.stage == "error_analysis"), None)
    if report is not None and not now.runs_since(place.artifacts, name, {"created": report.created}):
        steps = _advised(place.artifacts / report.stage / report.key / "advice.json", place.language)
    words = [] if name == place.current else [f"competition={name}"]
    fitting = now.suggestions(place.home, name, words, compose=place.compose)
    commands = {step["command"] for step in steps}
    steps += [
        {"what": _capital(one.what, place.language), "command": one.command, "why": ""}
        for one in fitting
        if one.command not in commands
    ]
    return steps[: NEXT_TO_SHOW + 2]


def _advised(path: Path, language: str) -> list[dict[str, str]]:
    """The advice of a report in this language, or as the report has it where it was made without."""
    try:
        advice = json.loads(path.read_text(encoding="utf-8"))["advice"]
        return [
            {"what": str(told["do"]), "command": str(one["command"]), "why": str(told["sentence"])}
            for one in advice
            for told in [one.get("said", {}).get(language, one)]
            if str(one["command"]).startswith("make ")
        ][:NEXT_TO_SHOW]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _history(scored: Sequence[Result], known: Competition) -> Markup | None:
    """The scores in order of time; None: fewer than two."""
    if len(scored) < 2:
        return None
    whiskers = [plots.Whisker(_named(r), *_ends(r)) for r in scored]
    title = texts.HISTORY.format(metric=scored[-1].metric)
    return plots.history(whiskers, title, (texts.HISTORY_X, scored[-1].metric), known.higher_is_better)


def _ends(result: Result) -> tuple[float, float, float]:
    """A score and its interval, which is the score itself where none is known."""
    score = result.score or 0.0
    return score, score if result.low is None else result.low, score if result.high is None else result.high


def _learning(artifacts: Path, own: Sequence[Result]) -> dict[str, Any]:
    """The curves of the newest training, as means over its folds; empty: it has fewer than two epochs."""
    trained = next((r for r in reversed(own) if r.stage == "train" and r.folds), None)
    none = {"learning": None, "learned": ""}
    if trained is None:
        return none
    by_epoch: dict[float, dict[str, list[float]]] = {}
    for address in trained.folds[:10]:
        for entry in _entries(artifacts / address / "history.json"):
            values = by_epoch.setdefault(float(entry.get("epoch", -1)), {})
            for name in ("train_loss", "valid_loss"):
                if _is_count(entry.get(name)):
                    values.setdefault(name, []).append(float(entry[name]))
    epochs = sorted(by_epoch)
    if len(epochs) < 2:
        return none
    lines = []
    for name, words in (("train_loss", texts.TRAIN_LOSS), ("valid_loss", texts.VALID_LOSS)):
        there = [epoch for epoch in epochs if by_epoch[epoch].get(name)]
        means = [statistics.fmean(by_epoch[epoch][name]) for epoch in there]
        lines.append(plots.Curve(words, [epoch + 1 for epoch in there], means))
    title = texts.LEARNING.format(label=trained.label)
    return {"learning": plots.curves(lines, title, texts.EPOCHS, texts.LOSS), "learned": trained.label}


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _tongue(page: Path, language: str) -> str:
    """The language of a page, e.g. `en`, where it is not that of the home page."""
    try:
        with page.open(encoding="utf-8") as file:
            found = LANGUAGE.search(file.read(len("<!doctype html>") + 40))
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if found is None or found[1] == language else found[1]


def _reports(place: Place, name: str, own: Sequence[Result]) -> list[dict[str, Any]]:
    """Every report by kind, in the order of a competition; of each kind the newest first."""
    kinds: dict[str, list[dict[str, str]]] = {kind: [] for kind in texts.KIND_TITLES}
    for result in reversed(own):
        for page in result.pages:
            link = _link(result, page)
            one = {"label": result.label, "when": _moment(result.created), "link": link}
            one["tongue"] = _tongue(place.artifacts / result.address / page, place.language)
            kinds.setdefault(result.stage, []).append(one)
    for folder in ("tuning", "plans"):
        for path in sorted((place.home / folder).glob("*.html"), key=_modified, reverse=True):
            if name in path.stem:
                when = datetime.fromtimestamp(_modified(path), UTC).strftime("%Y-%m-%d %H:%M")
                link = f"{UP}/{folder}/{quote(path.name)}"
                tongue = _tongue(path, place.language)
                kinds[folder].append({"label": path.stem, "when": when, "link": link, "tongue": tongue})
    return [
        {"title": texts.KIND_TITLES.get(kind, kind.replace("_", " ")), "first": pages[0], "rest": pages[1:]}
        for kind, pages in kinds.items()
        if pages
    ]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _submitted(
    place: Place,
    known: Competition | None,
    name: str,
    entries: Sequence[Entry],
    submits: Sequence[submit_log.Submit],
) -> dict[str, Any]:
    """The submissions of a competition, the best out of fold first, and how many are left today."""
    sign = -1 if known is None or known.higher_is_better else 1

    def rank(entry: Entry) -> float:
        return math.inf if entry.oof is None else sign * entry.oof

    sent = {s.name: _moment(s.time) for s in submits if s.competition == name}
    rows = [
        {
            "name": entry.name,
            "link": f"{UP}/submissions/{quote(entry.name)}.csv" if csv.is_file() else "",
            "oof": "–" if entry.oof is None else f"{entry.oof:.4f}",
            "interval": _interval(entry.oof_low, entry.oof_high, "–"),
            "public": "–" if entry.public is None else f"{entry.public:.4f}",
            "sent": sent.get(entry.name, ""),
            "pinned": entry.pinned,
        }
        for entry in sorted(entries, key=rank)
        if entry.competition == name
        for csv in [place.home / "submissions" / f"{entry.name}.csv"]
    ]
    limit = known.per_day if known else None
    today = len(submit_log.of_day(submits, name, datetime.now(UTC)))
    left = "" if limit is None else texts.LEFT_TODAY.format(left=max(limit - today, 0), limit=limit)
    public = [e.public for e in entries if e.competition == name and e.public is not None]
    pick = max if known is None or known.higher_is_better else min
    return {"submissions": rows, "left": left, "public": f"{pick(public):.4f}" if public else ""}
