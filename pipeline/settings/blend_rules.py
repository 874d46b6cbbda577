"""What a word of `ensemble.members` asks for, and the rules of a blend.

Owns reading such words, without looking at any file. Does not own what they lead to
(`engine/needs.py`, `ensemble/voters.py`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.core.errors import nearest

AUTO = "auto"
Sections = Mapping[str, Any]
Broken = tuple[str, str]


@dataclass(frozen=True)
class MemberWord:
    """One member, as it is asked for.

    Args:
        kind: experiment: by its name; auto: all that are finished; key: a finished inference by the start
            of its key; file: a CSV of probabilities; labels: a CSV of labels in the host's format.
        name: what it is called: the word, or the stem of its file.
        path: of a file or labels.
        oof: of a file, the CSV of its out-of-fold probabilities; None: there is none.
    """

    kind: Literal["experiment", "auto", "key", "file", "labels"]
    name: str
    path: str = ""
    oof: str | None = None

    @property
    def has_oof(self) -> bool:
        """Whether it can be scored out of fold."""
        return self.kind not in ("file", "labels") or self.oof is not None


def word_of(text: str) -> MemberWord:
    """Read one word, e.g. `lite0`, `lite0+long`, `key:3fa29b`, `file:test.csv+oof.csv`, `labels:mate.csv`."""
    kind, _, rest = text.partition(":")
    if text == AUTO:
        return MemberWord("auto", text)
    if kind == "key":
        return MemberWord("key", rest)
    if kind == "file":
        path, _, oof = rest.partition("+")
        return MemberWord("file", Path(path).stem, path, oof or None)
    if kind == "labels":
        return MemberWord("labels", Path(rest).stem, rest)
    return MemberWord("experiment", text)


def _members(s: Sections) -> Iterator[Broken]:
    members, path = s["ensemble"].members, "ensemble.members"
    if len(set(members)) != len(members):
        yield path, "names a member twice"
    words = [word_of(text) for text in dict.fromkeys(members)]
    for word, text in zip(words, dict.fromkeys(members), strict=True):
        kind, colon, rest = text.partition(":")
        if colon and word.kind == "experiment":
            hint = nearest(kind, ("key", "file", "labels"))
            yield path, f"`{text}`: no kind of member called {kind}; key:, file: or labels: {hint}".rstrip()
        elif colon and not rest.strip():
            yield path, f"`{text}` names nothing"
    names = [word.name for word in words]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        yield path, f"{names.count(name)} members would be called {name}: rename a file"
    if not any(word.has_oof for word in words):
        yield (
            path,
            "none of them has out-of-fold predictions: add a member of your own, or +OOF.csv to a file",
        )
    told = [word.kind for word in words if word.kind in ("auto", "key")]
    if s["ensemble"].refit and told:
        what = "needs members by name: [auto] and key: know finished runs only, and no settings"
        yield "ensemble.refit", what


def _weights(s: Sections) -> Iterator[Broken]:
    ensemble, path = s["ensemble"], "ensemble.weights"
    words = {word.name: word for word in map(word_of, ensemble.members)}
    given = ensemble.weights or {}
    looked_up = any(word.kind in ("auto", "key") for word in words.values())
    for name in given:
        if name not in words and not looked_up:
            hint = nearest(name, words) or f"they are: {', '.join(words)}"
            yield path, f"`{name}` is no member; {hint}"
    own = [name for name in given if name not in words or words[name].has_oof]
    if own and ensemble.method in ("mean", "greedy", "search", "stacking"):
        why = "votes equally" if ensemble.method == "mean" else "finds its own"
        what = f"has {', '.join(own)}, and method={ensemble.method} {why}; use method=weighted"
        yield path, f"{what} (CSVs without out-of-fold predictions may always have one)"


def _budget(s: Sections) -> Iterator[Broken]:
    ensemble, path = s["ensemble"], "ensemble.max_ms"
    if ensemble.max_ms is None:
        return
    outside = [word.name for word in map(word_of, ensemble.members) if word.path]
    if outside:
        yield path, f"a CSV from elsewhere has no price: leave out {', '.join(outside)}, or the budget"
    if ensemble.method not in ("weighted", "greedy"):
        yield path, f"finds the weights of soft voting, not of method={ensemble.method}; use method=weighted"
    if ensemble.weights:
        yield path, "finds the weights; leave ensemble.weights out"


BLEND_RULES: tuple[tuple[tuple[str, ...], Callable[[Sections], Iterator[Broken]]], ...] = (
    (("ensemble",), _members),
    (("ensemble",), _weights),
    (("ensemble",), _budget),
)
