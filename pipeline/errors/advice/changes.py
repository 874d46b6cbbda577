"""The settings and members in which two submissions differ, and whether each difference was ever tested
alone.

Owns finding the trainings of a submission, the settings in which two submissions differ, and pairs of
finished runs that differ in these settings only. Does not own scores (`train/scoring.py`) nor the types that
the page shows (`errors/diff/conclusion.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipeline.core.predictions import Comparison, align
from pipeline.core.samples import Samples
from pipeline.core.voting.fitting import Fitted
from pipeline.core.voting.soft_voting import RULES
from pipeline.data import load
from pipeline.engine import naming, request
from pipeline.engine.slices import flat
from pipeline.ensemble.members import MEMBER
from pipeline.ensemble.stages import BLEND
from pipeline.errors import texts
from pipeline.errors.case import again
from pipeline.errors.diff.conclusion import Change
from pipeline.pages.command_words import make_with
from pipeline.record.store import Artifact, Store
from pipeline.settings.load import Settings
from pipeline.settings.schema import Config
from pipeline.train import scoring

# Settings that change no prediction.
NEVER = ("statistics.", "competition.title", "report.", "eda.")
# The value of a setting that a kind of run does not read, such as augmentation for heads on features.
NOT_READ = "not read"
ENSEMBLE = "make ensemble"
NETWORK = ("model.name", "model.weights")
PREDICTED = ("infer.", "decision.", "ensemble.")
# A blend whose fitted model is not in its facts.
STACKING = "stacking"
Values = Mapping[str, str]


@dataclass(frozen=True)
class FinishedRuns:
    """Every finished run on one data set and one fold plan.

    Args:
        data, folds: `stage/key` of the data and the fold plan that they share.
        settings: of the command, to find the words that mean a run; None: its experiment is its word.
    """

    store: Store
    config: Config
    train: Samples
    data: str
    folds: str
    settings: Settings | None = None

    @cached_property
    def _experiments(self) -> list[naming.Experiments]:
        return []

    def experiments(self, base: Settings) -> naming.Experiments:
        """The experiments over these settings, each file read once for the report."""
        found = next((one for one in self._experiments if one.base is base), None)
        if found is None:
            found = naming.Experiments(base)
            self._experiments.append(found)
        return found

    @cached_property
    def all(self) -> tuple[Artifact, ...]:
        """Complete trainings, inferences and blends, oldest first."""
        return tuple(
            a
            for a in self.store.all(*scoring.SCORED)
            if a.metrics.get("complete") == 1.0
            and (a.inputs.get("data"), a.inputs.get("folds")) == (self.data, self.folds)
        )

    def of(self, *stages: str) -> list[Artifact]:
        """Those of some stages, oldest first."""
        return [a for a in self.all if a.stage in stages]

    @cached_property
    def values(self) -> dict[str, Values]:
        """The settings of each run, by its key."""
        return {a.key: values_of(a) for a in self.all}

    def compare(self, new: Artifact, old: Artifact) -> Comparison:
        """The paired comparison of their out-of-fold predictions, groups resampled."""
        return scoring.compare(self.config, self.train, load.oof(new, new.stage), load.oof(old, old.stage))

    def differing(self, old: Artifact, wanted: Mapping[str, str]) -> Artifact | None:
        """The newest run of the same stage with the settings of `old`, except that it has the wanted ones."""
        target = _set({**values_of(old), **wanted})
        others = (a for a in reversed(self.of(old.stage)) if a.key != old.key)
        return next((a for a in others if self.values[a.key] == target), None)

    def alone(self, old: Values, new: Values, around: Sequence[Artifact]) -> tuple[Artifact, Artifact] | None:
        """The newest pair (new, old) of runs that have these values and differ in nothing else.

        What a setting brings depends on the others: apart from these values, the pair has the settings, and
        of blends the members, of one of the results `around`.
        """
        sides = [{p: t for p, t in values_of(a).items() if p not in old}.items() for a in around]
        members = [self._members(a) for a in around]
        for stage in scoring.SCORED:
            for artifact in reversed(self.of(stage)):
                own = self.values[artifact.key]
                had = all(own.get(p, "null") == old[p] for p in old)
                if not had or not any(side <= own.items() for side in sides):
                    continue
                other = self.differing(artifact, new)
                if other is None:
                    continue
                its = self._members(artifact)
                if not artifact.has(BLEND) or (its in members and self._members(other) == its):
                    return other, artifact
        return None

    @cached_property
    def votes(self) -> tuple[Mapping[str, float], ...]:
        """Of each finished blend the weight of every member, by the key of its training."""
        found = []
        for blend in self.of("ensemble"):
            weights = blend.json(BLEND)["weights"] if blend.has(BLEND) else {}
            inputs = [(n.removeprefix(MEMBER), a) for n, a in blend.inputs.items() if n.startswith(MEMBER)]
            inferred = [(name, self.store.at(address)) for name, address in inputs]
            trained = [(n, a.inputs.get("train", "").partition("/")[2]) for n, a in inferred if a]
            found.append({key: float(weights.get(name, 1.0)) for name, key in trained if key})
        return tuple(found)

    @cached_property
    def decisions(self) -> tuple[Artifact, ...]:
        """Every finished decision on these data and folds, oldest first."""
        places = (self.data, self.folds)
        found = self.store.all("decide")
        return tuple(a for a in found if (a.inputs.get("data"), a.inputs.get("folds")) == places)

    def steps_tried(self, training: Artifact) -> tuple[str, ...]:
        """The decision steps that were tried on a submission with this training, kept or not."""
        of = [a for a in self.decisions if training.key in self._members(a)]
        return tuple(dict.fromkeys(str(step) for a in of for step in a.setting("decision.steps") or ()))

    def _members(self, blend: Artifact) -> set[str]:
        return {a.key for a in trainings(blend, self.store).values()}

    def word_of(self, training: Artifact, base: Settings | None, *own: Artifact) -> str | None:
        """The word of `ensemble.members` that means a run in a command with the settings `base`.

        Args:
            training: of the run.
            base: None: its experiment is its word.
            own: inferences to prefer to the newest one.
        """
        if base is None:
            return str(training.manifest["experiment"])
        inferred = {a.inputs.get("train"): a for a in (*self.of("infer"), *own)}
        return naming.member_of(training, inferred.get(training.address), self.experiments(base))

    def with_and_without(self, training: str, around: Sequence[Artifact]) -> tuple[Artifact, Artifact] | None:
        """The newest pair (with, without): one uses this training as well, and nothing else differs.

        A member adds much to a weak member and little to a strong blend: the other members of the pair are
        those of one of the submissions `around`.
        """
        others = [self._members(a) - {training} for a in around]
        voted = self.of("infer", "ensemble")
        members = {a.key: self._members(a) for a in voted}
        rules = {a.key: _rules(a) for a in voted}
        for more in reversed(voted):
            for less in reversed(voted):
                fewer = members[less.key]
                same = not less.has(BLEND) or rules[less.key] == rules[more.key]
                if fewer and fewer in others and members[more.key] == fewer | {training} and same:
                    return more, less
        return None

    def contribution(self, submission: Artifact, training: Artifact) -> tuple[Comparison, Artifact] | None:
        """What a member adds to the blend of a submission, and that blend: with it against without it.

        As the ensemble's report measures it: the weights of the others are scaled up, nothing is fitted
        again. None: it is no member, or the blend cannot be computed again from its facts.
        """
        blend = submission
        while "of" in blend.inputs and (below := self.store.at(blend.inputs["of"])) is not None:
            blend = below
        facts = blend.json(BLEND) if blend.has(BLEND) else {}
        method, weights = str(facts.get("method", "")), facts.get("weights", {})
        found = {name: self.store.at(address) for name, address in facts.get("members", {}).items()}
        inferred = {name: a for name, a in found.items() if a is not None}
        name = next((n for n, a in inferred.items() if a.inputs.get("train") == training.address), None)
        if name is None or len(weights) < 2 or not weights.keys() <= inferred.keys() or method == STACKING:
            return None
        oofs = align([load.oof(inferred[n], n) for n in weights])
        rule = RULES.get(method, RULES["mean"]).suited(oofs[0].target)
        heat = tuple(float(facts["temperatures"].get(n, 1.0)) for n in weights)
        fitted = Fitted(tuple(float(w) for w in weights.values()), rule, heat)
        without = replace(oofs[0], p_NC=fitted.without_each(oofs)[list(weights).index(name)])
        known = self.train.take(oofs[0].ids_N)
        return scoring.compare(self.config, known, fitted.apply(oofs, "blend"), without), blend


def _rules(blend: Artifact) -> Values:
    """How a blend combines its members."""
    values = values_of(blend).items()
    return {p: text for p, text in values if p.startswith("ensemble.") and p != "ensemble.members"}


def values_of(artifact: Artifact) -> Values:
    """The settings of a result that can change a prediction, as dotted path → JSON text; without None."""
    return _set(flat(artifact.manifest.get("settings", {})))


def _set(values: Values) -> dict[str, str]:
    """The settings that are not None: older runs do not have the settings that were added later."""
    return {p: text for p, text in values.items() if not p.startswith(NEVER) and text != "null"}


def trainings(artifact: Artifact | None, store: Store) -> dict[str, Artifact]:
    """The trainings of a submission, by label; two with one label get a part of their keys as well."""
    through = (*scoring.SCORED, "decide")
    runs = store.behind(artifact, "train", through) if artifact else []
    names = [naming.label_of(a) for a in runs]
    return {
        name if names.count(name) == 1 else f"{name} {a.key[:6]}": a
        for name, a in zip(names, runs, strict=True)
    }


def inferences(artifact: Artifact | None, store: Store) -> list[Artifact]:
    """The inferences behind a submission: its own one, or those of the members of a blend."""
    if artifact is None:
        return []
    below = artifact.inputs.get("of") or artifact.inputs.get("twin")
    if below:
        return inferences(store.at(below), store)
    members = [address for name, address in artifact.inputs.items() if name.startswith(MEMBER)]
    found = [store.at(address) for address in members]
    return [a for a in found if a is not None] or ([artifact] if "train" in artifact.inputs else [])


def changes(runs: FinishedRuns, new: Artifact | None, old: Artifact | None) -> tuple[Change, ...]:
    """Every setting and member in which two submissions differ, members first.

    None is a CSV from elsewhere. The finished runs may have tested a change alone.
    """
    if new is None or old is None:
        return ()
    ours, theirs = trainings(new, runs.store), trainings(old, runs.store)
    if len(ours) == len(theirs) == 1:
        theirs = dict(zip(ours, theirs.values(), strict=True))  # two single runs: names do not matter
    with_members = _Members(runs, new, old, theirs)
    members = [_member(with_members, n, ours[n], added=True) for n in ours if n not in theirs]
    members += [_member(with_members, n, theirs[n], added=False) for n in theirs if n not in ours]
    alone = len(ours) == len(theirs) == 1
    settings = [
        change
        for name in ours
        if name in theirs and ours[name].key != theirs[name].key
        for change in _settings(runs, ours[name], theirs[name], "" if alone else name)
    ]
    return (*members, *settings, *_predicted(runs, new, old))


@dataclass(frozen=True)
class _Members:
    """What commands about a member of two submissions need.

    Args:
        new, old: the submissions.
        before: the trainings of the old one, by label.
    """

    runs: FinishedRuns
    new: Artifact
    old: Artifact
    before: Mapping[str, Artifact]

    def command(self, left: Sequence[Artifact]) -> str:
        """The blend of these trainings; empty if no word means one of them."""
        blend = next((a for a in (self.new, self.old) if a.has(BLEND)), None)
        base, asked = self._base(blend, left)
        own = [a for one in (self.old, self.new) for a in inferences(one, self.runs.store)]
        words = [self.runs.word_of(training, base, *own) for training in left]
        if not words or None in words or any(" " in str(word) for word in words):
            return ""
        listed = ",".join(str(word) for word in dict.fromkeys(words))
        return make_with(ENSEMBLE, asked, f"ensemble.members=[{listed}]")

    def _base(
        self, blend: Artifact | None, left: Sequence[Artifact]
    ) -> tuple[Settings | None, tuple[str, ...]]:
        """The settings and the words on which the command builds."""
        like = self.runs.settings
        record = None if blend is None else blend.manifest.get("request")
        if record:
            return again(blend, like), request_words(record, like)
        if left and like is not None:
            return naming.shared(left[0], like)
        return None, (f"competition={self.new.manifest['competition']}",)


def _member(of: _Members, name: str, training: Artifact, added: bool) -> Change:
    """A member of only one submission."""
    old, new = ("", name) if added else (name, "")
    pair = of.runs.with_and_without(training.key, (of.new, of.old))
    if pair is not None:
        new_one, old_one = pair if added else reversed(pair)
        between = f"{scoring.title(old_one)} → {scoring.title(new_one)}"
        return Change("member", old, new, "", of.runs.compare(new_one, old_one), between)
    measured = of.runs.contribution(of.new if added else of.old, training)
    if measured is not None:
        gain, blend = measured
        text = texts.WITH_MEMBER if added else texts.WITHOUT_MEMBER
        between = text.format(blend=scoring.title(blend), member=name)
        return Change("member", old, new, "", gain if added else _reversed(gain), between)
    others = {other: a for other, a in of.before.items() if added or other != name}
    left = [*others.values(), training] if added else [*others.values()]
    return Change("member", old, new, of.command(left))


def _reversed(comparison: Comparison) -> Comparison:
    """The same comparison with its sides exchanged."""
    verdict = {"better": "worse", "worse": "better"}.get(comparison.verdict, comparison.verdict)
    delta, low, high = -comparison.delta, -comparison.high, -comparison.low
    p_better = 1 - comparison.p_better
    return replace(comparison, delta=delta, low=low, high=high, p_better=p_better, verdict=verdict)


def _predicted(runs: FinishedRuns, new: Artifact, old: Artifact) -> list[Change]:
    """Settings of prediction and blending, if both results are of the same stage."""
    if new.stage != old.stage:
        return []
    ours, theirs = values_of(new), values_of(old)
    paths = [p for p in sorted(ours.keys() & theirs.keys()) if p.startswith(PREDICTED)]
    return [_change(runs, (p,), new, old, "") for p in paths if ours[p] != theirs[p]]


def _settings(runs: FinishedRuns, new: Artifact, old: Artifact, member: str) -> list[Change]:
    differ = {path for path, _ in values_of(new).items() ^ values_of(old).items()}
    # Pretrained weights fit one network only, so the two settings change together.
    sets: list[tuple[str, ...]] = [NETWORK] if differ >= set(NETWORK) else []
    sets += [(path,) for path in sorted(differ - {path for one in sets for path in one})]
    changed = [_change(runs, paths, new, old, member) for paths in sets]
    return sorted(changed, key=lambda change: NOT_READ in (change.old, change.new))


def _change(
    runs: FinishedRuns, paths: tuple[str, ...], ours: Artifact, theirs: Artifact, member: str
) -> Change:
    """A setting that differs, or several that change together; without a test if one run does not read it."""
    sides = (flat(a.manifest.get("settings", {})) for a in (ours, theirs))
    new, old = ({path: values.get(path, NOT_READ) for path in paths} for values in sides)
    what = " and ".join(paths)
    of = f"{what} of {member}" if member else what
    before, now = (", ".join(_shown(text) for text in side.values()) for side in (old, new))
    if NOT_READ in (*new.values(), *old.values()):
        return Change(of, before, now, "")
    pair = runs.alone(old, new, (ours, theirs))
    if pair is None:
        return Change(of, before, now, _command(new, theirs, runs.settings))
    between = " → ".join(scoring.title(a) for a in reversed(pair))
    return Change(of, before, now, "", runs.compare(*pair), between)


def _command(new: Values, made_of: Artifact, like: Settings | None) -> str:
    """The command that tests these values alone; empty if the request is not known or would be refused."""
    record = made_of.manifest.get("request")
    if record is None or request.refuses(record, {path: json.loads(text) for path, text in new.items()}):
        return ""
    of_stage = {"ensemble": ENSEMBLE, "infer": "make infer"}
    target = of_stage.get(made_of.stage, "make train")
    return make_with(
        target, request_words(record, like), *(f"{p}={text_of(text)}" for p, text in new.items())
    )


def _shown(text: str) -> str:
    return text if text == NOT_READ else text_of(text)


def text_of(json_text: str) -> str:
    """The value of a setting as a person types it."""
    value: Any = json.loads(json_text)
    return value if isinstance(value, str) else json_text


def request_words(record: Mapping[str, Any] | None, like: Settings | None) -> tuple[str, ...]:
    """The words that ask for a result again, from its record, with the present places of `like`."""
    words = () if record is None else request.asked(record).words
    return words if like is None else like.located(words)
