"""The section `ensemble`, and the meaning of each word of `ensemble.members`.

Owns its fields and rules, and reading these words without opening any file. Does not own the members
themselves (`ensemble/members.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.errors import nearest
from pipeline.core.language import _
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, rule
from pipeline.settings.submission import MOST_PAIRED, n_columns

AUTO, GBDT = "auto", "gbdt"


class GbdtSettings(Section):
    """The trees of the member `gbdt`."""

    rounds: int = fact(300, "trees at most; their number is chosen by groups that they do not score", ge=1)
    rate: float = fact(0.05, "learning rate", gt=0, le=1)
    leaves: int = fact(7, "leaves of a tree", ge=2, le=1000)
    min_rows: int = fact(20, "samples of a leaf at least", ge=1)
    seed: int = fact(2026, "seed of the rows and columns that a tree sees", ge=0)


class EnsembleSettings(Section):
    """How members are blended, see docs/ensembling.md."""

    members: list[str] = fact(
        ["lite0", "small_cnn", "probe"],
        "experiments by name (a+b: b overrides a); auto: every finished one on these data and folds; "
        "key:PREFIX: a finished inference; file:TEST.csv+OOF.csv: probabilities from elsewhere, the OOF file "
        "if there is one, both relative to the folder you call make in; labels:FILE.csv: a submission of "
        "labels, which votes on the test set only; gbdt: "
        "boosted trees on the predictions of the other members and the metadata",
        min_length=1,
    )
    method: Literal["mean", "weighted", "geometric", "rank", "hard", "greedy", "search", "stacking"] = fact(
        "weighted",
        "mean: equal; weighted: `weights`, or greedy ones; geometric: mean of log p; rank: mean rank in a "
        "class; hard: votes of labels; greedy: weights fitted on OOF; search: then by the metric itself; "
        "stacking: logistic regression on log p, of values ridge. All fits are cross-fitted. Values have no "
        "geometric, rank and hard",
    )
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = fact(
        None,
        "by member, for weighted, geometric, rank, hard, CSVs without OOF; default 1: an average member",
        min_length=1,
    )
    temperature: bool = fact(False, "fit a temperature per member on OOF before combining")
    stack_c: float = fact(0.01, "stacking: inverse strength of the penalty", gt=0)
    gbdt: GbdtSettings = fact_if_chosen(GbdtSettings(), "the trees of the member gbdt")
    max_ms: float | None = fact(
        None, "the best blend that takes at most this many ms per image, measured in batches of 64", gt=0
    )
    refit: bool = fact(
        False, "predict the test set with each member's refit on all data, with the weight of the member"
    )


@dataclass(frozen=True)
class MemberWord:
    """One word of `ensemble.members`.

    Args:
        kind: experiment: by its name; auto: all finished ones; key: a finished inference by the start
            of its key; file: a CSV of probabilities; labels: a CSV of labels in the host's format; gbdt:
            trees on the predictions of the others.
        name: of the member: the word, or the stem of its file.
        path: of a file or labels.
        oof: of a file, the CSV of its out-of-fold probabilities; None: there is none.
    """

    kind: Literal["experiment", "auto", "key", "file", "labels", "gbdt"]
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
    if text in (AUTO, GBDT):
        return MemberWord("auto" if text == AUTO else "gbdt", text)
    if kind == "key":
        return MemberWord("key", rest)
    if kind == "file":
        path, _, oof = rest.partition("+")
        return MemberWord("file", Path(path).stem, path, oof or None)
    if kind == "labels":
        return MemberWord("labels", Path(rest).stem, rest)
    return MemberWord("experiment", text)


@rule("ensemble")
def member_words(s: Sections) -> Iterator[Broken]:
    """Members have distinct names, and at least one of them can be scored out of fold."""
    members, path = s["ensemble"].members, "ensemble.members"
    if len(set(members)) != len(members):
        yield path, _("names a member twice")
    words = [word_of(text) for text in dict.fromkeys(members)]
    for word, text in zip(words, dict.fromkeys(members), strict=True):
        kind, colon, rest = text.partition(":")
        if colon and word.kind == "experiment":
            hint = nearest(kind, ("key", "file", "labels"))
            yield (
                path,
                _("`{text}`: no kind of member is called {kind}; use key:, file: or labels: {hint}")
                .format(text=text, kind=kind, hint=hint)
                .rstrip(),
            )
        elif colon and not rest.strip():
            yield path, _("`{text}` has no name").format(text=text)
    names = [word.name for word in words]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        yield (
            path,
            _("{count} members would have the name {name}: rename a file").format(
                count=names.count(name), name=name
            ),
        )
    if not any(word.has_oof for word in words):
        yield (
            path,
            _("has no member with out-of-fold predictions: add an experiment, or +OOF.csv to a file"),
        )
    of_trees = [word for word in words if word.kind in ("experiment", "auto", "key")]
    if GBDT in members and not of_trees:
        yield path, _("gbdt reads the predictions of other members: add an experiment, auto or key:")
    without_settings = [word.kind for word in words if word.kind in ("auto", "key")]
    if s["ensemble"].refit and without_settings:
        yield "ensemble.refit", _("needs members by name: auto and key: give finished runs without settings")


@rule("ensemble")
def given_weights(s: Sections) -> Iterator[Broken]:
    """Weights are of members, and the method uses them."""
    ensemble, path = s["ensemble"], "ensemble.weights"
    words = {word.name: word for word in map(word_of, ensemble.members)}
    given = ensemble.weights or {}
    looked_up = any(word.kind in ("auto", "key") for word in words.values())
    for name in given:
        if name not in words and not looked_up:
            hint = nearest(name, words) or _("members: {known}").format(known=", ".join(words))
            yield path, _("`{name}` is not a member; {hint}").format(name=name, hint=hint)
    own = [name for name in given if name not in words or words[name].has_oof]
    if own and ensemble.method in ("mean", "greedy", "search", "stacking"):
        why = _("weighs equally") if ensemble.method == "mean" else _("fits its own weights")
        what = _("has {own}, and method={method} {why}; use method=weighted").format(
            own=", ".join(own), method=ensemble.method, why=why
        )
        yield (
            path,
            _("{what} (CSVs without out-of-fold predictions may always have a weight)").format(what=what),
        )


@rule("ensemble", "competition")
def methods_of_the_target(s: Sections) -> Iterator[Broken]:
    """The method can combine what the members predict."""
    ensemble, target = s["ensemble"], s["competition"].target
    refused = {"values": ("geometric", "rank", "hard"), "shares": ("rank", "hard")}.get(target, ())
    if ensemble.method in refused:
        fit = _("mean, weighted, greedy, search or stacking")
        yield (
            "ensemble.method",
            _("{method} is not for competition.target={target}; use {fit}").format(
                method=ensemble.method, target=target, fit=fit
            ),
        )
    if ensemble.temperature and target == "values":
        yield "ensemble.temperature", _("is for probabilities, and competition.target=values has none")


@rule("ensemble", "competition")
def pairs_of_classes(s: Sections) -> Iterator[Broken]:
    """No method has a parameter for each pair of thousands of classes."""
    ensemble, competition = s["ensemble"], s["competition"]
    n = n_columns(competition)
    if competition.target != "exclusive" or n <= MOST_PAIRED:
        return
    if ensemble.method == "stacking":
        message = _("stacking has a coefficient for each pair of classes, and there are {n} classes").format(
            n=n
        )
        yield (
            "ensemble.method",
            _("{message} (at most {most}); use weighted or greedy").format(message=message, most=MOST_PAIRED),
        )
    if GBDT in ensemble.members:
        message = _("gbdt grows trees for each class in each round, and there are {n} classes").format(n=n)
        yield (
            "ensemble.members",
            _("{message} (at most {most}); remove it").format(message=message, most=MOST_PAIRED),
        )


@rule("ensemble")
def time_budget(s: Sections) -> Iterator[Broken]:
    """A time budget needs members with a measured time, and a method that can respect it."""
    ensemble, path = s["ensemble"], "ensemble.max_ms"
    if ensemble.max_ms is None:
        return
    outside = [word.name for word in map(word_of, ensemble.members) if word.path]
    if outside:
        yield (
            path,
            _("a CSV from elsewhere has no measured time: remove {outside}, or the budget").format(
                outside=", ".join(outside)
            ),
        )
    if ensemble.method not in ("weighted", "greedy"):
        yield (
            path,
            _("fits weights of soft voting, not of method={method}; use method=weighted").format(
                method=ensemble.method
            ),
        )
    if ensemble.weights:
        yield path, _("fits the weights itself; remove ensemble.weights")
